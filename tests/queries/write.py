#!/usr/bin/env python3
"""Writes the queries and the workbook of `queries/` from their parts, so that the same question is asked
alike in every dialect. A test compares what is written with what is there.

    python3 tests/queries/write.py
"""

import json
import pathlib

QUERIES = pathlib.Path(__file__).resolve().parents[2] / "queries"

# The question, in words; what it counts by and the expression of it, in the order of the dialects below.
COUNTED_BY = {
    "daily-active": ("How many people use it, and how often, day by day (in UTC)?", "day"),
    "commands": ("Which commands are used, and do they succeed?", "command"),
    "agents": ("Which agents is it used from, in how many sessions?", "agent"),
    "versions": ("Which versions are in use, and by how many?", "version"),
    "hosts": ("Which applications do the events come from?", "host"),
}
LATENESS = "How late were events sent? A late one waited for longer than the service takes a time for."
DUPLICATES = "How many lines were copies of an event that had arrived before?"

KQL = {
    "application-insights": {
        "table": "customEvents",
        "timestamp": "timestamp",
        "properties": "customDimensions",
        "person": "user_Id",
        "session": "session_Id",
        "version": "application_Version",
        "host": "cloud_RoleName",
    },
    "log-analytics": {
        "table": "AppEvents",
        "timestamp": "TimeGenerated",
        "properties": "Properties",
        "person": "UserId",
        "session": "SessionId",
        "version": "AppVersion",
        "host": "AppRoleName",
    },
}

KQL_SINCE = "let since = ago(7d);"

KQL_HEAD = """\
let since = ago(7d);
let lines = {table}
    | where {timestamp} >= since - 1d // sent after it happened, unless a clock was ahead
    | extend sent = {timestamp}, happened = coalesce(todatetime({properties}.timestamp), {timestamp})
    | where happened >= since
    | extend id = tostring({properties}.event_id)
    | extend key = iff(isempty(id), tostring(new_guid()), id);
"""

KQL_FOLD = """\
let events = lines
    | summarize arg_min(sent, *) by key; // an event that arrived twice counts once
"""

KQL_NAMED = """\
events
| extend {name} = {expression}, success = tostring({properties}.success)
"""

KQL_BY = """\
{counted}{named}| summarize
    events = count(),
    people = count_distinctif({person}, isnotempty({person})),
    sessions = count_distinctif({session}, isnotempty({session})),
    succeeded = countif(success == "true"),
    failed = countif(success == "false")
    by {name}
| extend success_percent = succeeded * 100 / (succeeded + failed)
| order by {order}
"""

# Before the commands are counted: each event that says one, and each name of a list that repeats none.
KQL_COMMANDS = """\
let seen = events
    | extend command = tostring({properties}.command), list = tostring({properties}.commands);
let said = seen | where isnotempty(command);
let listed = seen // but not what the session has said one by one
    | where isempty(command) and {session} !in ((said | where isnotempty({session}) | project {session}))
    | project-away command
    | mv-expand command = split(list, ",") to typeof(string);
union said, listed
| extend success = tostring({properties}.success)
"""

KQL_LATENESS = """\
events
| extend adjusted = tostring({properties}.time_adjusted)
| summarize events = count(), hours_max = round(max((sent - happened) / 1h), 1) by delay = iff(isempty(adjusted), "in time", adjusted)
| order by delay asc
"""

KQL_DUPLICATES = """\
lines
| summarize lines = count(), without_id = countif(isempty(id)), events = count_distinct(key)
| extend copies = lines - events
| project lines, events, copies, without_id
"""

DUCKDB_HEAD = """\
WITH stored AS (
    SELECT json AS line
    FROM read_ndjson_objects('arrived.jsonl', ignore_errors = true)
), arrivals AS (
    SELECT
        nullif(line ->> '$.data.baseData.properties.event_id', '') AS id,
        make_timestamp(epoch_us(try_cast(line ->> '$.time' AS TIMESTAMPTZ))) AS sent, -- in UTC
        coalesce(
            make_timestamp(epoch_us(try_cast(line ->> '$.data.baseData.properties.timestamp' AS TIMESTAMPTZ))),
            sent) AS happened,
        nullif(line ->> '$.tags."ai.user.id"', '') AS person,
        nullif(line ->> '$.tags."ai.session.id"', '') AS session,
        nullif(line ->> '$.tags."ai.application.ver"', '') AS version,
        nullif(line ->> '$.tags."ai.cloud.role"', '') AS host,
        nullif(line ->> '$.data.baseData.properties.agent_type', '') AS agent,
        nullif(line ->> '$.data.baseData.properties.command', '') AS command,
        nullif(line ->> '$.data.baseData.properties.time_adjusted', '') AS adjusted,
        line ->> '$.data.baseData.properties.commands' AS list,
        line ->> '$.data.baseData.properties.success' AS success,
        strftime(happened, '%Y-%m-%d') AS day,
        coalesce(id, uuid()::VARCHAR) AS key
    FROM stored
    WHERE (line ->> '$.data.baseType') = 'EventData'
), lines AS MATERIALIZED (
    SELECT * FROM arrivals
    WHERE happened >= make_timestamp(epoch_us(now())) - INTERVAL 7 DAYS
), events AS ( -- an event that arrived twice counts once
    SELECT * FROM lines
    QUALIFY row_number() OVER (PARTITION BY key ORDER BY sent) = 1
)
"""

