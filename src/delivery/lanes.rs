//! All lanes together: their threads, what is handed over to them, pause and resume, and the stop.

use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Named;
use crate::config::settings::Settings;
use crate::domain::{Clock, Code, DeliveryId, IdSource, SettleKeys, Timestamp};
use crate::routing::{LaneMemory, Router};
use crate::store::{Cause, ChannelState, Handover, Leased, Replica, Store, StoreError};
use crate::telemetry::metrics::Metrics;

use super::attempt::own_event;
use super::health::Health;
use super::lane::{Lane, lock};
use super::outlet::Kit;
use super::reload::LanesError;
use super::stats::Rates;
use super::thread::Threads;
use super::workers::Pool;

/// What the lanes need of the rest.
pub struct Parts {
    /// Where deliveries are kept.
    pub store: Store,
    /// Where the product's own events go.
    pub router: Arc<Router>,
    /// How much a lane may hold.
    pub memory: Arc<LaneMemory>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: IdSource,
    /// Chance, for jitter.
    pub seed: u64,
    /// The keys by which receivers settle deliveries.
    pub settle_keys: Arc<SettleKeys>,
    /// Whose work it is.
    pub replica: Replica,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// What every lane works with.
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) kit: Kit,
    pub(super) memory: Arc<LaneMemory>,
    pub(super) replica: Replica,
    pub(super) soft: CancellationToken,
    pub(super) hard: CancellationToken,
    pub(super) tasks: TaskTracker,
    random: Mutex<fastrand::Rng>,
    /// Held while a lane is switched, by a reload or by hand.
    switching: Mutex<()>,
    pub(super) begun: Instant,
}

impl Deref for Shared {
    type Target = Kit;

    fn deref(&self) -> &Kit {
        &self.kit
    }
}

impl Shared {
    /// A number from 0 to 1.
    pub(super) fn chance(&self) -> f64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).f64()
    }

    /// One lane is switched after the other, so that none runs that a reload has switched off.
    pub(super) fn switching(&self) -> MutexGuard<'_, ()> {
        self.switching.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops a channel whose receiver wants nothing any more: its deliveries stay pending until `/resume`.
    pub(super) async fn disable(&self, lane: &Lane, delivery: &Leased, code: Code) {
        if lane.state() == ChannelState::Disabled {
            return;
        }
        let channel = &lane.name;
        tracing::error!(channel = &**channel, delivery = %delivery.id, code = code.as_i32(), "channel disabled: its receiver wants nothing any more; `resume` it when that has changed");
        let reason = serde_json::json!({ "channel": &**channel, "delivery_id": delivery.id, "code": code });
        let why = Some(Arc::from(format!("an attempt ended with code {}", code.as_i32())));
        let cause = Cause { reason: why, ..self.clock.now().into() };
        if let Err(error) =
            self.change_state(lane, ChannelState::Disabled, cause, Some(("channel.disabled", reason))).await
        {
            tracing::error!(channel = &**channel, %error, "the channel is disabled until the next restart only");
        }
    }

    async fn change_state(
        &self,
        lane: &Lane,
        state: ChannelState,
        cause: Cause,
        event: Option<(&str, serde_json::Value)>,
    ) -> Result<(), StoreError> {
        let channel = &lane.name;
        {
            let _held = self.switching();
            if state == ChannelState::Enabled && !lane.is_on() {
                return Ok(()); // a reload has just switched it off
            }
            self.memory.set_open(channel, state == ChannelState::Enabled);
            lane.set_state(state);
        }
        self.store.queue.set_channel_state(Arc::clone(channel), state, cause).await?;
        if let Some((kind, data)) = event
            && self.router().wants(kind)
        {
            let now = self.clock.now();
            let event = own_event(self, kind, channel, &data, now);
            let deliveries = self.router().plan(&event, now, now).deliveries;
            self.store.queue.insert(deliveries).await?;
        }
        if state == ChannelState::Enabled {
            lane.waiting(self.clock.now());
        }
        Ok(())
    }
}

