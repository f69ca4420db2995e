-- What one customer was told, for the story that a clerk sees.

CREATE INDEX notice_recipient ON notice (realm, recipient, created_us DESC);
