-- An incident that people have located stays where they put it: who did.

ALTER TABLE incident ADD COLUMN located_by text;