CLICKHOUSE_HEAD = """\
WITH arrivals AS (
    SELECT
        JSONExtractString(line, 'data', 'baseData', 'properties', 'event_id') AS id,
        parseDateTime64BestEffortOrNull(JSONExtractString(line, 'time'), 3, 'UTC') AS sent,
        coalesce(
            parseDateTime64BestEffortOrNull(JSONExtractString(line, 'data', 'baseData', 'properties', 'timestamp'), 3, 'UTC'),
            sent) AS happened,
        nullIf(JSONExtractString(line, 'tags', 'ai.user.id'), '') AS person,
        nullIf(JSONExtractString(line, 'tags', 'ai.session.id'), '') AS session,
        nullIf(JSONExtractString(line, 'tags', 'ai.application.ver'), '') AS version,
        nullIf(JSONExtractString(line, 'tags', 'ai.cloud.role'), '') AS host,
        nullIf(JSONExtractString(line, 'data', 'baseData', 'properties', 'agent_type'), '') AS agent,
        nullIf(JSONExtractString(line, 'data', 'baseData', 'properties', 'command'), '') AS command,
        nullIf(JSONExtractString(line, 'data', 'baseData', 'properties', 'time_adjusted'), '') AS adjusted,
        JSONExtractString(line, 'data', 'baseData', 'properties', 'commands') AS list,
        JSONExtractString(line, 'data', 'baseData', 'properties', 'success') AS success,
        toString(toDate(happened)) AS day,
        if(id = '', toString(generateUUIDv4()), id) AS key
    FROM file('arrived.jsonl', 'LineAsString', 'line String')
    WHERE JSONExtractString(line, 'data', 'baseType') = 'EventData'
), lines AS (
    SELECT * FROM arrivals
    WHERE happened >= now() - INTERVAL 7 DAY
), events AS ( -- an event that arrived twice counts once
    SELECT * FROM lines
    ORDER BY sent
    LIMIT 1 BY key
)
"""

SQL_COMMANDS = """\
, said AS (
    SELECT command, person, session, success FROM events
    WHERE command IS NOT NULL
), listed AS ( -- but not what the session has said one by one
    SELECT {each} AS command, person, session, success FROM events
    WHERE events.command IS NULL
      AND (session IS NULL OR session NOT IN (SELECT session FROM said WHERE session IS NOT NULL))
), uses AS (
    SELECT * FROM said
    UNION ALL
    SELECT * FROM listed WHERE command <> ''
)
"""

SQL_BY = """\
SELECT
    {name},
    count(*) AS events,
    count(DISTINCT person) AS people,
    count(DISTINCT session) AS sessions,
    {count_if}(success = 'true') AS succeeded,
    {count_if}(success = 'false') AS failed,
    {percent} AS success_percent
FROM {source}
{named}GROUP BY {name}
ORDER BY {order};
"""

SQL = {
    "duckdb": {
        "head": DUCKDB_HEAD,
        "each": "unnest(string_split(list, ','))",
        "count_if": "count_if",
        "percent": "succeeded * 100 // nullif(succeeded + failed, 0)",
        "lateness": """\
SELECT
    coalesce(adjusted, 'in time') AS delay,
    count(*) AS events,
    round(max(epoch(sent) - epoch(happened)) / 3600, 1) AS hours_max
FROM events
GROUP BY delay
ORDER BY delay;
""",
        "duplicates": """\
SELECT
    count(*) AS lines,
    count(DISTINCT key) AS events,
    count(*) - count(DISTINCT key) AS copies,
    count(*) FILTER (id IS NULL) AS without_id
FROM lines;
""",
    },
    "clickhouse": {
        "head": CLICKHOUSE_HEAD,
        "each": "arrayJoin(splitByChar(',', list))",
        "count_if": "countIf",
        "percent": "intDiv(succeeded * 100, nullIf(succeeded + failed, 0))",
        "lateness": """\
SELECT
    coalesce(adjusted, 'in time') AS delay,
    count() AS events,
    round(max(dateDiff('millisecond', happened, sent)) / 3600000, 1) AS hours_max
FROM events
GROUP BY delay
ORDER BY delay;
""",
        "duplicates": """\
SELECT
    count() AS lines,
    uniqExact(key) AS events,
    lines - events AS copies,
    countIf(id = '') AS without_id
FROM lines;
""",
    },
}


