-- The webhook-id of each signed request that was accepted, as long as its signature holds: it is taken once.
CREATE TABLE signed_requests (
    id    TEXT PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX signed_requests_until ON signed_requests (until);
