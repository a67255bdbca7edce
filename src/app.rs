//! Everything built from settings, run, and drained.
//!
//! The stop has two stages: the soft one accepts nothing and starts nothing any more and lets what is under way
//! finish within `server.shutdown_grace`; the hard one, by the end of that time or a second signal, cuts off the rest,
//! which is taken up again after the next start.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::{self, Api, ChannelOverview, Rooms};
use crate::chain::{self, Answering, Chains};
use crate::config::settings::Settings;
use crate::delivery::{self, Lanes, Trials};
use crate::domain::{Clock, DeliveryId, IdSource, SettleKeys, Timestamp};
use crate::intake::{self, Answered, Incoming, Intake, PostedEvent, Refusal};
use crate::routing::{LaneMemory, Router};
use crate::store::{self, ChannelState, Replica, Store, StoreError};
use crate::telemetry::metrics::Metrics;

/// How often a replica shows that it lives, and looks for the work of those that do not.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long after its last sign of life a replica's work moves on.
const LEASE: Duration = Duration::from_secs(30);

/// How often finished orders past `store.retention` are removed.
const RETENTION_RUN: Duration = Duration::from_secs(600);

/// Where time and chance come from.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The seed of all randomness.
    pub seed: u64,
}

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be opened.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// The address cannot be listened on.
    #[error("server.listen: {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// Something that the configuration asks for cannot be built.
    #[error("{0}")]
    Build(String),
}

/// The running service.
pub struct App {
    address: SocketAddr,
    settings: Arc<Settings>,
    store: Store,
    replica: Replica,
    intake: Arc<Intake>,
    lanes: Arc<Lanes>,
    soft: CancellationToken,
    hard: CancellationToken,
    server: tokio::task::JoinHandle<()>,
    chores: TaskTracker,
    chains: TaskTracker,
}

impl App {
    /// Opens the store, starts the lanes, takes up interrupted chains, and listens.
    pub async fn start(settings: Settings, parts: Parts) -> Result<Self, StartError> {
        let Parts { clock, seed } = parts;
        let mut random = fastrand::Rng::with_seed(seed);
        let settings = Arc::new(settings);
        let metrics = Arc::new(Metrics::new());
        let ids = IdSource::new(Arc::clone(&clock), random.u64(..));
        let replica = Replica(random.i64(1..));
        let listener = listen(settings.server.listen).await?;
        let address =
            listener.local_addr().map_err(|error| StartError::Listen { address: settings.server.listen, error })?;
        let store = store::open(&settings.store, &ids, Arc::clone(&clock), Arc::clone(&metrics))?;
        store.queue.heartbeat(replica, clock.now().after(LEASE)).await?;
        let settle_keys = Arc::new(SettleKeys::new(&store.queue.secret().await?));

        let names = settings.channels.iter().map(|channel| Arc::clone(&channel.name));
        let memory = Arc::new(LaneMemory::new(names, settings.delivery.lane_memory));
        let router = Arc::new(Router::new(&settings, ids.clone(), Arc::clone(&memory)));
        let answering: Arc<dyn Answering> = Arc::new(api::JsonAnswers);
        let tasks = TaskTracker::new();
        let chains = chain::Parts {
            ledger: Arc::clone(&store.ledger),
            router: Arc::clone(&router),
            answering: Arc::clone(&answering),
            clock: Arc::clone(&clock),
            ids: ids.clone(),
            replica,
            metrics: Arc::clone(&metrics),
        };
        let chains = Chains::new(&settings, chains).map_err(|error| StartError::Build(error.to_string()))?;
        let lanes = delivery::Parts {
            store: store.clone(),
            router: Arc::clone(&router),
            memory,
            clock: Arc::clone(&clock),
            ids: ids.clone(),
            seed: random.u64(..),
            settle_keys: Arc::clone(&settle_keys),
            replica,
            metrics: Arc::clone(&metrics),
        };
        let trials = Arc::new(Trials::new(
            Arc::clone(&settings),
            Arc::clone(&router),
            Arc::clone(&clock),
            ids.clone(),
            Arc::clone(&settle_keys),
        ));
        let lanes = Lanes::start(&settings, lanes).await.map_err(StartError::Build)?;
        let intake = intake::Parts {
            store: store.clone(),
            chains: Arc::new(chains),
            router,
            answering,
            clock: Arc::clone(&clock),
            ids,
            replica,
            metrics: Arc::clone(&metrics),
            tasks: tasks.clone(),
        };
        let intake = Arc::new(Intake::new(&settings, intake));
        let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
        let wiring = Arc::new(Wiring { intake: Arc::clone(&intake), lanes: Arc::clone(&lanes) });
        let rooms = Rooms {
            ingest: Arc::clone(&wiring) as Arc<dyn api::Ingest>,
            lanes: wiring,
            queue: Arc::clone(&store.queue),
            history: Arc::clone(&store.history),
            clock: Arc::clone(&clock),
            settle_keys,
            trials,
            metrics,
        };
        let router = api::router(Api::new(&settings.server, &settings.channels, rooms));
        let server = tokio::spawn(api::serve(listener, router, (&settings.server).into(), soft.clone(), hard.clone()));
        let chores = TaskTracker::new();
        chores.spawn(heartbeat(store.clone(), Arc::clone(&intake), Arc::clone(&clock), replica, soft.clone()));
        if let Some(retention) = settings.store.retention {
            chores.spawn(retain(store.clone(), Arc::clone(&clock), retention, soft.clone()));
        }
        chores.close();
        tracing::info!(%address, channels = settings.channels.len(), chains = settings.chains.len(), store = settings.store.url, "listening");
        Ok(Self { address, settings, store, replica, intake, lanes, soft, hard, server, chores, chains: tasks })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs until `stop`, then drains; `at_once` cuts the draining short.
    pub async fn run(self, stop: impl Future<Output = ()>, at_once: impl Future<Output = ()>) {
        stop.await;
        self.drain(at_once).await;
    }

    /// Stops, within `server.shutdown_grace`.
    pub async fn stop(self) {
        self.drain(std::future::pending()).await;
    }

    async fn drain(self, at_once: impl Future<Output = ()>) {
        tracing::info!(grace = ?self.settings.server.shutdown_grace, "stopping");
        self.intake.stop();
        self.lanes.begin_stop();
        self.soft.cancel();
        self.chains.close();
        let hard = self.hard.clone();
        let grace = tokio::time::sleep(self.settings.server.shutdown_grace);
        let cut = async {
            tokio::select! {
                () = grace => {}
                () = at_once => {}
            }
            hard.cancel();
            std::future::pending::<()>().await;
        };
        let under_way = async {
            let waits = async {
                self.chains.wait().await;
                let _ = self.server.await;
            };
            tokio::select! {
                () = waits => {}
                () = self.hard.cancelled() => tracing::warn!(orders = self.chains.len(), "chains cut off: they are resumed after a restart"),
            }
        };
        let drained = async { tokio::join!(under_way, self.lanes.finish(self.hard.cancelled())) };
        tokio::select! {
            _ = drained => {}
            () = cut => {}
        }
        self.chores.wait().await;
        // Whatever this replica still holds is free for others at once.
        if let Err(error) = self.store.queue.heartbeat(self.replica, Timestamp::default()).await {
            tracing::warn!(%error, "the store did not take the last heartbeat");
        }
        self.store.close().await;
        tracing::info!("stopped");
    }
}

/// What the API reaches of intake and the lanes.
struct Wiring {
    intake: Arc<Intake>,
    lanes: Arc<Lanes>,
}

#[async_trait]
impl api::Ingest for Wiring {
    async fn order(&self, incoming: Incoming) -> Result<Answered, Refusal> {
        self.intake.order(incoming).await
    }

