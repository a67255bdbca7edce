//! Keeps the write-ahead log short without holding up commits.
//!
//! A thread of its own copies the log into the database. While writes go on it can never finish, and a log that is not
//! copied whole cannot begin anew; so the writer copies the short rest itself, between two groups.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use rusqlite::Connection;

use super::open;
use super::options::{Options, PAGE};
use super::room::Shares;
use crate::store::StoreError;

/// Frames in the log, of a page each, from which on it is copied: 32 MiB.
const FRAMES: i64 = (32 << 20) / PAGE;
/// Frames from which on the writer waits for the log to be copied: 96 MiB. A disk, or a machine, so slow slows writes down.
const FRAMES_MOST: i64 = 3 * FRAMES;
/// Bytes from which on the log's length is looked at again.
const LOOK_BYTES: usize = 1 << 20;
/// Bytes that a commit adds at least, whatever it brings.
const COMMIT_BYTES: usize = 8 * PAGE as usize;
/// Copies what is in the log, beside whoever reads and writes. Tells of the log as it was at the beginning.
const COPY: &str = "PRAGMA wal_checkpoint(PASSIVE)";
/// Tells how long the log is now, and how much of it is copied.
const LOOK: &str = "PRAGMA wal_checkpoint(NOOP)";
/// How often the thread tries to finish before it leaves the rest to the writer.
const ROUNDS: usize = 3;

/// The writer's side.
pub(super) struct Checkpoints {
    wake: Option<SyncSender<()>>,
    rest: Arc<AtomicBool>,
    copying: Arc<Mutex<()>>,
    thread: Option<JoinHandle<()>>,
    /// Bytes that came since the log's length was looked at.
    unseen: usize,
    /// The log's length when the thread was last woken.
    woken_at: i64,
    bounds: Bounds,
}

/// When the log is copied.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// As [`FRAMES`].
    frames: i64,
    /// As [`FRAMES_MOST`].
    most: i64,
    /// As [`LOOK_BYTES`].
    look: usize,
}

impl Bounds {
    /// The usual ones; smaller where the log has to share `store.max_size`: it is copied at half of its share, so that
    /// the next group has room in it.
    fn of(max_size: Option<u64>) -> Self {
        let Some(shares) = max_size.map(Shares::of) else {
            return Self { frames: FRAMES, most: FRAMES_MOST, look: LOOK_BYTES };
        };
        let share = i64::try_from(shares.log / 2).unwrap_or(i64::MAX) / PAGE;
        let most = FRAMES_MOST.min(share).max(2);
        let look = usize::try_from(shares.log / 8).unwrap_or(LOOK_BYTES);
        Self { frames: FRAMES.min(most / 3).max(1), most, look: LOOK_BYTES.min(look) }
    }
}

impl Checkpoints {
    /// Starts the thread.
    pub(super) fn start(path: &Path, options: &Options) -> Result<Self, StoreError> {
        let conn = open::connect(path, options)?;
        let bounds = Bounds::of(options.max_size);
        let (wake, woken) = sync_channel(1);
        let rest = Arc::new(AtomicBool::new(false));
        let copying = Arc::new(Mutex::new(()));
        let (signal, alone) = (Arc::clone(&rest), Arc::clone(&copying));
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || copy(&conn, &woken, &signal, &alone))
            .map_err(|error| StoreError::Unavailable(format!("no thread for the store: {error}")))?;
        Ok(Self { wake: Some(wake), rest, copying, thread: Some(thread), unseen: 0, woken_at: 0, bounds })
    }

    /// Called when the disk is full: a log that is copied can be written over from its beginning.
    pub(super) fn make_room(&mut self, conn: &Connection) {
        let _alone = self.copying.lock();
        report(checkpoint(conn, COPY));
    }

    /// Called between two groups, with the bytes that the last one brought.
    pub(super) fn after_commit(&mut self, conn: &Connection, bytes: usize) {
        self.unseen += bytes + COMMIT_BYTES;
        if self.unseen < self.bounds.look {
            return;
        }
        self.unseen = 0;
        let mut log = report(checkpoint(conn, LOOK));
        let too_long = log.is_some_and(|(frames, _)| frames >= self.bounds.most);
        if self.rest.swap(false, Ordering::AcqRel) || too_long {
            // While the thread copies, nobody else can.
            let _alone = self.copying.lock();
            report(checkpoint(conn, COPY));
            log = report(checkpoint(conn, LOOK));
        }
        let Some((frames, copied)) = log else { return };
        if frames < self.woken_at {
            self.woken_at = 0; // the log has begun anew
        }
        // Once for each length: a reader that stays long keeps it from being copied, however often one tries.
        if copied < frames && frames - self.woken_at >= self.bounds.frames {
            self.woken_at = frames;
            if let Some(wake) = &self.wake {
                let _ = wake.try_send(());
            }
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn copy(conn: &Connection, woken: &Receiver<()>, rest: &AtomicBool, alone: &Mutex<()>) {
    while woken.recv().is_ok() {
        let _alone = alone.lock();
        let whole = (0..ROUNDS).any(|_| {
            report(checkpoint(conn, COPY))
                .and_then(|_| report(checkpoint(conn, LOOK)))
                .is_some_and(|(frames, copied)| frames == copied)
        });
        if !whole {
            rest.store(true, Ordering::Release);
        }
    }
}

/// Frames in the log, and how many of them are copied.
fn checkpoint(conn: &Connection, sql: &str) -> rusqlite::Result<(i64, i64)> {
    conn.prepare_cached(sql)?.query_row([], |row| Ok((row.get(1)?, row.get(2)?)))
}

/// A failed checkpoint harms nothing by itself: the log stays longer, and what is wrong with the disk fails the next commit.
fn report(result: rusqlite::Result<(i64, i64)>) -> Option<(i64, i64)> {
    result.inspect_err(|error| tracing::warn!(%error, "the write-ahead log could not be copied")).ok()
}
