//! The embedded store: SQLite, one file, one process.
//!
//! One thread writes ([`writer`]): it commits all waiting writes as one group. Another makes the group durable and
//! notifies the callers ([`syncer`]) while the next group is written. Reads run on connections of their own
//! ([`readers`]), as the write-ahead log allows. Leases survive in the file only to be freed at the next start: a lock
//! file ([`lock`]) keeps a second process away.
//!
//! `migrations/` holds the schema and explains it. Writes are in `accept`, `journal`, `claim`, `record`, `change`,
//! `suspects` and `remove`, each a [`job::Write`]; they share `insert` and `line`. Reads are in `lists`, `search` and
//! `details`.

mod accept;
mod archive;
mod audit;
mod backup;
mod bodies;
mod bulk;
mod causes;
mod change;
mod checkpoint;
mod claim;
mod db;
mod details;
mod fault;
mod feed;
mod handoff;
mod insert;
mod job;
mod journal;
mod line;
mod lists;
mod lock;
mod moving;
mod once;
mod open;
mod options;
mod ordering;
mod private;
mod readers;
mod record;
mod remove;
mod room;
mod rows;
mod runs;
mod search;
mod set_back;
mod sources;
mod suspects;
mod sweeps;
mod syncer;
pub mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

pub use self::archive::Archive;
use self::db::Tally;
use self::lock::Lock;
pub use self::options::Options;
use self::readers::Readers;
use self::remove::Records;
use self::syncer::Connected;
use self::writer::Writer;
use super::feed::Feed;
use super::{
    Acceptance, Act, Answer, Backlog, BulkChanged, Cause, Change, Changed, ChannelState, Claim, DeliveryDetail,
    DeliveryFilter, DeliverySummary, FailureCause, Finished, Handover, Happening, Heartbeat, HeldKeys, History,
    Interrupted, JournalEntry, Journaled, Lease, Leased, Ledger, NewDelivery, NewEvents, NewOrder, NextDue,
    OrderDetail, OrderFilter, OrderKey, OrderSummary, Page, Paged, Period, Queue, Recorded, Replica, Run, Store,
    StoreError,
};
use crate::domain::{AfterFailure, Clock, DeliveryId, IdSource, OrderId, Timestamp};
use crate::telemetry::metrics::Metrics;

/// Deliveries that one commit of a bulk change or a release takes at most.
const BULK: usize = 1000;

/// How long after its last sign of life a replica's work moves on.
const LEASE: Duration = Duration::from_secs(30);

/// Opens the database, makes or migrates it where needed, and frees whatever belonged to a process before.
/// Further ids of `ids` are greater than any in it.
pub fn open(
    options: &Options,
    ids: &IdSource,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
) -> Result<Store, StoreError> {
    // Reads open the file later on; by then the working directory may be another.
    let path = &std::path::absolute(&options.path).unwrap_or_else(|_| options.path.clone());
    let lock = Lock::take(path)?;
    private::make(path)?;
    let (conn, last_used) = open::open(path, options, ids)?;
    let tally = Arc::new(Tally::read(&conn)?);
    let suspects = suspects::Suspects::read(&conn)?;
    let checkpoints = checkpoint::Checkpoints::start(path, options)?;
    let handover = Connected::default();
    let disk = Box::new(syncer::Log::open(path, options)?);
    let room = room::Room::new(path, options.max_size);
    let (known, connected) = (Arc::clone(&tally), Arc::clone(&handover));
    let writer = Writer::start(conn, known, connected, clock, checkpoints, disk, metrics, room)?;
    let readers = Arc::new(Readers::new(path.clone(), options.clone()));
    let store = Arc::new(Sqlite {
        writer,
        readers,
        tally,
        feed: Feed::new(),
        suspects,
        handover,
        last_used,
        lock: Mutex::new(Some(lock)),
    });
    Ok(Store { ledger: store.clone(), queue: store.clone(), history: store })
}

/// Copies the database at `from` to the file `to`, which must not exist. Returns the bytes of the copy.
pub fn backup(from: &Path, to: &Path) -> Result<u64, StoreError> {
    backup::backup(from, to)
}

