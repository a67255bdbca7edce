//! What can go wrong with a store, by what a caller can do about it.

use std::path::PathBuf;

/// A store's failure. The text is for logs and for who starts the service; it never goes to a caller of the API.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No room: the disk, or `store.max_size`.
    #[error("the store is full: {0}")]
    Full(String),
    /// Another process holds a lock that was not given up in time.
    #[error("the store is locked by another process: {0}")]
    Locked(String),
    /// Reading or writing failed.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// What is in the store cannot be.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
    /// The work no longer belongs to this replica.
    #[error("the work has moved on to another replica")]
    Fenced,
    /// The service is stopping.
    #[error("the store is closed")]
    Closed,
    /// Another orderhook works on the file.
    #[error("{path} is in use by another orderhook{}", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    InUse {
        /// The database file.
        path: PathBuf,
        /// The other process, where it said so.
        pid: Option<u32>,
    },
    /// The file was written by a later version.
    #[error(
        "{path} has schema version {found}, this orderhook knows up to {known}: use the orderhook that wrote it, or a later one"
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The latest one this program knows.
        known: i64,
    },
    /// The store cannot be used as it is: says why, and what to do.
    #[error("{0}")]
    Refused(String),
    /// The file is no database, or not one of ours.
    #[error("{path} is not a store of orderhook: {reason}")]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl StoreError {
    /// Whether the same call can succeed later without anybody's doing in this process.
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Locked(_) | Self::Unavailable(_))
    }
}

/// A row that cannot be: says where it is.
pub(super) fn corrupt(table: &str, column: &str, seq: i64) -> StoreError {
    StoreError::Corrupt(format!("{table}.{column} of row {seq} cannot be read"))
}
