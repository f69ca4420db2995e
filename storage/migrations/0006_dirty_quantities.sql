-- Which quantities of an hour changed (bit i: the i-th quantity of the vocabulary): of 28 a meter
-- reports a dozen, and summing up only those is more than twice as fast.
ALTER TABLE dirty_bucket ADD COLUMN quantities bigint NOT NULL DEFAULT (1::bigint << 62) - 1;
