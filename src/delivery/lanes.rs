//! All lanes together: their threads, what is handed over to them, pause and resume, and the stop.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Named;
use crate::config::settings::Settings;
use crate::domain::{AfterFailure, Clock, IdSource, SettleKeys, Tenure, Timestamp};
use crate::routing::{LaneMemory, Router};
use crate::store::{Cause, Change, ChannelState, Handover, Lease, Leased, News, Replica, Store, StoreError};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::spans::Tracer;

use super::context::Context;
use super::deps::Deps;
use super::health::Health;
use super::lane::{Lane, LaneEvent, LaneView, Pool, Threads};
use super::stats::{Minutes, Rates};

/// What the lanes need of the rest.
pub struct Parts {
    /// Where deliveries are kept.
    pub store: Store,
    /// Where the product's own events go.
    pub router: Arc<Router>,
    /// How much a lane may hold.
    pub memory: Arc<LaneMemory>,
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: IdSource,
    /// Chance, for jitter.
    pub seed: u64,
    /// The keys by which receivers settle deliveries.
    pub settle_keys: Arc<SettleKeys>,
    /// Whose work it is.
    pub replica: Replica,
    /// How long this replica may act on what it holds.
    pub tenure: Tenure,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where spans of attempts are recorded.
    pub tracer: Tracer,
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

/// A channel at a glance.
#[derive(Debug, Clone)]
pub struct ChannelOverview {
    /// Its name.
    pub channel: Arc<str>,
    /// Whether it delivers.
    pub state: ChannelState,
    /// What its lane does, and the limits in force.
    pub lane: LaneView,
    /// How it has fared in the last hour.
    pub rates: Rates,
    /// How its receiver fares.
    pub health: Health,
}

/// Every channel's lane.
pub struct Lanes {
    pub(super) known: ArcSwap<Known>,
    pub(super) context: Arc<Context>,
    pub(super) pool: Arc<Pool>,
    pub(super) threads: Mutex<Threads>,
    pub(super) metrics: Arc<Metrics>,
    /// Something may have been missed that other replicas changed.
    pub(super) missed: Notify,
    /// The `ordering` of channels that the store has not applied yet.
    pub(super) orderings: Mutex<HashMap<Arc<str>, Option<AfterFailure>>>,
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
        let Parts { store, router, memory, clock, ids, seed, settle_keys, replica, tenure, metrics, tracer } = parts;
        let context = Arc::new(Context {
            store,
            deps: Deps::new(Arc::clone(&router), clock, ids, settle_keys),
            memory,
            replica,
            tenure,
            soft: CancellationToken::new(),
            hard: CancellationToken::new(),
            tasks: TaskTracker::new(),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            begun: Instant::now(),
            failure: OnceLock::new(),
            tracer,
        });
        let lanes = Arc::new(Self {
            known: ArcSwap::default(),
            context,
            pool: Arc::new(Pool::new()),
            threads: Mutex::new(Threads::default()),
            metrics,
            missed: Notify::new(),
            orderings: Mutex::default(),
        });
        // The first configuration is as any other: all of its channels are new.
        let added: Vec<_> = settings.channels.iter().map(|channel| Arc::clone(&channel.name)).collect();
        let prepared = lanes.prepare(settings, &Named { added, ..Named::default() }).await?;
        lanes.take_over(settings, prepared, router).await;
        lanes.context.store.queue.connect(Arc::clone(&lanes) as Arc<dyn Handover>);
        Ok(lanes)
    }

    /// A delivery of that channel was changed in the store, under this lease. After a cancel, no attempt of it starts once this
    /// returns.
    pub async fn changed(&self, channel: &str, change: Change, lease: Lease) {
        let Some(lane) = self.lane(channel) else { return };
        match change {
            Change::Retry => return lane.post(LaneEvent::Hasten(lease.delivery)),
            Change::Cancel => {
                lane.post(LaneEvent::Forget(lease));
                lane.settle().await;
            }
            Change::Accept | Change::Fail => {}
        }
        lane.metrics.delivery(change.makes());
    }

    /// Many deliveries of that channel are others in the store now: what its lane holds is claimed again.
    pub fn recall(&self, channel: &str) {
        if let Some(lane) = self.lane(channel) {
            lane.post(LaneEvent::Recall);
        }
    }

    /// So many deliveries of that channel were changed in the store. After a cancel, no attempt of them starts once this returns.
    pub async fn changed_all(&self, channel: &str, change: Change, count: u64) {
        self.recall(channel);
        let Some(lane) = self.lane(channel) else { return };
        if change != Change::Retry {
            lane.settle().await;
            lane.metrics.deliveries(change.makes(), count);
        }
    }

