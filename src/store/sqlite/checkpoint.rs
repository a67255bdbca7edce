//! Keeps the write-ahead log short without holding up commits.
//!
//! A thread of its own copies the log into the database. While writes go on it can never finish, and a log that is not
//! copied whole cannot begin anew; so the writer copies the short rest itself, between two groups.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::open;
use crate::store::StoreError;

/// Frames in the log, of a page each, from which on it is copied: 16 MiB.
pub(super) const FRAMES: i64 = 4096;
/// How often the thread tries to finish before it leaves the rest to the writer.
const ROUNDS: usize = 3;

/// The writer's side.
pub(super) struct Checkpoints {
    wake: Option<SyncSender<()>>,
    rest: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// The log's length when the thread was last woken.
    woken_at: i64,
}

impl Checkpoints {
    /// Starts the thread.
    pub(super) fn start(path: &Path, options: &super::Options) -> Result<Self, StoreError> {
        let conn = open::connect(path, options)?;
        let (wake, woken) = sync_channel(1);
        let rest = Arc::new(AtomicBool::new(false));
        let signal = Arc::clone(&rest);
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || copy(&conn, &woken, &signal))
            .map_err(|error| StoreError::Unavailable(format!("no thread for the store: {error}")))?;
        Ok(Self { wake: Some(wake), rest, thread: Some(thread), woken_at: 0 })
    }

    /// Called between two groups.
    pub(super) fn after_commit(&mut self, conn: &Connection) {
        if self.rest.swap(false, Ordering::AcqRel) {
            report(checkpoint(conn, "PRAGMA wal_checkpoint(PASSIVE)"));
        }
        let Some((frames, copied)) = report(checkpoint(conn, "PRAGMA wal_checkpoint(NOOP)")) else { return };
        if frames < self.woken_at {
            self.woken_at = 0; // the log has begun anew
        }
        // Once for each length: a reader that stays long keeps it from being copied, however often one tries.
        if copied < frames && frames - self.woken_at >= FRAMES {
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

fn copy(conn: &Connection, woken: &Receiver<()>, rest: &AtomicBool) {
    while woken.recv().is_ok() {
        let whole = (0..ROUNDS).any(|_| {
            report(checkpoint(conn, "PRAGMA wal_checkpoint(PASSIVE)"))
                .is_some_and(|(frames, copied)| copied >= 0 && frames == copied)
        });
        if !whole {
            rest.store(true, Ordering::Release);
        }
    }
}

/// Frames in the log, and how many of them are copied.
fn checkpoint(conn: &Connection, sql: &str) -> rusqlite::Result<(i64, i64)> {
    let r = conn.prepare_cached(sql)?.query_row([], |row| Ok((row.get(1)?, row.get(2)?)));
    if r.as_ref().is_ok_and(|x: &(i64, i64)| !sql.contains("NOOP") || x.0 > 4096) {
        eprintln!("{sql} {r:?}");
    }
    r
}

/// A failed checkpoint harms nothing by itself: the log stays longer, and what is wrong with the disk fails the next commit.
fn report(result: rusqlite::Result<(i64, i64)>) -> Option<(i64, i64)> {
    result.inspect_err(|error| tracing::warn!(%error, "the write-ahead log could not be copied")).ok()
}
