//! What a write gave birth to: told to the lanes once it is durable.

use std::sync::Arc;

use super::births::Placed;
use crate::domain::Timestamp;
use crate::store::{Handover, Leased, NewDelivery};

/// Deliveries that are durable now.
#[derive(Default)]
pub(super) struct Handoff {
    leased: Vec<Leased>,
    /// Channels and times of deliveries that belong to nobody.
    waiting: Vec<(Arc<str>, Timestamp)>,
}

impl Handoff {
    /// Takes over those that are leased, and notes the others; their slots are given back.
    pub(super) fn take(&mut self, deliveries: Vec<NewDelivery>, placed: &[Placed]) {
        for (delivery, placed) in deliveries.into_iter().zip(placed) {
            match placed {
                Placed::Leased => self.leased.push(Leased {
                    id: delivery.id,
                    channel: delivery.channel,
                    event: delivery.event,
                    prepared: delivery.prepared,
                    due_at: delivery.due_at,
                    attempts: 0,
                    round_start: 0,
                    lease: 1,
                    slot: delivery.slot,
                }),
                Placed::Waiting => self.waiting.push((delivery.channel, delivery.due_at)),
                Placed::Held => {}
            }
        }
    }

    /// Notes a delivery that can be claimed now.
    pub(super) fn waits(&mut self, channel: Arc<str>, due_at: Timestamp) {
        self.waiting.push((channel, due_at));
    }

    /// Tells the lanes of this process, and returns what the other replicas are to know: the earliest time of each channel.
    pub(super) fn tell(self, lanes: Option<&Arc<dyn Handover>>) -> Vec<(Arc<str>, Timestamp)> {
        if let Some(lanes) = lanes {
            if !self.leased.is_empty() {
                lanes.hand_over(self.leased);
            }
            for (channel, at) in &self.waiting {
                lanes.waiting(channel, *at);
            }
        }
        let mut earliest: Vec<(Arc<str>, Timestamp)> = Vec::new();
        for (channel, at) in self.waiting {
            match earliest.iter_mut().find(|(known, _)| *known == channel) {
                Some((_, known)) => *known = at.min(*known),
                None => earliest.push((channel, at)),
            }
        }
        earliest
    }
}
