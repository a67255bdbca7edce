//! How a database file is used.

use std::path::PathBuf;
use std::time::Duration;

/// Bytes of a page. Large ones make for fewer of them in a group's commit, at little cost to a lone one.
pub(super) const PAGE: i64 = 16 << 10;

/// How a database file is used.
#[derive(Debug, Clone)]
pub struct Options {
    /// The file; made where there is none.
    pub path: PathBuf,
    /// The most that it may take with its companions, in bytes; `None` without bound.
    pub max_size: Option<u64>,
    /// How long to wait for a lock that another process holds.
    pub busy_timeout: Duration,
}

impl Options {
    /// A file without a bound, and five seconds for a lock.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), max_size: None, busy_timeout: Duration::from_secs(5) }
    }
}
