//! The one thread that writes. It takes every write that waits, puts all into one transaction, and commits once for
//! all of them: the more load, the larger the group.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::born::Born;
use super::checkpoint::Checkpoints;
use super::db::{Db, Tally, Terms};
use super::job::{Job, Task, Write};
use crate::domain::Clock;
use crate::store::{Handover, StoreError};
use crate::telemetry::metrics::Metrics;

/// Writes that share a commit at most.
const GROUP_WRITES: usize = 1024;
/// Bytes that share a commit, but for the last write of the group.
const GROUP_BYTES: usize = 4 << 20;
/// Writes that wait at most; further callers wait to be let in.
const INBOX: usize = 2048;
/// How often the writer gives way to other threads before it commits a group that is smaller than was to be expected.
const PATIENCE: u32 = 4;

enum Message {
    Job(Box<dyn Job>),
    Close,
}

/// Who takes deliveries, once somebody does.
pub(super) type Connected = Arc<RwLock<Option<Arc<dyn Handover>>>>;

/// The way to the writing thread.
pub(super) struct Writer {
    sender: Option<mpsc::Sender<Message>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread; an error is one of preparing its statements.
    pub(super) fn start(
        conn: Connection,
        tally: Arc<Tally>,
        handover: Connected,
        clock: Arc<dyn Clock>,
        checkpoints: Checkpoints,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        let (sender, inbox) = mpsc::channel(INBOX);
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || {
                {
                    let db = match Db::new(&conn, tally) {
                        Ok(db) => db,
                        Err(error) => return drop(ready.send(Err(error))),
                    };
                    let _ = ready.send(Ok(()));
                    Loop { db, inbox, own: VecDeque::new(), handover, clock, checkpoints, metrics, last_group: 0 }
                        .run();
                }
                if let Err((_, error)) = conn.close() {
                    tracing::warn!(%error, "the store's file could not be closed");
                }
            })
            .map_err(|error| StoreError::Unavailable(format!("no thread for the store: {error}")))?;
        started.recv().unwrap_or(Err(StoreError::Closed))?;
        Ok(Self { sender: Some(sender), thread: Mutex::new(Some(thread)) })
    }

    /// Has something written. Once this has been polled to its first wait, the write happens even if the caller goes.
    pub(super) async fn write<W: Write>(&self, work: W) -> Result<W::Output, StoreError> {
        let sender = self.sender.as_ref().ok_or(StoreError::Closed)?;
        let (task, result) = Task::new(work);
        sender.send(Message::Job(Box::new(task))).await.map_err(|_| StoreError::Closed)?;
        result.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Lets the thread finish what was sent, and waits for its end.
    pub(super) async fn close(&self) {
        if let Some(sender) = &self.sender {
            let _ = sender.send(Message::Close).await;
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let (done, ended) = oneshot::channel();
            let waiter = std::thread::spawn(move || {
                let _ = thread.join();
                let _ = done.send(());
            });
            let _ = ended.await;
            let _ = waiter.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.sender = None;
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // The last handle may be dropped by the writer itself, with a caller's deliveries.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            let _ = thread.join();
        }
    }
}

struct Loop<'c> {
    db: Db<'c>,
    inbox: mpsc::Receiver<Message>,
    /// What follows from writes whose callers are gone.
    own: VecDeque<Box<dyn Job>>,
    handover: Connected,
    clock: Arc<dyn Clock>,
    checkpoints: Checkpoints,
    metrics: Arc<Metrics>,
    /// Writes in the last group.
    last_group: usize,
}