/// A channel at a glance.
#[derive(Debug, Clone)]
pub struct Overview {
    /// Its name.
    pub channel: Arc<str>,
    /// Whether it delivers.
    pub state: ChannelState,
    /// Attempts under way.
    pub in_flight: usize,
    /// How it has fared in the last hour.
    pub rates: Rates,
    /// How its receiver fares.
    pub health: Health,
}

/// Every channel's lane.
pub struct Lanes {
    pub(super) known: ArcSwap<Known>,
    pub(super) shared: Arc<Shared>,
    pub(super) pool: Arc<Pool>,
    pub(super) threads: Mutex<Threads>,
    pub(super) metrics: Arc<Metrics>,
}

/// The lanes that there are.
#[derive(Default)]
pub(super) struct Known {
    /// Those of channels that are no longer configured too: what still comes for them goes back to the store.
    pub(super) all: HashMap<Arc<str>, Arc<Lane>>,
    /// The channels, in the order of the configuration.
    pub(super) order: Vec<Arc<str>>,
}

impl Known {
    /// The lane of a channel that is configured.
    fn configured(&self, channel: &str) -> Option<&Arc<Lane>> {
        let (name, lane) = self.all.get_key_value(channel)?;
        self.order.contains(name).then_some(lane)
    }

    /// The lanes of channels that are configured, in their order.
    pub(super) fn ordered(&self) -> impl Iterator<Item = &Arc<Lane>> {
        self.order.iter().filter_map(|name| self.all.get(name))
    }
}

impl Lanes {
    /// Builds the lanes and starts their threads. Deliveries born from now on are handed over to them.
    pub async fn start(settings: &Settings, parts: Parts) -> Result<Arc<Self>, LanesError> {
        let Parts { store, router, memory, clock, ids, seed, settle_keys, replica, metrics } = parts;
        let shared = Arc::new(Shared {
            store,
            kit: Kit::new(Arc::clone(&router), clock, ids, settle_keys),
            memory,
            replica,
            soft: CancellationToken::new(),
            hard: CancellationToken::new(),
            tasks: TaskTracker::new(),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            switching: Mutex::new(()),
            begun: Instant::now(),
        });
        let lanes = Arc::new(Self {
            known: ArcSwap::default(),
            shared,
            pool: Arc::new(Pool::new()),
            threads: Mutex::new(Threads::default()),
            metrics,
        });
        // The first configuration is as any other: all of its channels are new.
        let added: Vec<_> = settings.channels.iter().map(|channel| Arc::clone(&channel.name)).collect();
        let prepared = lanes.prepare(settings, &Named { added, ..Named::default() }).await?;
        lanes.take_over(settings, prepared, router);
        lanes.shared.store.queue.connect(Arc::clone(&lanes) as Arc<dyn Handover>);
        Ok(lanes)
    }

    /// Many of that channel's deliveries have changed in the store: what is held in memory is claimed anew.
    pub fn recall(&self, channel: &str) {
        if let Some(lane) = self.known.load().all.get(channel) {
            lane.recall();
        }
    }

    /// A delivery of that channel was retried: it is due, in the store or in memory.
    pub fn hasten(&self, channel: &str, delivery: DeliveryId) {
        if let Some(lane) = self.known.load().all.get(channel) {
            let now = self.shared.clock.now();
            lock(&lane.queue).hasten(delivery, now);
            lane.waiting(now);
        }
    }

    /// Makes no further attempt of deliveries that were cancelled.
    pub fn forget(&self, deliveries: &[DeliveryId]) {
        let deliveries: HashSet<DeliveryId> = deliveries.iter().copied().collect();
        for lane in self.known.load().all.values() {
            lane.forget(&deliveries);
        }
    }

    /// Every channel, in the order of the configuration.
    pub fn overview(&self) -> Vec<Overview> {
        let now = self.shared.clock.now();
        let overview = |lane: &Arc<Lane>| Overview {
            channel: Arc::clone(&lane.name),
            state: lane.state(),
            in_flight: lane.in_flight(),
            rates: lane.rates(now),
            health: lane.health(),
        };
        self.known.load().ordered().map(overview).collect()
    }

