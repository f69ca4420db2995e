-- name: stage
-- Where rows wait when some of them are already stored; one per session, empty between steps.
CREATE TEMP TABLE IF NOT EXISTS reading_stage (LIKE reading) ON COMMIT DELETE ROWS

-- name: latest_stage
-- Where the newest rows of a step wait for the upsert into `latest`.
CREATE TEMP TABLE IF NOT EXISTS latest_stage (LIKE latest) ON COMMIT DELETE ROWS

-- name: clear_latest_stage
-- For a second use in one transaction.
TRUNCATE latest_stage

-- name: copy_in
-- The fast path: rows straight into their table.
COPY {table} (realm, device, time, received, seq, quality{quantities}) FROM STDIN (FORMAT binary)

-- name: insert_staged
-- Rows whose key is not there yet; the count of what this inserts tells how many were duplicates.
INSERT INTO reading (realm, device, time, received, seq, quality{quantities})
SELECT realm, device, time, received, seq, quality{quantities} FROM reading_stage
ON CONFLICT (realm, device, time) DO NOTHING

-- name: compare
-- How many staged rows differ from the stored ones, and how many complete them. One look-up a row:
-- OFFSET 0 keeps the planner, which knows nothing of the new tables, from scanning all of both.
SELECT count(*) FILTER (WHERE {differs}), count(*) FILTER (WHERE ({fills}) AND NOT ({differs}))
FROM reading_stage s CROSS JOIN LATERAL (
    SELECT {quantities} FROM reading r
    WHERE r.realm = s.realm AND r.device = s.device AND r.time = s.time
      AND r.time BETWEEN %(low)s AND %(high)s OFFSET 0
) r

-- name: record_conflicts
-- Same device and time, but another value: the stored one stays, the arrived one is recorded.
INSERT INTO reading_conflict (realm, device, time, arrived, stored, received)
SELECT s.realm, s.device, s.time,
       jsonb_strip_nulls(to_jsonb(s) - '{{realm,device,time,received,seq,quality}}'::text[]),
       jsonb_strip_nulls(to_jsonb(r) - '{{realm,device,time,received,seq,quality}}'::text[]),
       s.received
FROM reading_stage s CROSS JOIN LATERAL (
    SELECT * FROM reading r
    WHERE r.realm = s.realm AND r.device = s.device AND r.time = s.time
      AND r.time BETWEEN %(low)s AND %(high)s OFFSET 0
) r
WHERE {differs}
ON CONFLICT DO NOTHING

-- name: fill_holes
-- Parts of one reading that came in several messages complete each other. (An UPDATE would have to
-- join; the conflict finds its row by the key.)
INSERT INTO reading AS stored (realm, device, time, received, seq, quality, {quantities})
SELECT s.realm, s.device, s.time, s.received, s.seq, s.quality, {staged}
FROM reading_stage s CROSS JOIN LATERAL (
    SELECT {quantities} FROM reading r
    WHERE r.realm = s.realm AND r.device = s.device AND r.time = s.time
      AND r.time BETWEEN %(low)s AND %(high)s OFFSET 0
) r
WHERE ({fills}) AND NOT ({differs})
ON CONFLICT (realm, device, time) DO UPDATE SET {assignments}

-- name: replace_rows
-- Rows of a mended export take the place of what differs or is not there.
INSERT INTO reading AS stored (realm, device, time, received, seq, quality, {quantities})
SELECT s.realm, s.device, s.time, s.received, s.seq, s.quality, {staged}
FROM reading_stage s CROSS JOIN LATERAL (
    SELECT {quantities} FROM reading r
    WHERE r.realm = s.realm AND r.device = s.device AND r.time = s.time
      AND r.time BETWEEN %(low)s AND %(high)s OFFSET 0
) r
WHERE ({fills}) OR ({differs})
ON CONFLICT (realm, device, time) DO UPDATE
SET received = EXCLUDED.received, quality = EXCLUDED.quality, {assignments}