def order(name: str, ascending: str) -> str:
    return f"day{ascending}" if name == "day" else f"events {'DESC' if not ascending else 'desc'}, {name}{ascending}"


def kql(dialect: dict) -> dict[str, str]:
    expressions = {
        "day": "startofday(happened)",
        "agent": "tostring({properties}.agent_type)",
        "version": "{version}",
        "host": "{host}",
    }
    head = KQL_HEAD.format(**dialect)
    written = {}
    for question, (words, name) in COUNTED_BY.items():
        if name == "command":
            counted = KQL_COMMANDS.format(**dialect)
        else:
            counted = KQL_NAMED.format(**dialect, name=name, expression=expressions[name].format(**dialect))
        named = "" if name == "day" else f"| where isnotempty({name})\n"
        by = KQL_BY.format(**dialect, counted=counted, name=name, named=named, order=order(name, " asc"))
        written[question] = f"// {words}\n{head}{KQL_FOLD}{by}"
    written["lateness"] = f"// {LATENESS}\n{head}{KQL_FOLD}{KQL_LATENESS.format(**dialect)}"
    written["duplicates"] = f"// {DUPLICATES}\n{head}{KQL_DUPLICATES}"
    return written


def sql(dialect: dict) -> dict[str, str]:
    written = {}
    for question, (words, name) in COUNTED_BY.items():
        named = f"WHERE {name} IS NOT NULL\n" if name in ("agent", "version", "host") else ""
        uses = SQL_COMMANDS.format(**dialect) if name == "command" else "\n"
        source = "uses" if name == "command" else "events"
        by = SQL_BY.format(**dialect, name=name, named=named, source=source, order=order(name, ""))
        written[question] = f"-- {words}\n{dialect['head'].rstrip()}{uses}{by}"
    written["lateness"] = f"-- {LATENESS}\n{dialect['head']}{dialect['lateness']}"
    written["duplicates"] = f"-- {DUPLICATES}\n{dialect['head']}{dialect['duplicates']}"
    return written


def workbook(queries: dict[str, str]) -> str:
    """An Azure Workbook: the queries of Application Insights, over the range of time that is chosen in it."""
    charts = {"daily-active": "timechart", "commands": "table", "duplicates": "table", "lateness": "table"}
    items = [
        text("about", "# Usage\n\nWritten from the files of `queries/application-insights`, which say the same."
             " An event counts on the day it happened, in UTC; one that arrived twice counts once."
             " People are anonymous ids, which change every month."),
        {
            "type": 9,
            "content": {
                "version": "KqlParameterItem/1.0",
                "parameters": [{
                    "id": "5b1d4c0e-6f0a-4f8e-9a51-3f7c2b9d8e10",
                    "version": "KqlParameterItem/1.0",
                    "name": "TimeRange",
                    "label": "Since",
                    "type": 4,
                    "isRequired": True,
                    "value": {"durationMs": 2592000000},
                    "typeSettings": {"selectableValues": [
                        {"durationMs": days * 86400000} for days in (1, 7, 14, 30, 60, 90)]},
                }],
                "style": "pills",
                "queryType": 0,
                "resourceType": "microsoft.insights/components",
            },
            "name": "time",
        },
    ]
    for question, query in queries.items():
        assert query.count(KQL_SINCE) == 1
        items.append({
            "type": 3,
            "content": {
                "version": "KqlItem/1.0",
                "query": query.replace(KQL_SINCE, "let since = {TimeRange:start};"),
                "size": 0,
                "title": question,
                "timeContextFromParameter": "TimeRange",
                "queryType": 0,
                "resourceType": "microsoft.insights/components",
                "visualization": charts.get(question, "table"),
            },
            "name": question,
        })
    book = {
        "version": "Notebook/1.0",
        "items": items,
        "fallbackResourceIds": [],
        "$schema": "https://github.com/Microsoft/Application-Insights-Workbooks/blob/master/schema/workbook.json",
    }
    return json.dumps(book, indent=2, ensure_ascii=False) + "\n"


def text(name: str, markdown: str) -> dict:
    return {"type": 1, "content": {"json": markdown}, "name": name}


def files() -> dict[str, str]:
    """Every file that is written, by its name in `queries/`."""
    written = {}
    for folder, dialect in KQL.items():
        for question, query in kql(dialect).items():
            written[f"{folder}/{question}.kql"] = query
    for folder, dialect in SQL.items():
        for question, query in sql(dialect).items():
            written[f"{folder}/{question}.sql"] = query
    written["workbook.json"] = workbook(kql(KQL["application-insights"]))
    return written


def main() -> None:
    for name, content in files().items():
        path = QUERIES / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
