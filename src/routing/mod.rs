//! Which deliveries an event makes, and whether there is room for them in memory.
//!
//! [`Router::plan`] asks every channel in turn: switched on, the one of the order's relationship where it has
//! one, subscribed, `when`. A channel that gets nothing is
//! recorded with its reason. To add a condition, add its check to `verdict` and its name to
//! [`crate::domain::order::SkipReason`].

mod memory;
mod relationships;

use std::sync::Arc;

use crate::config::settings::{Channel, Relationships, Settings};
use crate::domain::order::SkipReason;
use crate::domain::{Event, IdSource, Skip, Timestamp};
use crate::store::NewDelivery;
use crate::template::{Places, Scope};

pub use memory::LaneMemory;

/// What an event makes.
#[derive(Debug, Default)]
pub struct Plan {
    /// A delivery for each channel that takes the event.
    pub deliveries: Vec<NewDelivery>,
    /// The other channels, and why they get nothing.
    pub skipped: Vec<Skip>,
}

/// Knows the channels.
pub struct Router {
    channels: Vec<Arc<Channel>>,
    places: Arc<Places>,
    ids: IdSource,
    memory: Arc<LaneMemory>,
    relationships: Option<Relationships>,
}

impl Router {
    /// A router over the channels of a configuration.
    pub fn new(settings: &Settings, ids: IdSource, memory: Arc<LaneMemory>) -> Self {
        Self {
            channels: settings.channels.clone(),
            places: Arc::new(Places {
                public_url: settings.server.public_url.clone(),
                customer_email: settings.orders.customer_email.clone(),
                items: settings.orders.items.clone(),
                product: settings.orders.product.clone(),
            }),
            ids,
            memory,
            relationships: settings.relationships.clone(),
        }
    }

    /// The names that templates about an event can use.
    pub fn scope(&self, event: &Event, now: Timestamp) -> Scope {
        Scope::new(event, &self.places, now)
    }

    /// Whether any channel would look at events of that type: spares making one that nobody takes.
    pub fn wants(&self, kind: &str) -> bool {
        self.channels.iter().any(|channel| channel.enabled && subscribed(channel, kind))
    }

    /// The deliveries of an event, each due at `due_at`. Those due by `now` are born with room in their lane while
    /// it has some; the rest waits in the store.
    pub fn plan(&self, event: &Arc<Event>, due_at: Timestamp, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let mut scope = None;
        let partner = self.relationships.as_ref().and_then(|known| relationships::channel(known, event));
        for channel in &self.channels {
            let skip = |reason, detail| Skip { channel: Arc::clone(&channel.name), reason, detail };
            match self.verdict(channel, event, partner, now, &mut scope) {
                Ok(()) => plan.deliveries.push(NewDelivery {
                    id: self.ids.next(),
                    channel: Arc::clone(&channel.name),
                    event: Arc::clone(event),
                    parcel: None,
                    due_at,
                    slot: if due_at <= now { self.memory.reserve(&channel.name, event) } else { None },
                }),
                Err((reason, detail)) => plan.skipped.push(skip(reason, detail)),
            }
        }
        plan
    }

    fn verdict(
        &self,
        channel: &Channel,
        event: &Event,
        partner: Option<&Arc<str>>,
        now: Timestamp,
        scope: &mut Option<Scope>,
    ) -> Result<(), (SkipReason, Option<String>)> {
        if !channel.enabled {
            return Err((SkipReason::Disabled, None));
        }
        if let Some(partner) = partner.filter(|partner| **partner != channel.name) {
            return Err((SkipReason::Relationship, Some(format!("goes to {partner}"))));
        }
        if !subscribed(channel, &event.kind) {
            return Err((SkipReason::Event, None));
        }
        if let Some(when) = &channel.when {
            let scope = scope.get_or_insert_with(|| self.scope(event, now));
            match when.holds(scope) {
                Ok(true) => {}
                Ok(false) => return Err((SkipReason::When, None)),
                Err(error) => return Err((SkipReason::When, Some(error.to_string()))),
            }
        }
        Ok(())
    }
}

fn subscribed(channel: &Channel, kind: &str) -> bool {
    channel.events.iter().any(|pattern| pattern.matches(kind))
}
