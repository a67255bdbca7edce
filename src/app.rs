//! Everything built from settings, run, and drained.
//!
//! The stop has two stages: the soft one accepts nothing and starts nothing any more and lets what is under way
//! finish within `server.shutdown_grace`; the hard one, by the end of that time or a second signal, cuts off the rest,
//! which is taken up again after the next start.

mod calls;
mod connections;
mod generation;
mod opening;
mod pulse;
mod reload;
mod socket;
mod traces;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::{self, Api, Components};
use crate::chain::{Admission, BuildError};
use crate::config::settings::{Server, Settings};
use crate::delivery::{self, Lanes, LanesError};
use crate::domain::{Clock, CorrectedClock, IdSource, SettleKeys, Tenure, Timestamp};
use crate::outbound::ClientError;
use crate::routing::LaneMemory;
use crate::store::{Queue, Replica, StoreError};
use crate::telemetry::VERSION;
use crate::telemetry::metrics::Metrics;

use calls::Calls;
use generation::Base;
use pulse::sleep;
pub use reload::{Loader, SIGNAL, Service};
pub use socket::Socket;
use traces::Traces;

/// Milliseconds that the clock of this machine may be off the store's.
const FAR_OFF: i64 = 3_600_000;

/// How often promises are looked at: what is late is known within this time.
const PROMISES: Duration = Duration::from_secs(2);

/// How often finished orders past `store.retention` are removed.
const RETENTION_RUN: Duration = Duration::from_secs(600);

/// How long entries of the audit are kept at least; longer where `store.retention` is.
const AUDIT_RETENTION: Duration = Duration::from_secs(90 * 24 * 3600);

/// Where time, chance and further configurations come from.
#[derive(Debug, Clone)]
pub struct Parts {
    pub clock: Arc<dyn Clock>,
    /// The seed of all randomness.
    pub seed: u64,
    /// Where another configuration comes from.
    pub loader: Loader,
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
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// There are no threads to be had.
    #[error("threads for callouts cannot be started: {0}")]
    Threads(std::io::Error),
    /// The plugins of a chain cannot be built.
    #[error("{0}")]
    Chains(#[from] BuildError),
    /// The client of the collector cannot be built.
    #[error("telemetry.otlp: {0}")]
    Collector(#[from] ClientError),
    /// The lanes cannot be built.
    #[error("{0}")]
    Lanes(#[from] LanesError),
}

impl StartError {
    /// Whether the store may be there again soon.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Store(error) | Self::Lanes(LanesError::Store(error)) => error.is_passing(),
            _ => false,
        }
    }
}

/// A replica that this process has been, and that lost what it held.
#[derive(Debug, Clone, Copy)]
pub struct Lost(Replica);

/// The running service.
pub struct App {
    address: SocketAddr,
    socket: Arc<Socket>,
    service: Arc<Service>,
    draining: CancellationToken,
    hard: CancellationToken,
    /// This replica can no longer be sure of what it holds.
    lost: CancellationToken,
    server: tokio::task::JoinHandle<()>,
    chores: TaskTracker,
    traces: Traces,
}

impl App {
    /// Opens the store, starts the lanes, takes up interrupted chains, and listens.
    pub async fn start(settings: Settings, parts: Parts) -> Result<Self, StartError> {
        let address = settings.server.listen;
        let socket = Arc::new(Socket::bind(address).map_err(|error| StartError::Listen { address, error })?);
        Self::start_at(&socket, settings, parts, None).await
    }