/// One object behind all three traits. Fields end in this order: the lock goes last.
struct Sqlite {
    readers: Arc<Readers>,
    writer: Writer,
    tally: Arc<Tally>,
    feed: Feed,
    suspects: suspects::Suspects,
    handover: Connected,
    last_used: Option<Timestamp>,
    lock: Mutex<Option<Lock>>,
}

#[async_trait]
impl Ledger for Sqlite {
    async fn accept_order(&self, order: NewOrder) -> Result<Acceptance, StoreError> {
        let told = self.feed.is_watched().then(|| (Arc::clone(&order.subject), order.status));
        let accepted = self.writer.write(accept::AcceptOrder(order)).await?;
        if let Some((subject, status)) = told {
            self.feed.accepted(&subject, status, &accepted);
        }
        Ok(accepted)
    }

    async fn accept_events(&self, events: NewEvents) -> Result<Acceptance, StoreError> {
        if events.events.is_empty() {
            return Ok(Acceptance::New);
        }
        self.writer.write(accept::AcceptEvents(events)).await
    }

    async fn journal(&self, entry: JournalEntry) -> Result<Journaled, StoreError> {
        let (order, end) = (entry.order, entry.end.as_ref().map(|end| end.at));
        let journaled = self.writer.write(journal::Journal(entry)).await?.ok_or(StoreError::Fenced)?;
        if let Some(at) = end.filter(|_| self.feed.is_watched() && journaled == Journaled::Done) {
            feed::ended(&self.feed, &self.readers, order, at).await;
        }
        Ok(journaled)
    }

    async fn answer(&self, key: String, answer: Answer) -> Result<Answer, StoreError> {
        self.writer.write(accept::SetAnswer { key, answer }).await
    }

    async fn interrupted(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.readers.read(journal::interrupted).await
    }

    async fn resume(&self, replica: Replica, chain: &str, limit: usize) -> Result<Vec<Interrupted>, StoreError> {
        self.writer.write(journal::Resume { replica, chain: chain.to_owned(), limit }).await
    }

    async fn reopen(&self, order: OrderId) -> Result<bool, StoreError> {
        self.writer.write(journal::Reopen(order)).await
    }

    async fn give_up(&self, replica: Replica, order: OrderId) -> Result<(), StoreError> {
        self.writer.write(journal::GiveUp { replica, orders: vec![order] }).await
    }
}

#[async_trait]
impl Queue for Sqlite {
    fn connect(&self, handover: Arc<dyn Handover>) {
        *self.handover.write() = Some(handover);
    }

    async fn heartbeat(&self, replica: Replica) -> Result<Heartbeat, StoreError> {
        self.writer.write(claim::Beat { replica, lease: LEASE }).await?;
        Ok(Heartbeat { alive: vec![replica], lease: None, time: None })
    }

    async fn retire(&self, replica: Replica, _: bool) -> Result<(), StoreError> {
        self.writer.write(claim::Beat { replica, lease: Duration::ZERO }).await
    }

    async fn release_expired(&self, caller: Replica) -> Result<u64, StoreError> {
        let mut released = 0;
        loop {
            let group = self.writer.write(claim::ReleaseExpired { caller, limit: BULK }).await?;
            released += group as u64;
            if group < BULK {
                return Ok(released);
            }
        }
    }

    async fn set_back(&self, now: Timestamp, by: Duration) -> Result<(), StoreError> {
        self.writer.write(set_back::SetBack { now, by }).await
    }

