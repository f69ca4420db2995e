-- What the counter asks of readings and events.

-- name: last_seen
-- The newest reading of some devices: its time and its highest phase voltage.
SELECT d.name, l.time, greatest(l.v_a, l.v_b, l.v_c)
FROM device d JOIN latest l ON l.device = d.id
WHERE l.realm = (SELECT id FROM realm WHERE name = %s) AND d.name = ANY(%s)

-- name: heard
-- The time of the newest reading of some devices.
SELECT d.name, l.time FROM device d JOIN latest l ON l.device = d.id
WHERE l.realm = (SELECT id FROM realm WHERE name = %s) AND d.name = ANY(%s)

-- name: last_events
-- The newest event of each kind of some devices; each is one step in the primary key.
SELECT d.name, e.event, e.time
FROM device d
CROSS JOIN unnest(%(events)s::smallint[]) AS k (event)
CROSS JOIN LATERAL (
    SELECT event, time FROM device_event
    WHERE realm = (SELECT id FROM realm WHERE name = %(realm)s)
        AND device = d.id AND event = k.event
    ORDER BY time DESC LIMIT 1
) e
WHERE d.name = ANY(%(devices)s)

-- name: power_words
-- Newest reading and, since a time, newest loss and return of supply: of some devices, and of all
-- that told of one. The events of the span are read once, by the index on time.
WITH told AS MATERIALIZED (
    SELECT device,
        max(time) FILTER (WHERE event = ANY(%(lost)s::smallint[])) AS lost,
        max(time) FILTER (WHERE event = ANY(%(back)s::smallint[])) AS back
    FROM device_event
    WHERE realm = (SELECT id FROM realm WHERE name = %(realm)s) AND time >= %(since)s
        AND event = ANY(%(lost)s::smallint[] || %(back)s::smallint[])
    GROUP BY device
), asked AS (
    SELECT id FROM device WHERE name = ANY(%(devices)s)
    UNION SELECT device FROM told
)
SELECT d.name, l.time, greatest(l.v_a, l.v_b, l.v_c), told.lost, told.back
FROM asked JOIN device d ON d.id = asked.id
LEFT JOIN latest l
    ON l.realm = (SELECT id FROM realm WHERE name = %(realm)s) AND l.device = asked.id
LEFT JOIN told ON told.device = asked.id

-- name: last_seen_at
-- The newest reading of some devices up to a time, at most two days older than it.
SELECT d.name, r.time, greatest(r.v_a, r.v_b, r.v_c)
FROM device d
CROSS JOIN LATERAL (
    SELECT time, v_a, v_b, v_c FROM reading
    WHERE realm = (SELECT id FROM realm WHERE name = %(realm)s) AND device = d.id
        AND time <= %(at)s AND time > %(at)s - INTERVAL '2 days'
    ORDER BY time DESC LIMIT 1
) r
WHERE d.name = ANY(%(devices)s)

-- name: last_events_at
-- The newest event of each kind of some devices up to a time, likewise.
SELECT d.name, e.event, e.time
FROM device d
CROSS JOIN unnest(%(events)s::smallint[]) AS k (event)
CROSS JOIN LATERAL (
    SELECT event, time FROM device_event
    WHERE realm = (SELECT id FROM realm WHERE name = %(realm)s)
        AND device = d.id AND event = k.event
        AND time <= %(at)s AND time > %(at)s - INTERVAL '2 days'
    ORDER BY time DESC LIMIT 1
) e
WHERE d.name = ANY(%(devices)s)
