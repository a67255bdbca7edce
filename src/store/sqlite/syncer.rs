//! Makes what the writer committed durable, and tells of it, while the writer fills the next group.
//!
//! The writer's connection leaves the log unsynced (`synchronous = NORMAL`). Each committed group comes here, on a
//! thread of its own: the log is synced, and only then are deliveries handed over and callers answered. A group that came by itself, with nobody behind it, is synced by the writer: that spares a lone
//! order the way to another thread.
//!
//! A sync that fails leaves open what is on the disk, and another one that succeeds says nothing about it. So the whole log is
//! copied into the database, which writes and syncs every page of it anew; where that fails too, the store takes
//! nothing more until it is opened again, when what counts is what the disk has. Meanwhile the writer ends its transaction:
//! nobody may be writing while a log is copied whole.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SendError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};

use super::db::Terms;
use super::handoff::Handoff;
use super::job::Job;
use super::open;
use super::options::Options;
use crate::store::{Handover, StoreError};
use crate::system::EndsProcess;
use crate::telemetry::metrics::Metrics;

/// Who takes deliveries, once somebody does.
pub(super) type Connected = Arc<RwLock<Option<Arc<dyn Handover>>>>;

/// A group that has been committed, or was refused.
pub(super) struct Committed {
    pub(super) terms: Terms,
    pub(super) done: Vec<Box<dyn Job>>,
    pub(super) failed: Vec<(Box<dyn Job>, StoreError)>,
    pub(super) begun: Instant,
}

/// Syncs the log; where that fails, does what can be done about it.
pub(super) trait Disk: Send + Sync {
    /// Makes durable what has been committed.
    fn sync(&self) -> io::Result<()>;
    /// After a sync that failed: makes durable what has been committed, by another way.
    fn rescue(&self) -> Result<(), StoreError>;
}

/// The log of a database file.
pub(super) struct Log {
    log: File,
    path: PathBuf,
    options: Options,
}

impl Log {
    /// The log of the database at `path`, which is open and has been written to.
    pub(super) fn open(path: &Path, options: &Options) -> Result<Self, StoreError> {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let log = File::open(&log)
            .map_err(|error| StoreError::Unavailable(format!("{}: {error}", Path::new(&log).display())))?;
        Ok(Self { log, path: path.to_owned(), options: options.clone() })
    }
}

impl Disk for Log {
    fn sync(&self) -> io::Result<()> {
        self.log.sync_data()
    }

    fn rescue(&self) -> Result<(), StoreError> {
        let conn = open::connect(&self.path, &self.options)?;
        let busy: i64 = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy == 0 { Ok(()) } else { Err(StoreError::Locked("the log is being read".to_owned())) }
    }
}

/// What the thread does.
#[derive(Debug, Clone, Copy, Default)]
struct Stage {
    /// It syncs a group, or is about to.
    syncing: bool,
    /// That failed, and the log is copied.
    rescuing: bool,
    /// It tells of one.
    telling: bool,
}

/// What both threads know.
struct Shared {
    disk: Box<dyn Disk>,
    handover: Connected,
    metrics: Arc<Metrics>,
    /// What follows from writes whose callers are gone.
    own: Mutex<Vec<Box<dyn Job>>>,
    /// What the thread does.
    stage: Mutex<Stage>,
    is_synced: Condvar,
    broken: OnceLock<StoreError>,
    /// Lets the writer know that there is something of its own.
    wake: Box<dyn Fn() + Send + Sync>,
}

/// The writer's side.
pub(super) struct Syncer {
    shared: Arc<Shared>,
    groups: Option<SyncSender<Committed>>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// Starts the thread. `wake` is called when [`Syncer::own`] has something.
    pub(super) fn start(
        disk: Box<dyn Disk>,
        handover: Connected,
        metrics: Arc<Metrics>,
        wake: Box<dyn Fn() + Send + Sync>,
    ) -> Result<Self, StoreError> {
        let (groups, inbox) = sync_channel(1);
        let (own, stage, is_synced) = (Mutex::default(), Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { disk, handover, metrics, own, stage, is_synced, broken: OnceLock::new(), wake });
        let known = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("store-syncer".into())
            .spawn(move || {
                let _ends = EndsProcess("store-syncer");
                run(&known, &inbox);
            })
            .map_err(|error| StoreError::Unavailable(format!("no thread for the store: {error}")))?;
        Ok(Self { shared, groups: Some(groups), thread: Some(thread) })
    }