impl Loop<'_> {
    fn run(&mut self) {
        let mut group = Vec::new();
        while let Some(bytes) = self.gather(&mut group) {
            let begun = Instant::now();
            let size = group.len();
            let outcome = self.commit_all(&mut group);
            self.metrics.commit(size, begun.elapsed());
            self.last_group = size;
            let full = outcome.failed.iter().any(|(_, error)| matches!(error, StoreError::Full(_)));
            self.tell(outcome);
            if full {
                self.checkpoints.make_room(self.db.conn);
            }
            self.checkpoints.after_commit(self.db.conn, bytes);
        }
        *self.handover.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Waits for a write, then takes those that are there; about how many bytes they bring. `None`: there will be no
    /// write any more.
    fn gather(&mut self, group: &mut Vec<Box<dyn Job>>) -> Option<usize> {
        let mut bytes = 0;
        let mut patience = PATIENCE;
        while group.len() < GROUP_WRITES && bytes < GROUP_BYTES {
            let message = match self.own.pop_front() {
                Some(job) => Some(Message::Job(job)),
                None if group.is_empty() => self.inbox.blocking_recv(),
                None => self.inbox.try_recv().ok().or_else(|| self.wait_for_more(group.len(), &mut patience)),
            };
            match message {
                Some(Message::Job(job)) => {
                    bytes += job.weight();
                    group.push(job);
                }
                Some(Message::Close) => self.inbox.close(),
                None => break,
            }
        }
        (!group.is_empty()).then_some(bytes)
    }

    /// Under load a group follows upon another, and most of the callers of the last one are just about to come again:
    /// lets them, rather than spend an fsync on the first few. Does not wait where they are not.
    fn wait_for_more(&mut self, gathered: usize, patience: &mut u32) -> Option<Message> {
        while *patience > 0 && gathered < self.last_group / 2 {
            *patience -= 1;
            std::thread::yield_now();
            if let Ok(message) = self.inbox.try_recv() {
                return Some(message);
            }
        }
        None
    }

    fn terms(&self) -> Terms {
        let connected = self.handover.read().unwrap_or_else(PoisonError::into_inner).is_some();
        Terms { now: self.clock.now(), connected }
    }

    /// Commits all at once; where that fails, each by itself, so that only the culprit fails.
    fn commit_all(&mut self, group: &mut Vec<Box<dyn Job>>) -> Outcome {
        let terms = self.terms();
        let mut outcome = Outcome { terms, done: Vec::new(), failed: Vec::new() };
        match self.commit(terms, group) {
            Ok(()) => outcome.done.append(group),
            Err(error) if error.spares_nobody() || group.len() == 1 => {
                outcome.failed.extend(group.drain(..).map(|job| (job, error.clone())));
            }
            Err(_) => {
                for mut job in group.drain(..) {
                    match self.commit(terms, std::slice::from_mut(&mut job)) {
                        Ok(()) => outcome.done.push(job),
                        Err(error) => outcome.failed.push((job, error)),
                    }
                }
            }
        }
        outcome
    }

    fn commit(&mut self, terms: Terms, jobs: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
        let result = self.db.begin(terms).and_then(|()| {
            jobs.iter_mut().try_for_each(|job| job.apply(&mut self.db))?;
            self.db.commit()
        });
        if result.is_err() {
            self.db.rollback();
        }
        result
    }

    /// Hands over what was born, then answers: whoever has an answer can rely on both.
    fn tell(&mut self, mut outcome: Outcome) {
        let mut born = Born::default();
        for job in &mut outcome.done {
            job.born(outcome.terms, &mut born);
        }
        let handover = self.handover.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(handover) = handover {
            if !born.leased.is_empty() {
                handover.hand_over(born.leased);
            }
            for (channel, due_at) in born.waiting {
                handover.waiting(&channel, due_at);
            }
        }
        for job in outcome.done {
            self.own.extend(job.answer(Ok(())));
        }
        if let Some((_, error)) = outcome.failed.first() {
            tracing::error!(%error, writes = outcome.failed.len(), "the store did not take what was to be written");
        }
        for (job, error) in outcome.failed {
            job.answer(Err(error));
        }
    }
}

/// What became of a group.
struct Outcome {
    terms: Terms,
    done: Vec<Box<dyn Job>>,
    failed: Vec<(Box<dyn Job>, StoreError)>,
}
