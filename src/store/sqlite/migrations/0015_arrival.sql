-- What a request brought along with an order or event: the caller's trace, the attributes of a CloudEvent. JSON; NULL: nothing.
ALTER TABLE orders ADD COLUMN arrival TEXT;
ALTER TABLE events ADD COLUMN arrival TEXT;
-- The key in `idempotency` of an event's own id, next to that of the request that brought it.
ALTER TABLE events ADD COLUMN own_key TEXT;
