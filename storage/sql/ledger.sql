-- The ledger's statements. `{columns}` are the fields of the record, in its order.

-- name: lock
-- Writers of a realm run one after the other; the lock is released after the commit is visible.
SELECT pg_advisory_xact_lock(1718579314, %s)

-- name: snapshot
-- One consistent view for all questions of a page.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY

-- name: add_events
-- Store events; those that were known are left out of the answer.
INSERT INTO alert_event (realm, event_id, alert_id, change, tick_us, raised_us, finding)
SELECT %(realm)s, event_id, alert_id, change, tick_us, raised_us, finding
FROM jsonb_populate_recordset(NULL::alert_event, %(events)s)
ON CONFLICT (realm, event_id) DO NOTHING
RETURNING event_id

-- name: events_of
-- Every change of some alerts, in event time.
SELECT event_id, alert_id, change, finding, raised_us FROM alert_event
WHERE realm = %s AND alert_id = ANY(%s)
ORDER BY alert_id, tick_us,
    array_position(ARRAY['raised', 'moved', 'worsened', 'updated', 'cleared'], change)

-- name: put_alerts
-- Insert or replace the present state of some alerts, given as one JSON array.
INSERT INTO alert (realm, {columns})
SELECT %(realm)s, {columns} FROM jsonb_populate_recordset(NULL::alert, %(rows)s)
ON CONFLICT (realm, id) DO UPDATE SET {updates}

-- name: alerts_by_id
-- Some alerts.
SELECT {columns} FROM alert WHERE realm = %s AND id = ANY(%s)

-- name: alerts_of
-- All alerts of some incidents, oldest first.
SELECT {columns} FROM alert WHERE incident_id = ANY(%s) ORDER BY raised_us, id

-- name: alerts
-- The feed, newest first. Open means: not cleared, or cleared before anybody has seen it.
SELECT {columns} FROM alert a
WHERE realm = %(realm)s
    AND (NOT %(open_only)s OR condition <> 'cleared' OR (handling = 'new' AND NOT EXISTS (
        SELECT FROM incident i WHERE i.id = a.incident_id AND i.closed_us IS NOT NULL)))
    AND (%(handling)s::text IS NULL OR handling = %(handling)s)
    AND (%(fault)s::text IS NULL OR fault = %(fault)s)
    AND (%(incident_id)s::bigint IS NULL OR incident_id = %(incident_id)s)
    AND (%(ticket)s::boolean IS NULL OR ticket = %(ticket)s)
    AND (%(kinds)s::text[] IS NULL OR (asset_kind, asset) IN (
        SELECT * FROM unnest(%(kinds)s::text[], %(assets)s::text[])))
    AND (%(until_us)s::bigint IS NULL OR raised_us < %(until_us)s)
    AND (%(since_us)s::bigint IS NULL OR cleared_us IS NULL OR cleared_us > %(since_us)s)
    AND (%(before_us)s::bigint IS NULL
        OR (raised_us, id) < (%(before_us)s::bigint, %(before_id)s::text))
ORDER BY raised_us DESC, id DESC LIMIT %(limit)s

-- name: feed_open
-- What stays in the feed: what is not over, and what was over before anybody had seen it.
(condition <> 'cleared' OR handling = 'new') AND (condition <> 'cleared' OR NOT EXISTS (
    SELECT FROM incident i WHERE i.id = a.incident_id AND i.closed_us IS NOT NULL))

-- name: feed_only
-- What belongs to some lines.
(incident_id = ANY(%(incidents)s::bigint[])
    OR (incident_id IS NULL AND id = ANY(%(alone)s::text[])))

-- name: feed_newest
-- Of all that has ever been, the newest.
ORDER BY raised_us DESC, id DESC LIMIT %(alerts_max)s