    pub(super) fn lane(&self, channel: &str) -> Option<Arc<Lane>> {
        self.known.load().all.get(channel).cloned()
    }

    /// Every channel, in the order of the configuration.
    pub fn overview(&self) -> Vec<ChannelOverview> {
        let now = self.context.clock.now();
        let overview = |lane: &Arc<Lane>| ChannelOverview {
            channel: Arc::clone(&lane.name),
            state: lane.state(),
            lane: lane.view(),
            rates: lane.rates(now),
            health: lane.health(),
        };
        self.known.load().ordered().map(overview).collect()
    }

    /// How a channel has fared in each of the last sixty minutes. `None`: there is no such channel.
    pub fn minutes(&self, channel: &str) -> Option<Minutes> {
        Some(self.lane(channel)?.minutes(self.context.clock.now()))
    }

    /// Holds a channel's deliveries back. `Ok(None)`: there is no such channel. A disabled one stays disabled.
    pub async fn pause(&self, channel: &str, cause: Cause) -> Result<Option<ChannelState>, StoreError> {
        let Some(lane) = self.configured(channel) else { return Ok(None) };
        if lane.state() != ChannelState::Disabled {
            self.context.change_state(&lane, ChannelState::Paused, cause, None).await?;
            lane.settle().await;
        }
        Ok(Some(lane.state()))
    }

    /// Lets a paused or disabled channel deliver again. `Ok(None)`: there is no such channel.
    pub async fn resume(&self, channel: &str, cause: Cause) -> Result<Option<ChannelState>, StoreError> {
        let Some(lane) = self.configured(channel) else { return Ok(None) };
        if lane.is_on() {
            let recovered = lane.state() == ChannelState::Disabled;
            let event = recovered.then(|| ("channel.recovered", serde_json::json!({ "channel": channel })));
            self.context.change_state(&lane, ChannelState::Enabled, cause, event).await?;
        }
        Ok(Some(lane.state()))
    }

    /// The wall clock was set back by so much, and shows `now`: whatever waits is due as much earlier by it.
    pub async fn set_back(&self, now: Timestamp, by: Duration) -> Result<(), StoreError> {
        self.context.store.queue.set_back(now, by).await?;
        self.known.load().all.values().for_each(|lane| lane.set_back(by));
        Ok(())
    }

    /// Has the store keep how channels fare, of those that made attempts since the last time.
    pub async fn keep_health(&self) -> Result<(), StoreError> {
        let known = self.known.load_full();
        let changed = known.all.values().filter_map(|lane| {
            let text = lane.take_changed()?;
            Some((Arc::clone(&lane.name), text))
        });
        let changed: Vec<_> = changed.collect();
        let names: Vec<_> = changed.iter().map(|(name, _)| Arc::clone(name)).collect();
        let kept = self.context.store.queue.keep_health(changed).await;
        if kept.is_err() {
            for lane in names.iter().filter_map(|name| known.all.get(name)) {
                lane.not_kept();
            }
        }
        kept
    }

    /// Whether every delivery thread has moved lately.
    pub fn is_moving(&self) -> bool {
        self.context.failure.get().is_none() && self.threads().are_moving(self.context.begun)
    }

    pub(super) fn threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock()
    }

    fn configured(&self, channel: &str) -> Option<Arc<Lane>> {
        self.known.load().configured(channel).map(Arc::clone)
    }

    /// Starts nothing any more.
    pub fn begin_stop(&self) {
        for channel in self.known.load().all.keys() {
            self.context.memory.set_open(channel, false);
        }
        self.context.soft.cancel();
        self.context.tasks.close();
    }

    /// Waits until attempts under way have ended, then until they are recorded; `cut_off` ends the wait for attempts.
    pub async fn finish(&self, cut_off: impl Future<Output = ()>) {
        self.begin_stop();
        tokio::select! {
            () = self.context.tasks.wait() => {}
            () = cut_off => tracing::warn!(attempts = self.context.tasks.len(), "attempts cut off: they are made again after a restart"),
        }
        self.context.hard.cancel();
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
                lane.post(LaneEvent::HandedOver(group));
            }
        }
    }

    fn waiting(&self, channel: &str, due_at: Timestamp) {
        if let Some(lane) = self.known.load().all.get(channel) {
            // Before the lane hears of it: the look that it then takes is the one that ends this.
            if due_at <= self.context.clock.now() {
                self.context.memory.mark_backlogged(channel);
            }
            lane.post(LaneEvent::StoreHas(due_at));
        }
    }

    fn news(&self, news: News) {
        self.hear(news);
    }
}