-- name: record_withdrawn
-- Values that are taken back, as they stand.
INSERT INTO reading_conflict (realm, device, time, arrived, stored, received)
SELECT s.realm, s.device, s.time,
       (SELECT jsonb_object_agg(key, 'null'::jsonb) FROM jsonb_each(jsonb_strip_nulls(
           to_jsonb(s) - '{{realm,device,time,received,seq,quality}}'::text[]))),
       jsonb_strip_nulls(to_jsonb(r) - '{{realm,device,time,received,seq,quality}}'::text[]),
       s.received
FROM reading_stage s CROSS JOIN LATERAL (
    SELECT * FROM reading r
    WHERE r.realm = s.realm AND r.device = s.device AND r.time = s.time
      AND r.time BETWEEN %(low)s AND %(high)s OFFSET 0
) r
WHERE {held}
ON CONFLICT (realm, device, time, arrived) DO UPDATE
SET stored = EXCLUDED.stored, received = EXCLUDED.received

-- name: withdraw
-- The readings without the values that are taken back. (Found by the key, as above.)
INSERT INTO reading AS stored (realm, device, time, received, seq, quality, {quantities})
SELECT s.realm, s.device, s.time, s.received, s.seq, s.quality, {staged}
FROM reading_stage s CROSS JOIN LATERAL (
    SELECT {quantities} FROM reading r
    WHERE r.realm = s.realm AND r.device = s.device AND r.time = s.time
      AND r.time BETWEEN %(low)s AND %(high)s OFFSET 0
) r
WHERE {held}
ON CONFLICT (realm, device, time) DO UPDATE
SET received = EXCLUDED.received, quality = stored.quality | EXCLUDED.quality, {assignments}

-- name: withdraw_latest
-- The same where the reading is a device's newest.
UPDATE latest l SET quality = l.quality | s.quality, {assignments}
FROM reading_stage s
WHERE l.realm = s.realm AND l.device = s.device AND l.time = s.time

-- name: conflict
-- One conflict found between rows of the same step.
INSERT INTO reading_conflict (realm, device, time, arrived, stored, received)
VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING

-- name: update_latest
-- The newest reading of devices heard before; twice as fast as an upsert.
UPDATE latest l SET (time, received, seq, quality, {quantities})
    = (s.time, s.received, s.seq, s.quality, {staged})
FROM latest_stage s
WHERE l.realm = s.realm AND l.device = s.device AND l.time <= s.time

-- name: insert_latest
-- The first reading of devices never heard before.
INSERT INTO latest (realm, device, time, received, seq, quality, {quantities})
SELECT realm, device, time, received, seq, quality, {quantities} FROM latest_stage s
WHERE NOT EXISTS (SELECT FROM latest l WHERE l.realm = s.realm AND l.device = s.device)
ON CONFLICT DO NOTHING

-- name: add_devices
-- Keys for names seen for the first time.
INSERT INTO device (name) SELECT unnest(%s::text[]) ON CONFLICT (name) DO NOTHING

-- name: device_keys
-- The keys of some names.
SELECT name, id FROM device WHERE name = ANY(%s)

-- name: all_devices
-- Every name and key, for reading back.
SELECT id, name FROM device ORDER BY id

-- name: newest_time
-- The newest reading of the realm: the rhythm of devices is looked for in the week before it.
SELECT max(time) FROM latest WHERE realm = %s

-- name: device_state
-- The newest reading of each device with the five before it, to know the rhythm of each.
SELECT l.device, l.time, l.seq, p.times
FROM latest l
CROSS JOIN LATERAL (
    SELECT array_agg(r.time ORDER BY r.time) AS times
    FROM (
        SELECT time FROM reading
        WHERE realm = %(realm)s AND device = l.device AND time < l.time AND time > %(since)s
        ORDER BY time DESC LIMIT 5
    ) r
) p
WHERE l.realm = %(realm)s

-- name: add_events
-- Device events, each once.
INSERT INTO device_event (realm, device, time, event, received, seq, quality)
SELECT %(realm)s, * FROM unnest(
    %(device)s::int[], %(time)s::timestamptz[], %(event)s::smallint[],
    %(received)s::timestamptz[], %(seq)s::bigint[], %(quality)s::int[]
)
ON CONFLICT DO NOTHING

