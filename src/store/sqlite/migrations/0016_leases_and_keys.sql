-- The number of a delivery's lease, raised at each lease, cancel and retry. A result with an older number changes nothing but
-- the history.
ALTER TABLE deliveries ADD COLUMN lease INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries RENAME COLUMN early_attempt TO early_lease;

-- Ordered channels: deliveries with the same key are sent one after the other. `line` is 1 while a delivery is in the line of
-- its key: until it has ended, or, where a failure holds the key, until a person has settled it. In the line one delivery at
-- most is claimable or leased; the others have the state -1 (held).
ALTER TABLE deliveries ADD COLUMN ordering_key TEXT;
ALTER TABLE deliveries ADD COLUMN line INTEGER;
CREATE INDEX deliveries_in_line ON deliveries (channel, ordering_key, state) WHERE line IS NOT NULL;
CREATE INDEX deliveries_closing ON deliveries (channel) WHERE line IS NOT NULL AND state > 4;

-- When a promise of the channel ends that the delivery has not kept yet; and 1 once it has broken it.
ALTER TABLE deliveries ADD COLUMN promised_at INTEGER;
ALTER TABLE deliveries ADD COLUMN broke_promise INTEGER;
CREATE INDEX deliveries_promised ON deliveries (promised_at) WHERE promised_at IS NOT NULL;
CREATE INDEX deliveries_past_promise ON deliveries (broke_promise) WHERE broke_promise IS NOT NULL;
