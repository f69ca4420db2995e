-- Photos that a crew takes on site: small JPEGs without their metadata, each once for a ticket.

CREATE TABLE ticket_photo (
    ticket_id bigint NOT NULL REFERENCES ticket,
    digest text NOT NULL,
    taken_by text NOT NULL,
    taken_us bigint NOT NULL,
    image bytea NOT NULL,
    PRIMARY KEY (ticket_id, digest)
);
