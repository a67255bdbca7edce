//! Chains, their steps, and the options of each plugin.

use super::auth::AUTH;
use super::kinds::{Block, Key, Kind};
use super::network::TLS;
use super::shared::{HEADERS, METHODS, NAME, POINTER, URL};

/// A chain.
pub(crate) static CHAIN: Block = Block {
    title: "chains[]",
    doc: "Plugins that run one after another when an order comes in, before its events are delivered.",
    example: "\
chains:
  - name: new-orders
    when: order.type in [\"new\", \"renew\"]
    plugins:
      - name: calloutPlugin
        critical: true
        options: {endpoint: \"https://accounts.example.com/users\", shouldRejectOn: {status: [404]}}
",
    keys: &[
        Key::new("name", NAME, "Its name. Unique.").required(),
        Key::new("when", Kind::Expression, "Which orders take it. Without it: all."),
        Key::new("plugins", Kind::List(&Kind::Block(&STEP)), "Its steps, in order.").required(),
    ],
    either: &[],
};

/// A step of a chain.
pub(crate) static STEP: Block = Block {
    title: "chains[].plugins[]",
    doc: "A step of a chain. As JSON is YAML, a block of JSON can be pasted in as it is.",
    example: "\
chains:
  - name: all
    plugins:
      - {\"critical\": true, \"name\": \"calloutPlugin\", \"options\": {\"endpoint\": \"https://example.com/check\"}}
      - name: calloutPlugin
        id: billing
        when: order.total > 0
        options: {endpoint: \"https://billing.example.com/accounts\"}
",
    keys: &[
        Key::new("name", Kind::Choice(PLUGINS), "The plugin.").required(),
        Key::new(
            "id",
            Kind::Text("a name of letters, digits, - and _"),
            "The step's name in the journal and in `context`. Unique within the chain. Without it: the plugin's name and the step's position, counted from 1, such as `calloutPlugin-2`.",
        ),
        Key::new(
            "when",
            Kind::Expression,
            "Whether the step runs. Where it does not hold, the step is skipped, on record.",
        ),
        Key::new(
            "critical",
            Kind::Boolean,
            "`true`: a failure rejects the order. `false`: a failure is recorded and the chain continues.",
        )
        .or("false"),
        Key::new("options", Kind::Options, "The plugin's own keys.").required(),
    ],
    either: &[],
};

/// The plugins.
pub(crate) const PLUGINS: &[&str] = &["calloutPlugin"];

/// The options of `calloutPlugin`.
pub(crate) static CALLOUT: Block = Block {
    title: "options of calloutPlugin",
    doc: "Sends the order to an endpoint and waits for the response.",
    example: "\
chains:
  - name: all
    plugins:
      - name: calloutPlugin
        id: billing
        critical: true
        options:
          endpoint: https://billing.example.com/accounts
          body: '{\"accountNumber\": \"{{ order.customer.id }}\"}'
          headers: {X-Tenant: acme}
          auth: {type: bearer, token: \"${BILLING_TOKEN}\"}
          timeoutValue: 5000
          shouldRejectOn: {status: [404, 5xx]}
          capture: {accountId: /account/id}
",
    keys: &[
        Key::new("endpoint", URL, "Where the order is sent to.").required(),
        Key::new("method", Kind::Choice(METHODS), "The HTTP method.").or("POST"),
        Key::new("body", Kind::Template, "A JSON document that replaces the payload."),
        Key::new(
            "payload",
            Kind::Choice(&["envelope", "order"]),
            "The body without `body`: `envelope` is the order with context and metadata, `order` the order as it came.",
        )
        .or("envelope"),
        Key::new("headers", HEADERS, "Additional headers. Their values are templates."),
        Key::new("auth", AUTH, "How requests authenticate."),
        Key::new("tls", Kind::Block(&TLS), "Private authorities, and a client certificate."),
        Key::new(
            "timeoutValue",
            Kind::Integer(1, 3_600_000, "milliseconds"),
            "The longest time for the whole exchange. Past it the step fails.",
        )
        .or("2000"),
        Key::new("shouldRejectOn", Kind::Block(&REJECT_ON), "Which responses make the step fail. Any other passes."),
        Key::new(
            "capture",
            Kind::Map(&POINTER),
            "Names and where their values are in the response's JSON: `accountId: /account/id` makes `context.accountId`.",
        ),
    ],
    either: &[],
};

static REJECT_ON: Block = Block {
    title: "shouldRejectOn",
    doc: "Which responses make a callout fail.",
    example: "",
    keys: &[Key::new("status", Kind::List(&Kind::Class(false)), "The statuses.")],
    either: &[],
};
