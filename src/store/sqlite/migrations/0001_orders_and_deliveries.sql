-- Keys. `seq` is the id's rising 63-bit key (see src/domain/ids.rs), `id` all 16 bytes of it. The rows of every
-- table therefore lie in the order in which they came, and a time is a range of keys. Times are milliseconds
-- since 1970 in UTC.

-- Every channel that ever had a delivery or a state, so that rows name it by a small number.
CREATE TABLE channels (
    id    INTEGER PRIMARY KEY,
    name  TEXT NOT NULL UNIQUE,
    state TEXT,                     -- paused, disabled; NULL: enabled
    last_run INTEGER                -- of its schedule; NULL: it never had one
) STRICT;

-- Processes that work on the store.
CREATE TABLE replicas (
    id          INTEGER PRIMARY KEY,
    alive_until INTEGER NOT NULL
) STRICT;

CREATE TABLE orders (
    seq         INTEGER PRIMARY KEY,
    id          BLOB NOT NULL,
    status      INTEGER NOT NULL,   -- 0 processing and free, 1 processing by `owner`, 2 completed, 3 rejected
    owner       INTEGER,
    resumed     INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    ended_at    INTEGER,
    kind        TEXT NOT NULL,
    chain       TEXT,
    order_id    TEXT,               -- NULL: the order has no id of its own, the server's serves
    slot        INTEGER,            -- of its own id in the index; NULL: it has none
    key         TEXT,               -- in `idempotency`
    skipped     TEXT,               -- JSON; NULL: none
    context     TEXT,               -- JSON; NULL: {}
    deliveries  TEXT,               -- JSON: keys of the deliveries that came with it
    body        BLOB NOT NULL
) STRICT;
-- Own ids come in any order, and an index over all of them would have every order write a page of its own. So a
-- thousand orders in a row share a slot; who looks for an id looks in each slot, from the newest on.
CREATE INDEX orders_by_own_id ON orders (slot, order_id) WHERE slot IS NOT NULL;
CREATE INDEX orders_by_status ON orders (status) WHERE status <> 2;

CREATE TABLE steps (
    order_seq INTEGER NOT NULL,
    position  INTEGER NOT NULL,
    record    TEXT NOT NULL,        -- JSON
    PRIMARY KEY (order_seq, position)
) STRICT, WITHOUT ROWID;

-- Events that belong to no order.
CREATE TABLE events (
    seq         INTEGER PRIMARY KEY,
    id          BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    kind        TEXT NOT NULL,
    chain       TEXT,
    order_id    TEXT,               -- NULL: the event's id
    key         TEXT,               -- in `idempotency`
    deliveries  TEXT,               -- JSON: keys of the deliveries that came with it
    body        BLOB NOT NULL
) STRICT;

CREATE TABLE idempotency (
    key      TEXT PRIMARY KEY,
    digest   BLOB NOT NULL,         -- SHA-256 of the request's body
    status   INTEGER,               -- of the answer; NULL: not answered yet
    location TEXT,
    body     BLOB
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries (
    seq         INTEGER PRIMARY KEY,
    id          BLOB NOT NULL,
    channel     INTEGER NOT NULL,
    state       INTEGER NOT NULL,   -- pending: 0 waits for the first attempt of its round, 1 for a further one, 2 leased by `owner`;
                                    -- 3 accepted, 4 dispatched, 5 rejected, 6 failed, 7 cancelled
    origin      INTEGER NOT NULL,   -- above 0: orders.seq; below 0: events.seq, negated
    late        INTEGER,            -- the origin once more, where that does not list the delivery
    owner       INTEGER,
    attempts    INTEGER NOT NULL,
    round_start INTEGER NOT NULL,   -- attempts made before the present round
    due_at      INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    last_code   INTEGER,
    event_id    BLOB,               -- NULL: the origin's id
    event_type  ANY,                -- a number: one of orderhook's own; NULL: the origin's kind
    event_at    INTEGER NOT NULL,
    step        TEXT,
    context     TEXT,               -- JSON; NULL: the order's, or {} where there is no order
    parcel      TEXT,               -- JSON: what it carries of the event; NULL: all of it
    mail        TEXT                -- the text that it mails; NULL: it is no such mail. Long, so the last
) STRICT;
CREATE INDEX deliveries_late ON deliveries (late) WHERE late IS NOT NULL;
-- Most deliveries are accepted at once: they are in neither of these for long.
CREATE INDEX deliveries_by_state ON deliveries (state) WHERE state <> 3;
CREATE INDEX deliveries_waiting ON deliveries (channel, state, due_at) WHERE state < 2;

CREATE TABLE attempts (
    delivery      INTEGER NOT NULL,
    number        INTEGER NOT NULL,
    id            BLOB NOT NULL,
    started_at    INTEGER NOT NULL,
    duration_ms   INTEGER NOT NULL,
    code          INTEGER NOT NULL,
    outcome       TEXT NOT NULL,
    error         TEXT,
    exchange      TEXT NOT NULL,    -- JSON: method, URL, headers
    request_head  BLOB,             -- the body, or what stands in front of the order in it
    request_tail  BLOB,             -- what stands behind the order; NULL: the body stands by itself
    response_body BLOB,
    PRIMARY KEY (delivery, number)
) STRICT, WITHOUT ROWID;

-- One row: the secret that the keys of accept URLs are derived from, made with the file.
CREATE TABLE secrets (id INTEGER PRIMARY KEY CHECK (id = 1), bytes BLOB NOT NULL) STRICT;

-- One-offs that a channel had: kept for ever, whatever retention removes.
CREATE TABLE onces (
    channel INTEGER NOT NULL,
    value   TEXT NOT NULL,
    origin  INTEGER NOT NULL,       -- as in `deliveries`: what made the delivery
    PRIMARY KEY (channel, value)
) STRICT, WITHOUT ROWID;

-- One row, written to see whether the store can be written to.
CREATE TABLE pings (id INTEGER PRIMARY KEY, at INTEGER NOT NULL) STRICT;
INSERT INTO pings VALUES (1, 0);
