-- What an alert was found to be no part of: it outlasted the cause that seemed to explain it.

CREATE TABLE alert_release (
    realm smallint NOT NULL,
    alert_id text NOT NULL,
    incident_id bigint NOT NULL REFERENCES incident,
    at_us bigint NOT NULL,
    PRIMARY KEY (realm, alert_id, incident_id)
);
CREATE INDEX alert_shelved ON alert (realm, shelved_until_us) WHERE handling = 'shelved';
