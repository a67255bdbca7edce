//! The requests that recorded orders make by a configuration. Nothing is sent and nothing is stored.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::settings::Settings;
use crate::domain::{Clock, DeliveryId, Event, EventId, Exchange, Skip, Timestamp};
use crate::store::{Leased, NewDelivery, OnceConflict};

use super::attempt::Started;
use super::mail;
use super::preview::Previewer;
use super::sender::ChannelSender;

/// What a channel sends with. `Err` says why it cannot be built.
type Built = Result<Arc<ChannelSender>, String>;

/// Routes events and builds requests by a configuration that no service uses yet.
pub struct Planner {
    previewer: Previewer,
    senders: Mutex<HashMap<Arc<str>, Built>>,
}

/// A request that a delivery makes.
#[derive(Debug)]
pub struct Planned {
    /// The request, secrets masked, the body whole. `Err` says why it cannot be built.
    pub request: Result<Exchange, String>,
    /// Whether it can be compared with the request on record: it is neither a mail nor one of several deliveries.
    pub comparable: bool,
}

impl Planner {
    /// Plans by these settings, without a service and its store.
    pub fn alone(settings: Settings, clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self { previewer: Previewer::alone(settings, clock, seed), senders: Mutex::default() }
    }

    /// An id for an event that is not on record.
    pub fn event_id(&self) -> EventId {
        self.previewer.deps.ids.next()
    }

    /// Whether the configuration has a channel of that name.
    pub fn has(&self, channel: &str) -> bool {
        self.previewer.channels.contains_key(channel)
    }

    /// The deliveries that an event makes. `taken`: channels whose one-off for the event went to another one.
    pub fn route(&self, event: &Arc<Event>, taken: &OnceConflict) -> (Vec<NewDelivery>, Vec<Skip>) {
        let plan = self.previewer.deps.router().plan_without(event, event.at, event.at, taken);
        (plan.deliveries, plan.skipped)
    }

    /// Names the reason why channels that subscribe to an order's arrival alone get nothing of it.
    pub fn explain(&self, skipped: &mut [Skip], received: &Event, taken: &OnceConflict) {
        self.previewer.deps.router().explain(skipped, received, received.at, taken);
    }

    /// Builds the request of a delivery, as the delivery `known` and at the time of its attempt where there is one.
    pub async fn fill(&self, delivery: NewDelivery, known: Option<(DeliveryId, Timestamp)>) -> Planned {
        let sender = match self.sender(&delivery.channel) {
            Ok(sender) => sender,
            Err(error) => return Planned { request: Err(error), comparable: false },
        };
        let mut begun = Started::now(&self.previewer.deps);
        let id = known.map_or(delivery.id, |(id, _)| id);
        begun.started_at = known.map_or(begun.started_at, |(_, at)| at);
        let NewDelivery { channel, event, prepared, due_at, .. } = delivery;
        let leased = Leased { id, channel, event, prepared, due_at, attempts: 0, round_start: 0, lease: 0, slot: None };
        let together = sender.channel.schedule.as_ref().is_some_and(|schedule| schedule.bucket > 1);
        let comparable = !together && !mail::is_mail(&sender.channel, &leased);
        Planned { request: self.previewer.exchange(&sender, &leased, &begun).await, comparable }
    }

    fn sender(&self, name: &Arc<str>) -> Built {
        let mut senders = self.senders.lock();
        let Previewer { channels, settings, deps } = &self.previewer;
        let build = || {
            let channel = channels.get(name).ok_or_else(|| format!("channel {name:?} is not configured"))?;
            ChannelSender::new(channel, settings, &deps.clock).map(Arc::new)
        };
        senders.entry(Arc::clone(name)).or_insert_with(build).clone()
    }
}
