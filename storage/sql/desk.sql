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
