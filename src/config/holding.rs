//! How a channel's deliveries are held back: ordering, pace, breaker, and what failure in a row and lateness come to.

use std::time::Duration;

use super::field::Field;
use super::node::Data;
use super::read::Reader;
use super::words;
use crate::domain::{AfterFailure, BreakerPolicy, OrderingKey, OrderingPolicy, Rate, Schedule};

/// What holds a channel's deliveries back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holding {
    /// `ordering`; `None`: deliveries do not wait for each other.
    pub ordering: Option<OrderingPolicy>,
    /// `rate_limit`: the pace of attempts.
    pub rate_limit: Option<Rate>,
    /// `breaker`.
    pub breaker: Option<BreakerPolicy>,
    /// `disable_after`: the time with every attempt failing after which the channel is disabled.
    pub disable_after: Option<Duration>,
    /// `promise`: the time from an event to the end of its delivery, past which the delivery is late.
    pub promise: Option<Duration>,
}

/// Reads the keys. `mails_units` says that the responses about an order's units are mailed: in sequence, unless `ordering`
/// says otherwise.
pub(crate) fn holding(block: &Reader<'_>, schedule: Option<&Schedule>, mails_units: bool) -> Option<Holding> {
    let in_sequence = OrderingPolicy { by: OrderingKey::Units, after_failure: AfterFailure::Continue };
    let ordering = match block.get("ordering") {
        Some(field) => ordering(field, schedule),
        None => Some(mails_units.then_some(in_sequence)),
    };
    let rate_limit = block.optional("rate_limit", |field| field.text_as(|text| text.parse().ok()));
    let breaker = block.optional("breaker", |field| {
        let block = field.block()?;
        let failures = block.get("failures").and_then(Field::integer);
        let cooldown = block.get("cooldown").and_then(Field::duration);
        Some(BreakerPolicy { failures: failures?, cooldown: cooldown? })
    });
    let disable_after = block.optional("disable_after", Field::duration);
    let promise = block.optional("promise", Field::duration);
    Some(Holding {
        ordering: ordering?,
        rate_limit: rate_limit?,
        breaker: breaker?,
        disable_after: disable_after?,
        promise: promise?,
    })
}

#[expect(clippy::option_option, reason = "wrong is not the same as absent")]
fn ordering(field: &Field<'_>, schedule: Option<&Schedule>) -> Option<Option<OrderingPolicy>> {
    let policy = if let Data::Map(_) = field.node().data {
        let block = field.inner_block()?;
        let by = block.get("by").and_then(key);
        let after_failure = block.get("after_failure").and_then(|field| {
            field.choice(|word| AfterFailure::ALL.iter().copied().find(|after| after.as_str() == word))
        });
        OrderingPolicy { by: by?, after_failure: after_failure? }
    } else {
        let by = match field.text_as(|text| Some(text.to_owned()))?.as_str() {
            "none" => return Some(None),
            "order" => OrderingKey::Order,
            "channel" => OrderingKey::Channel,
            text if text.starts_with('/') => {
                return field.wrong_with(&format!("a pointer goes into a block: {{by: {text}}}"));
            }
            text => return field.wrong_name(text, ["none", "order", "channel"]),
        };
        OrderingPolicy { by, after_failure: AfterFailure::Continue }
    };
    if policy.by == OrderingKey::Channel && schedule.is_some_and(|schedule| schedule.bucket > 1) {
        field.fault(
            "found channel next to schedule.bucket: a bucket holds no two deliveries of one key, so each would hold one; \
             order by order or a pointer, or take bucket: 1",
        );
        return None;
    }
    Some(Some(policy))
}

fn key(field: &Field<'_>) -> Option<OrderingKey> {
    match field.text()? {
        "order" => Some(OrderingKey::Order),
        "channel" => Some(OrderingKey::Channel),
        text if text.is_empty() || !text.starts_with('/') => field.wrong(),
        _ => words::pointer(field).map(OrderingKey::Pointer),
    }
}
