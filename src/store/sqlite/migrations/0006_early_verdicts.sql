-- A receiver's accept or fail that came before its response was recorded: the state that it makes, and the number of the
-- attempt that it belongs to.
ALTER TABLE deliveries ADD COLUMN early_state INTEGER;
ALTER TABLE deliveries ADD COLUMN early_attempt INTEGER;
