//! The one thread that writes. It takes every write that waits, puts all into one transaction, and commits once for
//! all of them: the more load, the larger the group. The [`Syncer`] makes the group durable and answers its callers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::checkpoint::Checkpoints;
use super::db::{Db, Tally, Terms};
use super::job::{Job, Task, Write};
use super::room::Room;
use super::suspects;
use super::syncer::{Committed, Connected, Disk, Syncer};
use crate::domain::Clock;
use crate::store::StoreError;
use crate::system::{EndsProcess, failpoint};
use crate::telemetry::metrics::Metrics;

/// Writes that share a commit at most.
const GROUP_WRITES: usize = 1024;
/// Bytes that share a commit, but for the last write of the group.
const GROUP_BYTES: usize = 4 << 20;
/// Writes that wait at most; further callers wait to be let in.
const INBOX: usize = 2048;
/// How often the writer gives way to other threads before it commits a group that is smaller than was to be expected.
const PATIENCE: u32 = 4;
/// How long the writer waits for a sync before it looks for further writes, at first; then twice as long each time.
const MOMENT: Duration = Duration::from_micros(100);

enum Message {
    Job(Box<dyn Job>),
    /// There is something of the store's own to be written.
    Own,
    Close,
}

/// The way to the writing thread.
pub(super) struct Writer {
    sender: Option<mpsc::Sender<Message>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    syncer: Option<ThreadId>,
}

impl Writer {
    /// Starts the thread; an error is one of preparing its statements.
    pub(super) fn start(
        conn: Connection,
        tally: Arc<Tally>,
        handover: Connected,
        clock: Arc<dyn Clock>,
        checkpoints: Checkpoints,
        disk: Box<dyn Disk>,
        metrics: Arc<Metrics>,
        room: Room,
    ) -> Result<Self, StoreError> {
        let (sender, inbox) = mpsc::channel(INBOX);
        let waker = sender.downgrade();
        // With a full inbox the writer is awake.
        let wake = move || drop(waker.upgrade().map(|sender| sender.try_send(Message::Own)));
        let syncer = Syncer::start(disk, Arc::clone(&handover), metrics, Box::new(wake))?;
        let syncs = syncer.thread();
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || {
                let _ends = EndsProcess("store-writer");
                {
                    let db = match Db::new(&conn, tally, room) {
                        Ok(db) => db,
                        Err(error) => return drop(ready.send(Err(error))),
                    };
                    let _ = ready.send(Ok(()));
                    let group_bytes = db.room.group_bytes(GROUP_BYTES);
                    let (own, last_group) = (VecDeque::new(), 0);
                    Loop { db, inbox, own, handover, clock, checkpoints, syncer, last_group, group_bytes }.run();
                }
                if let Err(error) = suspects::note_end(&conn) {
                    tracing::warn!(%error, "the store could not note that it was closed");
                }
                if let Err((_, error)) = conn.close() {
                    tracing::warn!(%error, "the store's file could not be closed");
                }
            })
            .map_err(|error| StoreError::Unavailable(format!("no thread for the store: {error}")))?;
        started.recv().unwrap_or(Err(StoreError::Closed))?;
        Ok(Self { sender: Some(sender), thread: Mutex::new(Some(thread)), syncer: syncs })
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
        let thread = self.thread.lock().take();
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
        let thread = self.thread.get_mut().take();
        // The last handle may be dropped by one of the store's own threads, with a caller's deliveries.
        let current = std::thread::current().id();
        let own = |thread: &JoinHandle<()>| thread.thread().id() == current || self.syncer == Some(current);
        if let Some(thread) = thread.filter(|thread| !own(thread)) {
            let _ = thread.join();
        }
    }
}

/// Writes that share a commit.
#[derive(Default)]
struct Group {
    jobs: Vec<Box<dyn Job>>,
    bytes: usize,
}

impl Group {
    fn push(&mut self, job: Box<dyn Job>) {
        self.bytes += job.weight();
        self.jobs.push(job);
    }