    /// Its thread.
    pub(super) fn thread(&self) -> Option<ThreadId> {
        self.thread.as_ref().map(|thread| thread.thread().id())
    }

    /// Why nothing can be taken any more.
    pub(super) fn broken(&self) -> Option<StoreError> {
        self.shared.broken.get().cloned()
    }

    /// Waits a moment for the sync under way. `false`: there is none, or none that one could wait for in a transaction.
    pub(super) fn wait(&self, moment: Duration) -> bool {
        let mut stage = self.shared.stage.lock();
        if !stage.syncing || stage.rescuing {
            return false;
        }
        self.shared.is_synced.wait_for(&mut stage, moment);
        true
    }

    /// Takes a group, once no other is being synced. With `alone`, and nothing under way, it is dealt with before this returns.
    pub(super) fn take(&self, group: Committed, alone: bool) {
        let mut stage = self.shared.stage.lock();
        while stage.syncing {
            self.shared.is_synced.wait(&mut stage);
        }
        let at_once = alone && !stage.telling;
        let Some(groups) = self.groups.as_ref().filter(|_| !at_once) else {
            drop(stage);
            return self.shared.tell(self.shared.synced(group));
        };
        stage.syncing = true;
        drop(stage);
        if let Err(SendError(group)) = groups.send(group) {
            self.shared.stage.lock().syncing = false;
            self.shared.tell(self.shared.synced(group));
        }
    }

    /// Writes of the store's own that follow from those told of.
    pub(super) fn own(&self) -> Vec<Box<dyn Job>> {
        std::mem::take(&mut *self.shared.own.lock())
    }

    /// Waits until all groups taken have been told of.
    pub(super) fn stop(&mut self) {
        self.groups = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(shared: &Shared, inbox: &Receiver<Committed>) {
    while let Ok(group) = inbox.recv() {
        let under_way = UnderWay(shared);
        let group = shared.synced(group);
        under_way.is_synced();
        shared.tell(group);
    }
}

/// A group that the thread has. The writer may wait for the end of its sync, however that comes.
struct UnderWay<'a>(&'a Shared);

impl UnderWay<'_> {
    fn is_synced(&self) {
        *self.0.stage.lock() = Stage { telling: true, ..Stage::default() };
        self.0.is_synced.notify_one();
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut stage = self.0.stage.lock();
        if !std::mem::take(&mut stage.telling) || std::thread::panicking() {
            *stage = Stage::default();
            self.0.is_synced.notify_one();
        }
    }
}

impl Shared {
    /// The group once it is durable, or has failed.
    fn synced(&self, mut group: Committed) -> Committed {
        let synced = if group.done.is_empty() { Ok(()) } else { self.sync() };
        self.metrics.commit(group.done.len() + group.failed.len(), group.begun.elapsed());
        if let Err(error) = synced {
            let lost = group.done.drain(..).map(|job| (job, error.clone()));
            group.failed.extend(lost);
        }
        self.metrics.store_errors(group.failed.len());
        group
    }

    fn sync(&self) -> Result<(), StoreError> {
        if let Some(error) = self.broken.get() {
            return Err(error.clone());
        }
        let Err(error) = self.disk.sync() else { return Ok(()) };
        tracing::error!(%error, "the store's log could not be synced to the disk; copying it whole");
        self.stage.lock().rescuing = true;
        let rescued = self.disk.rescue();
        self.stage.lock().rescuing = false;
        rescued.map_err(|rescue| {
            tracing::error!(%error, %rescue, "the disk fails: the store takes nothing more until a restart");
            let broken = StoreError::Unavailable(format!("its log could not be synced to the disk: {error}"));
            self.broken.get_or_init(|| broken).clone()
        })
    }

