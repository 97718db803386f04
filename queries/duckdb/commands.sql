-- Which commands are used, and do they succeed?
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
), said AS (
    SELECT command, person, session, success FROM events
    WHERE command IS NOT NULL
), listed AS ( -- but not what the session has said one by one
    SELECT unnest(string_split(list, ',')) AS command, person, session, success FROM events
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
    count_if(success = 'true') AS succeeded,
    count_if(success = 'false') AS failed,
    succeeded * 100 // nullif(succeeded + failed, 0) AS success_percent
FROM uses
GROUP BY command
ORDER BY events DESC, command;
