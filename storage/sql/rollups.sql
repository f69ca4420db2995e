-- name: claim
-- Take marks that have settled, oldest first; marks locked by a historian are left for later.
DELETE FROM dirty_bucket d
USING (
    SELECT realm, block, hour FROM dirty_bucket
    WHERE marked_at <= clock_timestamp() - make_interval(secs => %(settle_s)s)
    ORDER BY marked_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
) c
WHERE d.realm = c.realm AND d.block = c.block AND d.hour = c.hour
RETURNING d.realm, d.block, d.hour

-- name: floor
-- Older hours have lost their readings to retention: their summary stays as it is.
SELECT dropped_before FROM retention WHERE relation = 'reading'

-- name: sum_hours
-- Successive hours of all devices of one block, from the readings.
INSERT INTO reading_hour (realm, device, time, samples, {columns})
SELECT realm, device, time_bucket('1 hour', time) AS hour, count(*), {aggregates}
FROM reading
WHERE realm = %(realm)s AND device BETWEEN %(first)s AND %(last)s
  AND time >= %(low)s AND time < %(high)s
GROUP BY realm, device, hour
ON CONFLICT (realm, device, time) DO UPDATE SET
    (samples, {columns}) = (EXCLUDED.samples, {excluded})

-- name: sum_5min
-- Their five-minute steps, for devices that report more often than that; the readings of the
-- others are their own five-minute series.
INSERT INTO reading_5min (realm, device, time, samples, {columns})
SELECT realm, device, time_bucket('5 minutes', time) AS step, count(*), {aggregates}
FROM reading
WHERE realm = %(realm)s AND device BETWEEN %(first)s AND %(last)s
  AND time >= %(low)s AND time < %(high)s
  AND (device, time_bucket('1 hour', time)) IN (
      SELECT device, time FROM reading_hour
      WHERE realm = %(realm)s AND device BETWEEN %(first)s AND %(last)s
        AND time >= %(low)s AND time < %(high)s AND samples > %(sparse_max)s
  )
GROUP BY realm, device, step
ON CONFLICT (realm, device, time) DO UPDATE SET
    (samples, {columns}) = (EXCLUDED.samples, {excluded})

-- name: waiting
-- How much is left to sum up, and since when.
SELECT count(*), min(marked_at) FROM dirty_bucket
