-- The business side: what was found, what follows from it, who did what. Times are microseconds
-- UTC (event time), as everywhere in the program. "Once only" is a constraint here.

-- Every change of every alert, append-only. Effects follow only from rows that were new.
CREATE TABLE alert_event (
    realm smallint NOT NULL,
    event_id text NOT NULL,
    alert_id text NOT NULL,
    change text NOT NULL CHECK (change IN ('raised', 'worsened', 'updated', 'moved', 'cleared')),
    tick_us bigint NOT NULL,
    raised_us bigint NOT NULL,
    finding jsonb NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (realm, event_id)
);
CREATE INDEX alert_event_alert ON alert_event (realm, alert_id);

-- One cause in the grid. One open incident of a class at an asset.
CREATE TABLE incident (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    realm smallint NOT NULL,
    incident_class text NOT NULL,
    fault text NOT NULL,
    asset_kind text NOT NULL,
    asset text NOT NULL,
    severity text NOT NULL,
    opened_us bigint NOT NULL,
    known_us bigint NOT NULL,
    stage text NOT NULL CHECK (stage IN ('predicted', 'confirmed')),
    closed_us bigint,
    customers integer NOT NULL DEFAULT 0,
    contacts integer NOT NULL DEFAULT 0 CHECK (contacts >= 0),
    first_contact_us bigint,
    version integer NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX incident_open ON incident (realm, asset_kind, asset, incident_class)
    WHERE closed_us IS NULL;
CREATE INDEX incident_time ON incident (realm, opened_us);

-- The present state of an episode. Its id is a function of event time, so it is unique by nature;
-- two open ones of a fault at an asset may come from two detectors, or from an end that arrives
-- late, and are one incident.
CREATE TABLE alert (
    realm smallint NOT NULL,
    id text NOT NULL,
    fault text NOT NULL,
    asset_kind text NOT NULL,
    asset text NOT NULL,
    severity text NOT NULL,
    raised_us bigint NOT NULL,
    known_us bigint NOT NULL,
    score double precision NOT NULL,
    devices text[] NOT NULL,
    evidence jsonb NOT NULL,
    condition text NOT NULL,
    handling text NOT NULL CHECK (handling IN ('new', 'acked', 'shelved')),
    cleared_us bigint,
    ticket boolean NOT NULL,
    work text NOT NULL,
    horizon_h double precision,
    detector text NOT NULL,
    incident_id bigint REFERENCES incident,
    customers integer NOT NULL,
    acked_by text,
    acked_at_us bigint,
    ack_note text NOT NULL,
    shelved_until_us bigint,
    version integer NOT NULL,
    PRIMARY KEY (realm, id),
    CHECK ((condition = 'cleared') = (cleared_us IS NOT NULL))
);
CREATE INDEX alert_feed ON alert (realm, raised_us DESC, id DESC);
CREATE INDEX alert_waiting ON alert (realm, raised_us DESC, id DESC)
    WHERE condition <> 'cleared' OR handling = 'new';
CREATE INDEX alert_incident ON alert (incident_id);

CREATE TABLE alert_mute (
    realm smallint NOT NULL,
    alert_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('upstream', 'maintenance', 'silence', 'flapping')),
    ref text NOT NULL,
    start_us bigint NOT NULL,
    end_us bigint,
    reason text NOT NULL,
    PRIMARY KEY (realm, alert_id, kind, ref)
);
CREATE INDEX alert_mute_ref ON alert_mute (realm, kind, ref);

CREATE TABLE incident_move (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident_id bigint NOT NULL REFERENCES incident,
    at_us bigint NOT NULL,
    from_kind text NOT NULL,
    from_asset text NOT NULL,
    to_kind text NOT NULL,
    to_asset text NOT NULL,
    reason text NOT NULL
);
CREATE INDEX incident_move_incident ON incident_move (incident_id);

-- The last number given on a day.
CREATE TABLE ticket_number (
    realm smallint NOT NULL,
    day text NOT NULL,
    last integer NOT NULL,
    PRIMARY KEY (realm, day)
);

