//! All lanes together: their threads, what is handed over to them, pause and resume, and the stop.

use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::settings::Settings;
use crate::domain::{Clock, Code, DeliveryId, IdSource, SettleKeys, Timestamp};
use crate::routing::{LaneMemory, Router};
use crate::store::{ChannelState, Handover, Leased, Replica, Store, StoreError};
use crate::telemetry::metrics::Metrics;

use super::attempt::own_event;
use super::lane::Lane;
use super::outlet::{Kit, Outlet};
use super::record::recorder;
use super::stats::Rates;
use super::workers::Workers;

/// How often a delivery thread shows that it moves.
const PULSE: Duration = Duration::from_secs(1);

/// How long a delivery thread may be silent before the service is no longer ready.
const STUCK: Duration = Duration::from_secs(10);

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
    kit: Kit,
    pub(super) memory: Arc<LaneMemory>,
    pub(super) replica: Replica,
    pub(super) soft: CancellationToken,
    pub(super) hard: CancellationToken,
    pub(super) tasks: TaskTracker,
    random: Mutex<fastrand::Rng>,
    begun: Instant,
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

    /// Stops a channel whose receiver wants nothing any more: its deliveries stay pending until `/resume`.
    pub(super) async fn disable(&self, lane: &Lane, delivery: &Leased, code: Code) {
        if lane.state() == ChannelState::Disabled {
            return;
        }
        let channel = &lane.channel.name;
        tracing::error!(channel = &**channel, delivery = %delivery.id, code = code.as_i32(), "channel disabled: its receiver wants nothing any more; `resume` it when that has changed");
        let reason = serde_json::json!({ "channel": &**channel, "delivery_id": delivery.id, "code": code });
        if let Err(error) = self.change_state(lane, ChannelState::Disabled, Some(("channel.disabled", reason))).await {
            tracing::error!(channel = &**channel, %error, "the channel is disabled until the next restart only");
        }
    }

    async fn change_state(
        &self,
        lane: &Lane,
        state: ChannelState,
        event: Option<(&str, serde_json::Value)>,
    ) -> Result<(), StoreError> {
        let channel = &lane.channel.name;
        self.memory.set_open(channel, state == ChannelState::Enabled);
        lane.set_state(state);
        self.store.queue.set_channel_state(Arc::clone(channel), state).await?;
        if let Some((kind, data)) = event
            && self.router.wants(kind)
        {
            let now = self.clock.now();
            let event = own_event(self, kind, channel, &data, now);
            self.store.queue.insert(self.router.plan(&event, now, now).deliveries).await?;
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
}

/// Every channel's lane.
pub struct Lanes {
    lanes: HashMap<Arc<str>, Arc<Lane>>,
    order: Vec<Arc<str>>,
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    pulses: Vec<Arc<AtomicI64>>,
}

impl Lanes {
    /// Builds the lanes and starts their threads. Deliveries born from now on are handed over to them.
    pub async fn start(settings: &Settings, parts: Parts) -> Result<Arc<Self>, String> {
        let Parts { store, router, memory, clock, ids, seed, settle_keys, replica, metrics } = parts;
        let states: HashMap<_, _> =
            store.queue.channel_states().await.map_err(|error| error.to_string())?.into_iter().collect();
        let shared = Arc::new(Shared {
            store,
            kit: Kit { router, clock, ids, settle_keys },
            memory,
            replica,
            soft: CancellationToken::new(),
            hard: CancellationToken::new(),
            tasks: TaskTracker::new(),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            begun: Instant::now(),
        });
        let count = delivery_threads(settings.channels.len());
        let mut on_thread: Vec<Vec<Arc<Lane>>> = vec![Vec::new(); count];
        let mut lanes = HashMap::new();
        let mut order = Vec::new();
        let places = Workers::share(settings.delivery.workers, settings.channels.len());
        for ((at, channel), workers) in settings.channels.iter().enumerate().zip(places) {
            let name = Arc::clone(&channel.name);
            let outlet = Outlet::new(channel, settings, &shared.clock)?;
            let mut state = states.get(&name).copied().unwrap_or(ChannelState::Enabled);
            if !channel.enabled && state == ChannelState::Enabled {
                // What it still holds from before stays pending until it is switched on again.
                state = ChannelState::Disabled;
            }
            shared.memory.set_open(&name, state == ChannelState::Enabled);
            let (metrics, now) = (metrics.channel(&name), shared.clock.now());
            let lane = Arc::new(Lane::new(outlet, metrics, workers, state, now));
            if let Some(thread) = on_thread.get_mut(at % count) {
                thread.push(Arc::clone(&lane));
            }
            order.push(Arc::clone(&name));
            lanes.insert(name, lane);
        }
        let mut threads = Vec::new();
        let mut pulses = Vec::new();
        for (number, lanes) in on_thread.into_iter().enumerate() {
            let pulse = Arc::new(AtomicI64::new(0));
            pulses.push(Arc::clone(&pulse));
            let thread = Thread { lanes, shared: Arc::clone(&shared), pulse };
            let handle = std::thread::Builder::new().name(format!("delivery-{number}")).spawn(move || thread.run());
            threads.push(handle.map_err(|error| format!("a delivery thread could not be started: {error}"))?);
        }
        let lanes = Arc::new(Self { lanes, order, shared, threads: Mutex::new(threads), pulses });
        lanes.shared.store.queue.connect(Arc::clone(&lanes) as Arc<dyn Handover>);
        Ok(lanes)
    }

    /// Something of that channel's waits in the store and is due.
    pub fn wake(&self, channel: &str) {
        if let Some(lane) = self.lanes.get(channel) {
            lane.waiting(self.shared.clock.now());
        }
    }

    /// Many of that channel's deliveries have changed in the store: what is held in memory is claimed anew.
    pub fn recall(&self, channel: &str) {
        if let Some(lane) = self.lanes.get(channel) {
            lane.recall();
        }
    }

    /// Makes no further attempt of deliveries that were cancelled.
    pub fn forget(&self, deliveries: &[DeliveryId]) {
        let deliveries: HashSet<DeliveryId> = deliveries.iter().copied().collect();
        for lane in self.lanes.values() {
            lane.forget(&deliveries);
        }
    }

    /// Every channel, in the order of the configuration.
    pub fn overview(&self) -> Vec<Overview> {
        let now = self.shared.clock.now();
        let lanes = self.order.iter().filter_map(|name| self.lanes.get(name));
        let overview = |lane: &Arc<Lane>| Overview {
            channel: Arc::clone(&lane.channel.name),
            state: lane.state(),
            in_flight: lane.in_flight(),
            rates: lane.rates(now),
        };
        lanes.map(overview).collect()
    }

    /// Holds a channel's deliveries back. `Ok(None)`: there is no such channel. A disabled one stays disabled.
    pub async fn pause(&self, channel: &str) -> Result<Option<ChannelState>, StoreError> {
        let Some(lane) = self.lanes.get(channel) else { return Ok(None) };
        if lane.state() != ChannelState::Disabled {
            self.shared.change_state(lane, ChannelState::Paused, None).await?;
        }
        Ok(Some(lane.state()))
    }

    /// Lets a paused or disabled channel deliver again. `Ok(None)`: there is no such channel.
    pub async fn resume(&self, channel: &str) -> Result<Option<ChannelState>, StoreError> {
        let Some(lane) = self.lanes.get(channel) else { return Ok(None) };
        if lane.channel.enabled {
            let recovered = lane.state() == ChannelState::Disabled;
            let event = recovered.then(|| ("channel.recovered", serde_json::json!({ "channel": channel })));
            self.shared.change_state(lane, ChannelState::Enabled, event).await?;
        }
        Ok(Some(lane.state()))
    }

    /// Whether every delivery thread has moved lately.
    pub fn is_moving(&self) -> bool {
        let now = millis(self.shared.begun);
        self.pulses.iter().all(|pulse| now - pulse.load(Ordering::Relaxed) < STUCK.as_millis() as i64)
    }

    /// Starts nothing any more.
    pub fn begin_stop(&self) {
        for channel in self.lanes.keys() {
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
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
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
        let mut deliveries = deliveries.into_iter().peekable();
        while let Some(first) = deliveries.next() {
            let channel = Arc::clone(&first.channel);
            let same = std::iter::from_fn(|| deliveries.next_if(|next| next.channel == channel));
            let group: Vec<Leased> = std::iter::once(first).chain(same).collect();
            if let Some(lane) = self.lanes.get(&channel) {
                lane.take(group.into_iter());
            }
        }
    }

    fn waiting(&self, channel: &str, due_at: Timestamp) {
        if let Some(lane) = self.lanes.get(channel) {
            // Before the lane hears of it: the look that it then takes is the one that ends this.
            if due_at <= self.shared.clock.now() {
                self.shared.memory.fall_behind(channel);
            }
            lane.waiting(due_at);
        }
    }
}

/// One thread, one runtime, its lanes.
struct Thread {
    lanes: Vec<Arc<Lane>>,
    shared: Arc<Shared>,
    pulse: Arc<AtomicI64>,
}

impl Thread {
    fn run(self) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "a delivery thread has no runtime"),
        };
        let hard = self.shared.hard.clone();
        runtime.block_on(async move {
            let (recorder, records) = recorder();
            let records = tokio::spawn(records.run(Arc::clone(&self.shared)));
            let mut lanes = tokio::task::JoinSet::new();
            for lane in &self.lanes {
                lanes.spawn(Arc::clone(lane).drive(Arc::clone(&self.shared), recorder.clone()));
            }
            pulse(&hard, &self.pulse, self.shared.begun).await;
            while lanes.join_next().await.is_some() {}
            // What is in flight now is cut off with the runtime; what has come back is recorded first.
            drop(recorder);
            if records.await.is_err() {
                tracing::error!("the recorder had died");
            }
        });
        runtime.shutdown_background();
    }
}

/// Shows that the thread moves, until the stop's second stage.
async fn pulse(hard: &CancellationToken, pulse: &AtomicI64, begun: Instant) {
    loop {
        pulse.store(millis(begun), Ordering::Relaxed);
        tokio::select! {
            () = tokio::time::sleep(PULSE) => {}
            () = hard.cancelled() => return,
        }
    }
}

fn millis(since: Instant) -> i64 {
    i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX)
}

/// One for every two processors: the others serve and write. No more than there are channels.
fn delivery_threads(channels: usize) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (processors / 2).clamp(1, channels.max(1))
}
