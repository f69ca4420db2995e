-- Every change of an incident has a number, so that a writer who has read all open incidents once
-- reads only what has changed since. Writers of a realm run one after the other: within a realm the
-- numbers are in the order of commits.

CREATE SEQUENCE incident_change;
ALTER TABLE incident ADD COLUMN change bigint NOT NULL DEFAULT nextval('incident_change');
ALTER TABLE incident ALTER COLUMN change DROP DEFAULT;  -- the trigger gives it
CREATE INDEX incident_changed ON incident (realm, change);

CREATE FUNCTION number_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.change := nextval('incident_change');
    RETURN NEW;
END $$;
CREATE TRIGGER incident_number_change BEFORE INSERT OR UPDATE ON incident
    FOR EACH ROW EXECUTE FUNCTION number_change();
