//! Connections that only read, each used by one caller at a time on a thread that may block.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::open;
use super::options::Options;
use crate::store::StoreError;

/// Reads that run at once.
const READERS: usize = 4;

/// The readers of one database.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    options: Options,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
    closed: AtomicBool,
}

impl Readers {
    /// Readers of the database at `path`; connections are made when needed, and kept.
    pub(super) fn new(path: PathBuf, options: Options) -> Self {
        let permits = Arc::new(Semaphore::new(READERS));
        Self { path, options, idle: Mutex::default(), permits, closed: AtomicBool::new(false) }
    }

    /// Runs `read` on one snapshot of the database.
    pub(super) async fn read<T, F>(self: &Arc<Self>, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let readers = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            readers.run(read)
        });
        task.await.unwrap_or_else(|error| Err(StoreError::Unavailable(format!("a read broke off: {error}"))))
    }

    fn run<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = self.idle.lock().pop();
        let conn = match idle {
            Some(conn) => conn,
            None => open::connect_reader(&self.path, &self.options)?,
        };
        let result = {
            let _snapshot = conn.unchecked_transaction()?;
            read(&conn)
        };
        let mut idle = self.idle.lock();
        if !self.closed.load(Ordering::Acquire) {
            idle.push(conn);
        }
        result
    }

    /// How many bytes the files of the database take up.
    pub(super) fn bytes(&self) -> Result<u64, StoreError> {
        let size = |suffix: &str| {
            let mut path = self.path.as_os_str().to_owned();
            path.push(suffix);
            match std::fs::metadata(&path) {
                Ok(found) => Ok(found.len()),
                // The log comes and goes.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && !suffix.is_empty() => Ok(0),
                Err(error) => Err(StoreError::Unavailable(format!("{}: {error}", self.path.display()))),
            }
        };
        Ok(size("")? + size("-wal")?)
    }

    /// Refuses further reads, and closes the connections that are not in use.
    pub(super) fn close(&self) {
        self.permits.close();
        self.closed.store(true, Ordering::Release);
        self.idle.lock().clear();
    }
}
