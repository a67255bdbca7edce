//! Mail: the server, and what a channel writes.

use super::kinds::{Block, Key, Kind};

/// The mail server.
pub(crate) static SMTP: Block = Block {
    title: "smtp",
    doc: "The mail server. Needed once a channel sends e-mail. The values here are never shown. See [mail](mail.md).",
    example: "\
smtp:
  url: smtp+starttls://mail.example.com:587
  from: Shop <orders@example.com>
  username: shop
  password: \"${SMTP_PASSWORD}\"
",
    keys: &[
        Key::new(
            "url",
            Kind::Text("smtp://, smtp+starttls:// or smtps:// with a host and perhaps a port"),
            "`smtps://`: TLS from the first byte, port 465. `smtp+starttls://`: TLS by STARTTLS, which the server must offer, port 587. `smtp://`: no TLS, port 25.",
        )
        .required(),
        Key::new(
            "from",
            Kind::Text("one e-mail address, such as orders@example.com or Shop <orders@example.com>"),
            "The sender of mails.",
        )
        .required(),
        Key::new(
            "username",
            Kind::Text("text"),
            "The user, if the server requires one (PLAIN or LOGIN). Only with `smtps://`, `smtp+starttls://` or a server on this machine.",
        ),
        Key::new("password", Kind::Secret, "The password."),
        Key::new(
            "ca_file",
            Kind::Text("the path of a PEM file with certificates"),
            "Certificates to trust in addition to the system's.",
        ),
        Key::new(
            "hello_name",
            Kind::Text("a host name"),
            "The name that the service gives in EHLO. Without it: the domain of `from`.",
        ),
    ],
    either: &[],
};

/// A channel's mails.
pub(crate) static EMAIL: Block = Block {
    title: "channels[].email",
    doc: "Mail. A channel of kind `http` sends the text of each accepted response to the customer; a channel of kind `email` sends the event itself. A channel without this block sends none. See [mail](mail.md).",
    example: "\
smtp: {url: \"smtp://localhost:1025\", from: \"Shop <orders@example.com>\"}
channels:
  - name: license
    url: https://license.example.com/keys
    email:
      to: \"{{ customer_email }}\"
      subject: Your license for order {{ order.id }}
      instructions: <p>Paste this key at the first start.</p>
  - name: back-office
    kind: email
    events: [order.rejected]
    email:
      to: sales@example.com
      subject: Order {{ order.id }} was rejected
      body: |
        **{{ order.customer.name }}** wanted {{ order.total }}.
",
    keys: &[
        Key::new(
            "to",
            Kind::Template,
            "The recipient: one address. Without it: the customer's, by `orders.customer_email`.",
        ),
        Key::new(
            "subject",
            Kind::Template,
            "The subject, one line. Without it, in a channel of kind `http`: `Your order {{ order.id }}`.",
        ),
        Key::new(
            "body",
            Kind::Template,
            "The text of a channel of kind `email`, which needs it: Markdown, HTML in it sanitised. Filled-in values appear literally.",
        ),
        Key::new(
            "instructions",
            Kind::Template,
            "HTML in front of the response, in a channel of kind `http`; sanitised. Filled-in values appear literally.",
        ),
    ],
    either: &[],
};

/// The keys of a channel that mean something for kind `email`.
pub(crate) const EMAIL_KEYS: &[&str] = &[
    "name",
    "kind",
    "preset",
    "enabled",
    "events",
    "when",
    "filter",
    "granularity",
    "products",
    "multibuy",
    "once_per",
    "multibuy_limit",
    "syntax",
    "locale",
    "timeout",
    "outcomes",
    "retry",
    "limits",
    "schedule",
    "rate_limit",
    "concurrency",
    "ordering",
    "breaker",
    "disable_after",
    "promise",
    "email",
];