-- name: line_alerts
-- Alerts with the line that each belongs to, and what decides where that stands.
SELECT coalesce('i' || incident_id, 'a' || id) AS key, id, incident_id, fault, asset_kind, asset,
    severity, raised_us, ticket, devices, condition = 'cleared' AS cleared,
    handling = 'new' AS unseen, condition = 'no_data' AS no_data
FROM alert a
WHERE realm = %(realm)s AND {which}
    AND (%(without_work)s::text IS NULL OR work <> %(without_work)s)
{newest}

-- name: feed
-- Lines of the feed, the most urgent first, from a given one on; with the count of all. Records
-- are read for what is shown only. One row at least.
WITH a AS MATERIALIZED ({alerts}),
line AS (
    SELECT key COLLATE "C" AS line_key, count(*) AS line_alerts, bool_and(cleared) AS line_cleared,
        bool_or(unseen) AS line_unseen, bool_or(no_data) AS line_no_data,
        min(severity) AS line_severity, min(raised_us) AS line_raised_us
    FROM a GROUP BY 1
), page AS (
    SELECT * FROM line
    WHERE %(key)s::text IS NULL
        OR (line_cleared, NOT line_unseen, line_severity, -line_raised_us, line_key)
        >= (%(cleared)s, %(seen)s, %(severity)s::text, -%(raised_us)s::bigint, %(key)s::text)
    ORDER BY line_cleared, NOT line_unseen, line_severity, line_raised_us DESC, line_key
    LIMIT %(limit)s
), main AS (
    SELECT DISTINCT ON (line_key) line_key AS main_of, a.id AS main_id
    FROM page JOIN a ON a.key = line_key
    ORDER BY line_key, cleared, severity, fault <> 'outage', NOT ticket, raised_us, a.id
), heard AS (
    SELECT line_key AS heard_of, count(DISTINCT device) AS line_devices
    FROM page JOIN a ON a.key = line_key CROSS JOIN unnest(a.devices) device GROUP BY 1
)
SELECT lines_all, alerts_all, line_key, line_alerts, line_cleared, line_unseen, line_no_data,
    line_severity, line_raised_us, coalesce(line_devices, 0) AS line_devices, {columns}
FROM (SELECT count(*) AS lines_all, coalesce(sum(line_alerts), 0) AS alerts_all FROM line) counted
LEFT JOIN page ON true
LEFT JOIN main ON main_of = line_key
LEFT JOIN heard ON heard_of = line_key
LEFT JOIN alert ON realm = %(realm)s AND id = main_id
ORDER BY line_cleared, NOT line_unseen, line_severity, line_raised_us DESC, line_key

-- name: line_names
-- What the alerts of all lines may be called by, with the ticket that stands for their cause.
WITH a AS MATERIALIZED ({alerts})
SELECT key, fault, asset_kind, asset, devices, t.number AS ticket FROM a
LEFT JOIN LATERAL (
    SELECT number FROM ticket
    WHERE incident_id = a.incident_id
        AND (%(without_work)s::text IS NULL OR work <> %(without_work)s)
    ORDER BY state IN ('closed', 'merged', 'cancelled'), id DESC LIMIT 1
) t ON true

-- name: line_places
-- How many lines stand at each asset, by the alerts that speak for them.
WITH a AS MATERIALIZED ({alerts})
SELECT asset_kind, asset, count(*) AS lines FROM (
    SELECT DISTINCT ON (key) asset_kind, asset FROM a
    ORDER BY key, cleared, severity, fault <> 'outage', NOT ticket, raised_us, id
) main GROUP BY 1, 2

-- name: worst_open
-- The worst severity that is open at each asset.
SELECT asset_kind, asset, min(severity) AS severity FROM alert
WHERE realm = %(realm)s AND condition <> 'cleared'
    AND (%(without_work)s::text IS NULL OR work <> %(without_work)s)
GROUP BY 1, 2

