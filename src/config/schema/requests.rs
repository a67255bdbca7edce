//! What requests of chains and channels have in common.

use super::{Block, Key, Kind};

/// Headers and the templates that fill them.
pub(crate) const HEADERS: Kind = Kind::Map(&Kind::Template);

/// The ways to prove who sends a request.
pub(crate) const AUTH: Kind =
    Kind::Variants(&[("none", &NONE), ("basic", &BASIC), ("bearer", &BEARER), ("header", &HEADER)]);

const TYPE: Key = Key::new("type", Kind::Text("none, basic, bearer or header"), "Which kind this is.").required();

static NONE: Block = Block {
    title: "auth {type: none}",
    doc: "No authentication: what holds without an `auth` block.",
    example: "",
    keys: &[TYPE],
    either: &[],
};

static BASIC: Block = Block {
    title: "auth {type: basic}",
    doc: "HTTP Basic (RFC 7617), in UTF-8.",
    example: "\
channels:
  - name: erp
    url: https://erp.example.com/orders
    auth: {type: basic, username: shop, password: \"${ERP_PASSWORD}\", preemptive: true}
",
    keys: &[
        TYPE,
        Key::new("username", Kind::Text("text without a colon"), "The user.").required(),
        Key::new("password", Kind::Secret, "The password.").required(),
        Key::new(
            "preemptive",
            Kind::Boolean,
            "`true` sends the credentials with the first request; `false` waits for the receiver to ask for them.",
        )
        .or("false"),
    ],
    either: &[],
};

static BEARER: Block = Block {
    title: "auth {type: bearer}",
    doc: "A bearer token (RFC 6750) in the `Authorization` header.",
    example: "\
channels:
  - name: crm
    url: https://crm.example.com/orders
    auth: {type: bearer, token: \"${CRM_TOKEN}\"}
",
    keys: &[TYPE, Key::new("token", Kind::Secret, "The token.").required()],
    either: &[],
};

static HEADER: Block = Block {
    title: "auth {type: header}",
    doc: "A secret in a header of your choice.",
    example: "\
channels:
  - name: stock
    url: https://stock.example.com/orders
    auth: {type: header, name: X-Api-Key, value: \"${STOCK_KEY}\"}
",
    keys: &[
        TYPE,
        Key::new("name", Kind::Text("the name of an HTTP header"), "The header.").required(),
        Key::new("value", Kind::Secret, "Its value.").required(),
    ],
    either: &[],
};
