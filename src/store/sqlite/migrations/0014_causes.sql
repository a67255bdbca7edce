-- Why deliveries failed: one row for each channel, code and likeness of the response, as long as a delivery is in it.
CREATE TABLE causes (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    channel  INTEGER NOT NULL,
    code     INTEGER,               -- of the last attempt; NULL: none was made
    likeness TEXT NOT NULL,
    open     INTEGER NOT NULL,      -- deliveries in it
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX causes_by_likeness ON causes (channel, ifnull(code, 0), likeness);

-- The cause of a delivery that has failed or was rejected; NULL: it is neither.
ALTER TABLE deliveries ADD COLUMN cause INTEGER;
CREATE INDEX deliveries_by_cause ON deliveries (cause) WHERE cause IS NOT NULL;

INSERT INTO causes (channel, code, likeness, open, first_at, last_at)
    SELECT channel, last_code, 'failed before the upgrade', count(*), min(updated_at), max(updated_at)
        FROM deliveries INDEXED BY deliveries_by_state WHERE state IN (5, 6) AND state <> 3 GROUP BY channel, last_code;
UPDATE deliveries INDEXED BY deliveries_by_state
    SET cause = (SELECT id FROM causes c WHERE c.channel = deliveries.channel AND c.code IS deliveries.last_code)
    WHERE state IN (5, 6) AND state <> 3;