-- name: lost_supply
-- Open outages, and those that have ended since a time, whenever they began.
SELECT asset_kind, asset, raised_us, cleared_us FROM alert
WHERE realm = %(realm)s AND condition <> 'cleared' AND fault = 'outage'
UNION ALL
SELECT asset_kind, asset, raised_us, cleared_us FROM alert
WHERE realm = %(realm)s AND condition = 'cleared' AND fault = 'outage'
    AND cleared_us > %(since_us)s

-- name: beside
-- The other alerts of a cause: their counts, and the first of them. One row at least.
WITH a AS (
    SELECT {columns} FROM alert
    WHERE incident_id = %(incident_id)s AND id <> %(id)s
        AND (%(without_work)s::text IS NULL OR work <> %(without_work)s)
)
SELECT others, others_unseen, first.*
FROM (
    SELECT count(*) AS others, count(*) FILTER (WHERE handling = 'new') AS others_unseen FROM a
) counted
LEFT JOIN (SELECT * FROM a ORDER BY raised_us, id LIMIT %(limit)s) first ON true
ORDER BY raised_us, id

-- name: first_known
-- When the first alert of an incident was known.
SELECT min(known_us) AS known_us FROM alert WHERE incident_id = %s

-- name: most_called
-- The incident with most calls that has a ticket, else the newest known one: of those that are
-- open, and of those that customers have called about lately.
SELECT {columns} FROM incident i
WHERE id IN (
        SELECT id FROM incident WHERE realm = %(realm)s AND closed_us IS NULL
        UNION SELECT incident_id FROM contact
        WHERE realm = %(realm)s AND time_us >= %(since_us)s)
    AND fault <> ALL(%(without_faults)s::text[])
    AND EXISTS (SELECT FROM ticket t WHERE t.incident_id = i.id)
ORDER BY contacts DESC, known_us DESC, id DESC LIMIT 1

-- name: mutes
-- Why some alerts are muted.
SELECT alert_id, kind, ref, start_us, end_us, reason FROM alert_mute
WHERE realm = %s AND alert_id = ANY(%s) ORDER BY alert_id, start_us, kind, ref

-- name: muted_by
-- The alerts muted for one reason.
SELECT alert_id FROM alert_mute WHERE realm = %s AND kind = %s AND ref = %s ORDER BY alert_id

-- name: released
-- Incidents that some alerts were found to be no part of.
SELECT alert_id, array_agg(incident_id ORDER BY incident_id) AS incidents FROM alert_release
WHERE realm = %s AND alert_id = ANY(%s) GROUP BY alert_id

-- name: release
-- An alert is no part of an incident after all.
INSERT INTO alert_release (realm, alert_id, incident_id, at_us) VALUES (%s, %s, %s, %s)
ON CONFLICT DO NOTHING

