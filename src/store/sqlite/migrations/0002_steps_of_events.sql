-- The steps of an order's chain that had ended when the event happened, as its bodies carry them: JSON; NULL: none.
-- A retry, or a further run of the chain, changes nothing in them.
ALTER TABLE deliveries ADD COLUMN steps TEXT;
