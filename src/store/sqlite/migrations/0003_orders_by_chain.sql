-- Orders that wait to be resumed, by chain: a chain without free permits does not hold up the others.
CREATE INDEX orders_by_chain ON orders (chain) WHERE status = 0;
