-- Notices: drafted by trigger, approved by a person, sent at least once under a stable id. The
-- unique keys make "told once" true for every trigger and milestone.

CREATE TABLE notice_draft (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    realm smallint NOT NULL,
    incident_id bigint NOT NULL REFERENCES incident,
    trigger text NOT NULL,
    milestone text NOT NULL,
    text text NOT NULL,
    text_zh text NOT NULL,
    recipients integer NOT NULL,
    state text NOT NULL CHECK (state IN ('draft', 'approved', 'withdrawn')),
    created_us bigint NOT NULL,
    decided_by text,
    decided_us bigint,
    UNIQUE (realm, incident_id, trigger, milestone),
    CHECK ((state = 'draft') = (decided_by IS NULL))
);
CREATE INDEX notice_draft_open ON notice_draft (realm, created_us) WHERE state = 'draft';

CREATE TABLE notice (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    realm smallint NOT NULL,
    subject text NOT NULL,
    recipient text NOT NULL,
    trigger text NOT NULL,
    milestone text NOT NULL,
    channel text NOT NULL,
    payload jsonb NOT NULL,
    not_before_us bigint NOT NULL,
    created_us bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('waiting', 'sent', 'dead', 'withheld')),
    tries integer NOT NULL DEFAULT 0,
    next_try_at timestamptz NOT NULL DEFAULT now(),
    last_error text NOT NULL DEFAULT '',
    done_at timestamptz,
    UNIQUE (realm, subject, recipient, trigger, milestone)
);
CREATE INDEX notice_waiting ON notice (realm, next_try_at) WHERE state = 'waiting';
CREATE INDEX notice_subject ON notice (realm, subject, trigger);
