//! What SQLite's errors mean to a caller.

use rusqlite::{ErrorCode, ffi};

use crate::store::StoreError;
pub(super) use crate::store::error::corrupt;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        match error {
            rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DiskFull => Self::Full(text),
                ErrorCode::SystemIoFailure
                    if failure.extended_code == ffi::SQLITE_IOERR_WRITE && crate::system::file_size().is_some() =>
                {
                    Self::Full(format!("{text} (the size of files is limited, see RLIMIT_FSIZE)"))
                }
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Locked(text),
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation => {
                    Self::Corrupt(text)
                }
                _ => Self::Unavailable(text),
            },
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::QueryReturnedNoRows => Self::Corrupt(text),
            _ => Self::Unavailable(text),
        }
    }
}

impl StoreError {
    /// Whether every other write of the same moment would fail the same way, so that trying each by itself is vain.
    pub(super) const fn spares_nobody(&self) -> bool {
        matches!(self, Self::Locked(_) | Self::Closed)
    }
}
