//! How the lanes take up a configuration, the first one or another.
//!
//! A lane outlives what its channel is configured to do: it keeps its queue, its count of attempts under way, its runs
//! and its state, and only what further attempts are made with is exchanged. So nothing that it holds changes hands, a
//! channel never has more attempts under way than it is allowed, and a channel that has not changed notices nothing.
//! The lane of a channel that is gone stays as well, switched off: what was on its way to it then goes back to the
//! store, as from a paused one.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::Named;
use crate::config::settings::{Channel, Settings};
use crate::routing::Router;
use crate::store::{ChannelState, StoreError};

use super::health::Record;
use super::lane::{Lane, lock};
use super::lanes::{Known, Lanes};
use super::outlet::Outlet;

/// What a configuration needs of the lanes, built and ready.
pub struct Prepared {
    /// Of channels that are new or have changed.
    outlets: Vec<Outlet>,
    removed: Vec<Arc<str>>,
    /// What is kept of channels that are not simply enabled.
    states: HashMap<Arc<str>, ChannelState>,
    /// How the channels fared, as it was kept.
    health: HashMap<Arc<str>, String>,
}

/// Why lanes cannot take up a configuration.
#[derive(Debug, thiserror::Error)]
pub enum LanesError {
    /// Something that it asks for cannot be built.
    #[error("{0}")]
    Build(String),
    /// The store does not say how channels are.
    #[error("store: {0}")]
    Store(#[from] StoreError),
}

impl Lanes {
    /// Builds what the channels need that are new or have changed. After an `Err` nothing has changed.
    pub async fn prepare(&self, settings: &Settings, changes: &Named) -> Result<Prepared, LanesError> {
        let shared = &self.shared;
        let concerned =
            |channel: &&Arc<Channel>| changes.added.contains(&channel.name) || changes.changed.contains(&channel.name);
        let outlets = settings.channels.iter().filter(concerned);
        let outlets: Vec<_> = outlets.map(|channel| Outlet::new(channel, settings, &shared.clock)).collect();
        let outlets = outlets.into_iter().collect::<Result<Vec<_>, _>>().map_err(LanesError::Build)?;
        let states = shared.store.queue.channel_states().await?;
        let health = shared.store.queue.health().await?.into_iter().collect();
        let known = self.known.load();
        let new = settings.channels.iter().filter(|channel| !known.all.contains_key(&channel.name)).count();
        // Lanes stay on their threads, also those whose channels are gone.
        self.threads().grow(known.all.len() + new, shared).map_err(LanesError::Build)?;
        Ok(Prepared { outlets, removed: changes.removed.clone(), states: states.into_iter().collect(), health })
    }

    /// Goes by that configuration from now on. Orders may be routed by it once this has returned, and by the one before
    /// as long as somebody does.
    pub fn take_over(&self, settings: &Settings, prepared: Prepared, router: Arc<Router>) {
        let Prepared { outlets, removed, states, health } = prepared;
        let (shared, before) = (&self.shared, self.known.load_full());
        let order: Vec<_> = settings.channels.iter().map(|channel| Arc::clone(&channel.name)).collect();
        shared.memory.reload(order.iter().cloned(), settings.delivery.lane_memory);
        let mut all = before.all.clone();
        let mut new = Vec::new();
        for name in &order {
            all.entry(Arc::clone(name)).or_insert_with(|| {
                let lane = Arc::new(Lane::new(name, self.metrics.channel(name), self.pool.lane()));
                if let Some(kept) = health.get(name) {
                    *lock(&lane.record) = Record::read(name, kept);
                }
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
        shared.kit.route_by(router);
        let held = shared.switching();
        for outlet in outlets {
            let Some(lane) = known.all.get(&outlet.channel.name) else { continue };
            let (was_on, is_on) = (lane.outlet().map(|before| before.channel.enabled), outlet.channel.enabled);
            lane.configure(outlet, shared.clock.now());
            if was_on != Some(is_on) {
                self.switch(lane, is_on, states.get(&lane.name).copied());
            }
        }
        for name in &removed {
            if let Some(lane) = known.all.get(name) {
                shared.memory.set_open(name, false);
                lane.retire();
            }
        }
        drop(held);
        let mut threads = self.threads();
        for lane in new {
            threads.drive(lane);
        }
    }

    /// A channel is switched on, or off, by the configuration. On, it is as it was left; off, what it still holds stays
    /// pending until it is on again.
    fn switch(&self, lane: &Lane, on: bool, kept: Option<ChannelState>) {
        let kept = kept.unwrap_or(ChannelState::Enabled);
        let state = if !on && kept == ChannelState::Enabled { ChannelState::Disabled } else { kept };
        self.shared.memory.set_open(&lane.name, state == ChannelState::Enabled && !self.shared.soft.is_cancelled());
        lane.set_state(state);
        if state == ChannelState::Enabled {
            lane.waiting(self.shared.clock.now());
        }
    }
}
