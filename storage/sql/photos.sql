-- Photos of tickets.

-- name: add
-- Keep a photo; the same one again, and one too many, change nothing.
INSERT INTO ticket_photo (ticket_id, digest, taken_by, taken_us, image)
SELECT %(ticket_id)s, %(digest)s, %(taken_by)s, %(taken_us)s, %(image)s
WHERE (SELECT count(*) FROM ticket_photo WHERE ticket_id = %(ticket_id)s) < %(most)s
ON CONFLICT DO NOTHING

-- name: list
-- What there is of a ticket, oldest first.
SELECT digest, taken_by, taken_us FROM ticket_photo WHERE ticket_id = %s ORDER BY taken_us, digest

-- name: image
-- One of them.
SELECT image FROM ticket_photo WHERE ticket_id = %s AND digest = %s
