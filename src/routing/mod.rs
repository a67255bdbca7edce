//! Which deliveries an event makes, and whether there is room for them in memory.
//!
//! [`Router::plan`] asks every channel in turn: switched on, the one of the order's relationship where it has
//! one, subscribed, `when`; then which part of the event it gets (`products.rs`). A channel that gets nothing is
//! recorded with its reason. To add a condition, add its check to `verdict` and its name to
//! [`crate::domain::order::SkipReason`].

mod admission;
mod products;
mod relationships;

use std::sync::Arc;

use crate::config::settings::{Channel, Orders, Relationships, Settings};
use crate::domain::order::SkipReason;
use crate::domain::{Event, IdSource, PreparedDelivery, Skip, Timestamp, pointer};
use crate::store::{NewDelivery, Once, OnceConflict};
use crate::system;
use crate::telemetry::metrics::Metrics;
use crate::template::{Bounds, Places, Scope};

pub use admission::{LaneMemory, Scan};
use products::Lines;

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
    orders: Orders,
    ids: IdSource,
    memory: Arc<LaneMemory>,
    relationships: Option<Relationships>,
    metrics: Arc<Metrics>,
}

impl Router {
    /// A router over the channels of a configuration.
    pub fn new(settings: &Settings, ids: IdSource, memory: Arc<LaneMemory>, metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            channels: settings.channels.clone(),
            places: Arc::new(Places {
                public_url: settings.server.public_url.clone(),
                customer_email: settings.orders.customer_email.clone(),
                items: settings.orders.items.clone(),
                product: settings.orders.product.clone(),
                bounds: Bounds::new(settings.template_timeout, system::thread_time),
            }),
            orders: settings.orders.clone(),
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

    /// Checks that the trading partners of the event's order can be read. An order whose partners cannot goes to no
    /// channel.
    pub fn check_partners(&self, event: &Event) -> Result<(), String> {
        self.partner(event).map(|_| ())
    }

    /// The channel of the order's relationship.
    fn partner(&self, event: &Event) -> Result<Option<&Arc<str>>, String> {
        self.relationships.as_ref().map_or(Ok(None), |known| relationships::channel(known, event))
    }

    /// The deliveries of an event, each due at `due_at`, or at the first run behind it where its channel has a schedule.
    /// Those due by `now` are born with room in their lane while
    /// it has some; the rest waits in the store.
    pub fn plan(&self, event: &Arc<Event>, due_at: Timestamp, now: Timestamp) -> Plan {
        self.plan_without(event, due_at, now, &Vec::new())
    }

    /// The same once the store has said which channels had their one-off before.
    pub fn plan_without(&self, event: &Arc<Event>, due_at: Timestamp, now: Timestamp, taken: &OnceConflict) -> Plan {
        let mut plan = Plan::default();
        let (mut scope, mut lines) = (None, None);
        let partner = self.partner(event);
        for channel in &self.channels {
            // What a schedule sends waits in the store for its run.
            let wanted_at = due_at;
            let due_at = channel.schedule.as_ref().map_or(due_at, |schedule| schedule.run_for(due_at, now));
            let share = self.verdict(channel, event, &partner, now, &mut scope);
            let mut deliver = |prepared: Option<PreparedDelivery>, once: Option<&Arc<Once>>| {
                plan.deliveries.push(NewDelivery {
                    id: self.ids.next(),
                    channel: Arc::clone(&channel.name),
                    event: Arc::clone(event),
                    prepared: prepared.map(Arc::new),
                    once: once.cloned(),
                    due_at,
                    ordering_key: channel.holding.ordering.as_ref().and_then(|ordering| ordering.key(event)),
                    promised_at: channel.holding.promise.map(|promise| event.at.max(wanted_at).after(promise)),
                    slot: if due_at <= now { self.memory.reserve(&channel.name, event) } else { None },
                });
            };
            match share.and_then(|()| self.share(channel, event, &mut lines, taken)) {
                Ok(Share { prepared: None, once }) => deliver(None, once.as_ref()),
                Ok(Share { prepared: Some(prepared), once }) => {
                    for prepared in prepared {
                        deliver(Some(prepared), once.as_ref());
                    }
                }
                Err((reason, detail)) => {
                    // Counted once, not again when one-offs make the plan a second one.
                    let unclear = detail.is_some() && matches!(reason, SkipReason::When | SkipReason::Filter);
                    if unclear && taken.is_empty() {
                        self.metrics.channel(&channel.name).condition_error();
                    }
                    plan.skipped.push(Skip { channel: Arc::clone(&channel.name), reason, detail });
                }
            }
        }
        plan
    }

    /// `skipped` by an order's end: a channel that subscribes to its arrival alone is told why it got nothing of that.
    pub fn explain(&self, skipped: &mut [Skip], received: &Event, now: Timestamp, taken: &OnceConflict) {
        let (mut scope, mut lines) = (None, None);
        let partner = self.partner(received);
        for skip in skipped.iter_mut().filter(|skip| skip.reason == SkipReason::Event) {
            let channel = self.channels.iter().find(|channel| channel.name == skip.channel);
            let Some(channel) = channel.filter(|channel| subscribed(channel, &received.kind)) else { continue };
            let verdict = self.verdict(channel, received, &partner, now, &mut scope);
            if let Err((reason, detail)) = verdict.and_then(|()| self.share(channel, received, &mut lines, taken)) {
                (skip.reason, skip.detail) = (reason, detail);
            }
        }
    }

    /// What an event would make for a channel whatever the channel's conditions say, and what they say against it.
    pub fn preview(
        &self,
        channel: &Channel,
        event: &Event,
        now: Timestamp,
    ) -> (Vec<Option<PreparedDelivery>>, Option<Skip>) {
        let verdict = self.verdict(channel, event, &self.partner(event), now, &mut None);
        let (prepared, said) = match self.share(channel, event, &mut None, &Vec::new()) {
            Ok(Share { prepared: None, .. }) => (vec![None], None),
            Ok(Share { prepared: Some(prepared), .. }) => (prepared.into_iter().map(Some).collect(), None),
            Err(said) => (Vec::new(), Some(said)),
        };
        let skip = |(reason, detail)| Skip { channel: Arc::clone(&channel.name), reason, detail };
        (prepared, verdict.err().or(said).map(skip))
    }

    /// The deliveries of an event to that channel alone, whatever its conditions and its one-offs say. They wait in the
    /// store.
    pub fn deliver_to(&self, name: &str, event: &Arc<Event>, now: Timestamp) -> Result<Vec<NewDelivery>, NoDelivery> {
        let channel = self.channels.iter().find(|channel| *channel.name == *name).ok_or(NoDelivery::Unknown)?;
        if !channel.enabled {
            return Err(NoDelivery::Disabled);
        }
        let (prepared, skipped) = self.preview(channel, event, now);
        if prepared.is_empty() {
            return Err(NoDelivery::Nothing(skipped.and_then(|skip| skip.detail)));
        }
        let due_at = channel.schedule.as_ref().map_or(now, |schedule| schedule.run_for(now, now));
        let delivery = |prepared: Option<PreparedDelivery>| NewDelivery {
            id: self.ids.next(),
            channel: Arc::clone(&channel.name),
            event: Arc::clone(event),
            prepared: prepared.map(Arc::new),
            once: None,
            due_at,
            ordering_key: channel.holding.ordering.as_ref().and_then(|ordering| ordering.key(event)),
            promised_at: channel.holding.promise.map(|promise| now.after(promise)),
            slot: None,
        };
        Ok(prepared.into_iter().map(delivery).collect())
    }

    /// What of an event a channel gets that takes it.
    fn share(
        &self,
        channel: &Channel,
        event: &Event,
        lines: &mut Option<Lines>,
        taken: &OnceConflict,
    ) -> Result<Share, (SkipReason, Option<String>)> {
        let mut share = Share::default();
        if channel.items.is_none() && channel.once_per.is_none() {
            return Ok(share);
        }
        let order = std::str::from_utf8(&event.subject.body).unwrap_or_default();
        if let Some(items) = &channel.items {
            let lines = lines.get_or_insert_with(|| Lines::read(order, &self.orders));
            share.prepared = Some(lines.prepare(items).map_err(|detail| (SkipReason::Product, detail))?);
        }
        if let Some(place) = &channel.once_per
            && let Some(value) = once_value(order, place)
        {
            if taken.iter().any(|(name, id)| *name == channel.name && *id == event.id) {
                let short: String = value.chars().take(80).collect();
                return Err((SkipReason::OncePer, Some(format!("{place} {short:?} had its delivery before"))));
            }
            // What only fails leaves the one-off to an event that can be sent.
            let sent = |prepared: &Vec<PreparedDelivery>| prepared.iter().any(|prepared| prepared.fault.is_none());
            share.once = Some(Arc::new(Once { value, takes: share.prepared.as_ref().is_none_or(sent) }));
        }
        Ok(share)
    }

    fn verdict(
        &self,
        channel: &Channel,
        event: &Event,
        partner: &Result<Option<&Arc<str>>, String>,
        now: Timestamp,
        scope: &mut Option<Scope>,
    ) -> Result<(), (SkipReason, Option<String>)> {
        if !channel.enabled {
            return Err((SkipReason::Disabled, None));
        }
        match partner {
            Err(unreadable) => return Err((SkipReason::Relationship, Some(unreadable.clone()))),
            Ok(Some(partner)) if **partner != channel.name => {
                return Err((SkipReason::Relationship, Some(format!("goes to {partner}"))));
            }
            Ok(_) => {}
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
        if let Some(filter) = &channel.filter {
            let scope = scope.get_or_insert_with(|| self.scope(event, now));
            match filter.holds(scope, channel.granularity.unwrap_or_default()) {
                Ok(true) => {}
                Ok(false) => return Err((SkipReason::Filter, None)),
                Err(error) => return Err((SkipReason::Filter, Some(error.to_string()))),
            }
        }
        Ok(())
    }
}

/// Why an event makes no delivery for a channel that was asked for by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoDelivery {
    /// The channel is not configured.
    Unknown,
    /// The channel is switched off in the configuration.
    Disabled,
    /// None of the order's items are for the channel; why, where that is known.
    Nothing(Option<String>),
}

/// What of an event a channel gets.
#[derive(Default)]
struct Share {
    /// A delivery for each of these; `None`: one delivery of the whole.
    prepared: Option<Vec<PreparedDelivery>>,
    /// What makes them a one-off.
    once: Option<Arc<Once>>,
}

/// The value by which a channel's delivery is a one-off: text as it is, anything else as its JSON.
fn once_value(order: &str, place: &str) -> Option<String> {
    let found = pointer::find(order, place).filter(|found| *found != "\"\"")?;
    Some(pointer::plain(found).map_or_else(|| found.to_owned(), std::borrow::Cow::into_owned))
}

fn subscribed(channel: &Channel, kind: &str) -> bool {
    channel.events.iter().any(|pattern| pattern.matches(kind))
}
