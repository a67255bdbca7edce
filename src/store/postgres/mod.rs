//! PostgreSQL: one store for several replicas.
//!
//! What is inserted for every order is never updated: an order that is delivered at once costs a row in `orders`, `deliveries` and
//! `attempts`. What must wait has a row in `states` ([`states`]). Each write is a transaction of a [`tx::Write`] that can be made
//! again until it is known whether it took place; orders and results of attempts are written in groups ([`intake`], [`record`]).
//! Replicas show that they live, take over what the dead have left ([`cluster`]), and tell each other what has changed ([`news`]).
//!
//! `migrations/` holds the schema and explains it. `lists`, `search`, `details`, `backlog`, `failures` and `audit` are the reads.

mod accept;
mod address;
mod audit;
mod backlog;
mod births;
mod bulk;
mod causes;
mod change;
mod channels;
mod claim;
mod cluster;
mod connections;
mod details;
mod failures;
mod fault;
mod finished;
mod handoff;
mod history;
mod intake;
mod journal;
mod keys;
mod ledger;
mod lines;
mod lists;
mod news;
mod once;
mod open;
mod pages;
mod partitions;
mod queue;
mod record;
mod remove;
mod rows;
mod search;
mod settle;
mod sources;
mod states;
mod text;
mod tracker;
mod tx;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};

use self::address::Address;
use self::connections::{Connections, Loan};
use self::handoff::Handoff;
use self::intake::Door;
use self::news::Sender;
use self::tx::Writes;
use super::feed::Feed;
use super::{Replica, Store, StoreError};
use crate::domain::{Clock, DeliveryId, IdSource, OrderId};
use crate::telemetry::metrics::Metrics;

/// How long after its last sign of life a replica counts as dead.
pub const TTL: Duration = Duration::from_secs(15);

/// How long what is under way may take once the store is closed.
const LAST: Duration = Duration::from_secs(3);

/// Keys made before this time have been given to the store by now, or are not born leased.
const SLACK: Duration = Duration::from_secs(10);

/// How a database is used.
#[derive(Debug, Clone)]
pub struct Options {
    /// `postgres://USER@HOST/DATABASE`, as libpq takes it.
    pub url: String,
    /// The password, where the URL has none.
    pub password: Option<String>,
    /// Connections of this process at most.
    pub connections: u16,
    /// How long after its last sign of life a replica counts as dead.
    pub ttl: Duration,
}

/// The store.
pub(super) struct Postgres {
    connections: Arc<Connections>,
    writes: Arc<Writes>,
    door: Door,
    news: Sender,
    feed: Feed,
    ids: IdSource,
    clock: Arc<dyn Clock>,
    ttl: Duration,
    /// Replicas that joined by this process, with the connections that each writes by.
    joined: Mutex<Vec<Replica>>,
    size: u16,
    /// In how many deaths of replicas deliveries were under way that were claimed here.
    suspects: Mutex<HashMap<DeliveryId, u32>>,
    handle: Handle,
    /// Serves the connections.
    runtime: Mutex<Option<Runtime>>,
}

/// Opens a database: makes or migrates the schema, and joins the replicas.
pub async fn open(
    options: &Options,
    replica: Replica,
    ids: &IdSource,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
) -> Result<Store, StoreError> {
    let address = Address::parse(&options.url, options.password.as_deref(), Duration::from_secs(5))?;
    let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("postgres").enable_all().build();
    let runtime = runtime.map_err(|error| StoreError::Unavailable(format!("no thread for PostgreSQL: {error}")))?;
    let handle = runtime.handle().clone();
    let opened =
        handle.spawn(open_within(options.clone(), address, replica, ids.clone(), clock, metrics, handle.clone()));
    let opened = opened.await.map_err(|_| StoreError::Closed).and_then(|opened| opened);
    let (store, runtime) = match opened {
        Ok(store) => (store, runtime),
        Err(error) => {
            runtime.shutdown_background();
            return Err(error);
        }
    };
    *store.runtime.lock() = Some(runtime);
    Ok(Store { ledger: store.clone(), queue: store.clone(), history: store })
}

async fn open_within(
    options: Options,
    address: Address,
    replica: Replica,
    ids: IdSource,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    handle: Handle,
) -> Result<Arc<Postgres>, StoreError> {
    // One listens.
    let size = options.connections.saturating_sub(1).max(2);
    let connections = Connections::new(address, size, handle.clone());
    {
        let connection = connections.open(|_| {}).await.map_err(open::unconnected)?;
        let other = connections.open(|_| {}).await.map_err(open::unconnected)?;
        open::check_session(&connection, &other).await?;
        open::prepare(&connection).await?;
        let now = clock.now();
        partitions::make_around(&connection, now).await.map_err(|error| open::explained(&error))?;
        let (number, used_to) = cluster::join(&connection, replica, size, options.ttl, now).await?;
        ids.end_with(number);
        ids.continue_after(used_to);
    }
    let writes = Arc::new(Writes::new(Arc::clone(&connections), Arc::clone(&clock), replica, metrics));
    let news = Sender::start(Arc::clone(&connections), replica);
    tokio::spawn(news::listen(Arc::clone(&connections), Arc::clone(&writes)));
    Ok(Arc::new(Postgres {
        door: Door::open(Arc::clone(&writes), news.clone()),
        connections,
        writes,
        news,
        feed: Feed::new(),
        ids,
        clock,
        ttl: options.ttl,
        joined: Mutex::new(vec![replica]),
        size,
        suspects: Mutex::default(),
        handle,
        runtime: Mutex::new(None),
    }))
}

impl Postgres {
    /// Makes a write, whatever becomes of the caller.
    async fn write<W: tx::Write + 'static>(&self, work: W) -> Result<W::Output, StoreError>
    where
        W::Output: 'static,
    {
        let writes = Arc::clone(&self.writes);
        self.finish(async move { writes.run(&work).await }).await
    }

    /// Does something to its end, whatever becomes of the caller.
    async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut work = self.handle.spawn(work);
        let given_up = async {
            self.connections.closed().await;
            tokio::time::sleep(LAST).await;
        };
        tokio::select! {
            biased;
            done = &mut work => done.map_err(|_| StoreError::Closed)?,
            () = given_up => Err(StoreError::Closed),
        }
    }

    async fn loan(&self) -> Result<Loan, StoreError> {
        self.connections.get().await
    }

    /// Tells lanes and replicas of deliveries that can be claimed.
    fn tell(&self, waiting: Vec<(Arc<str>, crate::domain::Timestamp)>) {
        let mut handoff = Handoff::default();
        for (channel, at) in waiting {
            handoff.waits(channel, at);
        }
        self.news.waiting(handoff.tell(self.writes.handover.get()));
    }

    /// The watermark to write with a heartbeat.
    fn watermark(&self) -> i64 {
        let now = OrderId::sequence_at(self.clock.now().before(SLACK));
        self.writes.tracker.watermark(now.min(self.ids.last()))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.connections.close();
        if let Some(runtime) = self.runtime.lock().take() {
            runtime.shutdown_background();
        }
    }
}
