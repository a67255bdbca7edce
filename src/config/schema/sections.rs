//! The top level and its small sections.

use std::time::Duration;

use super::auth::OAUTH_PROVIDER;
use super::chains::CHAIN;
use super::channels::{CHANNEL, SIGNING};
use super::kinds::{Block, DAY, HOUR, Key, Kind, MILLISECOND};
use super::mail::SMTP;
use super::network::EGRESS;
use super::relationships::RELATIONSHIPS;
use super::shared::{LOCALE, NAME, POINTER};

/// The top level of a file.
pub(crate) static ROOT: Block = Block {
    title: "The top level",
    doc: "Every section may be left out. An empty section changes nothing.",
    example: "",
    keys: &[
        Key::new("server", Kind::Block(&SERVER), "The HTTP server and who may call it."),
        Key::new("store", Kind::Block(&STORE), "Where orders and deliveries are kept."),
        Key::new("delivery", Kind::Block(&DELIVERY), "Bounds over all channels and chains."),
        Key::new("egress", Kind::Block(&EGRESS), "What outbound connections may reach."),
        Key::new("smtp", Kind::Block(&SMTP), "The mail server, needed once a channel sends e-mail."),
        Key::new("orders", Kind::Block(&ORDERS), "Where an order says what it is."),
        Key::new(
            "oauth_providers",
            Kind::List(&Kind::Block(&OAUTH_PROVIDER)),
            "Providers of tokens that channels choose by name.",
        ),
        Key::new(
            "chains",
            Kind::List(&Kind::Block(&CHAIN)),
            "Callouts that run before an order is completed. The first chain whose `when` holds runs; an order that matches none runs no plugins.",
        ),
        Key::new(
            "locale",
            LOCALE,
            "How dates and date-times fill merge fields (`syntax: merge_fields`). Without it: as received. A channel may have its own.",
        ),
        Key::new("channels", Kind::List(&Kind::Block(&CHANNEL)), "Where events are delivered, and how."),
        Key::new("relationships", Kind::Block(&RELATIONSHIPS), "Which channel an order's trading partners use."),
        Key::new("template", Kind::Block(&TEMPLATE), "How long templates and conditions may run."),
        Key::new("telemetry", Kind::Block(&TELEMETRY), "Where traces of orders are sent."),
        Key::new("limits", Kind::Block(&LIMITS), "Limits that no channel may exceed."),
    ],
    either: &[],
};

/// A rate.
const RATE: Kind = Kind::Text("a rate such as 50/s, 600/m or 1000/h, of 1 to 4294967295");

