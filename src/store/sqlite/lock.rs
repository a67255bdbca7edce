//! The lock file beside a database: one orderhook at a time works on it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::private;
use crate::store::StoreError;

/// Holds the lock while it lives. The system frees it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file would leave the lock to a process that is just being made, and has it still open.
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "the lock of the store could not be given back");
        }
    }
}

impl Lock {
    /// Takes the lock of the database at `path`: the file `PATH.lock`, with our process id in it.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let lock = private::beside(path, ".lock");
        let failed = |error: std::io::Error| private::cannot_open(&lock, &error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(private::MODE);
        let mut file = options.open(&lock).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                return Err(StoreError::InUse { path: path.to_owned(), pid: text.trim().parse().ok() });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { file })
    }
}