    async fn events(&self, incoming: Incoming, events: Vec<PostedEvent>, batch: bool) -> Result<Answered, Refusal> {
        self.intake.events(incoming, events, batch).await
    }
}

#[async_trait]
impl api::Lanes for Wiring {
    fn wake(&self, channel: &str) {
        self.lanes.wake(channel);
    }

    fn recall(&self, channel: &str) {
        self.lanes.recall(channel);
    }

    fn forget(&self, deliveries: &[DeliveryId]) {
        self.lanes.forget(deliveries);
    }

    fn overview(&self) -> Vec<ChannelOverview> {
        let overview = |lane: delivery::Overview| ChannelOverview {
            channel: lane.channel,
            state: lane.state,
            in_flight: lane.in_flight,
            attempts: lane.rates.attempts,
            success_rate: lane.rates.success_rate,
            mean_ms: lane.rates.mean_ms,
        };
        self.lanes.overview().into_iter().map(overview).collect()
    }

    async fn pause(&self, channel: &str) -> Result<Option<ChannelState>, StoreError> {
        self.lanes.pause(channel).await
    }

    async fn resume(&self, channel: &str) -> Result<Option<ChannelState>, StoreError> {
        self.lanes.resume(channel).await
    }

    fn is_moving(&self) -> bool {
        self.lanes.is_moving()
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| StartError::Listen { address, error })
}

/// Shows that this replica lives, frees the work of those that do not, and takes up interrupted chains.
async fn heartbeat(
    store: Store,
    intake: Arc<Intake>,
    clock: Arc<dyn Clock>,
    replica: Replica,
    soft: CancellationToken,
) {
    while !soft.is_cancelled() {
        let now = clock.now();
        if let Err(error) = beat(&store, &intake, replica, now).await {
            tracing::error!(%error, "the store did not take the heartbeat, trying again");
        }
        sleep(&clock, now.after(HEARTBEAT), &soft).await;
    }
}

async fn beat(store: &Store, intake: &Intake, replica: Replica, now: Timestamp) -> Result<(), StoreError> {
    store.queue.heartbeat(replica, now.after(LEASE)).await?;
    let freed = store.queue.release_expired(now).await?;
    if freed > 0 {
        tracing::warn!(freed, "took over the work of a replica that has been silent");
    }
    intake.resume().await?;
    Ok(())
}

/// Removes finished orders whose time is up.
async fn retain(store: Store, clock: Arc<dyn Clock>, retention: Duration, soft: CancellationToken) {
    while !soft.is_cancelled() {
        let now = clock.now();
        match store.queue.remove_finished(now.before(retention)).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "orders and events past `store.retention` removed"),
            Err(error) => tracing::error!(%error, "orders past `store.retention` could not be removed, trying again"),
        }
        sleep(&clock, now.after(RETENTION_RUN), &soft).await;
    }
}

async fn sleep(clock: &Arc<dyn Clock>, until: Timestamp, soft: &CancellationToken) {
    tokio::select! {
        () = clock.sleep_until(until) => {}
        () = soft.cancelled() => {}
    }
}
