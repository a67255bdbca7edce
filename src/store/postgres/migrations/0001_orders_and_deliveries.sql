-- Keys. `seq` is an id's rising 63-bit key (see src/domain/ids.rs) and `rest` what else of the id is not fixed; both together are
-- the id. The rows of the large tables lie in the order in which they came, and a time is a range of keys: one partition holds
-- the rows of one day (see `partitions`). Times are milliseconds since 1970 in UTC, by the clock of the replica that wrote them;
-- only `replicas.alive_until` goes by the server's clock.
--
-- An index that is to be read in the order of its keys has them as `(seq + 0)`, and queries ask for that: so the planner cannot
-- take the primary key, which is in that order too, and read it from end to end.
--
-- Orders, events, deliveries and attempts are inserted once and never updated. A delivery that is accepted by its first attempt
-- has no row but these. What must wait, or ends in any other way, has a row in `states`.

-- Every channel that ever had a delivery or a state, so that rows name it by a small number.
CREATE TABLE channels (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL UNIQUE,
    state        text,              -- paused, disabled; NULL: enabled
    state_at     bigint,            -- who changed the state, when and why; NULL: it is enabled
    state_author text,
    state_reason text,
    last_run     bigint,            -- of its schedule; NULL: it never had one
    health       text,              -- how the channel fares: JSON; NULL: it never made an attempt
    owner        bigint             -- the replica that alone delivers for a channel with a rate limit; NULL: none
);

-- Processes that work on the store.
CREATE TABLE replicas (
    id          bigint PRIMARY KEY,
    number      smallint NOT NULL UNIQUE,   -- in the keys that it makes
    alive_until timestamptz NOT NULL,
    watermark   bigint NOT NULL,            -- every delivery born leased to it with a lower key has ended or has a row in `states`
    started_at  timestamptz NOT NULL,
    version     text NOT NULL,
    ended       boolean NOT NULL DEFAULT false  -- whether it stopped by itself, with nothing under way
);

-- One row for each connection of a replica: the number of its last commit. What a replica does on its own account begins by writing
-- it: a replica that was declared dead has no row any more, so that it writes nothing. And it says whether a commit whose answer
-- was lost took place.
CREATE TABLE commits (
    replica    bigint NOT NULL,
    connection smallint NOT NULL,
    number     bigint NOT NULL,
    PRIMARY KEY (replica, connection)
) WITH (fillfactor = 20);

-- The highest key that replicas with each number may have made.
CREATE TABLE replica_numbers (
    number  smallint PRIMARY KEY,
    used_to bigint NOT NULL
);

-- The partitions of the large tables: keys from `first` up to, but not including, `next`.
CREATE TABLE partitions (
    first bigint PRIMARY KEY,
    next  bigint NOT NULL
);

CREATE TABLE orders (
    seq         bigint NOT NULL PRIMARY KEY,
    rest        bigint NOT NULL,
    status      smallint NOT NULL,  -- when it came in: 1 processing, 2 completed. Later: see processing and order_ends
    received_at bigint NOT NULL,
    kind        text NOT NULL,
    chain       text,
    order_id    text,               -- NULL: the order has no id of its own, the server's serves
    email       text,               -- the customer's, in lower case
    key         text,               -- in `idempotency`
    skipped     text,               -- JSON; NULL: none
    deliveries  bigint[],           -- keys of the deliveries that came with it
    arrival     text,               -- the caller's trace, the attributes of a CloudEvent: JSON; NULL: nothing
    body        bytea NOT NULL
) PARTITION BY RANGE (seq);
CREATE INDEX orders_by_own_id ON orders (order_id, (seq + 0)) WHERE order_id IS NOT NULL;
CREATE INDEX orders_by_email ON orders (email, (seq + 0)) WHERE email IS NOT NULL;

-- Orders whose chain has not ended.
CREATE TABLE processing (
    seq     bigint PRIMARY KEY,
    chain   text,
    owner   bigint,                 -- the replica that works on it; NULL: none
    resumed integer NOT NULL
);
CREATE INDEX processing_free ON processing (chain, seq) WHERE owner IS NULL;
CREATE INDEX processing_owned ON processing (owner) WHERE owner IS NOT NULL;

-- The steps of chains, as they end.
CREATE TABLE steps (
    order_seq bigint NOT NULL,
    position  integer NOT NULL,
    record    text NOT NULL,        -- JSON
    context   text,                 -- the order's from then on, JSON; NULL: as before
    PRIMARY KEY (order_seq, position)
) PARTITION BY RANGE (order_seq);

