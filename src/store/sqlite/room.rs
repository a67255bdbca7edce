//! How much room the store has left, and what is kept back: orders and events are refused while there is still room for
//! the results of deliveries that were made already.
//!
//! Of `store.max_size` a share is for the write-ahead log, and one is the reserve. On the disk the reserve is a file, the
//! ballast, which is removed when a result finds no room, and made again once there is enough.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;

use super::options::PAGE;
use super::private::{self, beside};
use crate::store::StoreError;
use crate::system;

/// The ballast at most, in bytes.
const BALLAST: u64 = 8 << 20;
/// The reserve within a size at most, in bytes.
const RESERVE: u64 = 256 << 20;
/// The log at most, where the store's size is bounded.
const LOG: u64 = 192 << 20;
/// How often the disk is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes that a write takes beside what it brings: its share of pages that are not full, and its entries in indexes.
const OVERHEAD: u64 = 1 << 10;

/// How `store.max_size` is shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shares {
    /// Bytes for the write-ahead log.
    pub(super) log: u64,
    /// Bytes that the database may grow to.
    pub(super) database: u64,
    /// Bytes of the database that orders and events leave to results.
    reserve: u64,
    /// Bytes of the ballast.
    ballast: u64,
}

impl Shares {
    pub(super) fn of(max_size: u64) -> Self {
        let (log, ballast) = ((max_size / 4).min(LOG), (max_size / 16).min(BALLAST));
        Self { log, ballast, reserve: (max_size / 8).min(RESERVE), database: max_size - log - ballast }
    }
}

/// The room that is left.
#[derive(Debug)]
pub(super) struct Room {
    log: PathBuf,
    folder: PathBuf,
    shares: Option<Shares>,
    ballast: Ballast,
    page: u64,
    /// Bytes left to orders and events in this transaction.
    left: u64,
    looked: Option<Instant>,
    /// Whether the disk has room for the ballast and no more.
    tight: bool,
}

impl Room {
    /// The room of the database at `path`, which is open.
    pub(super) fn new(path: &Path, max_size: Option<u64>) -> Self {
        let shares = max_size.map(Shares::of);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let free = free(folder).unwrap_or(u64::MAX);
        let ballast =
            Ballast::new(beside(path, ".ballast"), shares.map_or(BALLAST, |shares| shares.ballast).min(free / 16));
        let (log, folder) = (beside(path, "-wal"), folder.to_owned());
        Self { log, folder, shares, ballast, page: PAGE.unsigned_abs(), left: u64::MAX, looked: None, tight: false }
    }

    /// Bytes that share a commit at most: less than the log has room for.
    pub(super) fn group_bytes(&self, usual: usize) -> usize {
        let share = self.shares.map_or(u64::MAX, |shares| shares.log / 4);
        usual.min(usize::try_from(share).unwrap_or(usize::MAX))
    }

    /// Looks how much is left, in a transaction that has begun.
    pub(super) fn measure(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        if self.looked.is_none() {
            self.page = conn.query_row("PRAGMA page_size", [], |row| row.get::<_, u32>(0)).map(u64::from)?;
        }
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
            self.look_at_disk();
        }
        let file_size = system::file_size();
        self.left = u64::MAX;
        if self.shares.is_none() && file_size.is_none() {
            return Ok(());
        }
        let number = |pragma: &str| conn.prepare_cached(pragma)?.query_row([], |row| row.get::<_, i64>(0));
        let pages = number("PRAGMA page_count")? - number("PRAGMA freelist_count")?;
        let used = pages.unsigned_abs().saturating_mul(self.page);
        if let Some(shares) = &self.shares {
            // A reader that stays long lets the log grow beyond its share.
            let excess = fs::metadata(&self.log).map_or(0, |log| log.len()).saturating_sub(shares.log);
            self.left = shares.database.saturating_sub(shares.reserve + excess + used);
        }
        if let Some(limit) = file_size {
            self.left = self.left.min(limit.saturating_sub((limit / 8).min(RESERVE) + used));
        }
        Ok(())
    }

    /// Takes room for an order or event that brings so many bytes; refuses it where only the reserve is left.
    pub(super) fn take(&mut self, weight: usize) -> Result<(), StoreError> {
        if self.tight {
            return Err(StoreError::Full("the disk has room for the results of deliveries only".to_owned()));
        }
        let weight = weight as u64;
        let needed = weight.saturating_add(weight / 4).saturating_add(OVERHEAD);
        let fits = self.shares.is_none_or(|shares| weight <= shares.log / 2);
        match self.left.checked_sub(needed).filter(|_| fits) {
            Some(left) => self.left = left,
            None if self.shares.is_some() => {
                let text = "it has reached store.max_size, less the reserve for the results of deliveries";
                return Err(StoreError::Full(text.to_owned()));
            }
            None => {
                let text = "it has reached the limit of a file's size (RLIMIT_FSIZE), less the reserve for the results of deliveries";
                return Err(StoreError::Full(text.to_owned()));
            }
        }
        Ok(())
    }

    /// Whether orders and events find room.
    pub(super) fn is_left(&self) -> bool {
        !self.tight && self.left > self.page
    }

    /// Called when something other than an order found no room. Gives the ballast up if it is the disk that is full.
    pub(super) fn give_up_ballast(&mut self) {
        let full = free(&self.folder).is_some_and(|free| free < 2 * self.ballast.size);
        if full && self.ballast.is_there() {
            self.ballast.remove();
            tracing::error!(
                folder = %self.folder.display(),
                "the disk is full: the store's ballast is given up for the results of deliveries, and orders are refused until there is room"
            );
        }
        self.look_at_disk();
    }

    fn look_at_disk(&mut self) {
        self.looked = Some(Instant::now());
        let Some(free) = free(&self.folder) else { return };
        let size = self.ballast.size;
        if !self.ballast.is_there() && free > 3 * size {
            self.ballast.make();
        }
        let tight = free < size || !self.ballast.is_there();
        if tight != self.tight {
            let folder = self.folder.display();
            if tight {
                tracing::error!(%folder, free, "the disk is nearly full: orders and events are refused, results of deliveries are still kept");
            } else {
                tracing::info!(%folder, free, "the disk has room again: orders and events are accepted");
            }
        }
        self.tight = tight;
    }
}

