//! What PostgreSQL's errors mean to a caller.

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

use crate::store::StoreError;

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        let text = sentence(&error);
        let Some(code) = error.code() else { return Self::Unavailable(text) };
        if *code == SqlState::DISK_FULL {
            return Self::Full(text);
        }
        match code.code().get(..2) {
            // A function or row that says that the replica is gone.
            Some("22") if *code == SqlState::DIVISION_BY_ZERO => Self::Fenced,
            // Data that cannot be written as it is, or is there already.
            Some("22" | "23") => Self::Corrupt(text),
            _ => Self::Unavailable(text),
        }
    }
}

/// An error in one sentence, as the server put it.
pub(super) fn sentence(error: &Error) -> String {
    match error.as_db_error() {
        Some(db) => in_words(db),
        None => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

fn in_words(error: &DbError) -> String {
    let detail = error.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
    format!("{}{detail} [{}]", error.message(), error.code().code())
}

/// What to do about an error that a start meets.
pub(super) fn advice(error: &Error) -> Option<&'static str> {
    let code = error.code()?;
    Some(match code.code() {
        "28P01" | "28000" => {
            "check the user in store.url, store.password or store.password_file, and the server's pg_hba.conf"
        }
        "3D000" => "create the database: createdb -O USER DATABASE",
        "42501" => "use a database that the user owns, or grant it: GRANT CREATE ON DATABASE ... TO ...",
        "53300" => "raise max_connections of the server, or lower store.connections",
        _ => return None,
    })
}

/// Whether the transaction failed because of others at the same time, and can be made again at once.
pub(super) fn is_conflict(error: &Error) -> bool {
    matches!(error.code(), Some(code) if *code == SqlState::T_R_DEADLOCK_DETECTED || *code == SqlState::T_R_SERIALIZATION_FAILURE)
}

/// Whether rows were to be inserted for which there is no partition yet.
pub(super) fn lacks_partition(error: &Error) -> bool {
    error.code() == Some(&SqlState::CHECK_VIOLATION)
        && error.as_db_error().is_some_and(|error| error.constraint().is_none())
}

/// Whether the connection is of no further use: broken, or its server cannot be written to any more.
pub(super) fn ends_connection(error: &Error) -> bool {
    let Some(code) = error.code() else { return true };
    *code == SqlState::READ_ONLY_SQL_TRANSACTION || matches!(code.code().get(..2), Some("57" | "08" | "58"))
}
