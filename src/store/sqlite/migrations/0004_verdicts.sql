-- What people and receivers did to deliveries: who, when and why. The newest hundred of a delivery are kept.
CREATE TABLE verdicts (
    delivery INTEGER NOT NULL,
    number   INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    act      TEXT NOT NULL,
    author   TEXT,                  -- a token's name, or receiver; NULL: no token was needed
    reason   TEXT,
    PRIMARY KEY (delivery, number)
) STRICT, WITHOUT ROWID;

-- Who changed a channel's state, when and why; NULL: it is enabled.
ALTER TABLE channels ADD COLUMN state_at INTEGER;
ALTER TABLE channels ADD COLUMN state_author TEXT;
ALTER TABLE channels ADD COLUMN state_reason TEXT;
