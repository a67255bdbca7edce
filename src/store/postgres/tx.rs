//! Writes: each a transaction that can be made again, until it is known whether it took place.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio_postgres::Row;

use super::channels::Channels;
use super::connections::{Connection, Connections, Loan, Params};
use super::fault;
use super::partitions;
use super::tracker::Tracker;
use crate::domain::{Clock, Timestamp};
use crate::store::{Handover, NewDelivery, Replica, StoreError};
use crate::telemetry::metrics::Metrics;

/// Takes the row of a replica's connection, and fails where it is gone: the replica was declared dead.
const FENCE: &str = "WITH own AS (UPDATE commits SET number = $3 WHERE replica = $1 AND connection = $2 RETURNING 1)
    SELECT 1 / count(*) FROM own";

/// The number of the last commit of a replica's connection, once no commit of it is under way any more: the server may still be at work
/// on one whose answer nobody waits for.
const LAST_COMMIT: &str = "SELECT number FROM commits WHERE replica = $1 AND connection = $2 FOR UPDATE";

/// How often a transaction is made again that others got in the way of.
const CONFLICTS: u32 = 10;

/// How long to wait before asking again whether a commit took place.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Why a transaction was not made.
#[derive(Debug)]
pub(super) enum Fault {
    /// The server says no, or nothing.
    Server(tokio_postgres::Error),
    /// Something else.
    Store(StoreError),
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Server(error) => error.into(),
            Fault::Store(error) => error,
        }
    }
}

/// Something to be written, in one transaction.
#[async_trait]
pub(super) trait Write: Send + Sync {
    /// What the caller learns.
    type Output: Send;

    /// For whom: a replica that was declared dead writes nothing. `None`: for whoever calls.
    fn replica(&self) -> Option<Replica> {
        None
    }

    /// How many writes it stands for.
    fn writes(&self) -> usize {
        1
    }

    /// The channels whose numbers it needs.
    fn channels(&self) -> Vec<Arc<str>> {
        Vec::new()
    }

    /// Does it. May be called again after the transaction was rolled back.
    async fn apply(&self, tx: &Tx<'_>) -> Result<Self::Output, Fault>;
}

/// A transaction under way.
pub(super) struct Tx<'a> {
    connection: &'a Connection,
    pub(super) channels: &'a Channels,
    pub(super) tracker: &'a Tracker,
    pub(super) now: Timestamp,
    /// Whether somebody takes what is born leased.
    connected: bool,
    /// Whether it is to be rolled back although nothing failed.
    undo: AtomicBool,
    /// What is born leased by it.
    opened: Mutex<Vec<i64>>,
}

impl Tx<'_> {
    /// Rows of a statement.
    pub(super) async fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, tokio_postgres::Error> {
        self.connection.query(sql, params).await
    }

    /// The first row of a statement, if it has one.
    pub(super) async fn first(&self, sql: &str, params: Params<'_>) -> Result<Option<Row>, tokio_postgres::Error> {
        Ok(self.connection.query(sql, params).await?.into_iter().next())
    }

    /// Executes a statement; returns the number of rows.
    pub(super) async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64, tokio_postgres::Error> {
        self.connection.execute(sql, params).await
    }

    /// Executes statements that are not worth preparing.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.connection.batch_execute(sql).await
    }

    /// Whether a delivery that a replica takes is leased at once: it has a slot and its time has come.
    pub(super) fn leases(&self, delivery: &NewDelivery) -> bool {
        // It may have been made after the transaction began.
        let now = self.now.max(delivery.id.time());
        self.connected && delivery.slot.is_some() && delivery.due_at <= now
    }

    /// As [`Tracker::open`], undone if the transaction is.
    pub(super) fn open(&self, key: i64) -> bool {
        let opened = self.tracker.open(key);
        if opened {
            self.opened.lock().push(key);
        }
        opened
    }

    /// Has it rolled back at its end.
    pub(super) fn undo(&self) {
        self.undo.store(true, Ordering::Relaxed);
    }
}

/// What every write goes through.
pub(super) struct Writes {
    pub(super) connections: Arc<Connections>,
    pub(super) channels: Channels,
    pub(super) tracker: Tracker,
    pub(super) clock: Arc<dyn Clock>,
    /// Who takes the deliveries that are born leased.
    pub(super) handover: OnceLock<Arc<dyn Handover>>,
    pub(super) metrics: Arc<Metrics>,
    /// In whose name is written what is written for no replica.
    pub(super) own: Replica,
    numbers: AtomicI64,
}

/// How a try ended that is not known to have been made.
enum End<T> {
    /// Nothing was written.
    Not(Fault),
    /// The answer to the commit was lost.
    Unknown { replica: Replica, number: i64, output: T, opened: Vec<i64> },
}

impl<T> From<StoreError> for End<T> {
    fn from(error: StoreError) -> Self {
        Self::Not(error.into())
    }
}

