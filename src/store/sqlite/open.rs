//! Opening a database file: checked to be ours, migrated, and tidied up behind whoever had it before.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::options::{Options, PAGE};
use super::room::Shares;
use super::suspects;
use crate::domain::{IdSource, Timestamp};
use crate::store::StoreError;

/// Says in a SQLite file that it is a store of orderhook: `ordh`.
const APPLICATION_ID: i64 = 0x6f72_6468;

/// The schema's versions, each by what makes it out of the one before. To change the schema, add a file.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_orders_and_deliveries.sql"),
    include_str!("migrations/0002_steps_of_events.sql"),
    include_str!("migrations/0003_orders_by_chain.sql"),
    include_str!("migrations/0004_verdicts.sql"),
    include_str!("migrations/0005_health_of_channels.sql"),
    include_str!("migrations/0006_early_verdicts.sql"),
    include_str!("migrations/0007_signed_requests.sql"),
    include_str!("migrations/0011_search.sql"),
    include_str!("migrations/0012_suspects.sql"),
    include_str!("migrations/0013_audit.sql"),
    include_str!("migrations/0014_causes.sql"),
    include_str!("migrations/0015_arrival.sql"),
    include_str!("migrations/0016_leases_and_keys.sql"),
];

/// Bytes of pages that the writer keeps in memory.
const WRITER_CACHE_KIB: i64 = 16 << 10;
/// The same for each of the others.
const READER_CACHE_KIB: i64 = 2 << 10;
/// A log that has grown beyond this, behind a reader that stayed long, is cut back to it.
const LOG_LIMIT: u64 = 64 << 20;

/// A connection that may write.
pub(super) fn connect(path: &Path, options: &Options) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|error| about(path, error.into()))?;
    tune(&conn, options).map_err(|error| match error {
        rusqlite::Error::SqliteFailure(failure, _) if failure.code == rusqlite::ErrorCode::NotADatabase => {
            not_a_store(path, "it is not an SQLite database")
        }
        error => about(path, error.into()),
    })?;
    Ok(conn)
}

fn tune(conn: &Connection, options: &Options) -> rusqlite::Result<()> {
    conn.busy_timeout(options.busy_timeout)?;
    conn.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", false)?;
    // The folder for temporary files may be read-only.
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.query_row("PRAGMA wal_autocheckpoint = 0", [], |_| Ok(()))
}

fn not_a_store(path: &Path, reason: &str) -> StoreError {
    StoreError::NotAStore { path: path.to_owned(), reason: reason.to_owned() }
}

/// A connection that only reads.
pub(super) fn connect_reader(path: &Path, options: &Options) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|error| about(path, error.into()))?;
    conn.busy_timeout(options.busy_timeout)?;
    conn.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.set_prepared_statement_cache_capacity(32);
    Ok(conn)
}

/// The writer's connection to a database that is ready for work: nothing in it belongs to anybody, and `ids` goes on
/// behind its last key. Next to it, when the last process showed that it was alive.
pub(super) fn open(
    path: &Path,
    options: &Options,
    ids: &IdSource,
) -> Result<(Connection, Option<Timestamp>), StoreError> {
    let mut conn = connect(path, options)?;
    check(&conn, path).map_err(|error| about(path, error))?;
    let last_used = migrate(&mut conn).map_err(|error| about(path, error))?;
    prepare(&conn, options).map_err(|error| about(path, error))?;
    for table in ["orders", "events", "deliveries"] {
        let last: Option<i64> = conn.query_row(&format!("SELECT max(seq) FROM {table}"), [], |row| row.get(0))?;
        ids.continue_after(last.unwrap_or(0));
    }
    Ok((conn, last_used))
}

pub(super) fn check(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let application: i64 = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let found: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match application {
        APPLICATION_ID => {}
        0 if found == 0 && tables == 0 => {}
        _ => return Err(not_a_store(path, "it is the SQLite database of another program")),
    }
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    Ok(())
}

/// Checks that a database needs no migration, for those who cannot make one.
pub(super) fn check_current(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    check(conn, path)?;
    let found: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found < MIGRATIONS.len() as i64 {
        return Err(not_a_store(
            path,
            "it is of an earlier version; start the service on it, or on a copy, to migrate it",
        ));
    }
    Ok(())
}

fn migrate(conn: &mut Connection) -> Result<Option<Timestamp>, StoreError> {
    // Of effect on a new file alone.
    conn.pragma_update(None, "page_size", PAGE)?;
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Unavailable(format!("write-ahead logging is not possible (journal mode {mode})")));
    }
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: u32 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let found = found as usize;
    for migration in MIGRATIONS.iter().skip(found) {
        transaction.execute_batch(migration)?;
    }
    if found < MIGRATIONS.len() {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    }
    if transaction.query_row("SELECT count(*) FROM secrets", [], |row| row.get::<_, i64>(0))? == 0 {
        let secret = crate::system::secret().map_err(StoreError::Unavailable)?;
        transaction.execute("INSERT INTO secrets VALUES (1, ?1)", [secret])?;
    }
    suspects::note_start(&transaction)?;
    let last_used: Option<i64> =
        transaction.query_row("SELECT max(alive_until) FROM replicas", [], |row| row.get(0))?;
    // Nobody else works on the file, so whatever somebody had is free again.
    transaction.execute("DELETE FROM replicas", [])?;
    transaction.execute(
        "UPDATE orders INDEXED BY orders_by_status SET status = 0, owner = NULL WHERE status = 1 AND status <> 2",
        [],
    )?;
    transaction.execute(
        "UPDATE deliveries INDEXED BY deliveries_by_state SET state = (attempts > 0), owner = NULL WHERE state = 2 AND state <> 3",
        [],
    )?;
    transaction.commit()?;
    Ok(last_used.map(Timestamp::from_millis))
}

fn prepare(conn: &Connection, options: &Options) -> Result<(), StoreError> {
    conn.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    // The migration was synced with the log's header and folder; from here on the syncer does it, behind the commits.
    conn.pragma_update(None, "synchronous", "NORMAL")?;
    let shares = options.max_size.map(Shares::of);
    let log = shares.map_or(LOG_LIMIT, |shares| shares.log.min(LOG_LIMIT));
    conn.query_row(&format!("PRAGMA journal_size_limit = {log}"), [], |_| Ok(()))?;
    if let Some(shares) = shares {
        let page: u32 = conn.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let pages = (shares.database / u64::from(page)).max(1);
        conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
    }
    Ok(())
}

/// The same error, naming the file where it does not.
fn about(path: &Path, error: StoreError) -> StoreError {
    let name = |text| format!("{}: {text}", path.display());
    match error {
        StoreError::Full(text) => StoreError::Full(name(text)),
        StoreError::Locked(text) => StoreError::Locked(name(text)),
        StoreError::Unavailable(text) => StoreError::Unavailable(name(text)),
        StoreError::Corrupt(text) => StoreError::Corrupt(name(text)),
        other => other,
    }
}