-- name: waking
-- Alerts to be looked at again because time has passed: shelves and mutes that have ended, and what
-- outlasts the cause that explained it or the upper part of its own incident.
WITH muted AS (
    SELECT a.id, m.kind, m.ref, m.end_us, a.incident_id
    FROM alert a JOIN alert_mute m ON m.realm = a.realm AND m.alert_id = a.id
    WHERE a.realm = %(realm)s AND a.condition <> 'cleared'
), upstream AS (
    SELECT id, kind, ref, ref::bigint AS cause FROM muted WHERE kind = 'upstream'
), own AS (
    SELECT a.id, a.incident_id, a.asset_kind, a.asset, a.condition, a.cleared_us
    FROM alert a JOIN incident i ON i.id = a.incident_id
    WHERE a.realm = %(realm)s AND NOT EXISTS (
        SELECT FROM alert_mute m
        WHERE m.realm = a.realm AND m.alert_id = a.id AND m.kind = 'upstream')
    AND a.incident_id IN (
        SELECT cause FROM upstream
        UNION SELECT id FROM incident WHERE realm = %(realm)s AND closed_us IS NULL)
    -- Of a loss of supply its own alerts only, not the joint that had been growing there.
    AND (i.incident_class <> 'supply' OR a.fault = ANY(%(supply)s))
), quiet AS (
    SELECT i.id,
        coalesce(i.closed_us, CASE WHEN bool_and(o.cleared_us IS NOT NULL)
            THEN max(o.cleared_us) END) AS since_us
    FROM incident i LEFT JOIN own o ON o.incident_id = i.id
    WHERE i.id IN (SELECT cause FROM upstream)
    GROUP BY i.id
), top AS (
    SELECT i.id, i.asset_kind, i.asset, max(o.cleared_us) AS since_us
    FROM incident i JOIN own o
        ON o.incident_id = i.id AND o.asset_kind = i.asset_kind AND o.asset = i.asset
    WHERE i.realm = %(realm)s AND i.closed_us IS NULL
    GROUP BY i.id HAVING bool_and(o.cleared_us IS NOT NULL)
)
SELECT id AS alert_id, 'shelf' AS why, '' AS kind, '' AS ref
FROM alert WHERE realm = %(realm)s AND handling = 'shelved' AND shelved_until_us <= %(now_us)s
UNION ALL
SELECT id, 'mute', kind, ref FROM muted
WHERE kind IN ('maintenance', 'silence') AND end_us <= %(now_us)s
UNION ALL
SELECT u.id, 'left', u.kind, u.ref FROM upstream u JOIN quiet q ON q.id = u.cause
WHERE q.since_us <= %(before_us)s
UNION ALL
SELECT o.id, 'nested', '', o.incident_id::text FROM own o JOIN top t ON t.id = o.incident_id
WHERE o.condition <> 'cleared' AND (o.asset_kind, o.asset) <> (t.asset_kind, t.asset)
    AND t.since_us <= %(before_us)s
ORDER BY 1, 2, 4

-- name: silences
-- What was silenced or announced at some time of a span, the first to end first.
SELECT kind, asset_kind, asset, owner, reason, start_us, end_us, fault, id FROM silence
WHERE realm = %s AND start_us <= %s AND end_us >= %s ORDER BY end_us, id

-- name: silence
-- One of them.
SELECT kind, asset_kind, asset, owner, reason, start_us, end_us, fault, id FROM silence
WHERE realm = %s AND id = %s

-- name: add_silence
-- A new one; its id is given here.
INSERT INTO silence (realm, kind, asset_kind, asset, fault, owner, reason, start_us, end_us)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id

-- name: end_silence
-- It ends earlier, and so do the mutes that follow from it.
WITH ended AS (
    UPDATE silence SET end_us = %(end_us)s WHERE realm = %(realm)s AND id = %(id)s RETURNING kind
)
UPDATE alert_mute m SET end_us = %(end_us)s FROM ended
WHERE m.realm = %(realm)s AND m.kind = ended.kind AND m.ref = 'silence:' || %(id)s

-- name: put_mutes
-- Mute alerts for a reason, each once, given as one JSON array.
INSERT INTO alert_mute (realm, alert_id, kind, ref, start_us, end_us, reason)
SELECT %(realm)s, alert_id, kind, ref, start_us, end_us, reason
FROM jsonb_populate_recordset(NULL::alert_mute, %(rows)s)
ON CONFLICT (realm, alert_id, kind, ref) DO UPDATE
SET start_us = EXCLUDED.start_us, end_us = EXCLUDED.end_us, reason = EXCLUDED.reason

-- name: end_mutes
-- Take a reason away from all its alerts, or from one.
DELETE FROM alert_mute
WHERE realm = %(realm)s AND kind = %(kind)s AND ref = %(ref)s
    AND (%(alert_id)s::text IS NULL OR alert_id = %(alert_id)s)
RETURNING alert_id

-- name: incident
-- One incident.
SELECT {columns} FROM incident WHERE realm = %s AND id = %s

-- name: incidents_by_id
-- Some incidents.
SELECT {columns} FROM incident WHERE realm = %s AND id = ANY(%s)