    fn is_full(&self, bytes: usize) -> bool {
        self.jobs.len() >= GROUP_WRITES || self.bytes >= bytes
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
    syncer: Syncer,
    /// Writes in the last group.
    last_group: usize,
    /// Bytes that share a commit.
    group_bytes: usize,
}

impl Loop<'_> {
    fn run(&mut self) {
        let mut group = Group::default();
        while self.gather(&mut group) {
            failpoint("store");
            self.write(&mut group);
        }
        // What the last groups left to do is done before the store is closed.
        self.syncer.stop();
        group.jobs.extend(self.syncer.own());
        if !group.jobs.is_empty() {
            self.write(&mut group);
        }
        *self.handover.write() = None;
    }

    fn write(&mut self, group: &mut Group) {
        let begun = Instant::now();
        let committed = self.commit_all(group, begun);
        self.last_group = committed.done.len() + committed.failed.len();
        let mut full = committed.failed.iter().filter(|(_, error)| matches!(error, StoreError::Full(_))).peekable();
        let (full, results) = (full.peek().is_some(), full.any(|(job, _)| !job.is_intake()));
        if results {
            self.db.room.give_up_ballast();
        }
        let alone = self.last_group == 1 && self.inbox.is_empty();
        self.syncer.take(committed, alone);
        if full {
            self.checkpoints.make_room(self.db.conn);
        }
        self.checkpoints.after_commit(self.db.conn, std::mem::take(&mut group.bytes));
    }

    /// Takes the writes that are there; where the group has none yet, waits for one. `false`: there will be no write any
    /// more.
    fn gather(&mut self, group: &mut Group) -> bool {
        let mut patience = PATIENCE;
        self.own.extend(self.syncer.own());
        while !group.is_full(self.group_bytes) {
            let message = match self.own.pop_front() {
                Some(job) => Some(Message::Job(job)),
                None if group.jobs.is_empty() => self.inbox.blocking_recv(),
                None => self.inbox.try_recv().ok().or_else(|| self.wait_for_more(group.jobs.len(), &mut patience)),
            };
            match message {
                Some(Message::Job(job)) => group.push(job),
                Some(Message::Own) => self.own.extend(self.syncer.own()),
                Some(Message::Close) => self.inbox.close(),
                None => break,
            }
        }
        !group.jobs.is_empty()
    }