static SERVER: Block = Block {
    title: "server",
    doc: "The HTTP server. Without tokens it listens on a loopback address only.",
    example: "\
server:
  listen: 0.0.0.0:8080
  public_url: https://orders.example.com
  max_body: 256KiB
  tokens:
    - {name: shop, token: \"${SHOP_TOKEN}\", scopes: [ingest]}
",
    keys: &[
        Key::new(
            "listen",
            Kind::Text("an IP address and a port, such as 127.0.0.1:8080 or [::]:8080"),
            "The address to listen on. Port 0 takes any free port. Anything but a loopback address needs `tokens`.",
        )
        .or("127.0.0.1:8080")
        .at_start(),
        Key::new(
            "public_url",
            Kind::Text("an http or https URL without query, user name or password"),
            "The base of the links that receivers get. A slash at its end is dropped. Without it `http://localhost` with the port of `listen`, or the address of `listen` where it is one that others can reach.",
        ),
        Key::new(
            "hosts",
            Kind::List(&Kind::Text("a host name or IP address without scheme and port, such as orders.internal")),
            "Further names under which callers reach this server. `localhost`, loopback addresses, the address of `listen` and the host of `public_url` are always among them. Without `tokens`, and where this list is set, a request for another host gets 421, and one that a page of another site sends gets 403.",
        ),
        Key::new("max_body", Kind::Size(1, 1 << 30), "The largest request body. A larger order gets 413.").or("1MiB"),
        Key::new("max_depth", Kind::Integer(1, 128, "levels"), "The deepest nesting of lists and objects in a JSON body.")
            .or("128"),
        Key::new(
            "request_timeout",
            Kind::Duration(MILLISECOND, HOUR),
            "The longest time for a whole ingest request, its chain included. Past it the caller gets 202 and the order goes on.",
        )
        .or("60s"),
        Key::new("header_timeout", Kind::Duration(MILLISECOND, HOUR), "The longest time for a request's head to arrive.")
            .or("10s"),
        Key::new("body_timeout", Kind::Duration(MILLISECOND, HOUR), "The longest time for a request's body to arrive.")
            .or("30s"),
        Key::new(
            "max_connections",
            Kind::Integer(1, 1_000_000, "connections"),
            "The most connections open at the same time. Further ones wait to be accepted.",
        )
        .or("10000"),
        Key::new(
            "drain_delay",
            Kind::Duration(Duration::ZERO, HOUR),
            "How long the service keeps serving after SIGTERM while `/readyz` returns 503, so that a load balancer sends no more before it stops.",
        )
        .or("0s"),
        Key::new(
            "shutdown_grace",
            Kind::Duration(Duration::ZERO, HOUR),
            "How long a stop waits for attempts under way.",
        )
        .or("30s"),
        Key::new(
            "tokens",
            Kind::List(&Kind::Block(&TOKEN)),
            "The bearer tokens of the API. Without any, everybody who can connect may call.",
        ),
        Key::new(
            "verify",
            Kind::Block(&SIGNING),
            "Secrets that orders and events must be signed with (Standard Webhooks: `webhook-id`, `webhook-timestamp` within 5 minutes, `webhook-signature`). Others get 401. Without it, no signature is required.",
        ),
    ],
    either: &[],
};

static TOKEN: Block = Block {
    title: "server.tokens[]",
    doc: "A bearer token of the API.",
    example: "\
server:
  tokens:
    - {name: shop, token: \"${SHOP_TOKEN}\", scopes: [ingest], rate_limit: 500/s}
    - {name: support, token: \"${SUPPORT_TOKEN}\", scopes: [manage]}
",
    keys: &[
        Key::new("name", NAME, "Its name in logs. Unique.").required(),
        Key::new("token", Kind::Secret, "The token: printable ASCII without spaces. Two names cannot share one.").required(),
        Key::new(
            "scopes",
            Kind::List(&Kind::Choice(&["ingest", "read", "manage"])),
            "Its permissions: `ingest` posts orders and events, `read` reads, `manage` changes and reads. At least one.",
        )
        .required(),
        Key::new(
            "rate_limit",
            RATE,
            "Requests with this token to `POST /v1/orders` and `POST /v1/events`; a batch is one. After a rest a burst of that many is allowed, then requests at that rate; others get 429 with `Retry-After`. Without it: any number.",
        ),
    ],
    either: &[],
};

static STORE: Block = Block {
    title: "store",
    doc: "Where orders and deliveries are kept: a SQLite file, created when there is none; or a PostgreSQL database, for several replicas.",
    example: "\
store:
  url: sqlite:///var/lib/orderhook/orderhook.db
  retention: 90d
  max_size: 20GiB
",
    keys: &[
        Key::new(
            "url",
            Kind::Text("sqlite:// and a file's path, such as sqlite://orderhook.db, or postgres://USER@HOST/DATABASE"),
            "The file; a path without a slash in front is relative to where the service was started. Or a PostgreSQL database (14 or later) as libpq names it: several hosts with commas, of which the one is used that can be written to, and the parameters `sslmode` and `sslrootcert`.",
        )
        .or("sqlite://orderhook.db")
        .at_start(),
        Key::new("password", Kind::Secret, "The password of the PostgreSQL user, where `url` has none. It is never shown, also where it stands in `url`.")
            .at_start(),
        Key::new(
            "connect_timeout",
            Kind::Duration(Duration::ZERO, Duration::from_secs(3600)),
            "How long a start waits for PostgreSQL; `/readyz` says 503 meanwhile.",
        )
        .or("30s")
        .at_start(),
        Key::new(
            "connections",
            Kind::Integer(4, 1000, "connections"),
            "The most connections of this process to PostgreSQL.",
        )
        .or("8")
        .at_start(),
        Key::new(
            "retention",
            Kind::Duration(Duration::ZERO, DAY.saturating_mul(36_500)),
            "How long completed orders and their attempts are kept. 0 keeps all.",
        )
        .or("30d"),
        Key::new(
            "max_size",
            Kind::Size(64 << 10, 1 << 50),
            "The most that the database, its write-ahead log and its ballast may take together. An order that does not fit gets 503; an eighth is kept for the results of deliveries. Without it only the disk is the bound.",
        )
        .at_start(),
    ],
    either: &[],
};

static DELIVERY: Block = Block {
    title: "delivery",
    doc: "Bounds over all channels and chains.",
    example: "\
delivery:
  workers: 256
  lane_memory: 8MiB
",
    keys: &[
        Key::new("workers", Kind::Integer(1, 100_000, "attempts"), "The most attempts in flight over all channels.")
            .or("512"),
        Key::new(
            "lane_memory",
            Kind::Size(1 << 10, 1 << 34),
            "Memory for the waiting deliveries of one channel. The rest waits in the store.",
        )
        .or("4MiB"),
        Key::new(
            "chain_concurrency",
            Kind::Integer(1, 1_000_000, "orders"),
            "Orders of one chain that run concurrently while their caller waits, and as many again in the background. Further ones wait, in the store once their caller has its answer.",
        )
        .or("1024"),
    ],
    either: &[],
};

static ORDERS: Block = Block {
    title: "orders",
    doc: "Where an order says what it is. An order can be any JSON object.",
    example: "\
orders:
  id: /orderNumber
  type: /kind
  customer_email: /contact/email
",
    keys: &[
        Key::new("id", POINTER, "The order's own id. Where it is missing, the server's own id serves.").or("/id"),
        Key::new("type", POINTER, "The order's type. Where it is missing: `order`.").or("/type"),
        Key::new("items", POINTER, "The list of the order's items. An order without one is its own single item.")
            .or("/items"),
        Key::new("quantity", POINTER, "Within an item: how many units of it. Where it is missing: 1.").or("/quantity"),
        Key::new(
            "product",
            Kind::List(&POINTER),
            "Within an item, else within the order: the product or plan, text or a number. The first that is there counts.",
        )
        .or("[/product_id, /plan_id]"),
        Key::new("customer_email", POINTER, "The customer's address, `customer_email` in templates.")
            .or("/customer/email"),
    ],
    either: &[],
};

static TEMPLATE: Block = Block {
    title: "template",
    doc: "How long templates and conditions may run. Their work and their results are bounded too: see [security](security.md).",
    example: "\
template:
  timeout: 20ms
",
    keys: &[Key::new(
        "timeout",
        Kind::Duration(MILLISECOND, Duration::from_secs(10)),
        "The longest processor time for filling in one template, or for one `when`. Past it the delivery fails with code -2000, or the callout's step fails.",
    )
    .or("50ms")],
    either: &[],
};

static TELEMETRY: Block = Block {
    title: "telemetry",
    doc: "Where traces of orders are sent. See [operations](operations.md#traces).",
    example: "\
telemetry:
  otlp:
    endpoint: http://localhost:4318
    headers: {x-api-key: \"${TRACES_KEY}\"}
    sample: 0.01
",
    keys: &[Key::new(
        "otlp",
        Kind::Block(&OTLP),
        "The collector of traces, by OTLP over HTTP with JSON. Without it no spans are recorded.",
    )
    .at_start()],
    either: &[],
};

static OTLP: Block = Block {
    title: "telemetry.otlp",
    doc: "A collector of traces: one trace for each order and each event that was posted.",
    example: "",
    keys: &[
        Key::new(
            "endpoint",
            Kind::Text("an http or https URL, such as http://localhost:4318"),
            "The base URL of the collector; `/v1/traces` is added where it does not end so. The egress rules do not apply to it.",
        )
        .required(),
        Key::new("headers", Kind::Map(&Kind::Secret), "Further headers of the requests to the collector. Their values are never shown."),
        Key::new(
            "sample",
            Kind::Number(0.0, 1.0),
            "The share of traces that is recorded, chosen by the trace id. A trace whose caller did not sample it is not recorded.",
        )
        .or("1.0"),
    ],
    either: &[],
};

static LIMITS: Block = Block {
    title: "limits",
    doc: "Limits that no channel may exceed. A channel that asks for more is an error.",
    example: "\
limits:
  max_attempts: 10
  max_interval: 12h
",
    keys: &[
        Key::new("max_attempts", Kind::Integer(1, 1000, "attempts"), "The most attempts that a channel may ask for.")
            .or("20"),
        Key::new(
            "max_interval",
            Kind::Duration(MILLISECOND, DAY.saturating_mul(365)),
            "The longest wait between two attempts; also the longest that a `Retry-After` is heeded.",
        )
        .or("24h"),
    ],
    either: &[],
};
