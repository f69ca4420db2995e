-- name: latest
-- The newest reading of devices (all, or some by key).
SELECT {columns} FROM latest WHERE realm = {realm} AND ({all_devices} OR device = ANY({keys}))

-- name: newest
-- When each device was last heard: event time and arrival.
SELECT d.name, l.time, l.received FROM latest l JOIN device d ON d.id = l.device
WHERE l.realm = %s

-- name: gaps
-- What devices owe or owed, newest first.
SELECT g.id, d.name, g.after, g.before, g.reason, g.missing, g.filled, g.opened_at, g.closed_at
FROM gap g JOIN device d ON d.id = g.device JOIN realm r ON r.id = g.realm
WHERE r.name = %(realm)s
  AND (%(device)s::text IS NULL OR d.name = %(device)s)
  AND (NOT %(open_only)s OR g.closed_at IS NULL)
ORDER BY g.after DESC, g.id LIMIT %(limit)s

-- name: gap_count
-- How many gaps are open.
SELECT count(*) FROM gap g JOIN realm r ON r.id = g.realm
WHERE r.name = %s AND g.closed_at IS NULL

-- name: conflicts
-- Readings that came twice with different values, and values a mended export has taken back; the
-- newest first.
SELECT d.name, c.time, c.arrived, c.stored, c.received
FROM reading_conflict c JOIN device d ON d.id = c.device JOIN realm r ON r.id = c.realm
WHERE r.name = %(realm)s AND (%(device)s::text IS NULL OR d.name = %(device)s)
ORDER BY c.noted_at DESC, d.name, c.time DESC LIMIT %(limit)s

-- name: conflict_count
-- How many there are.
SELECT count(*) FROM reading_conflict c JOIN realm r ON r.id = c.realm WHERE r.name = %s

-- name: close_gaps
-- Gaps so old that nobody will resend them: closed with what they lack.
UPDATE gap SET closed_at = clock_timestamp()
FROM realm r
WHERE r.id = gap.realm AND r.name = %(realm)s AND gap.closed_at IS NULL
  AND gap.before < %(before)s

-- name: quarantine
-- Refused payloads, newest first; `before` is the id of the last row of the page above.
SELECT q.id, q.hash, q.source, q.reason, q.device, q.payload, q.received, q.times
FROM quarantine q JOIN realm r ON r.id = q.realm
WHERE r.name = %(realm)s AND (%(before)s::bigint IS NULL OR q.id < %(before)s)
ORDER BY q.id DESC LIMIT %(limit)s

-- name: quarantine_row
-- One refused payload.
SELECT id, hash, source, reason, device, payload, received, times FROM quarantine WHERE id = %s

-- name: quarantine_count
-- How many different payloads stand in quarantine.
SELECT count(*) FROM quarantine q JOIN realm r ON r.id = q.realm WHERE r.name = %s

-- name: forget_quarantine
-- Rows that were replayed or looked at and thrown away.
DELETE FROM quarantine WHERE id = ANY(%s)

-- name: positions
-- How far every consumer has read.
SELECT name, journal, position, updated_at FROM consumer ORDER BY name

-- name: events_between
-- All events of a span of time, for reading back.
SELECT device, time, received, COALESCE(seq, -1), quality, event::int FROM device_event
WHERE realm = {realm} AND time >= {low} AND time < {high}

-- name: readings_between
-- All readings of a span of time, for reading back.
SELECT {columns} FROM reading WHERE realm = {realm} AND time >= {low} AND time < {high}

-- name: next_time
-- The first reading or event of a span.
SELECT least(
    (SELECT time FROM reading WHERE realm = %(realm)s AND time >= %(low)s AND time < %(high)s
     ORDER BY time LIMIT 1),
    (SELECT time FROM device_event WHERE realm = %(realm)s AND time >= %(low)s AND time < %(high)s
     ORDER BY time LIMIT 1)
)

-- name: span
-- First and last reading of a realm; in order of time only the chunks at both ends are read.
SELECT
    (SELECT time FROM reading WHERE realm = %(realm)s ORDER BY time LIMIT 1),
    (SELECT time FROM reading WHERE realm = %(realm)s ORDER BY time DESC LIMIT 1)
