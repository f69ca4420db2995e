-- name: license
-- Which edition of TimescaleDB this is: apache, or timescale with compression.
SHOW timescaledb.license

-- name: version
-- Of the extension, as 2.19.3.
SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'

-- name: remember_floor
-- From here on older hours are not summed up again.
INSERT INTO retention (relation, dropped_before) VALUES (%(relation)s, %(before)s)
ON CONFLICT (relation) DO UPDATE
SET dropped_before = greatest(retention.dropped_before, EXCLUDED.dropped_before)

-- name: drop_chunks
-- Whole chunks that hold nothing newer than a time.
SELECT drop_chunks(%(relation)s::regclass, older_than => %(before)s::timestamptz)

-- name: dirty_before
-- Are there hours that must be summed up before their readings go?
SELECT EXISTS (SELECT FROM dirty_bucket WHERE hour < %s)

-- name: allow_compression
-- Rows of one device lie together, newest first (community edition only).
ALTER TABLE reading SET (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'realm, device',
    timescaledb.compress_orderby = 'time DESC'
)

-- name: compression_allowed
-- Is compression already prepared?
SELECT compression_enabled FROM timescaledb_information.hypertables
WHERE hypertable_name = 'reading'

-- name: compress
-- Compress the chunks that hold nothing newer than a time.
SELECT compress_chunk(c, if_not_compressed => true)
FROM show_chunks('reading', older_than => %s::timestamptz) c