impl<T> From<tokio_postgres::Error> for End<T> {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Not(error.into())
    }
}

impl Writes {
    pub(super) fn new(
        connections: Arc<Connections>,
        clock: Arc<dyn Clock>,
        own: Replica,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (channels, tracker) = (Channels::default(), Tracker::default());
        Self {
            connections,
            channels,
            tracker,
            clock,
            own,
            handover: OnceLock::new(),
            metrics,
            numbers: AtomicI64::new(1),
        }
    }

    /// Makes a write.
    pub(super) async fn run<W: Write>(&self, work: &W) -> Result<W::Output, StoreError> {
        let mut loan = self.connections.get().await?;
        self.run_on(&mut loan, work).await
    }

    /// Makes a write on a connection that is kept for such writes.
    pub(super) async fn run_on<W: Write>(&self, loan: &mut Loan, work: &W) -> Result<W::Output, StoreError> {
        let (mut conflicts, mut broken) = (0, 0);
        loop {
            loan.ready().await?;
            let fault = match self.attempt(loan, work).await {
                Ok(output) => return Ok(output),
                Err(End::Not(fault)) => fault,
                Err(End::Unknown { replica, number, output, opened }) => {
                    if self.has_committed(loan, replica, number).await? {
                        return Ok(output);
                    }
                    self.tracker.close(opened);
                    continue;
                }
            };
            match &fault {
                Fault::Server(error) if fault::is_conflict(error) && conflicts < CONFLICTS => conflicts += 1,
                Fault::Server(error) if fault::lacks_partition(error) && conflicts < CONFLICTS => {
                    conflicts += 1;
                    let connection = loan.connection()?;
                    partitions::make_missing(connection, error).await?;
                }
                Fault::Server(error) if fault::ends_connection(error) => {
                    loan.break_off();
                    // A connection may have been dead for long without anybody's noticing.
                    if broken > 0 {
                        return Err(fault.into());
                    }
                    broken += 1;
                }
                _ => return Err(fault.into()),
            }
        }
    }

    async fn attempt<W: Write>(&self, loan: &Loan, work: &W) -> Result<W::Output, End<W::Output>> {
        let connection = loan.connection()?;
        self.channels.learn(connection, &work.channels()).await?;
        let started = Instant::now();
        let replica = work.replica().unwrap_or(self.own);
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let tx = Tx {
            connection,
            channels: &self.channels,
            tracker: &self.tracker,
            now: self.clock.now(),
            connected: self.handover.get().is_some(),
            undo: AtomicBool::new(false),
            opened: Mutex::default(),
        };
        // All of it is on its way before the first answer is back.
        let begin = connection.batch_execute("BEGIN");
        let fence: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&replica.0, &loan.number, &number];
        let fence = connection.query(FENCE, &fence);
        let (opened, fenced, output) = tokio::join!(biased; begin, fence, work.apply(&tx));
        let done = opened.map_err(Fault::from).and_then(|()| fenced.map_err(Fault::from)).and(output);
        let undo = tx.undo.load(Ordering::Relaxed);
        let opened = tx.opened.into_inner();
        let output = match done {
            Ok(output) if !undo => output,
            undone => {
                self.tracker.close(opened);
                let usable = !matches!(&undone, Err(Fault::Server(error)) if fault::ends_connection(error));
                if usable {
                    connection.batch_execute("ROLLBACK").await?;
                }
                return undone.map_err(End::Not);
            }
        };
        match connection.batch_execute("COMMIT").await {
            Ok(()) => {
                self.metrics.commit(work.writes(), started.elapsed());
                Ok(output)
            }
            Err(error) if error.code().is_some() && !fault::ends_connection(&error) => {
                self.tracker.close(opened);
                Err(error.into())
            }
            Err(_) => Err(End::Unknown { replica, number, output, opened }),
        }
    }

    /// Finds out whether a commit took place whose answer was lost; asks until it knows.
    async fn has_committed(&self, loan: &mut Loan, replica: Replica, number: i64) -> Result<bool, StoreError> {
        tracing::warn!("the answer to a commit was lost: finding out whether it took place");
        loan.break_off();
        loop {
            if self.connections.is_closed() {
                return Err(StoreError::Closed);
            }
            let asked = async {
                loan.ready().await?;
                loan.query(LAST_COMMIT, &[&replica.0, &loan.number]).await
            };
            match asked.await {
                Ok(found) => {
                    // Without a row the replica was declared dead: what it may have written belongs to others.
                    let row = found.first().ok_or(StoreError::Fenced)?;
                    return Ok(row.try_get::<_, i64>(0)? >= number);
                }
                Err(StoreError::Closed) => return Err(StoreError::Closed),
                Err(error) => {
                    tracing::debug!(%error, "it is not known yet whether a commit took place");
                    loan.break_off();
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            }
        }
    }
}
