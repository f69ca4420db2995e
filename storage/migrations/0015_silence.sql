-- What people announce or silence: an owner, a reason and an end, always. And the history of one
-- asset's alerts, for outages as a customer had them.

CREATE TABLE silence (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    realm smallint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('silence', 'maintenance')),
    asset_kind text NOT NULL,
    asset text NOT NULL,
    fault text,
    owner text NOT NULL CHECK (owner <> ''),
    reason text NOT NULL CHECK (reason <> ''),
    start_us bigint NOT NULL,
    end_us bigint NOT NULL CHECK (end_us >= start_us)
);
CREATE INDEX silence_time ON silence (realm, end_us);
CREATE INDEX alert_asset ON alert (realm, asset_kind, asset, raised_us DESC);