-- name: incidents
-- Incidents, oldest first.
SELECT {columns} FROM incident
WHERE realm = %(realm)s
    AND (NOT %(open_only)s OR closed_us IS NULL)
    AND (%(incident_class)s::text IS NULL OR incident_class = %(incident_class)s)
    AND (%(opened_since_us)s::bigint IS NULL OR opened_us >= %(opened_since_us)s)
    AND (%(kinds)s::text[] IS NULL OR (asset_kind, asset) IN (
        SELECT * FROM unnest(%(kinds)s::text[], %(assets)s::text[])))
ORDER BY id LIMIT %(limit)s

-- name: incidents_since
-- Incidents that have changed since a number, ended ones too, with the number of the newest change;
-- from the beginning, and where the numbers have not come so far, only open ones. One row at least.
SELECT {columns}, newest
FROM (SELECT coalesce(max(change), 0) AS newest FROM incident WHERE realm = %(realm)s) n
LEFT JOIN incident i ON i.realm = %(realm)s
    AND change > CASE WHEN %(change)s BETWEEN 1 AND newest THEN %(change)s ELSE 0 END
    AND (closed_us IS NULL OR %(change)s BETWEEN 1 AND newest)

-- name: reserve
-- Ids for new incidents and tickets that nobody else will get, ascending.
SELECT 'incident' AS of, nextval(pg_get_serial_sequence('incident', 'id')) AS id
FROM generate_series(1, %(incident)s)
UNION ALL
SELECT 'ticket', nextval(pg_get_serial_sequence('ticket', 'id'))
FROM generate_series(1, %(ticket)s)

-- name: add_incidents
-- New incidents with ids that were reserved, given as one JSON array.
INSERT INTO incident (realm, {columns}) OVERRIDING SYSTEM VALUE
SELECT %(realm)s, {columns} FROM jsonb_populate_recordset(NULL::incident, %(rows)s)

-- name: put_incidents
-- Replace some incidents, given as one JSON array.
UPDATE incident i SET {updates}
FROM jsonb_populate_recordset(NULL::incident, %(rows)s) n
WHERE i.realm = %(realm)s AND i.id = n.id

-- name: put_incident
-- Replace an incident.
UPDATE incident SET {updates} WHERE realm = %(realm)s AND id = %(id)s

-- name: add_moves
-- Incidents stand elsewhere than thought; given as one JSON array, in order.
INSERT INTO incident_move (incident_id, at_us, from_kind, from_asset, to_kind, to_asset, reason)
SELECT incident_id, at_us, from_kind, from_asset, to_kind, to_asset, reason
FROM jsonb_populate_recordset(NULL::incident_move, %(rows)s)

-- name: moves
-- Where an incident was thought to be, in order.
SELECT incident_id, at_us, from_kind, from_asset, to_kind, to_asset, reason
FROM incident_move WHERE incident_id = %s ORDER BY id

-- name: ticket_day
-- The last number given on a day.
SELECT last FROM ticket_number WHERE realm = %s AND day = %s

-- name: put_days
-- The numbers that days have reached; counted in the transaction that uses them, so there are no
-- holes.
INSERT INTO ticket_number (realm, day, last)
SELECT %(realm)s, day, last FROM jsonb_populate_recordset(NULL::ticket_number, %(rows)s)
ON CONFLICT (realm, day) DO UPDATE SET last = EXCLUDED.last

-- name: add_tickets
-- New tickets with ids that were reserved, given as one JSON array.
INSERT INTO ticket (realm, {columns}) OVERRIDING SYSTEM VALUE
SELECT %(realm)s, {columns} FROM jsonb_populate_recordset(NULL::ticket, %(rows)s)

-- name: put_tickets
-- Replace some tickets, given as one JSON array.
UPDATE ticket t SET {updates}
FROM jsonb_populate_recordset(NULL::ticket, %(rows)s) n
WHERE t.realm = %(realm)s AND t.id = n.id

