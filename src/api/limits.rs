//! The limits of a channel as `GET /v1/channels` shows them: what is in force, and how much of it is used.

use serde::Serialize;

use crate::config::settings::Channel;
use crate::delivery::ChannelOverview;
use crate::domain::{Code, DeliveryId, Timestamp};
use crate::store::{ChannelState, HeldKeys};

/// The state of a channel whose breaker holds its deliveries back.
pub(super) const BREAKER_OPEN: &str = "breaker_open";

impl ChannelOverview {
    /// The state as the API names it.
    pub(super) fn shown_state(&self) -> &'static str {
        let held = self.lane.breaker.is_some_and(|breaker| breaker.open_until.is_some() || breaker.probing);
        if self.state == ChannelState::Enabled && held { BREAKER_OPEN } else { self.state.as_str() }
    }
}

/// The limits of a channel.
#[derive(Serialize)]
pub(super) struct Limits {
    concurrency: Concurrency,
    /// `null`: none.
    rate_limit: Option<RateLimit>,
    /// `null`: none.
    breaker: Option<Breaker>,
    /// When the channel is disabled if its attempts go on failing; `null` while they do not, or without `disable_after`.
    disables_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct Concurrency {
    limit: usize,
    /// Fewer than `limit` while the channel starts slowly, after its breaker has closed or `/resume`.
    allowed: usize,
    in_use: usize,
}

#[derive(Serialize)]
struct RateLimit {
    rate: String,
    /// Attempts that may start now.
    left: u64,
}

#[derive(Serialize)]
struct Breaker {
    state: &'static str,
    /// Consecutive failures so far.
    failures: u32,
    /// Consecutive failures that open it.
    limit: u32,
    /// The code of the last failure.
    code: Option<Code>,
    open_until: Option<Timestamp>,
}

impl Limits {
    pub(super) fn of(channel: &Channel, overview: &ChannelOverview) -> Self {
        let (lane, holding) = (&overview.lane, &channel.holding);
        let breaker = lane.breaker.zip(holding.breaker).map(|(view, policy)| Breaker {
            state: match view.open_until {
                Some(_) => "open",
                None if view.probing => "probing",
                None => "closed",
            },
            failures: view.failures,
            limit: policy.failures,
            code: view.code,
            open_until: view.open_until,
        });
        let disables_at = overview.health.failing_since.zip(holding.disable_after);
        Self {
            concurrency: Concurrency { limit: channel.concurrency, allowed: lane.allowed, in_use: lane.in_flight },
            rate_limit: lane.pace.map(|(rate, left)| RateLimit { rate: rate.to_string(), left }),
            breaker,
            disables_at: disables_at.map(|(since, after)| since.after(after)),
        }
    }
}

/// What the keys of an ordered channel hold back.
#[derive(Serialize)]
pub(super) struct Held {
    /// Deliveries that wait for another one with their key; counted up to 10,000.
    deliveries: u64,
    /// Keys that a failed or rejected delivery holds; counted up to 10,000.
    keys: u64,
    /// The oldest of these.
    behind: Vec<HeldKey>,
}

#[derive(Serialize)]
struct HeldKey {
    key: String,
    /// The delivery that failed: retry, accept or cancel it.
    delivery_id: DeliveryId,
    /// Deliveries that wait for it.
    waiting: u64,
}

impl Held {
    pub(super) fn of(held: &HeldKeys) -> Self {
        let key = |held: &crate::store::HeldKey| HeldKey {
            key: held.key.clone(),
            delivery_id: held.delivery,
            waiting: held.waiting,
        };
        Self { deliveries: held.deliveries, keys: held.keys, behind: held.behind.iter().map(key).collect() }
    }
}
