-- Deliveries that were under way when the process died, until an attempt of theirs has ended.
CREATE TABLE suspects (
    delivery INTEGER PRIMARY KEY,
    crashes  INTEGER NOT NULL,      -- in how many such ends of the process
    begun    INTEGER NOT NULL       -- whether an attempt is under way since then
) STRICT;

-- One row: whether the process that used the file last closed it.
CREATE TABLE ends (id INTEGER PRIMARY KEY CHECK (id = 1), cleanly INTEGER NOT NULL) STRICT;
INSERT INTO ends VALUES (1, 1);
