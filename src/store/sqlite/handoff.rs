//! New deliveries that a group of writes hands to the lanes once they are durable.

use std::sync::Arc;

use super::db::Terms;
use crate::domain::{DeliveryId, Timestamp};
use crate::store::{Leased, NewDelivery};

/// The new deliveries of a group of writes, handed over once the group is durable.
#[derive(Default)]
pub(super) struct Handoff {
    /// Deliveries that belong to this replica.
    pub(super) leased: Vec<Leased>,
    /// Channels and times of deliveries that belong to nobody.
    pub(super) waiting: Vec<(Arc<str>, Timestamp)>,
    /// Deliveries of the write at hand that were inserted as held.
    pub(super) held: Vec<DeliveryId>,
}

impl Handoff {
    /// Takes the deliveries that were inserted as leased, and notes the others; their slots are given back.
    pub(super) fn take(&mut self, deliveries: &mut Vec<NewDelivery>, terms: Terms) {
        for delivery in std::mem::take(deliveries) {
            if self.held.contains(&delivery.id) {
                continue;
            }
            if is_leased(&delivery, terms) {
                self.leased.push(Leased {
                    id: delivery.id,
                    channel: delivery.channel,
                    event: delivery.event,
                    prepared: delivery.prepared,
                    due_at: delivery.due_at,
                    attempts: 0,
                    round_start: 0,
                    lease: 1,
                    slot: delivery.slot,
                });
            } else {
                self.waiting.push((delivery.channel, delivery.due_at));
            }
        }
    }

    /// Notes deliveries that were inserted as waiting.
    pub(super) fn wait(&mut self, deliveries: &[NewDelivery]) {
        let waits = deliveries.iter().filter(|delivery| !self.held.contains(&delivery.id));
        self.waiting.extend(waits.map(|delivery| (Arc::clone(&delivery.channel), delivery.due_at)));
    }
}

/// Whether a new delivery is inserted as leased.
pub(super) fn is_leased(delivery: &NewDelivery, terms: Terms) -> bool {
    // It may have been made after its transaction began.
    let now = terms.now.max(delivery.id.time());
    terms.connected && delivery.slot.is_some() && delivery.due_at <= now
}
