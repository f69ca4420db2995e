-- What programs asked to be done once: an answer is kept under the caller's key for two days, so
-- that a request whose answer was lost may be sent again.

CREATE TABLE api_request (
    actor text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    status smallint,
    body bytea,
    begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (actor, key),
    CHECK ((status IS NULL) = (body IS NULL))
);
CREATE INDEX api_request_time ON api_request (begun_at);
