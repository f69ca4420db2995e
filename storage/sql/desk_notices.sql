-- Notices on their way out.

-- name: lease
-- Take some that are due; nobody else gets them until their lease has ended.
UPDATE notice SET tries = tries + 1, next_try_at = now() + make_interval(secs => %(lease_s)s)
WHERE id IN (
    SELECT id FROM notice
    WHERE realm = (SELECT id FROM realm WHERE name = %(realm)s) AND state = 'waiting'
        AND next_try_at <= now() AND not_before_us <= %(now_us)s
    ORDER BY next_try_at, id LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
RETURNING id, subject, recipient, trigger, milestone, channel, payload, not_before_us, created_us,
    tries

-- name: sent
-- It has arrived.
UPDATE notice SET state = 'sent', done_at = now(), last_error = '' WHERE id = %s

-- name: retry
-- It has not; try again later.
UPDATE notice SET next_try_at = now() + make_interval(secs => %s), last_error = %s WHERE id = %s

-- name: bury
-- It never will: a person has to look.
UPDATE notice SET state = 'dead', done_at = now(), last_error = %s
WHERE id = %s AND state = 'waiting'

-- name: revive
-- A person wants it tried again.
UPDATE notice SET state = 'waiting', tries = 0, next_try_at = now(), done_at = NULL
WHERE id = %s AND state = 'dead'

-- name: counts
-- How many stand how.
SELECT state, count(*) FROM notice WHERE realm = (SELECT id FROM realm WHERE name = %s)
GROUP BY state ORDER BY state

-- name: dead
-- Those that could not be delivered, newest first.
SELECT id, subject, recipient, trigger, milestone, channel, payload, not_before_us, created_us,
    tries, last_error
FROM notice WHERE realm = (SELECT id FROM realm WHERE name = %s) AND state = 'dead'
ORDER BY id DESC LIMIT %s
