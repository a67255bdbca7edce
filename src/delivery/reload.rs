//! How the lanes take up a configuration, the first one or another.
//!
//! A lane outlives what its channel is configured to do: it keeps its queue, its count of attempts under way, its runs
//! and its state, and only what further attempts are made with is exchanged. So nothing that it holds changes hands, a
//! channel never has more attempts under way than it is allowed, and a channel that has not changed notices nothing.
//! The lane of a channel that is gone stays as well, switched off: what was on its way to it then goes back to the
//! store, as from a paused one.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::join_all;

use crate::config::Named;
use crate::config::settings::{Channel, Settings};
use crate::routing::Router;
use crate::store::ChannelState;

use super::health::Record;
use super::lane::Lane;
use super::lanes::{Known, Lanes, LanesError};
use super::sender::ChannelSender;

/// What a configuration needs of the lanes, built and ready.
pub struct Prepared {
    /// Of channels that are new or have changed.
    senders: Vec<ChannelSender>,
    removed: Vec<Arc<str>>,
    /// What is kept of channels that are not simply enabled.
    states: HashMap<Arc<str>, ChannelState>,
    /// How the channels fared, as it was kept.
    health: HashMap<Arc<str>, String>,
}

impl Lanes {
    /// Builds what the channels need that are new or have changed. After an `Err` nothing has changed.
    pub async fn prepare(&self, settings: &Settings, changes: &Named) -> Result<Prepared, LanesError> {
        let context = &self.context;
        let concerned =
            |channel: &&Arc<Channel>| changes.added.contains(&channel.name) || changes.changed.contains(&channel.name);
        let senders = settings.channels.iter().filter(concerned);
        let senders: Vec<_> = senders.map(|channel| ChannelSender::new(channel, settings, &context.clock)).collect();
        let senders = senders.into_iter().collect::<Result<Vec<_>, _>>().map_err(LanesError::Build)?;
        let states = context.store.queue.channel_states().await?;
        let health = context.store.queue.health().await?.into_iter().collect();
        let known = self.known.load();
        let new = settings.channels.iter().filter(|channel| !known.all.contains_key(&channel.name)).count();
        // Lanes stay on their threads, also those whose channels are gone.
        self.threads().grow(known.all.len() + new, context).map_err(LanesError::Build)?;
        Ok(Prepared { senders, removed: changes.removed.clone(), states: states.into_iter().collect(), health })
    }

    /// Uses that configuration from now on. Orders may be routed by it once this has returned, and by the one before as long as
    /// somebody does.
    pub async fn take_over(self: &Arc<Self>, settings: &Settings, prepared: Prepared, router: Arc<Router>) {
        let Prepared { senders, removed, states, health } = prepared;
        let (context, before) = (&self.context, self.known.load_full());
        let order: Vec<_> = settings.channels.iter().map(|channel| Arc::clone(&channel.name)).collect();
        context.memory.reload(order.iter().cloned(), settings.delivery.lane_memory);
        let mut all = before.all.clone();
        let mut new = Vec::new();
        for name in &order {
            all.entry(Arc::clone(name)).or_insert_with(|| {
                let record = health.get(name).map(|kept| Record::read(name, kept)).unwrap_or_default();
                let lane = Arc::new(Lane::new(name, self.metrics.channel(name), self.pool.lane(), record));
                new.push(Arc::clone(&lane));
                lane
            });
        }
        let known = Arc::new(Known { all, order });
        let enabled = settings.channels.iter().filter(|channel| channel.enabled);
        let workers: Vec<_> =
            enabled.filter_map(|channel| known.all.get(&channel.name)).map(|lane| &lane.workers).collect();
        let reserved = settings.delivery.worker_share(workers.len()).unwrap_or(0);
        self.pool.share(settings.delivery.workers, reserved, &workers);
        // Before anything is handed over to a lane it has to be known.
        self.known.store(Arc::clone(&known));
        context.deps.route_by(router);
        let memory = settings.delivery.lane_memory;
        for sender in senders {
            let Some(lane) = known.all.get(&sender.channel.name) else { continue };
            let _switching = lane.switching.lock().await;
            let (was_on, is_on) = (lane.sender().map(|before| before.channel.enabled), sender.channel.enabled);
            let ordering = sender.channel.holding.ordering.as_ref();
            self.orderings.lock().insert(Arc::clone(&lane.name), ordering.map(|ordering| ordering.after_failure));
            lane.configure(sender);
            if was_on != Some(is_on) {
                self.switch(lane, is_on, states.get(&lane.name).copied());
            }
        }
        known.ordered().for_each(|lane| lane.set_memory(memory));
        for name in &removed {
            if let Some(lane) = known.all.get(name) {
                let _switching = lane.switching.lock().await;
                context.memory.set_open(name, false);
                lane.retire();
            }
        }
        {
            let mut threads = self.threads();
            for lane in new {
                threads.drive(lane);
            }
        }
        // A store that is slow holds up no reload.
        let lanes = Arc::clone(self);
        tokio::spawn(async move { lanes.store_orderings().await });
    }

    /// Has the store apply the `ordering` of channels to deliveries that were inserted by another one. What it does not take is tried
    /// again with the next heartbeat.
    pub async fn store_orderings(&self) {
        let orderings = std::mem::take(&mut *self.orderings.lock());
        let queue = &self.context.store.queue;
        let apply = orderings.into_iter().map(|(channel, after_failure)| async move {
            (queue.set_ordering(Arc::clone(&channel), after_failure).await, channel, after_failure)
        });
        for (applied, channel, after_failure) in join_all(apply).await {
            if let Err(error) = applied {
                tracing::error!(channel = &*channel, %error, "the ordering of pending deliveries could not be changed, trying again");
                self.orderings.lock().entry(channel).or_insert(after_failure);
            }
        }
    }

    /// A channel is switched on, or off, by the configuration. On, it is as it was left; off, what it still holds stays
    /// pending until it is on again.
    fn switch(&self, lane: &Lane, on: bool, kept: Option<ChannelState>) {
        let kept = kept.unwrap_or(ChannelState::Enabled);
        let state = if !on && kept == ChannelState::Enabled { ChannelState::Disabled } else { kept };
        self.context.memory.set_open(&lane.name, state == ChannelState::Enabled && !self.context.soft.is_cancelled());
        lane.set_state(state, false);
    }
}
