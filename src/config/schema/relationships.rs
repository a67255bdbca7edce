//! Relationships: who trades with whom, and over which channel.

use super::kinds::{Block, Key, Kind};
use super::shared::{NAME, POINTER};

/// Relationships.
pub(crate) static RELATIONSHIPS: Block = Block {
    title: "relationships",
    doc: "Which channel the orders of two trading partners go to. Sender, receiver and type of an order make its relationship; the most specific route that fits names the channel, else `default_channel` does. The order's events go only to that channel, if it subscribes to them; the other channels are skipped with the reason `relationship`. An order that has none of the three has no relationship, and one that no route fits, without a default channel, follows the subscriptions too.",
    example: "\
relationships:
  sender: /sender/isaId
  receiver: /receiver/isaId
  type: /type/name
  default_channel: erp
  routes:
    - {sender: ACME, receiver: SHOP, type: 850_PURCHASE_ORDER, channel: acme-po}
    - {sender: ACME, channel: acme}
channels:
  - {name: erp, preset: orderful, url: https://erp.example.com/transactions}
  - {name: acme, preset: orderful, url: https://acme.example.com/transactions}
  - {name: acme-po, preset: orderful, url: https://acme.example.com/purchase-orders}
",
    keys: &[
        Key::new("sender", POINTER, "Where an order names its sender."),
        Key::new("receiver", POINTER, "Where it names its receiver."),
        Key::new("type", POINTER, "Where it names its type. One of these three at least."),
        Key::new("default_channel", NAME, "The channel of a relationship that no route fits."),
        Key::new(
            "routes",
            Kind::List(&Kind::Block(&ROUTE)),
            "The channels of some relationships. Of the routes that fit, the one that names the most counts; of several that name as many, the first.",
        ),
    ],
    either: &[],
};

static ROUTE: Block = Block {
    title: "relationships.routes[]",
    doc: "The channel of the relationships that it fits. What it leaves out may be anything. Compared as text, numbers as written in the order.",
    example: "",
    keys: &[
        Key::new("sender", VALUE, "The sender."),
        Key::new("receiver", VALUE, "The receiver."),
        Key::new("type", VALUE, "The type. One of these three at least."),
        Key::new("channel", NAME, "The channel.").required(),
    ],
    either: &[],
};

const VALUE: Kind = Kind::Text("text, as it stands in the order");