    /// Under load a group follows upon another, and most of the callers of the last one are just about to come again:
    /// lets them, rather than spend a commit on the first few. Does not wait where they are not.
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
        let connected = self.handover.read().is_some();
        Terms { now: self.clock.now(), connected }
    }

    /// Commits all at once; where that fails, each by itself, so that only the culprit fails.
    fn commit_all(&mut self, group: &mut Group, begun: Instant) -> Committed {
        let terms = self.terms();
        let mut committed = Committed { terms, done: Vec::new(), failed: Vec::new(), begun };
        let result = match self.syncer.broken() {
            None => self.commit_group(terms, group),
            Some(error) => {
                committed.failed.extend(group.jobs.drain(..).map(|job| (job, error.clone())));
                Ok(())
            }
        };
        match result {
            Ok(()) => committed.done.append(&mut group.jobs),
            Err(error) if error.spares_nobody() || group.jobs.len() == 1 => {
                committed.failed.extend(group.jobs.drain(..).map(|job| (job, error.clone())));
            }
            Err(_) => {
                for mut job in group.jobs.drain(..) {
                    match self.transaction(terms, |writer| job.apply(&mut writer.db)) {
                        Ok(()) => committed.done.push(job),
                        Err(error) => committed.failed.push((job, error)),
                    }
                }
            }
        }
        committed
    }

    /// Commits the group with what comes while the group before is being synced.
    fn commit_group(&mut self, terms: Terms, group: &mut Group) -> Result<(), StoreError> {
        self.transaction(terms, |writer| {
            let (mut applied, mut moment) = (0, MOMENT);
            loop {
                for job in group.jobs.iter_mut().skip(applied) {
                    job.apply(&mut writer.db)?;
                }
                applied = group.jobs.len();
                if group.is_full(writer.group_bytes) || !writer.syncer.wait(moment) {
                    return Ok(());
                }
                moment *= 2;
                writer.gather(group);
            }
        })
    }

    fn transaction(
        &mut self,
        terms: Terms,
        work: impl FnOnce(&mut Self) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let result = self.db.begin(terms).and_then(|()| work(self)).and_then(|()| self.db.commit());
        if result.is_err() {
            self.db.rollback();
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::task::Poll;

    use super::super::syncer::Log;
    use super::super::{Options, open};
    use super::*;
    use crate::domain::IdSource;
    use crate::system::SystemClock;

    /// Says when its sync has begun, and fails it when it is told to; the next ones are those of the log.
    struct Failing {
        log: Log,
        steps: Mutex<Option<(Sender<()>, Receiver<()>)>>,
    }

    impl Disk for Failing {
        fn sync(&self) -> std::io::Result<()> {
            let Some((begun, go_on)) = self.steps.lock().take() else { return self.log.sync() };
            begun.send(()).unwrap();
            go_on.recv().unwrap();
            Err(std::io::Error::other("the disk is on fire"))
        }
        fn rescue(&self) -> Result<(), StoreError> {
            self.log.rescue()
        }
    }

    /// Says that it is being written, and waits.
    struct Note(&'static str, Sender<()>, Mutex<Receiver<()>>);

    impl Write for Note {
        type Output = ();
        fn apply(&self, db: &mut Db<'_>) -> Result<(), StoreError> {
            db.channel(&Arc::from(self.0))?;
            self.1.send(()).unwrap();
            self.2.lock().recv().unwrap();
            Ok(())
        }
    }

    fn note(name: &'static str) -> (Note, Receiver<()>, Sender<()>) {
        let ((begun, has_begun), (go_on, may_go_on)) = (channel(), channel());
        (Note(name, begun, Mutex::new(may_go_on)), has_begun, go_on)
    }

    #[tokio::test]
    async fn a_sync_that_fails_while_the_next_group_is_filled_is_made_good_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { busy_timeout: Duration::from_secs(2), ..Options::new(folder.path().join("store.db")) };
        let clock = Arc::new(SystemClock);
        let (conn, _) = open::open(&options.path, &options, &IdSource::new(clock.clone(), 7)).unwrap();
        let ((begun, sync_begun), (fail, told_to)) = (channel(), channel());
        let log = Log::open(&options.path, &options).unwrap();
        let disk = Box::new(Failing { log, steps: Mutex::new(Some((begun, told_to))) });
        let tally = Arc::new(Tally::read(&conn).unwrap());
        let room = Room::new(&options.path, None);
        let checkpoints = Checkpoints::start(&options.path, &options).unwrap();
        let writer =
            Writer::start(conn, tally, Connected::default(), clock, checkpoints, disk, Arc::default(), room).unwrap();

        let ((first, first_begun, end_first), (second, second_begun, end_second)) = (note("first"), note("second"));
        let (mut first, mut second) = (pin!(writer.write(first)), pin!(writer.write(second)));
        assert!(poll_fn(|context| Poll::Ready(first.as_mut().poll(context).is_pending())).await);
        first_begun.recv().unwrap();
        // With another one behind it, the first is synced by the other thread.
        assert!(poll_fn(|context| Poll::Ready(second.as_mut().poll(context).is_pending())).await);
        end_first.send(()).unwrap();
        sync_begun.recv().unwrap();
        second_begun.recv().unwrap();
        fail.send(()).unwrap();
        end_second.send(()).unwrap();
        assert!(first.await.is_ok());
        assert!(second.await.is_ok());
        writer.close().await;
    }
}
