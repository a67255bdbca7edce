-- The customer's e-mail of an order in lower case, so that a search finds it by index; NULL: it has none, or came before
-- this migration. Grouped by slots as own ids are.
ALTER TABLE orders ADD COLUMN email TEXT;
CREATE INDEX orders_by_email ON orders (slot, email) WHERE email IS NOT NULL;
-- Deliveries whose last attempt did not end by 2xx, whatever became of them. Most never enter it.
CREATE INDEX deliveries_by_code ON deliveries (last_code) WHERE last_code < 200 OR last_code > 299;