    /// The same on a socket that is bound already; after another one was lost that this process has been, which goes on for as long as
    /// the store is away.
    pub async fn start_at(
        socket: &Arc<Socket>,
        settings: Settings,
        parts: Parts,
        after: Option<Lost>,
    ) -> Result<Self, StartError> {
        let Parts { clock, seed, loader } = parts;
        let corrected = CorrectedClock::new(clock);
        let clock: Arc<dyn Clock> = Arc::new(corrected.clone());
        let mut random = fastrand::Rng::with_seed(seed);
        let metrics = Arc::new(Metrics::new());
        let ids = IdSource::new(Arc::clone(&clock), random.u64(..));
        let replica = Replica(random.i64(1..));
        let address = socket.address();
        let mut settings = settings;
        settings.server.bound_to(address);
        let settings = Arc::new(settings);
        let patience = if after.is_some() { None } else { Some(settings.store.connect_timeout) };
        let store = opening::open(&settings, socket, replica, &ids, &clock, &metrics, patience).await?;
        if let Some(Lost(before)) = after {
            // Nothing of it goes on: others need not wait.
            store.queue.retire(before, false).await?;
        }
        let begun = clock.elapsed();
        let heartbeat = store.queue.heartbeat(replica).await?;
        if let Some(ahead) = heartbeat.time.and_then(|time| corrected.set(time)).filter(|ahead| ahead.abs() > FAR_OFF) {
            let error =
                format!("the clock of this machine is {} s off the clock of the store: set it", ahead.abs() / 1000);
            return Err(StoreError::Refused(error).into());
        }
        let lease_until = heartbeat.lease.map(|lease| begun + lease);
        let tenure = Tenure::new(Arc::clone(&clock));
        tenure.extend(lease_until);
        let listener = socket.listen().map_err(|error| StartError::Listen { address, error })?;
        let settle_keys = Arc::new(SettleKeys::new(&store.queue.secret().await?));

        let (tracer, spans) = Traces::start(settings.otlp.as_ref(), &metrics, &clock)?;
        let names = settings.channels.iter().map(|channel| Arc::clone(&channel.name));
        let memory = Arc::new(LaneMemory::new(names, settings.delivery.lane_memory));
        let base = Base {
            store: store.clone(),
            memory: Arc::clone(&memory),
            answering: Arc::new(api::JsonAnswers),
            clock: Arc::clone(&clock),
            ids: ids.clone(),
            replica,
            tenure: tenure.clone(),
            lease_until,
            settle_keys: Arc::clone(&settle_keys),
            metrics: Arc::clone(&metrics),
            tracer: tracer.clone(),
            admission: Arc::new(Admission::new(settings.delivery.chain_concurrency)),
            tasks: TaskTracker::new(),
            calls: Calls::start().map_err(StartError::Threads)?,
            stopping: Arc::new(AtomicBool::new(false)),
        };
        let generation = base.generation(Arc::clone(&settings), None)?;
        let lanes = delivery::Parts {
            store: store.clone(),
            router: Arc::clone(&generation.router),
            memory,
            clock: Arc::clone(&clock),
            ids,
            seed: random.u64(..),
            settle_keys: Arc::clone(&settle_keys),
            replica,
            tenure,
            metrics: Arc::clone(&metrics),
            tracer,
        };
        let lanes = Lanes::start(&settings, lanes).await?;
        let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
        let draining = CancellationToken::new();
        let (limits, limits_now) = watch::channel(connections::limits(&settings));
        let view = Arc::new(ArcSwap::from_pointee(generation.view(None)));
        let service = Arc::new(Service {
            loader,
            address,
            base,
            current: ArcSwap::from_pointee(generation),
            lanes: Arc::clone(&lanes),
            view: Arc::clone(&view),
            limits,
            soft: soft.clone(),
            turn: tokio::sync::Mutex::new(()),
        });
        let components = Components {
            lanes,
            queue: Arc::clone(&store.queue),
            history: Arc::clone(&store.history),
            clock: Arc::clone(&clock),
            settle_keys,
            reload: Arc::new(Arc::clone(&service)),
            calls: service.base.calls.handle().clone(),
            stopping: soft.clone(),
            draining: draining.clone(),
            metrics,
        };
        let router = api::router(Api::new(components, view));
        let server = tokio::spawn(api::serve(listener, router, limits_now, soft, hard.clone()));
        service.warn_of_removed().await;
        let chores = TaskTracker::new();
        let lost = CancellationToken::new();
        if heartbeat.lease.is_some() {
            // Nothing fails any more once it serves; the first beat does it again.
            if let Err(error) = service.lanes.share_out(&heartbeat.alive).await {
                tracing::warn!(%error, "the channels could not be shared out yet");
            }
        }
        chores.spawn(pulse::pulse(Arc::clone(&service), corrected, lost.clone()));
        chores.spawn(retain(Arc::clone(&service)));
        chores.spawn(watch_promises(Arc::clone(&service)));
        chores.close();
        tracing::info!(version = VERSION, %address, channels = settings.channels.len(), chains = settings.chains.len(), store = settings.store.url, "listening");
        Ok(Self { address, socket: Arc::clone(socket), service, draining, hard, lost, server, chores, traces: spans })
    }

