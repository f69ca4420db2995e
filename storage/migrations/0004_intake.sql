-- How far the journal was read, and everything that did not become a plain reading.

-- A consumer reads one journal file for ever; another file under its name is refused.
CREATE TABLE consumer (
    name text PRIMARY KEY,
    journal text NOT NULL,
    position bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Readings that a device owes: strictly between `after` and `before`, both of which were stored.
CREATE TABLE gap (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    realm smallint NOT NULL,
    device integer NOT NULL,
    after timestamptz NOT NULL,
    before timestamptz NOT NULL CHECK (before > after),
    reason text NOT NULL CHECK (reason IN ('interval', 'sequence')),
    missing integer NOT NULL CHECK (missing > 0),
    filled integer NOT NULL DEFAULT 0,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at timestamptz,
    UNIQUE (realm, device, after)
);
CREATE INDEX gap_open ON gap (realm, device, before) WHERE closed_at IS NULL;

-- What could not be taken, with its reason; the hash of source and payload makes resending harmless.
CREATE TABLE quarantine (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    realm smallint NOT NULL,
    hash text NOT NULL,
    source text NOT NULL,
    reason text NOT NULL,
    device text,
    payload bytea NOT NULL,
    received timestamptz NOT NULL,
    times integer NOT NULL DEFAULT 1,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (realm, hash)
);
CREATE INDEX quarantine_received ON quarantine (realm, received DESC);

-- The same device and time reported twice with different values: the first stays in `reading`.
CREATE TABLE reading_conflict (
    realm smallint NOT NULL,
    device integer NOT NULL,
    time timestamptz NOT NULL,
    arrived jsonb NOT NULL,
    stored jsonb NOT NULL,
    received timestamptz NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (realm, device, time, arrived)
);