-- name: add_steps
-- What was done to tickets, given as one JSON array.
INSERT INTO ticket_transition
    (ticket_id, version, action, from_state, to_state, actor, role, at_us, reason, data)
SELECT ticket_id, version, action, from_state, to_state, actor, role, at_us, reason, data
FROM jsonb_populate_recordset(NULL::ticket_transition, %(rows)s)

-- name: change_ticket
-- Replace a ticket that nobody has changed since it was read.
UPDATE ticket SET {updates}
WHERE realm = %(realm)s AND id = %(id)s AND version = %(old_version)s
RETURNING version

-- name: steps
-- The history of a ticket, oldest first.
SELECT ticket_id, version, action, from_state, to_state, actor, role, at_us, reason, data
FROM ticket_transition WHERE ticket_id = %s ORDER BY version

-- name: steps_of
-- The histories of some tickets.
SELECT ticket_id, version, action, from_state, to_state, actor, role, at_us, reason, data
FROM ticket_transition WHERE ticket_id = ANY(%s) ORDER BY ticket_id, version

-- name: fired
-- The reminders that were told about some tickets.
SELECT ticket_id, metric, rung, start_us, fired_us FROM timer WHERE ticket_id = ANY(%s)
ORDER BY ticket_id, metric, rung, start_us

-- name: fire
-- A rung is told once, whoever is faster.
INSERT INTO timer (ticket_id, metric, rung, start_us, fired_us) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING

-- name: ticket
-- One ticket by its id, its number or its episode.
SELECT {columns} FROM ticket
WHERE realm = %(realm)s AND (
    id = %(id)s::bigint OR number = %(number)s::text OR episode = %(episode)s::text)

-- name: tickets_of
-- All tickets of an incident, the open one first, then newest first.
SELECT {columns} FROM ticket WHERE incident_id = %s
ORDER BY state IN ('closed', 'merged', 'cancelled'), id DESC

-- name: tickets_by_incident
-- The ticket that stands for each of some incidents: the open one, else the newest.
SELECT DISTINCT ON (incident_id) {columns} FROM ticket WHERE incident_id = ANY(%s)
ORDER BY incident_id, state IN ('closed', 'merged', 'cancelled'), id DESC

-- name: merged_into
-- The sub-tickets of a ticket, oldest first.
SELECT {columns} FROM ticket WHERE merged_into = %s ORDER BY id

-- name: merged_by_people
-- Into which tickets a person, not the machine, has merged another.
SELECT DISTINCT t.merged_into FROM ticket t
JOIN ticket_transition s ON s.ticket_id = t.id AND s.action = 'merge' AND s.role <> 'system'
WHERE t.merged_into = ANY(%s)

-- name: tickets_of_episodes
-- The tickets that some alerts or contacts have opened.
SELECT {columns} FROM ticket WHERE realm = %s AND episode = ANY(%s)

-- name: open_tickets
-- The open tickets of some incidents.
SELECT {columns} FROM ticket
WHERE incident_id = ANY(%s) AND state NOT IN ('closed', 'merged', 'cancelled')

-- name: tickets_open
-- The queue: most urgent first, then the earlier due, then the older.
SELECT {columns} FROM ticket
WHERE realm = %(realm)s AND state NOT IN ('closed', 'merged', 'cancelled') AND {filters}
ORDER BY priority DESC, due_us, opened_us, id LIMIT %(limit)s OFFSET %(offset)s

-- name: tickets_in
-- Tickets in some states, by the same rank.
SELECT {columns} FROM ticket
WHERE realm = %(realm)s AND state = ANY(%(states)s) AND {filters}
ORDER BY priority DESC, due_us, opened_us, id LIMIT %(limit)s OFFSET %(offset)s

-- name: ticket_filters
-- What narrows a list of tickets.
(%(work)s::text IS NULL OR work = %(work)s)
    AND (%(without_work)s::text IS NULL OR work <> %(without_work)s)
    AND (%(team)s::text IS NULL OR team = %(team)s)
    AND (%(assignee)s::text IS NULL OR assignee = %(assignee)s)
    AND (%(kinds)s::text[] IS NULL OR (asset_kind, asset) IN (
        SELECT * FROM unnest(%(kinds)s::text[], %(assets)s::text[])))

