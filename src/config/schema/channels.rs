//! Channels.

use std::time::Duration;

use crate::domain::HeaderSet;

use super::auth::AUTH;
use super::holding::{BREAKER, ORDERING};
use super::kinds::{Block, DAY, HOUR, Key, Kind, MILLISECOND, SECOND};
use super::mail::EMAIL;
use super::network::TLS;
use super::schedules::SCHEDULE;
use super::shared::{HEADERS, LOCALE, METHODS, NAME, POINTER, URL};

/// A channel.
pub(crate) static CHANNEL: Block = Block {
    title: "channels[]",
    doc: "A receiver of events. Keys that a channel leaves out come from its preset, key by key, also inside blocks; lists are replaced. `null` takes a preset's key away.",
    example: "\
channels:
  - name: erp
    events: [order.completed, order.rejected]
    when: order.total > 100
    url: https://erp.example.com/orders/{{ order.id }}
    parameters: {AccountId: \"{{ order.account.id }}\", source: shop, test: false}
    headers: {X-Shop: acme}
    timeout: {connect: 5s, transfer: 20s}
    retry: {attempts: 5, interval: 10m}
",
    keys: &[
        Key::new("name", NAME, "Its name. Unique.").required(),
        Key::new(
            "kind",
            Kind::Choice(&["http", "email"]),
            "How it delivers: by requests, or by mails of the event itself. Keys about requests are errors with `email`.",
        )
        .or("http"),
        Key::new(
            "preset",
            Kind::Text("the name of a preset"),
            "The preset it builds on. Without it, a channel of kind `email` builds on `email`.",
        )
        .or("standard"),
        Key::new("enabled", Kind::Boolean, "`false`: it gets nothing, and the record of every order says so.").or("true"),
        Key::new(
            "events",
            Kind::List(&EVENT),
            "The events it subscribes to. Below `order.`, `delivery.` and `channel.` only the product's own exist.",
        )
        .required(),
        Key::new("when", Kind::Expression, "Which of these events it gets. Without it: all."),
        Key::new(
            "filter",
            Kind::Text("a path filter such as Lines(Code=X).Price=10;Type=SALE"),
            "Which of these orders it gets, by conditions on their fields, joined by `;`. See `docs/filters.md`. Needs `granularity`.",
        ),
        Key::new(
            "granularity",
            Kind::Choice(&["ORDER", "OPERATIONS", "MOVEMENTS", "TICKETS"]),
            "How much of the order `filter` sees and the payload carries: no lists of records, the operations, their movements too, or all. Without it: all.",
        ),
        Key::new(
            "products",
            Kind::List(&Kind::Text("a product or plan, as text or a whole number")),
            "Only orders with one of these products or plans, found by `orders.product`; the delivery is about those items.",
        ),
        Key::new(
            "multibuy",
            Kind::Choice(&["single", "separate"]),
            "One delivery with the `quantity` of all items that the channel gets, or one delivery for each unit. Without it, quantities do not matter. A quantity that is not a whole number from 0 makes a delivery that fails immediately (-2000).",
        ),
        Key::new(
            "multibuy_limit",
            Kind::Integer(1, 1_000_000, "units"),
            "With `multibuy`: the units of one order that are sent. More units make one delivery that fails immediately (-2000).",
        )
        .or("1000"),
        Key::new(
            "once_per",
            POINTER,
            "A one-off: the first event with some value there makes its deliveries, later ones with the same value are skipped, permanently, whatever happened to the first delivery. An event without a value there is delivered.",
        ),
        Key::new("url", URL, "Where events are sent to. Needed, but for kind `email`."),
        Key::new("method", Kind::Choice(METHODS), "The HTTP method.").required(),
        Key::new(
            "methods",
            Kind::List(&Kind::Choice(METHODS)),
            "The methods that `method` may name: a preset says so. Without it: all.",
        ),
        Key::new(
            "format",
            Kind::Choice(&["json", "form", "xml"]),
            "How the body is written, and its `Content-Type`: `form` makes a field of each name at the top level, `xml` an element of each name.",
        )
        .or("json"),
        Key::new(
            "parameters",
            Kind::Map(&Kind::Parameter),
            "The request's fields, in this order: the body of POST, PUT and PATCH, the query of GET and DELETE.",
        ),
        Key::new(
            "default_parameters",
            Kind::Map(&Kind::Parameter),
            "The request's fields where `parameters` names none. Presets have them; blocks merge key by key, so a channel with its own `parameters` has only those.",
        ),
        Key::new(
            "body",
            Kind::Template,
            "Replaces the whole body. Once filled in it must be what `format` says: JSON, form fields or XML.",
        ),
        Key::new(
            "payload",
            Kind::Choice(&["envelope", "order", "parameters"]),
            "The body if there is neither `body` nor `parameters`: the order with context and metadata, the order as received, or an object without fields.",
        )
        .or("envelope"),
        Key::new(
            "empty_as_null",
            Kind::Boolean,
            "`true`: empty and missing values in `parameters` and `body` are sent as the text `null`, and so is a parameter whose template is empty.",
        )
        .or("false"),
        Key::new("headers", HEADERS, "Additional headers. Their values are templates."),
        Key::new(
            "syntax",
            Kind::Choice(&["jinja", "merge_fields", "placeholder"]),
            "How the templates of `url`, `parameters`, `body` and `headers` are written: `{{ order.id }}`, `<DataSource.Account.Id>` or `${orderId}`. See `docs/templates.md`.",
        )
        .or("jinja"),
        Key::new(
            "header_set",
            Kind::List(&Kind::Choice(HeaderSet::NAMES)),
            "Sets of headers by which a vendor's receivers trace requests. `zuora`: `Zuora-Request-Id` (32 hexadecimal digits, new for every request), `X-Amzn-Trace-Id` (the same id as a trace) and `Zuora-Notification-Id` (the delivery's id).",
        ),
        Key::new("locale", LOCALE, "How dates and date-times fill merge fields. Without it: as the top level says."),
        Key::new("url_rules", Kind::Block(&URL_RULES), "What a filled URL must satisfy, else the request is not sent."),
        Key::new("auth", AUTH, "How requests authenticate."),
        Key::new(
            "signing",
            Kind::Block(&SIGNING),
            "Signatures by which the receiver knows that a request is from here: the header `webhook-signature` (Standard Webhooks).",
        ),
        Key::new("tls", Kind::Block(&TLS), "Private authorities, and a client certificate."),
        Key::new("timeout", Kind::Block(&TIMEOUT), "The time limit of an attempt.").required(),
        Key::new(
            "max_response",
            Kind::Size(0, 16 << 20),
            "How much of a response is kept. The rest is read and dropped.",
        )
        .required(),
        Key::new(
            "require_text",
            Kind::Boolean,
            "Whether an accepted response must hold a text: not empty or only white space, valid in the charset of its `Content-Type` (UTF-8 without one), no NUL. Without a text it is tried again; a response above `max_response` is refused with code -7.",
        )
        .or("false"),
        Key::new(
            "outcomes",
            Kind::List(&Kind::Block(&RULE)),
            "What responses mean. The first rule that matches decides; where none does, the delivery failed.",
        )
        .required(),
        Key::new(
            "confirm_body",
            Kind::Boolean,
            "`true`: a 200 with `Content-Type: application/json` whose body says `\"success\": false` is tried again.",
        )
        .or("false"),
        Key::new("retry", Kind::Block(&RETRY), "How often and when an attempt is made again.").required(),
        Key::new(
            "limits",
            Kind::Block(&OWN_LIMITS),
            "The channel's own limits for `retry`, as a preset sets them. Those of the top level apply too.",
        ),
        Key::new("schedule", Kind::Block(&SCHEDULE), "When deliveries are sent. Without it: immediately."),
        Key::new("concurrency", Kind::Integer(1, 100_000, "attempts"), "The most attempts in flight for this channel.")
            .required(),
        Key::new(
            "rate_limit",
            Kind::Text("a rate such as 50/s, 600/m or 1000/h"),
            "The most attempts that start in a time, retries included. They are spread evenly: at most a quarter of a second's worth, but at least one, may start together.",
        ),
        Key::new(
            "ordering",
            ORDERING,
            "Which deliveries are sent one after the other. Without it: none, except that the units of `multibuy: separate` with an `email` are sent in sequence, and so are their mails.",
        ),
        Key::new("breaker", Kind::Block(&BREAKER), "When attempts stop because the receiver fails. Without it: never."),
        Key::new(
            "disable_after",
            Kind::Duration(SECOND, DAY.saturating_mul(365)),
            "The channel is disabled once every attempt has failed for this long. Without it: never.",
        ),
        Key::new(
            "promise",
            Kind::Duration(SECOND, DAY.saturating_mul(365)),
            "The time from an event to the accepted (or dispatched) end of its delivery. A delivery that misses it is `late`: in lists, in metrics, and by the event `delivery.late`. Without it: none is late.",
        ),
        Key::new("email", Kind::Block(&EMAIL), "The mails it sends. Without it: none."),
    ],
    either: &[],
};

const EVENT: Kind = Kind::Text(
    "order.received, order.completed, order.rejected, order.step_failed, delivery.failed, delivery.late, channel.failing, channel.disabled, channel.recovered, or a type posted to /v1/events; * stands for any characters",
);

static URL_RULES: Block = Block {
    title: "channels[].url_rules",
    doc: "What a URL must satisfy. What breaks a rule whatever is filled in is a configuration error; what breaks it once filled in ends the delivery with code -2000, and nothing is sent.",
    example: "\
channels:
  - name: billing
    url: https://billing.example.com/orders/{{ order.id }}
    url_rules: {https: true, port: false, max_length: 2048}
",
    keys: &[
        Key::new("https", Kind::Boolean, "`true`: only https.").or("false"),
        Key::new("port", Kind::Boolean, "`false`: no port in the URL, not even the usual one.").or("true"),
        Key::new(
            "max_length",
            Kind::Integer(16, 1 << 20, "characters"),
            "The longest URL as it is sent, its query included.",
        )
        .or("8192"),
    ],
    either: &[],
};

/// Who signs, or whose signatures are checked.
pub(super) static SIGNING: Block = Block {
    title: "signing and verify",
    doc: "Standard Webhooks (standardwebhooks.com): `v1` is HMAC-SHA256, `v1a` Ed25519, over `id.timestamp.body`. While a secret is changed, name the new one and the old one: a request carries a signature by each, and a request that comes in needs one that holds.",
    example: "\
server:
  verify: {secrets: [\"${ORDER_SYSTEM_SECRET}\"]}
channels:
  - name: crm
    url: https://crm.example.com/orders
    signing: {secrets: [\"${NEW_SECRET}\", \"${OLD_SECRET}\"]}
",
    keys: &[Key::new(
        "secrets",
        Kind::List(&Kind::Secret),
        "The secrets: `whsec_` and the base64 of 24 to 64 bytes, or `whsk_` and the base64 of an Ed25519 seed of 32 bytes (or of seed and public key). `verify` takes `whpk_` and the base64 of a public key too. A file has one in each line.",
    )
    .required()],
    either: &[],
};

/// The time limit of an attempt.
static TIMEOUT: Block = Block {
    title: "channels[].timeout",
    doc: "The time limit of an attempt: either `total`, or `connect` and `transfer`.",
    example: "\
channels:
  - name: slow
    url: https://slow.example.com/orders
    timeout: {total: 90s}
",
    keys: &[
        Key::new("total", LIMIT, "The longest time for the whole attempt."),
        Key::new("connect", LIMIT, "The longest time to connect, TLS included."),
        Key::new("transfer", LIMIT, "The longest time from then on, until the response is complete."),
    ],
    either: &[&["total"], &["connect", "transfer"]],
};

const LIMIT: Kind = Kind::Duration(MILLISECOND, HOUR);

static RULE: Block = Block {
    title: "channels[].outcomes[]",
    doc: "What some responses mean. Code -2000 (the request could not be built) and -8 (refused by the egress guard) fail before any rule.",
    example: "\
channels:
  - name: crm
    url: https://crm.example.com/orders
    outcomes:
      - {on: [200, 202], then: accepted}
      - {on: [400, 422], then: rejected}
      - {on: [429, 5xx, timeout, error], then: retry}
      - {on: [any], then: failed}
",
    keys: &[
        Key::new(
            "on",
            Kind::List(&Kind::Class(true)),
            "The responses: `auth` is credentials refused, `timeout` time run out, `error` no usable response for another reason.",
        )
        .required(),
        Key::new(
            "then",
            Kind::Choice(&["accepted", "dispatched", "rejected", "failed", "retry", "disable"]),
            "What the delivery becomes: `dispatched` waits for the receiver to say more, `retry` is tried again, `disable` failed and disables the channel.",
        )
        .required(),
    ],
    either: &[],
};

static OWN_LIMITS: Block = Block {
    title: "channels[].limits",
    doc: "Limits for the channel's `retry`. They can only be stricter than those of the top level.",
    example: "\
channels:
  - name: crm
    url: https://crm.example.com/orders
    limits: {max_attempts: 5, max_interval: 24h}
    retry: {attempts: 5, interval: 1h}
",
    keys: &[
        Key::new("max_attempts", Kind::Integer(1, 1000, "attempts"), "The most attempts."),
        Key::new(
            "max_interval",
            Kind::Duration(MILLISECOND, DAY.saturating_mul(365)),
            "The longest wait between two attempts; also the longest that a `Retry-After` is heeded.",
        ),
    ],
    either: &[],
};

/// How often and when.
static RETRY: Block = Block {
    title: "channels[].retry",
    doc: "How often and when an attempt is made: with `interval` or `schedule`. A channel with a `schedule` of its own needs neither: each of its runs is an attempt.",
    example: "\
channels:
  - name: crm
    url: https://crm.example.com/orders
    retry: {attempts: 4, schedule: [10s, 1m, 10m], jitter: 0.2}
",
    keys: &[
        Key::new(
            "attempts",
            Kind::Integer(1, 1000, "attempts"),
            "Attempts in all, the first one included. At most `limits.max_attempts`.",
        )
        .required(),
        Key::new("interval", WAIT, "The wait between two attempts. At most `limits.max_interval`."),
        Key::new(
            "schedule",
            Kind::List(&WAIT),
            "The waits one after another; the last one goes on. Each at most `limits.max_interval`.",
        ),
        Key::new("jitter", Kind::Number(0.0, 1.0), "The share by which a wait is made longer or shorter at random.")
            .or("0"),
        Key::new(
            "respect_retry_after",
            Kind::Boolean,
            "Whether a receiver's `Retry-After` can make a wait longer, up to `limits.max_interval`.",
        )
        .or("true"),
        Key::new(
            "from",
            Kind::Choice(&["end", "start"]),
            "Which moment of the attempt before a wait counts from. From its `start`, an attempt that takes longer than the wait is followed immediately.",
        )
        .or("end"),
    ],
    either: &[&["interval"], &["schedule"]],
};

const WAIT: Kind = Kind::Duration(Duration::ZERO, DAY.saturating_mul(365));
