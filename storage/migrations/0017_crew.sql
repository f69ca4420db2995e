-- Crews and supervisors: a crew belongs to a team and sees that team's tickets only. An estimate of
-- restoration is a range. What people say is also found by its kind (knowledge, ratings, drills).

ALTER TABLE person DROP CONSTRAINT person_role_check;
ALTER TABLE person ADD CONSTRAINT person_role_check CHECK (role IN
    ('read_only', 'operator', 'clerk', 'dispatcher', 'engineer', 'admin', 'customer',
     'crew', 'supervisor'));
ALTER TABLE person ADD COLUMN team text;
ALTER TABLE person ADD CONSTRAINT person_crew CHECK ((role = 'crew') = (team IS NOT NULL));

ALTER TABLE ticket ADD COLUMN estimated_latest_us bigint;

CREATE INDEX human_input_kind ON human_input (realm, kind, id);
