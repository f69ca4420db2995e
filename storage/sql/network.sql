-- name: lock
-- One change of the network at a time; readers are not kept out.
SELECT pg_advisory_xact_lock(1718579821)

-- name: incoming
-- Where the rows of one table wait to be compared.
CREATE TEMP TABLE {incoming} (LIKE network.{table}) ON COMMIT DROP

-- name: copy
-- Rows of one table.
COPY {incoming} ({columns}, place, digest, valid_from) FROM STDIN

-- name: end_rows
-- What is gone or different now ends here.
UPDATE network.{table} t SET valid_to = greatest(%(at)s, t.valid_from)
WHERE t.valid_to IS NULL AND NOT EXISTS (SELECT FROM {incoming} n WHERE n.digest = t.digest)

-- name: add_rows
-- What is new or different begins here.
INSERT INTO network.{table} ({columns}, place, digest, valid_from)
SELECT {columns}, place, digest, valid_from FROM {incoming} n
WHERE NOT EXISTS (
    SELECT FROM network.{table} t WHERE t.valid_to IS NULL AND t.digest = n.digest
)

-- name: order_rows
-- The order of rows that stayed.
UPDATE network.{table} t SET place = n.place
FROM {incoming} n
WHERE t.valid_to IS NULL AND t.digest = n.digest AND t.place <> n.place

-- name: rows
-- One table as it is, or as it was at a time.
SELECT {columns} FROM network.{table}
WHERE CASE WHEN %(at)s::timestamptz IS NULL THEN valid_to IS NULL
      ELSE valid_from <= %(at)s AND (valid_to IS NULL OR valid_to > %(at)s) END
ORDER BY place