-- How chains ended.
CREATE TABLE order_ends (
    seq        bigint NOT NULL PRIMARY KEY,
    status     smallint NOT NULL,   -- 2 completed, 3 rejected
    ended_at   bigint NOT NULL,
    skipped    text,                -- JSON; NULL: none
    context    text,                -- JSON; NULL: {}
    deliveries bigint[]             -- keys of the deliveries that came with the end
) PARTITION BY RANGE (seq);
CREATE INDEX order_ends_rejected ON order_ends ((seq + 0)) WHERE status = 3;

-- Events that belong to no order.
CREATE TABLE events (
    seq         bigint NOT NULL PRIMARY KEY,
    rest        bigint NOT NULL,
    received_at bigint NOT NULL,
    kind        text NOT NULL,
    chain       text,
    order_id    text,               -- NULL: the event's id
    key         text,               -- in `idempotency`
    own_key     text,               -- the key of the event's own id there
    deliveries  bigint[],           -- keys of the deliveries that came with it
    arrival     text,
    body        bytea NOT NULL
) PARTITION BY RANGE (seq);

CREATE TABLE idempotency (
    key      text PRIMARY KEY,
    digest   bytea NOT NULL,        -- SHA-256 of the request's body
    status   integer,               -- of the answer; NULL: not answered yet
    location text,
    body     bytea
);

-- The webhook-id of each signed request that was accepted, as long as its signature holds: it is taken once.
CREATE TABLE signed_requests (
    id      text PRIMARY KEY,
    expires bigint NOT NULL
);
CREATE INDEX signed_requests_expire ON signed_requests (expires);

CREATE TABLE deliveries (
    seq          bigint NOT NULL PRIMARY KEY,
    rest         bigint NOT NULL,
    channel      integer NOT NULL,
    origin       bigint NOT NULL,   -- above 0: orders.seq; below 0: events.seq, negated
    late         bigint,            -- the origin once more, where neither its row nor its end lists the delivery
    born         bigint,            -- the replica to which it was born leased, with the lease number 1; NULL: it has a row in `states`
    due_at       bigint NOT NULL,
    event_id     bytea,             -- NULL: the origin's id
    event_type   text,              -- NULL: the origin's kind
    event_at     bigint NOT NULL,
    step         text,
    context      text,              -- JSON; NULL: {}
    steps        text,              -- of the chain that had ended when the event happened: JSON; NULL: none
    parcel       text,              -- JSON: what it carries of the event; NULL: all of it
    mail         text,              -- the text that it mails; NULL: it is no such mail
    ordering_key text,
    promised_at  bigint             -- when its channel's promise ends; NULL: there is none
) PARTITION BY RANGE (seq);
CREATE INDEX deliveries_late ON deliveries (late) WHERE late IS NOT NULL;

-- Deliveries that wait, are under way for a further time, or have ended otherwise than by being accepted at once.
CREATE TABLE states (
    delivery     bigint PRIMARY KEY,
    channel      integer NOT NULL,
    state        smallint NOT NULL, -- pending: -1 held in the line of its key, 0 waits for its first attempt, 1 for a further one,
                                    -- 2 leased by `owner`; 3 accepted, 4 dispatched, 5 rejected, 6 failed, 7 cancelled
    owner        bigint,
    lease        bigint NOT NULL,   -- the number of its lease, raised at each lease, cancel and retry: what names an older one is fenced
    attempts     integer NOT NULL,
    round_start  integer NOT NULL,  -- attempts made before the present round
    due_at       bigint NOT NULL,
    updated_at   bigint NOT NULL,
    last_code    integer,
    early_state  smallint,          -- a receiver's verdict that came before its response was recorded, and the lease of that attempt
    early_lease  bigint,
    ordering_key text,
    place        bigint,            -- of a delivery with a key: in the order in which such deliveries became durable
    in_line      boolean NOT NULL DEFAULT false, -- in the line of its key: until it has ended, or, where a failure holds the key,
                                    -- until a person has settled it. One in a line at most is claimable or leased
    promised_at  bigint,            -- while the promise is neither kept nor broken
    broke_promise boolean NOT NULL DEFAULT false,
    cause        bigint             -- in `causes`, where it has failed or was rejected
) WITH (fillfactor = 80);
CREATE INDEX states_by_state ON states (state, (delivery + 0)) WHERE state <> 3;
CREATE INDEX states_waiting ON states (channel, state, due_at, delivery) WHERE state < 2;
CREATE INDEX states_leased ON states (owner) WHERE state = 2;
CREATE INDEX states_in_line ON states (channel, ordering_key, state, place) WHERE in_line;
CREATE INDEX states_closing ON states (channel, (delivery + 0)) WHERE in_line AND state > 4;
CREATE INDEX states_promised ON states (promised_at) WHERE promised_at IS NOT NULL;
CREATE INDEX states_past_promise ON states ((delivery + 0)) WHERE broke_promise;
CREATE INDEX states_by_cause ON states (cause, (delivery + 0)) WHERE cause IS NOT NULL;
CREATE INDEX states_by_code ON states (last_code, (delivery + 0)) WHERE last_code < 200 OR last_code > 299;