    fn last_used(&self) -> Option<Timestamp> {
        self.last_used
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<Leased>, StoreError> {
        self.writer.write(claim::ClaimDue(claim)).await
    }

    async fn begin_run(&self, run: Run, claim: Claim) -> Result<Option<Vec<Leased>>, StoreError> {
        self.writer.write(runs::BeginRun { run, claim }).await
    }

    async fn last_run(&self, channel: Arc<str>, or: Timestamp) -> Result<Timestamp, StoreError> {
        self.writer.write(runs::LastRun { channel, or }).await
    }

    async fn next_due(&self, channel: Arc<str>) -> Result<NextDue, StoreError> {
        self.readers.read(move |conn| details::next_due(conn, &channel)).await
    }

    async fn record(&self, finished: Arc<Vec<Finished>>) -> Result<Vec<Recorded>, StoreError> {
        let told = self.feed.is_watched().then(|| Arc::clone(&finished));
        let recorded = self.writer.write(record::Record(finished)).await?;
        if let Some(finished) = told {
            feed::attempted(&self.feed, &self.readers, &self.tally, &finished, &recorded).await;
        }
        Ok(recorded)
    }

    async fn put_back(&self, leases: Vec<Lease>) -> Result<(), StoreError> {
        self.writer.write(claim::PutBack(leases)).await
    }

    async fn insert(&self, deliveries: Vec<NewDelivery>) -> Result<(), StoreError> {
        self.writer.write(change::Insert(deliveries)).await
    }

    async fn change(&self, delivery: DeliveryId, change: Change, cause: Cause) -> Result<Option<Changed>, StoreError> {
        let changed = self.writer.write(change::ChangeOne { delivery, change, cause: cause.clone() }).await?;
        if let Some(Changed::Done(status, channel, _)) = &changed {
            let (channel, status) = (Arc::clone(channel), *status);
            self.feed.tell(Happening::Delivery { delivery, channel, act: change, status, cause });
        }
        Ok(changed)
    }

    async fn change_all(
        &self,
        filter: DeliveryFilter,
        change: Change,
        cause: Cause,
        dry_run: bool,
    ) -> Result<BulkChanged, StoreError> {
        self.change_matching(filter, change, cause, dry_run, None).await
    }

    async fn change_all_watched(
        &self,
        filter: DeliveryFilter,
        change: Change,
        cause: Cause,
        done: Arc<AtomicU64>,
    ) -> Result<BulkChanged, StoreError> {
        self.change_matching(filter, change, cause, false, Some(&done)).await
    }

    async fn remove_finished(&self, before: Timestamp) -> Result<u64, StoreError> {
        Ok(self.remove(Records::Orders, before).await? + self.remove(Records::Events, before).await?)
    }

    async fn set_channel_state(
        &self,
        channel: Arc<str>,
        state: ChannelState,
        cause: Cause,
        deliveries: Vec<NewDelivery>,
    ) -> Result<(), StoreError> {
        let (named, why) = (Arc::clone(&channel), cause.clone());
        self.writer.write(change::SetChannelState { channel, state, cause, deliveries }).await?;
        self.feed.tell(Happening::Channel { channel: named, state, cause: why });
        Ok(())
    }

    async fn move_pending(&self, from: Arc<str>, to: Arc<str>, cause: Cause) -> Result<u64, StoreError> {
        let mut moved = 0;
        loop {
            let (from, to, cause) = (Arc::clone(&from), Arc::clone(&to), cause.clone());
            let group = self.writer.write(moving::Move { from, to, cause }).await?;
            moved += group as u64;
            if group < moving::GROUP {
                return Ok(moved);
            }
        }
    }

    async fn set_ordering(&self, channel: Arc<str>, after_failure: Option<AfterFailure>) -> Result<(), StoreError> {
        loop {
            let channel = Arc::clone(&channel);
            if self.writer.write(ordering::SetOrdering { channel, after_failure, limit: BULK }).await? < BULK {
                return Ok(());
            }
        }
    }

    async fn overdue(&self, now: Timestamp, limit: usize) -> Result<Vec<DeliverySummary>, StoreError> {
        let tally = Arc::clone(&self.tally);
        self.readers.read(move |conn| details::overdue(conn, &tally, now, limit)).await
    }

    async fn mark_late(
        &self,
        now: Timestamp,
        late: Vec<DeliveryId>,
        deliveries: Vec<NewDelivery>,
    ) -> Result<Vec<DeliveryId>, StoreError> {
        self.writer.write(change::MarkLate { now, late, deliveries }).await
    }

    async fn audit(&self, act: Act) -> Result<(), StoreError> {
        self.writer.write(audit::Audit(act)).await
    }

    async fn remove_audited(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let group = self.writer.write(audit::RemoveAudited { before }).await?;
            removed += group as u64;
            if group < audit::REMOVE {
                return Ok(removed);
            }
        }
    }

