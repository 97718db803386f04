-- Which commands are used, and do they succeed?
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
), said AS (
    SELECT command, person, session, success FROM events
    WHERE command IS NOT NULL
), listed AS ( -- but not what the session has said one by one
    SELECT arrayJoin(splitByChar(',', list)) AS command, person, session, success FROM events
    WHERE events.command IS NULL
      AND (session IS NULL OR session NOT IN (SELECT session FROM said WHERE session IS NOT NULL))
), uses AS (
    SELECT * FROM said
    UNION ALL
    SELECT * FROM listed WHERE command <> ''
)
SELECT
    command,
    count(*) AS events,
    count(DISTINCT person) AS people,
    count(DISTINCT session) AS sessions,
    countIf(success = 'true') AS succeeded,
    countIf(success = 'false') AS failed,
    intDiv(succeeded * 100, nullIf(succeeded + failed, 0)) AS success_percent
FROM uses
GROUP BY command
ORDER BY events DESC, command;