-- name: contact
-- The contact a channel knows under an id.
SELECT {columns} FROM contact WHERE realm = %s AND channel = %s AND external_id = %s

-- name: contacts
-- Contacts, newest first.
SELECT {columns} FROM contact
WHERE realm = %(realm)s
    AND (%(incident_id)s::bigint IS NULL OR incident_id = %(incident_id)s)
    AND (%(ticket_id)s::bigint IS NULL OR ticket_id = %(ticket_id)s)
    AND (%(account)s::text IS NULL OR account = %(account)s)
ORDER BY time_us DESC, id DESC LIMIT %(limit)s

-- name: add_contact
-- A contact, once for each channel and id.
INSERT INTO contact (realm, {columns}) VALUES (%(realm)s, {values})
ON CONFLICT (realm, channel, external_id) DO NOTHING RETURNING id

-- name: put_contact
-- What a contact hangs on; what was said and when stays.
UPDATE contact SET incident_id = %s, ticket_id = %s, taken_by = %s WHERE realm = %s AND id = %s

-- name: attach_contacts
-- All contacts of one incident follow to another.
UPDATE contact SET incident_id = %s, ticket_id = %s WHERE realm = %s AND incident_id = %s

-- name: add_human_input
-- What a person did or said.
INSERT INTO human_input (realm, kind, subject, actor, at_us, data)
VALUES (%s, %s, %s, %s, %s, %s) RETURNING id

-- name: human_inputs
-- The newest of what people did and said, oldest first.
SELECT kind, subject, actor, at_us, data, id FROM (
    SELECT kind, subject, actor, at_us, data, id FROM human_input
    WHERE realm = %(realm)s AND (%(subject)s::text IS NULL OR subject = %(subject)s)
        AND (%(kinds)s::text[] IS NULL OR kind = ANY(%(kinds)s))
    ORDER BY id DESC LIMIT %(limit)s
) newest ORDER BY id

-- name: drafts
-- Notices to customers that were drafted, oldest first.
SELECT {columns} FROM notice_draft
WHERE realm = %(realm)s AND (NOT %(open_only)s OR state = 'draft')
    AND (%(incident_id)s::bigint IS NULL OR incident_id = %(incident_id)s)
    AND created_us >= %(since_us)s
ORDER BY id

-- name: draft
-- One of them.
SELECT {columns} FROM notice_draft WHERE realm = %s AND id = %s

-- name: add_draft
-- A new one, once for each trigger and milestone of an incident.
INSERT INTO notice_draft (realm, {columns}) VALUES (%(realm)s, {values})
ON CONFLICT (realm, incident_id, trigger, milestone) DO NOTHING RETURNING id

-- name: put_draft
-- Replace a draft.
UPDATE notice_draft SET {updates} WHERE realm = %(realm)s AND id = %(id)s

-- name: told
-- Who has been told, or is to be told.
SELECT DISTINCT recipient FROM notice
WHERE realm = %s AND subject = %s AND trigger = %s AND state <> 'withdrawn'

-- name: waiting_notices
-- Approved texts that have not been sent to all yet. None leaves a drill: what waits there is what
-- would.
SELECT subject, trigger, milestone FROM notice
WHERE realm = %(realm)s AND state = 'waiting'
UNION
SELECT subject, trigger, milestone FROM notice
WHERE %(drill)s AND realm = %(realm)s AND state = 'withheld' AND not_before_us > %(now_us)s

-- name: withdraw_notices
-- They are no longer right, nor will they be when a person tries again what could not be delivered.
UPDATE notice SET state = 'withdrawn', done_at = now(), last_error = %(why)s
WHERE realm = %(realm)s AND subject = %(subject)s AND trigger = %(trigger)s
    AND milestone = %(milestone)s
    AND (state IN ('waiting', 'dead') OR state = 'withheld' AND not_before_us > %(now_us)s)

