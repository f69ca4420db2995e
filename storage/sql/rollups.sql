-- name: claim
-- Take marks that have settled, oldest first; marks locked by a historian are left for later.
DELETE FROM dirty_bucket d
USING (
    SELECT realm, block, hour FROM dirty_bucket
    WHERE marked_at <= clock_timestamp() - make_interval(secs => %(settle_s)s)
    ORDER BY marked_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
) c
WHERE d.realm = c.realm AND d.block = c.block AND d.hour = c.hour
RETURNING d.realm, d.block, d.hour, d.quantities

-- name: floor
-- Older hours have lost their readings to retention: their summary stays as it is.
SELECT dropped_before FROM retention WHERE relation = 'reading'

-- name: known
-- Which quantities the hours hold already: a step that becomes worth keeping needs them all.
SELECT {known} FROM reading_hour
WHERE realm = %(realm)s AND device BETWEEN %(first)s AND %(last)s
  AND time >= %(low)s AND time < %(high)s

-- name: sum_up
-- Successive hours of all devices of one block, from the readings: five-minute steps, and hours
-- from those. The steps are kept of devices that report more often than that; the readings of the
-- others are their own five-minute series.
WITH step AS MATERIALIZED (
    SELECT device, time_bucket('5 minutes', time) AS at, count(*)::int AS samples{steps}
    FROM reading
    WHERE realm = %(realm)s AND device BETWEEN %(first)s AND %(last)s
      AND time >= %(low)s AND time < %(high)s
    GROUP BY device, at
),
hour AS (
    INSERT INTO reading_hour AS h (realm, device, time, samples{columns})
    SELECT %(realm)s, device, time_bucket('1 hour', at) AS hour, sum(samples){hours}
    FROM step GROUP BY device, hour
    ON CONFLICT (realm, device, time) DO UPDATE SET samples = EXCLUDED.samples{updates}
    RETURNING h.device, h.time, h.samples
)
INSERT INTO reading_5min (realm, device, time, samples{columns})
SELECT %(realm)s, s.device, s.at, s.samples{values}
FROM step s JOIN hour ON hour.device = s.device AND hour.time = time_bucket('1 hour', s.at)
WHERE hour.samples > %(sparse_max)s
ON CONFLICT (realm, device, time) DO UPDATE SET samples = EXCLUDED.samples{updates}

-- name: waiting
-- How much is left to sum up, and since when.
SELECT count(*), min(marked_at) FROM dirty_bucket