-- One episode opens one ticket for ever; one incident has at most one that is open.
CREATE TABLE ticket (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    realm smallint NOT NULL,
    number text NOT NULL,
    incident_id bigint NOT NULL REFERENCES incident,
    episode text NOT NULL,
    state text NOT NULL,
    work text NOT NULL,
    fault text NOT NULL,
    asset_kind text NOT NULL,
    asset text NOT NULL,
    severity text NOT NULL,
    customers integer NOT NULL,
    opened_us bigint NOT NULL,
    team text,
    manager text,
    assignee text,
    priority integer NOT NULL,
    priority_reason text NOT NULL,
    priority_reason_zh text NOT NULL,
    due_us bigint,
    estimated_restoration_us bigint,
    merged_into bigint REFERENCES ticket,
    verdict text,
    cause_code text,
    closed_us bigint,
    contacts integer NOT NULL,
    version integer NOT NULL,
    UNIQUE (realm, number),
    UNIQUE (realm, episode),
    CHECK ((state = 'merged') = (merged_into IS NOT NULL)),
    CHECK (merged_into <> id),
    CHECK (state <> 'closed' OR (verdict IS NOT NULL AND cause_code IS NOT NULL)),
    CHECK ((state IN ('closed', 'merged', 'cancelled')) = (closed_us IS NOT NULL))
);
CREATE UNIQUE INDEX ticket_open ON ticket (incident_id)
    WHERE state NOT IN ('closed', 'merged', 'cancelled');
CREATE INDEX ticket_queue ON ticket (realm, priority DESC, due_us, opened_us, id)
    WHERE state NOT IN ('closed', 'merged', 'cancelled');
CREATE INDEX ticket_incident ON ticket (incident_id);
CREATE INDEX ticket_merged ON ticket (merged_into) WHERE merged_into IS NOT NULL;
CREATE INDEX ticket_opened ON ticket (realm, opened_us DESC);

-- Who moved a ticket from where to where, append-only: audit, history and bottlenecks.
CREATE TABLE ticket_transition (
    ticket_id bigint NOT NULL REFERENCES ticket,
    version integer NOT NULL,
    action text NOT NULL,
    from_state text,
    to_state text NOT NULL,
    actor text NOT NULL,
    role text NOT NULL,
    at_us bigint NOT NULL,
    reason text NOT NULL,
    data jsonb NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (ticket_id, version)
);

-- Customers who called, walked in or wrote; never deleted.
CREATE TABLE contact (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    realm smallint NOT NULL,
    channel text NOT NULL,
    external_id text NOT NULL,
    time_us bigint NOT NULL,
    kind text NOT NULL,
    account text,
    phone text NOT NULL,
    text text NOT NULL,
    incident_id bigint REFERENCES incident,
    ticket_id bigint REFERENCES ticket,
    taken_by text,
    UNIQUE (realm, channel, external_id)
);
CREATE INDEX contact_incident ON contact (incident_id);
CREATE INDEX contact_ticket ON contact (ticket_id);
CREATE INDEX contact_account ON contact (realm, account, time_us DESC);

-- What people did and said, in its own order; it moves incidents, never alert ids.
CREATE TABLE human_input (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    realm smallint NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL,
    actor text NOT NULL,
    at_us bigint NOT NULL,
    data jsonb NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX human_input_subject ON human_input (realm, subject, id);

-- What the live stream tells. Writers of a realm hold its lock until they have committed, so seq
-- is the order of commits and "seq > last" misses nothing (without that lock it does: tried).
CREATE TABLE outbox (
    realm smallint NOT NULL,
    seq bigint NOT NULL,
    topic text NOT NULL,
    key text NOT NULL,
    at_us bigint NOT NULL,
    data jsonb NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (realm, seq)
);
CREATE TABLE outbox_head (
    realm smallint PRIMARY KEY,
    seq bigint NOT NULL
);

-- Append-only tables refuse change, whoever asks.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed; append a new one', TG_TABLE_NAME;
END $$;
CREATE TRIGGER alert_event_append_only BEFORE UPDATE ON alert_event
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ticket_transition_append_only BEFORE UPDATE OR DELETE ON ticket_transition
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER human_input_append_only BEFORE UPDATE OR DELETE ON human_input
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