/// Bytes of a folder's disk that are free; `None` where the system does not say.
fn free(folder: &Path) -> Option<u64> {
    let found = statvfs(folder).ok().filter(|found| found.f_blocks > 0)?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// A file that only takes room.
#[derive(Debug)]
struct Ballast {
    path: PathBuf,
    size: u64,
    there: bool,
    /// Whether no such file can be made, for another reason than a full disk.
    impossible: bool,
}

impl Ballast {
    fn new(path: PathBuf, size: u64) -> Self {
        let there = size > 0 && fs::metadata(&path).is_ok_and(|file| file.len() == size);
        Self { path, size, there, impossible: false }
    }

    /// Whether it is there, or cannot be.
    fn is_there(&self) -> bool {
        self.there || self.impossible || self.size == 0
    }

    fn make(&mut self) {
        match self.try_make() {
            Ok(()) => self.there = true,
            Err(error) => {
                self.remove();
                self.impossible = error.kind() != io::ErrorKind::StorageFull;
                tracing::warn!(file = %self.path.display(), %error, "the store's ballast cannot be made");
            }
        }
    }

    fn try_make(&self) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(private::MODE).open(&self.path)?;
        match fallocate(&file, FallocateFlags::empty(), 0, self.size) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => fill(&file, self.size),
            Err(error) => Err(error.into()),
        }
    }

    fn remove(&mut self) {
        self.there = false;
        // Another process may have it open: what it takes is free once it is empty.
        let emptied = OpenOptions::new().write(true).truncate(true).open(&self.path);
        if let Err(error) = emptied.and_then(|_| fs::remove_file(&self.path)) {
            tracing::warn!(file = %self.path.display(), %error, "the store's ballast cannot be removed");
        }
    }
}

/// Writes so many zeros.
fn fill(mut file: &File, size: u64) -> io::Result<()> {
    let zeros = [0; 8 << 10];
    let mut left = size;
    while left > 0 {
        let part = zeros.get(..usize::try_from(left).unwrap_or(zeros.len()).min(zeros.len())).unwrap_or(&zeros);
        file.write_all(part)?;
        left -= part.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_a_size_are_the_size() {
        for max_size in [64 << 10, 1 << 20, 2 << 20, 1 << 30, 1 << 50] {
            let shares = Shares::of(max_size);
            assert_eq!(shares.log + shares.database + shares.ballast, max_size);
            assert!(shares.reserve < shares.database);
        }
    }

    #[test]
    fn the_ballast_takes_room_and_gives_it_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut ballast = Ballast::new(folder.path().join("store.db.ballast"), 1 << 20);
        assert!(!ballast.is_there());
        ballast.make();
        assert!(ballast.is_there());
        assert_eq!(fs::metadata(&ballast.path).unwrap().len(), 1 << 20);
        assert!(Ballast::new(ballast.path.clone(), 1 << 20).is_there(), "found at the next start");
        ballast.remove();
        assert!(!ballast.is_there() && !ballast.path.exists());
        let mut nowhere = Ballast::new(folder.path().join("none/ballast"), 1 << 20);
        nowhere.make();
        assert!(nowhere.is_there(), "a disk on which there can be none is not a full one");
    }

    #[test]
    fn an_order_takes_room_as_long_as_more_than_the_reserve_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let conn = Connection::open(&path).unwrap();
        let mut room = Room::new(&path, Some(1 << 20));
        room.measure(&conn).unwrap();
        assert!(room.is_left());
        let mut taken = 0;
        while room.take(10_000).is_ok() {
            taken += 1;
        }
        assert!((30..60).contains(&taken), "{taken}");
        assert!(matches!(room.take(600_000), Err(StoreError::Full(_))));
        room.measure(&conn).unwrap();
        assert!(room.take(10_000).is_ok(), "measured again, as nothing was written");
        assert!(room.take(200_000).is_err(), "larger than the log has room for");
        let mut unbound = Room::new(&path, None);
        unbound.measure(&conn).unwrap();
        assert!(unbound.take(usize::MAX / 4).is_ok());
    }
}