    async fn keep_health(&self, health: Vec<(Arc<str>, String)>) -> Result<(), StoreError> {
        if health.is_empty() {
            return Ok(());
        }
        self.writer.write(change::KeepHealth(health)).await
    }

    async fn health(&self) -> Result<Vec<(Arc<str>, String)>, StoreError> {
        self.readers.read(details::health).await
    }

    fn crashes(&self, delivery: DeliveryId) -> u32 {
        self.suspects.crashes(delivery)
    }

    async fn begin_suspect(&self, delivery: DeliveryId) -> Result<(), StoreError> {
        self.writer.write(suspects::Mark { delivery, begun: true }).await
    }

    async fn clear_suspect(&self, delivery: DeliveryId) -> Result<(), StoreError> {
        self.suspects.clear(delivery);
        self.writer.write(suspects::Mark { delivery, begun: false }).await
    }

    async fn channel_states(&self) -> Result<Vec<(Arc<str>, ChannelState)>, StoreError> {
        self.readers.read(details::channel_states).await
    }

    async fn secret(&self) -> Result<[u8; 32], StoreError> {
        self.readers.read(details::secret).await
    }

    async fn close(&self) {
        self.readers.close();
        self.writer.close().await;
        *self.lock.lock() = None;
    }
}

#[async_trait]
impl History for Sqlite {
    async fn orders(&self, filter: OrderFilter, page: Page) -> Result<Paged<OrderSummary>, StoreError> {
        self.readers.read(move |conn| details::orders(conn, &filter, page)).await
    }

    async fn order(&self, key: OrderKey) -> Result<Option<OrderDetail>, StoreError> {
        let tally = Arc::clone(&self.tally);
        self.readers.read(move |conn| details::order(conn, &tally, &key)).await
    }

    async fn deliveries(&self, filter: DeliveryFilter, page: Page) -> Result<Paged<DeliverySummary>, StoreError> {
        let tally = Arc::clone(&self.tally);
        self.readers.read(move |conn| details::deliveries(conn, &tally, &filter, page)).await
    }

    fn watch(&self) -> Option<tokio::sync::broadcast::Receiver<Arc<Happening>>> {
        Some(self.feed.watch())
    }

    async fn causes(&self, since: Option<Timestamp>) -> Result<Vec<FailureCause>, StoreError> {
        let tally = Arc::clone(&self.tally);
        self.readers.read(move |conn| causes::causes(conn, &tally, since)).await
    }

    async fn audited(&self, period: Period, page: Page) -> Result<Paged<Act>, StoreError> {
        self.readers.read(move |conn| audit::audited(conn, period, page)).await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryDetail>, StoreError> {
        let tally = Arc::clone(&self.tally);
        self.readers.read(move |conn| details::delivery(conn, &tally, id)).await
    }

    async fn knows_channel(&self, name: &str) -> Result<bool, StoreError> {
        Ok(self.tally.knows(name))
    }

    async fn channel_causes(&self) -> Result<Vec<(Arc<str>, Cause)>, StoreError> {
        self.readers.read(details::channel_causes).await
    }

    async fn held(&self, channel: Arc<str>) -> Result<HeldKeys, StoreError> {
        let tally = Arc::clone(&self.tally);
        self.readers.read(move |conn| details::held(conn, &tally, &channel)).await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StoreError> {
        let tally = Arc::clone(&self.tally);
        self.readers.read(move |conn| details::backlog(conn, &tally)).await
    }

    async fn bytes(&self) -> Result<u64, StoreError> {
        self.readers.bytes()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        if self.writer.write(change::Ping).await? {
            return Ok(());
        }
        Err(StoreError::Full("it has room for the results of deliveries only".to_owned()))
    }
}
