-- The network as it was at any time: a row holds from valid_from to valid_to (NULL: still), an edit
-- ends the old row and begins a new one. `place` keeps the order, which the kernels' indexes need.

CREATE SCHEMA network;

CREATE TABLE network.feeder (
    id text NOT NULL, name text NOT NULL, substation text NOT NULL,
    place integer NOT NULL, digest text NOT NULL,
    valid_from timestamptz NOT NULL, valid_to timestamptz CHECK (valid_to >= valid_from)
);

CREATE TABLE network.section (
    id text NOT NULL, feeder text NOT NULL, parent text, switch text, name text NOT NULL,
    place integer NOT NULL, digest text NOT NULL,
    valid_from timestamptz NOT NULL, valid_to timestamptz CHECK (valid_to >= valid_from)
);

CREATE TABLE network.transformer (
    id text NOT NULL, feeder text, section text, name text NOT NULL,
    rated_kva double precision, nominal_v double precision, area_class text NOT NULL,
    latitude double precision, longitude double precision, team text, manager text,
    place integer NOT NULL, digest text NOT NULL,
    valid_from timestamptz NOT NULL, valid_to timestamptz CHECK (valid_to >= valid_from)
);

CREATE TABLE network.usage_point (
    id text NOT NULL, transformer text, branch text, node text, phase text NOT NULL, account text,
    place integer NOT NULL, digest text NOT NULL,
    valid_from timestamptz NOT NULL, valid_to timestamptz CHECK (valid_to >= valid_from)
);

CREATE TABLE network.device (
    id text NOT NULL, kind text NOT NULL, usage_point text, transformer text, section text,
    interval_s double precision, delivery_s double precision,
    wiring text NOT NULL, sampling text NOT NULL,
    ct_ratio double precision, pt_ratio double precision,
    address text, unit integer, profile text,
    place integer NOT NULL, digest text NOT NULL,
    valid_from timestamptz NOT NULL, valid_to timestamptz CHECK (valid_to >= valid_from)
);

CREATE TABLE network.customer (
    account text NOT NULL, name text NOT NULL, phone text NOT NULL, address text NOT NULL,
    category text NOT NULL, flags text[] NOT NULL, supply_status text NOT NULL,
    place integer NOT NULL, digest text NOT NULL,
    valid_from timestamptz NOT NULL, valid_to timestamptz CHECK (valid_to >= valid_from)
);

CREATE TABLE network.planned_work (
    asset_kind text NOT NULL, asset text NOT NULL, start_us bigint NOT NULL, end_us bigint NOT NULL,
    reason text NOT NULL,
    place integer NOT NULL, digest text NOT NULL,
    valid_from timestamptz NOT NULL, valid_to timestamptz CHECK (valid_to >= valid_from)
);

CREATE TABLE network.team (
    id text NOT NULL, name text NOT NULL, phone text NOT NULL, area text NOT NULL,
    place integer NOT NULL, digest text NOT NULL,
    valid_from timestamptz NOT NULL, valid_to timestamptz CHECK (valid_to >= valid_from)
);

CREATE TABLE network.alias (
    kind text NOT NULL, id text NOT NULL, system text NOT NULL, external_id text NOT NULL,
    place integer NOT NULL, digest text NOT NULL,
    valid_from timestamptz NOT NULL, valid_to timestamptz CHECK (valid_to >= valid_from)
);

-- One present row for each thing.
CREATE UNIQUE INDEX ON network.feeder (id) WHERE valid_to IS NULL;
CREATE UNIQUE INDEX ON network.section (id) WHERE valid_to IS NULL;
CREATE UNIQUE INDEX ON network.transformer (id) WHERE valid_to IS NULL;
CREATE UNIQUE INDEX ON network.usage_point (id) WHERE valid_to IS NULL;
CREATE UNIQUE INDEX ON network.device (id) WHERE valid_to IS NULL;
CREATE UNIQUE INDEX ON network.customer (account) WHERE valid_to IS NULL;
CREATE UNIQUE INDEX ON network.planned_work (digest) WHERE valid_to IS NULL;
CREATE UNIQUE INDEX ON network.team (id) WHERE valid_to IS NULL;
CREATE UNIQUE INDEX ON network.alias (digest) WHERE valid_to IS NULL;
