-- Which versions are in use, and by how many?
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
SELECT
    version,
    count(*) AS events,
    count(DISTINCT person) AS people,
    count(DISTINCT session) AS sessions,
    count_if(success = 'true') AS succeeded,
    count_if(success = 'false') AS failed,
    succeeded * 100 // nullif(succeeded + failed, 0) AS success_percent
FROM events
WHERE version IS NOT NULL
GROUP BY version
ORDER BY events DESC, version;
