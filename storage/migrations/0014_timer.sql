-- Reminders that were told: each rung of each clock of a ticket once. A reopened ticket starts its
-- clocks again, so the start belongs to the key.

CREATE TABLE timer (
    ticket_id bigint NOT NULL REFERENCES ticket,
    metric text NOT NULL,
    rung smallint NOT NULL,
    start_us bigint NOT NULL,
    fired_us bigint NOT NULL,
    PRIMARY KEY (ticket_id, metric, rung, start_us)
);
