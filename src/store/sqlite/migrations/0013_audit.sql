-- What callers changed. `seq` is a key as of an id made at that time, so a time is a range of keys.
CREATE TABLE audit (
    seq      INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    act      TEXT NOT NULL,
    author   TEXT,                  -- a token's name; NULL: no token was needed
    reason   TEXT,
    channel  TEXT,
    delivery TEXT,
    order_id TEXT,
    filter   TEXT,                  -- JSON
    detail   TEXT,                  -- JSON
    count    INTEGER
) STRICT;