    /// What takes up the configuration anew.
    pub fn service(&self) -> Arc<Service> {
        Arc::clone(&self.service)
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs until `stop`, then drains; `at_once` cuts the draining short. `Some`: it could no longer be sure of what it held, and
    /// has cut off what was under way. It is to be started anew, with the settings that were in force.
    pub async fn run(
        self,
        stop: impl Future<Output = ()>,
        at_once: impl Future<Output = ()>,
    ) -> Option<(Settings, Lost)> {
        tokio::select! {
            () = stop => {}
            () = self.lost.cancelled() => return Some(self.abandon().await),
        }
        self.drain(at_once).await;
        None
    }

    /// Cuts everything off: nothing of it may go on, and nothing more can be written.
    async fn abandon(self) -> (Settings, Lost) {
        let settings = Settings::clone(&self.service.current.load().settings);
        let lost = Lost(self.service.base.replica);
        self.hard.cancel();
        self.service.base.store.close().await;
        let at_once = std::future::ready(());
        self.cut(at_once, Duration::ZERO).await;
        (settings, lost)
    }

    /// Stops, within `server.shutdown_grace`.
    pub async fn stop(self) {
        self.drain(std::future::pending()).await;
    }

    async fn drain(self, at_once: impl Future<Output = ()>) {
        let Server { drain_delay, mut shutdown_grace, .. } = self.service.current.load().settings.server;
        let mut at_once = pin!(at_once.fuse());
        self.draining.cancel();
        if !drain_delay.is_zero() {
            tracing::info!(delay = ?drain_delay, "stop requested: not ready, still serving");
            tokio::select! {
                () = tokio::time::sleep(drain_delay) => {}
                () = &mut at_once => shutdown_grace = Duration::ZERO,
            }
        }
        self.socket.close();
        let (service, store) = (Arc::clone(&self.service), self.service.base.store.clone());
        self.cut(at_once, shutdown_grace).await;
        if let Err(error) = service.lanes.keep_health().await {
            tracing::warn!(%error, "the health of the channels could not be stored");
        }
        // Whatever this replica still holds is free for others at once.
        if let Err(error) = store.queue.retire(service.base.replica, true).await {
            tracing::warn!(%error, "the end of this process could not be stored");
        }
        store.close().await;
        tracing::info!("stopped");
    }

    /// Lets what is under way end within `shutdown_grace`.
    async fn cut(self, at_once: impl Future<Output = ()>, shutdown_grace: Duration) {
        let Self { service, draining, hard, server, chores, traces, .. } = self;
        let Service { base, lanes, soft, .. } = &*service;
        draining.cancel();
        tracing::info!(grace = ?shutdown_grace, "stopping");
        base.stopping.store(true, Ordering::Release);
        lanes.begin_stop();
        soft.cancel();
        base.tasks.close();
        let grace = tokio::time::sleep(shutdown_grace);
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
                base.tasks.wait().await;
                let _ = server.await;
            };
            tokio::select! {
                () = waits => {}
                () = hard.cancelled() => tracing::warn!(orders = base.tasks.len(), "chains cut off: they are resumed after a restart"),
            }
        };
        let drained = async { tokio::join!(under_way, lanes.finish(hard.cancelled())) };
        tokio::select! {
            _ = drained => {}
            () = cut => {}
        }
        chores.wait().await;
        traces.finish().await;
    }
}

/// Removes finished orders whose time is up.
async fn retain(service: Arc<Service>) {
    let Service { base: Base { store, clock, .. }, soft, .. } = &*service;
    // Where the wall clock is wrong, at the start or later, history is only as old as the time that has passed since.
    let (started, began) = clock.both();
    let known = store.queue.last_used().map_or(started, |last| last.min(started));
    while !soft.is_cancelled() {
        let (now, elapsed) = clock.both();
        let sure = now.min(known.after(elapsed.saturating_sub(began)));
        if let Some(retention) = service.current.load().settings.store.retention {
            tokio::select! {
                () = remove(&*store.queue, sure, retention) => {}
                // What is left goes after the next start.
                () = soft.cancelled() => return,
            }
        }
        sleep(clock, elapsed + RETENTION_RUN, soft).await;
    }
}

/// Removes what is past `store.retention`.
async fn remove(queue: &dyn Queue, now: Timestamp, retention: Duration) {
    match queue.remove_finished(now.before(retention)).await {
        Ok(0) => {}
        Ok(removed) => tracing::info!(removed, "orders and events past `store.retention` removed"),
        Err(error) => tracing::error!(%error, "orders past `store.retention` could not be removed, trying again"),
    }
    if let Err(error) = queue.remove_audited(now.before(retention.max(AUDIT_RETENTION))).await {
        tracing::error!(%error, "old entries of the audit could not be removed, trying again");
    }
}

/// Marks deliveries that break their channel's promise.
async fn watch_promises(service: Arc<Service>) {
    let Service { base: Base { clock, .. }, lanes, soft, .. } = &*service;
    while !soft.is_cancelled() {
        let until = clock.elapsed() + PROMISES;
        if let Err(error) = lanes.mark_late().await {
            tracing::error!(%error, "late deliveries could not be marked, trying again");
        }
        sleep(clock, until, soft).await;
    }
}