-- name: add_quarantine
-- A payload that was refused; the same one again only counts.
INSERT INTO quarantine (realm, hash, source, reason, device, payload, received)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (realm, hash) DO UPDATE SET times = quarantine.times + 1

-- name: open_gaps
-- What devices owe.
INSERT INTO gap (realm, device, after, before, reason, missing)
SELECT %(realm)s, * FROM unnest(
    %(device)s::int[], %(after)s::timestamptz[], %(before)s::timestamptz[],
    %(reason)s::text[], %(missing)s::int[]
)
ON CONFLICT DO NOTHING

-- name: undo_gaps
-- Steps that were taken for gaps until they proved to be the rhythm of the device; one that late
-- readings have begun to fill was owed indeed.
DELETE FROM gap g
USING unnest(%(device)s::int[], %(after)s::timestamptz[]) AS undone (device, after)
WHERE g.realm = %(realm)s AND g.device = undone.device AND g.after = undone.after
  AND g.reason = 'interval' AND g.closed_at IS NULL AND g.filled = 0

-- name: late_gaps
-- Open gaps into which late readings fall.
SELECT DISTINCT g.id, g.after, g.before
FROM gap g
JOIN unnest(%(device)s::int[], %(low)s::timestamptz[], %(high)s::timestamptz[])
    AS late (device, low, high)
    ON g.device = late.device AND g.after < late.high AND g.before > late.low
WHERE g.realm = %(realm)s AND g.closed_at IS NULL

-- name: fill_gaps
-- Recount gaps, close the full ones. The outer bounds keep the search to few chunks.
UPDATE gap SET filled = c.filled,
    closed_at = CASE WHEN c.filled >= gap.missing THEN clock_timestamp() END
FROM (
    SELECT g.id, (
        SELECT count(*) FROM reading r
        WHERE r.realm = %(realm)s AND r.device = g.device
          AND r.time > g.after AND r.time < g.before
          AND r.time > %(low)s AND r.time < %(high)s
    ) AS filled
    FROM gap g WHERE g.id = ANY(%(ids)s)
) c
WHERE gap.id = c.id
RETURNING gap.closed_at IS NOT NULL

-- name: mark_dirty
-- Hours to sum up again. The update also locks the mark, so that a worker that is just taking it
-- cannot miss the readings of this transaction.
INSERT INTO dirty_bucket AS d (realm, block, hour, quantities)
SELECT %(realm)s, u.block, u.hour, %(quantities)s
FROM unnest(%(block)s::int[], %(hour)s::timestamptz[]) AS u (block, hour)
ON CONFLICT (realm, block, hour) DO UPDATE SET quantities = d.quantities | EXCLUDED.quantities

-- name: consumer
-- How far this consumer has read; the row lock keeps a second historian out.
SELECT journal, position FROM consumer WHERE name = %s FOR UPDATE

-- name: add_consumer
-- A consumer that starts at the beginning of a journal.
INSERT INTO consumer (name, journal) VALUES (%s, %s) ON CONFLICT DO NOTHING

-- name: move_consumer
-- The position, in the same commit as what was read.
UPDATE consumer SET position = %s, updated_at = clock_timestamp() WHERE name = %s

-- name: adopt_journal
-- Start at the beginning of another journal: a person has decided that the old one is gone.
INSERT INTO consumer (name, journal) VALUES (%s, %s)
ON CONFLICT (name) DO UPDATE SET
    journal = EXCLUDED.journal, position = 0, updated_at = clock_timestamp()

-- name: step_settings
-- For one step: late readings may open compressed chunks as far as they must, else they would
-- fail again and again.
SELECT set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', true)

-- name: index_joins
-- Nothing is known of a staging table's size, and the guess is a scan of the whole other side.
SELECT set_config('enable_hashjoin', %(join)s, true), set_config('enable_mergejoin', %(join)s, true)
