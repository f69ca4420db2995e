-- An approved notice that waits (for the morning, for a receiver) is withdrawn when events overtake
-- what it says.
ALTER TABLE notice DROP CONSTRAINT notice_state_check;
ALTER TABLE notice ADD CONSTRAINT notice_state_check
    CHECK (state IN ('waiting', 'sent', 'dead', 'withheld', 'withdrawn'));