-- name: notices_to
-- What somebody was told or is to be told, newest first.
SELECT subject, trigger, channel, coalesce(payload ->> 'text', '') AS text, created_us, state
FROM notice WHERE realm = %s AND recipient = %s ORDER BY created_us DESC, id DESC LIMIT %s

-- name: add_notices
-- Notices, each once for its subject, recipient, trigger and milestone.
INSERT INTO notice (realm, subject, recipient, trigger, milestone, channel, payload,
    not_before_us, created_us, state)
SELECT %(realm)s, subject, recipient, trigger, milestone, channel, payload,
    not_before_us, created_us, %(state)s
FROM jsonb_populate_recordset(NULL::notice, %(notices)s)
ON CONFLICT (realm, subject, recipient, trigger, milestone) DO NOTHING

-- name: publish
-- Messages of one transaction, given with their number in it; the row lock of the head lives as
-- long as the transaction.
WITH head AS (
    INSERT INTO outbox_head (realm, seq) VALUES (%(realm)s, %(count)s)
    ON CONFLICT (realm) DO UPDATE SET seq = outbox_head.seq + %(count)s
    RETURNING seq
)
INSERT INTO outbox (realm, seq, topic, key, at_us, data)
SELECT %(realm)s, head.seq - %(count)s + m.seq, topic, key, at_us, data
FROM head, jsonb_populate_recordset(NULL::outbox, %(messages)s) m

-- name: notify
-- Wake those who wait; the notice travels with the commit.
SELECT pg_notify('forewatt_outbox', %s)

-- name: outbox
-- What came after a sequence number.
SELECT seq, topic, key, at_us, data FROM outbox
WHERE realm = %s AND seq > %s ORDER BY seq LIMIT %s

-- name: outbox_head
-- The newest sequence number.
SELECT seq FROM outbox_head WHERE realm = %s

-- name: trim_outbox
-- Forget messages that no page can still be waiting for.
DELETE FROM outbox WHERE realm = %s AND noted_at < clock_timestamp() - make_interval(secs => %s)

-- name: totals
-- Counts for the operator's bar.
SELECT
    (SELECT count(*) FROM alert WHERE realm = %(realm)s AND condition <> 'cleared'),
    w.unseen,
    w.oldest,
    (SELECT count(*) FROM ticket
        WHERE realm = %(realm)s AND state NOT IN ('closed', 'merged', 'cancelled')),
    c.contacts,
    c.known,
    i.known_first,
    i.called_first,
    i.never_called,
    l.lines,
    l.lines_without_inspection
FROM (
    SELECT count(*) AS unseen, coalesce(min(a.known_us), 0) AS oldest
    FROM alert a LEFT JOIN incident i ON i.id = a.incident_id
    WHERE a.realm = %(realm)s AND a.handling = 'new'
        AND (a.condition <> 'cleared' OR i.closed_us IS NULL)
) w, (
    SELECT count(*) AS contacts, count(incident_id) AS known
    FROM contact WHERE realm = %(realm)s
) c, (
    SELECT
        count(*) FILTER (WHERE known_us < first_contact_us) AS known_first,
        count(*) FILTER (WHERE known_us >= first_contact_us) AS called_first,
        count(*) FILTER (WHERE first_contact_us IS NULL
            AND EXISTS (SELECT FROM ticket t WHERE t.incident_id = incident.id)) AS never_called
    FROM incident WHERE realm = %(realm)s
) i, (
    SELECT count(*) AS lines, count(*) FILTER (WHERE shown) AS lines_without_inspection
    FROM (
        SELECT bool_or(work <> 'inspection') AS shown FROM alert a
        WHERE realm = %(realm)s AND {open}
        GROUP BY coalesce('i' || incident_id, 'a' || id)
    ) line
) l