CREATE SEQUENCE places;

CREATE TABLE attempts (
    delivery      bigint NOT NULL,
    number        integer NOT NULL,
    id            bytea,            -- NULL: no attempt, but the mark that a delivery born leased has a row in `states` now
    started_at    bigint NOT NULL,
    duration_ms   bigint NOT NULL,
    code          integer NOT NULL,
    outcome       text NOT NULL,
    error         text,
    exchange      text NOT NULL,    -- JSON: method, URL, headers
    request_head  bytea,            -- the body, or what stands in front of the order in it
    request_tail  bytea,            -- what stands behind the order; NULL: the body stands by itself
    response_body bytea,
    PRIMARY KEY (delivery, number)
) PARTITION BY RANGE (delivery);

-- What people and receivers did to deliveries: who, when and why. The newest hundred of a delivery are kept.
CREATE TABLE verdicts (
    delivery bigint NOT NULL,
    number   integer NOT NULL,
    at       bigint NOT NULL,
    act      text NOT NULL,
    author   text,                  -- a token's name, or receiver; NULL: no token was needed
    reason   text,
    PRIMARY KEY (delivery, number)
);

-- Why deliveries failed: one row for each channel, code and likeness of the response, as long as a delivery is in it.
CREATE TABLE causes (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel  integer NOT NULL,
    code     integer NOT NULL,      -- of the last attempt; 0: none was made
    likeness text NOT NULL,
    open     bigint NOT NULL,       -- deliveries in it
    first_at bigint NOT NULL,
    last_at  bigint NOT NULL,
    UNIQUE (channel, code, likeness)
);

-- One-offs that a channel had: kept for ever, whatever retention removes.
CREATE TABLE onces (
    channel integer NOT NULL,
    value   text NOT NULL,
    origin  bigint NOT NULL,        -- as in `deliveries`: what made the delivery
    PRIMARY KEY (channel, value)
);

-- Deliveries that were under way when their replica died, until an attempt of theirs has ended.
CREATE TABLE suspects (
    delivery bigint PRIMARY KEY,
    crashes  integer NOT NULL,      -- in how many such deaths
    begun    boolean NOT NULL       -- whether an attempt is under way since then
);

-- What callers changed. `seq` is a key as of an id made at that time, so a time is a range of keys.
CREATE TABLE audit (
    seq      bigint PRIMARY KEY,
    at       bigint NOT NULL,
    act      text NOT NULL,
    author   text,                  -- a token's name; NULL: no token was needed
    reason   text,
    channel  text,
    delivery text,
    order_id text,
    filter   text,                  -- JSON
    detail   text,                  -- JSON
    count    bigint
);

-- One row: the secret that the keys of accept URLs are derived from, made with the schema.
CREATE TABLE secrets (id integer PRIMARY KEY CHECK (id = 1), bytes bytea NOT NULL);
INSERT INTO secrets VALUES (1, decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));

-- One row, written to see whether the store can be written to.
CREATE TABLE pings (id integer PRIMARY KEY, at bigint NOT NULL);
INSERT INTO pings VALUES (1, 0);

-- Deliveries as they are now. A delivery without a row in `states` is accepted once its first attempt is there; until then it
-- belongs to the replica to which it was born.
CREATE VIEW delivery_states AS
    SELECT d.seq, d.rest, coalesce(s.channel, d.channel) AS channel, d.origin, d.event_id, d.event_type, d.parcel,
        CASE WHEN s.delivery IS NULL THEN d.ordering_key ELSE s.ordering_key END AS ordering_key,
        coalesce(s.state, CASE WHEN a.delivery IS NULL THEN 2 ELSE 3 END)::smallint AS state,
        coalesce(s.attempts, a.number, 0) AS attempts,
        coalesce(s.due_at, d.due_at) AS due_at,
        coalesce(s.updated_at, a.started_at + a.duration_ms, d.seq >> 15) AS updated_at,
        coalesce(s.last_code, a.code) AS last_code,
        coalesce(s.broke_promise, false) AS broke_promise,
        s.cause
    FROM deliveries d
        LEFT JOIN states s ON s.delivery = d.seq
        LEFT JOIN attempts a ON a.delivery = d.seq AND a.number = 1 AND s.delivery IS NULL;
