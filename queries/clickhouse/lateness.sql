-- How late were events sent? A late one waited for longer than the service takes a time for.
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
SELECT
    coalesce(adjusted, 'in time') AS delay,
    count() AS events,
    round(max(dateDiff('millisecond', happened, sent)) / 3600000, 1) AS hours_max
FROM events
GROUP BY delay
ORDER BY delay;