    /// Holds a channel's deliveries back. `Ok(None)`: there is no such channel. A disabled one stays disabled.
    pub async fn pause(&self, channel: &str, cause: Cause) -> Result<Option<ChannelState>, StoreError> {
        let Some(lane) = self.configured(channel) else { return Ok(None) };
        if lane.state() != ChannelState::Disabled {
            self.shared.change_state(&lane, ChannelState::Paused, cause, None).await?;
        }
        Ok(Some(lane.state()))
    }

    /// Lets a paused or disabled channel deliver again. `Ok(None)`: there is no such channel.
    pub async fn resume(&self, channel: &str, cause: Cause) -> Result<Option<ChannelState>, StoreError> {
        let Some(lane) = self.configured(channel) else { return Ok(None) };
        if lane.is_on() {
            let recovered = lane.state() == ChannelState::Disabled;
            let event = recovered.then(|| ("channel.recovered", serde_json::json!({ "channel": channel })));
            self.shared.change_state(&lane, ChannelState::Enabled, cause, event).await?;
        }
        Ok(Some(lane.state()))
    }

    /// Has the store keep how channels fare, of those that made attempts since the last time.
    pub async fn keep_health(&self) -> Result<(), StoreError> {
        let known = self.known.load_full();
        let changed = known.all.values().filter_map(|lane| {
            let text = lock(&lane.record).take_changed()?;
            Some((Arc::clone(&lane.name), text))
        });
        let changed: Vec<_> = changed.collect();
        let names: Vec<_> = changed.iter().map(|(name, _)| Arc::clone(name)).collect();
        let kept = self.shared.store.queue.keep_health(changed).await;
        if kept.is_err() {
            for lane in names.iter().filter_map(|name| known.all.get(name)) {
                lock(&lane.record).changed = true;
            }
        }
        kept
    }

    /// Whether every delivery thread has moved lately.
    pub fn is_moving(&self) -> bool {
        self.threads().are_moving(self.shared.begun)
    }

    pub(super) fn threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn configured(&self, channel: &str) -> Option<Arc<Lane>> {
        self.known.load().configured(channel).map(Arc::clone)
    }

    /// Starts nothing any more.
    pub fn begin_stop(&self) {
        for channel in self.known.load().all.keys() {
            self.shared.memory.set_open(channel, false);
        }
        self.shared.soft.cancel();
        self.shared.tasks.close();
    }

    /// Waits until attempts under way have ended, then until they are recorded; `cut_off` ends the wait for attempts.
    pub async fn finish(&self, cut_off: impl Future<Output = ()>) {
        self.begin_stop();
        tokio::select! {
            () = self.shared.tasks.wait() => {}
            () = cut_off => tracing::warn!(attempts = self.shared.tasks.len(), "attempts cut off: they are made again after a restart"),
        }
        self.shared.hard.cancel();
        let threads = self.threads().take();
        let (done, joined) = oneshot::channel();
        std::thread::spawn(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a delivery thread had died");
                }
            }
            let _ = done.send(());
        });
        let _ = joined.await;
    }
}

impl Handover for Lanes {
    fn hand_over(&self, deliveries: Vec<Leased>) {
        let known = self.known.load();
        let mut deliveries = deliveries.into_iter().peekable();
        while let Some(first) = deliveries.next() {
            let channel = Arc::clone(&first.channel);
            let same = std::iter::from_fn(|| deliveries.next_if(|next| next.channel == channel));
            let group: Vec<Leased> = std::iter::once(first).chain(same).collect();
            if let Some(lane) = known.all.get(&channel) {
                lane.take_for_now(group.into_iter());
            }
        }
    }

    fn waiting(&self, channel: &str, due_at: Timestamp) {
        if let Some(lane) = self.known.load().all.get(channel) {
            // Before the lane hears of it: the look that it then takes is the one that ends this.
            if due_at <= self.shared.clock.now() {
                self.shared.memory.fall_behind(channel);
            }
            lane.waiting(due_at);
        }
    }
}
