-- name: device_key
-- The key of one device.
SELECT id FROM device WHERE name = %s

-- name: readings
-- Raw readings of one device in a span.
SELECT time, {values} FROM reading
WHERE realm = {realm} AND device = {device} AND time >= {low} AND time < {high}
  AND ({present})

-- name: summaries
-- Summaries of one device in a span, but for the hours that wait to be summed up again.
SELECT time, {values} FROM {table}
WHERE realm = {realm} AND device = {device} AND time >= {low} AND time < {high}
  AND time_bucket('1 hour', time) <> ALL ({but}) AND ({present})

-- name: dirty_hours
-- Hours of one device whose summaries are out of date.
SELECT hour FROM dirty_bucket
WHERE realm = %(realm)s AND block = %(block)s AND hour >= %(low)s AND hour < %(high)s

-- name: sparse_hours
-- Hours in which a device reported so seldom that its readings are its five-minute series.
SELECT time FROM reading_hour
WHERE realm = %(realm)s AND device = %(device)s AND time >= %(low)s AND time < %(high)s
  AND samples <= %(sparse_max)s
