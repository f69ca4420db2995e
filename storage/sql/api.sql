-- Requests of programs that are to have their effect once.

-- name: forget
-- Keys that are too old to be sent again.
DELETE FROM api_request WHERE begun_at < clock_timestamp() - interval '2 days'

-- name: begin
-- Take a key; one whose holder died before answering is taken over after a minute.
INSERT INTO api_request (actor, key, fingerprint) VALUES (%(actor)s, %(key)s, %(fingerprint)s)
ON CONFLICT (actor, key) DO UPDATE SET begun_at = clock_timestamp()
WHERE api_request.status IS NULL AND api_request.fingerprint = EXCLUDED.fingerprint
    AND api_request.begun_at < clock_timestamp() - interval '60 seconds'
RETURNING key

-- name: kept
-- What was answered under a key; nothing yet while it is being worked on.
SELECT fingerprint, status, body FROM api_request WHERE actor = %s AND key = %s

-- name: keep
-- The answer.
UPDATE api_request SET status = %s, body = %s WHERE actor = %s AND key = %s

-- name: release
-- Nothing was done: the key is free again.
DELETE FROM api_request WHERE actor = %s AND key = %s AND status IS NULL
