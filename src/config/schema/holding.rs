//! How a channel's deliveries are held back: ordering, breaker.

use super::kinds::{Block, DAY, Key, Kind, MILLISECOND};

/// `ordering`.
pub(super) const ORDERING: Kind = Kind::WordOr(&["none", "order", "channel"], &ORDERING_BLOCK);

static ORDERING_BLOCK: Block = Block {
    title: "channels[].ordering",
    doc: "Which deliveries are sent one after the other. The next delivery with the same key starts only when the one before has ended: accepted, dispatched, rejected, failed for good, or cancelled. The sequence is that of acceptance, and holds across restarts and reloads. `order` and `channel` alone are short for `{by: order}` and `{by: channel}`. See `docs/delivery.md`.",
    example: "\
channels:
  - name: ledger
    url: https://ledger.example.com/bookings
    ordering: {by: /account/id, after_failure: hold}
",
    keys: &[
        Key::new(
            "by",
            Kind::Text("order, channel, or a JSON pointer such as /account/id"),
            "What deliveries of one sequence have in common: the order's own id, the channel, or the value at a pointer into the order. A delivery without a text, number or truth value there is sent by itself.",
        )
        .required(),
        Key::new(
            "after_failure",
            Kind::Choice(&["continue", "hold"]),
            "What follows a delivery that is rejected or has failed: the next one, or nothing until a person retries, accepts or cancels it.",
        )
        .or("continue"),
    ],
    either: &[],
};

/// `breaker`.
pub(super) static BREAKER: Block = Block {
    title: "channels[].breaker",
    doc: "Stops a channel whose receiver fails: after `failures` consecutive failures (no response, a timeout, 5xx or 429) nothing is sent for `cooldown`, and no attempt is used up. Then one delivery is tried; if it fails too, the wait doubles, up to ten times `cooldown`. Any other response closes the breaker. Codes that say nothing about the receiver do not count: -8, -9, -2000. `null`: no breaker.",
    example: "\
channels:
  - name: crm
    url: https://crm.example.com/orders
    breaker: {failures: 5, cooldown: 1m}
",
    keys: &[
        Key::new("failures", Kind::Integer(1, 1_000_000, "failures"), "Consecutive failures that open it.").or("10"),
        Key::new("cooldown", Kind::Duration(MILLISECOND, DAY), "How long it stays open before the first probe.")
            .or("30s"),
    ],
    either: &[],
};
