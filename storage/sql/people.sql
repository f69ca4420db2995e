-- People, their ways in, and the audit.

-- name: create
-- A new person.
INSERT INTO person (login, display_name, role, account, language, password_hash, team)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (login) DO NOTHING
RETURNING id, login, display_name, role, account, language, active, password_hash, team

-- name: by_login
-- One person by the name they sign in with.
SELECT id, login, display_name, role, account, language, active, password_hash, team
FROM person WHERE login = %s

-- name: by_id
-- One person.
SELECT id, login, display_name, role, account, language, active, password_hash, team
FROM person WHERE id = %s

-- name: all
-- Everybody.
SELECT id, login, display_name, role, account, language, active, password_hash, team
FROM person ORDER BY login

-- name: any
-- Whether anybody can sign in yet.
SELECT EXISTS (SELECT FROM person WHERE active)

-- name: change
-- What can be changed of a person; NULL leaves it.
UPDATE person SET
    display_name = coalesce(%(display_name)s, display_name),
    role = coalesce(%(role)s, role),
    language = coalesce(%(language)s, language),
    active = coalesce(%(active)s, active),
    password_hash = coalesce(%(password_hash)s, password_hash)
WHERE login = %(login)s
RETURNING id, login, display_name, role, account, language, active, password_hash, team

-- name: open_session
-- A session; only the hash of its token is kept.
INSERT INTO session (token_hash, person_id, expires_at, user_agent)
VALUES (%s, %s, now() + make_interval(secs => %s), %s)

-- name: session
-- The active person behind a session that has not expired.
UPDATE session s SET seen_at = now() FROM person p
WHERE s.token_hash = %s AND s.expires_at > now() AND p.id = s.person_id AND p.active
RETURNING p.id, p.login, p.display_name, p.role, p.account, p.language, p.active, p.password_hash, p.team

-- name: session_roles
-- The roles behind many sessions that have not expired, of those who are active.
SELECT s.token_hash, p.role FROM session s JOIN person p ON p.id = s.person_id
WHERE s.token_hash = ANY(%s) AND s.expires_at > now() AND p.active

-- name: close_session
-- Sign out.
DELETE FROM session WHERE token_hash = %s

-- name: close_sessions
-- Sign a person out everywhere.
DELETE FROM session WHERE person_id = %s

-- name: drop_expired
-- Sessions and links that have had their time.
WITH s AS (DELETE FROM session WHERE expires_at <= now() RETURNING 1),
    l AS (DELETE FROM sign_in_link WHERE expires_at <= now() OR uses_left = 0 RETURNING 1)
SELECT (SELECT count(*) FROM s) + (SELECT count(*) FROM l)

-- name: add_link
-- A sign-in link.
INSERT INTO sign_in_link (token_hash, person_id, expires_at, uses_left)
VALUES (%s, %s, now() + make_interval(secs => %s), %s)

-- name: use_link
-- The active person behind a link that is still good; one use less.
UPDATE sign_in_link l SET uses_left = uses_left - 1 FROM person p
WHERE l.token_hash = %s AND l.expires_at > now() AND (l.uses_left IS NULL OR l.uses_left > 0)
    AND p.id = l.person_id AND p.active
RETURNING p.id, p.login, p.display_name, p.role, p.account, p.language, p.active, p.password_hash, p.team

-- name: add_token
-- A token for programs.
INSERT INTO api_token (token_hash, person_id, name, expires_at)
VALUES (%s, %s, %s, CASE WHEN %s::float8 IS NULL THEN NULL
    ELSE now() + make_interval(secs => %s::float8) END)
ON CONFLICT (name) DO NOTHING
RETURNING id

-- name: bearer
-- The active person behind a token that is still good.
UPDATE api_token t SET used_at = now() FROM person p
WHERE t.token_hash = %s AND (t.expires_at IS NULL OR t.expires_at > now())
    AND p.id = t.person_id AND p.active
RETURNING p.id, p.login, p.display_name, p.role, p.account, p.language, p.active, p.password_hash, p.team

-- name: revoke_token
-- A token ends.
DELETE FROM api_token WHERE name = %s

-- name: audit
-- Who did what to whom or what.
INSERT INTO audit (actor, action, subject, detail) VALUES (%s, %s, %s, %s)

-- name: audit_entries
-- The audit, newest first.
SELECT id, (extract(epoch FROM at) * 1000000)::bigint AS at_us, actor, action, subject, detail
FROM audit WHERE (%(subject)s::text IS NULL OR subject = %(subject)s)
    AND (%(before)s::bigint IS NULL OR id < %(before)s)
ORDER BY id DESC LIMIT %(limit)s