    /// Hands over new deliveries, then notifies the callers.
    fn tell(&self, mut group: Committed) {
        let mut handoff = Handoff::default();
        for job in &mut group.done {
            job.hand_off(group.terms, &mut handoff);
        }
        let handover = self.handover.read().clone();
        if let Some(handover) = handover {
            if !handoff.leased.is_empty() {
                handover.hand_over(handoff.leased);
            }
            for (channel, due_at) in handoff.waiting {
                handover.waiting(&channel, due_at);
            }
        }
        let own: Vec<_> = group.done.into_iter().filter_map(|job| job.answer(Ok(()))).collect();
        if let Some((_, error)) = group.failed.first() {
            tracing::error!(%error, writes = group.failed.len(), "write to the store failed");
        }
        for (job, error) in group.failed {
            job.answer(Err(error));
        }
        if !own.is_empty() {
            self.own.lock().extend(own);
            (self.wake)();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::db::Db;
    use super::*;

    #[derive(Default, Clone)]
    struct Diary(Arc<Mutex<Vec<&'static str>>>);

    impl Diary {
        fn note(&self, what: &'static str) {
            self.0.lock().push(what);
        }
        fn read(&self) -> Vec<&'static str> {
            self.0.lock().clone()
        }
    }

    struct Faulty {
        diary: Diary,
        sync: bool,
        rescue: bool,
    }

    impl Disk for Faulty {
        fn sync(&self) -> io::Result<()> {
            self.diary.note("sync");
            if self.sync { Ok(()) } else { Err(io::Error::other("the disk is on fire")) }
        }
        fn rescue(&self) -> Result<(), StoreError> {
            self.diary.note("rescue");
            if self.rescue { Ok(()) } else { Err(StoreError::Unavailable("still on fire".into())) }
        }
    }

    struct Noted(Diary, Option<Diary>);

    impl Job for Noted {
        fn is_intake(&self) -> bool {
            false
        }
        fn weight(&self) -> usize {
            1
        }
        fn apply(&mut self, _: &mut Db<'_>) -> Result<(), StoreError> {
            Ok(())
        }
        fn hand_off(&mut self, _: Terms, _: &mut Handoff) {
            self.0.note("handed over");
        }
        fn answer(self: Box<Self>, result: Result<(), StoreError>) -> Option<Box<dyn Job>> {
            self.0.note(if result.is_ok() { "told" } else { "refused" });
            self.1.map(|diary| Box::new(Self(diary, None)) as Box<dyn Job>)
        }
    }

    fn group(jobs: impl IntoIterator<Item = Noted>) -> Committed {
        let done = jobs.into_iter().map(|job| Box::new(job) as Box<dyn Job>).collect();
        let terms = Terms { now: crate::domain::Timestamp::default(), connected: true };
        Committed { terms, done, failed: Vec::new(), begun: Instant::now() }
    }

    fn syncer(sync: bool, rescue: bool) -> (Syncer, Diary, Arc<AtomicBool>) {
        let diary = Diary::default();
        let disk = Faulty { diary: diary.clone(), sync, rescue };
        let woken = Arc::new(AtomicBool::new(false));
        let wake = {
            let woken = Arc::clone(&woken);
            move || woken.store(true, Ordering::Release)
        };
        let syncer = Syncer::start(Box::new(disk), Connected::default(), Arc::default(), Box::new(wake)).unwrap();
        (syncer, diary, woken)
    }

    #[test]
    fn nobody_is_told_before_the_log_is_synced() {
        for alone in [false, true] {
            let (mut syncer, diary, _) = syncer(true, true);
            syncer.take(group([Noted(diary.clone(), None), Noted(diary.clone(), None)]), alone);
            syncer.stop();
            assert_eq!(diary.read(), ["sync", "handed over", "handed over", "told", "told"], "alone: {alone}");
        }
    }

    #[test]
    fn a_sync_that_fails_is_made_good_or_nothing_more_is_taken() {
        let (mut saved, diary, _) = syncer(false, true);
        saved.take(group([Noted(diary.clone(), None)]), true);
        saved.stop();
        assert_eq!(diary.read(), ["sync", "rescue", "handed over", "told"]);
        assert!(saved.broken().is_none());

        let (mut lost, diary, _) = syncer(false, false);
        lost.take(group([Noted(diary.clone(), None)]), true);
        assert!(matches!(lost.broken(), Some(StoreError::Unavailable(why)) if why.contains("on fire")));
        // A later sync could succeed and yet say nothing about what was lost.
        lost.take(group([Noted(diary.clone(), None)]), false);
        lost.stop();
        assert_eq!(diary.read(), ["sync", "rescue", "refused", "refused"]);
    }

    #[test]
    fn what_follows_from_a_write_goes_back_to_the_writer() {
        let (mut syncer, diary, woken) = syncer(true, true);
        syncer.take(group([Noted(diary.clone(), Some(diary.clone()))]), false);
        syncer.stop();
        assert!(woken.load(Ordering::Acquire));
        assert_eq!(syncer.own().len(), 1);
        assert!(syncer.own().is_empty());
    }
}
