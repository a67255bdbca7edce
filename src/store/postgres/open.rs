//! Opens a database: checks that it can be used, makes or migrates the schema, and joins the replicas.

use tokio_postgres::Error;

use super::connections::{ConnectError, Connection};
use super::fault;
use crate::store::StoreError;

/// The migrations, in order. They only add, so that the version before works on the schema of this one.
const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001_orders_and_deliveries.sql")];

/// The oldest version of the server that works: 14.
const OLDEST_SERVER: i32 = 140_000;

/// Held while the schema is made or migrated.
const LOCK: &str = "SELECT pg_advisory_lock(hashtextextended('orderhook schema', 0))";
const UNLOCK: &str = "SELECT pg_advisory_unlock(hashtextextended('orderhook schema', 0))";

/// The version of the schema; NULL: there is none. And whether there is a schema of that name.
const VERSION: &str =
    "SELECT to_regclass('orderhook.migrations') IS NOT NULL, to_regnamespace('orderhook') IS NOT NULL";

/// Makes the schema ready.
pub(super) async fn prepare(connection: &Connection) -> Result<(), StoreError> {
    let refused = |error: &Error| explained(error);
    let version = connection
        .query("SELECT current_setting('server_version_num')::integer, current_setting('server_version')", &[])
        .await;
    let version = version.map_err(|error| refused(&error))?;
    if let Some(row) = version.first() {
        let (number, name): (i32, String) = (row.try_get(0)?, row.try_get(1)?);
        if number < OLDEST_SERVER {
            return Err(StoreError::Refused(format!("PostgreSQL {name} is too old: orderhook needs 14 or later")));
        }
    }
    connection.query(LOCK, &[]).await.map_err(|error| refused(&error))?;
    let migrated = migrate(connection).await;
    connection.query(UNLOCK, &[]).await?;
    migrated
}

async fn migrate(connection: &Connection) -> Result<(), StoreError> {
    let rows = connection.query(VERSION, &[]).await.map_err(|error| explained(&error))?;
    let (ours, exists) = match rows.first() {
        Some(row) => (row.try_get(0)?, row.try_get(1)?),
        None => (false, false),
    };
    if exists && !ours {
        return Err(StoreError::Refused(
            "the database has a schema named orderhook that is not of this product: use a database of its own"
                .to_owned(),
        ));
    }
    let known = i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX);
    let found: i32 = if ours {
        let rows = connection.query("SELECT coalesce(max(version), 0) FROM orderhook.migrations", &[]).await;
        let rows = rows.map_err(|error| explained(&error))?;
        rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(0)
    } else {
        0
    };
    // The version before this one works on the schema of this one, no older one does.
    if found > known + 1 {
        return Err(StoreError::Refused(format!(
            "the store has schema version {found}, this orderhook knows up to {known} and works on {}: use a later version",
            known + 1
        )));
    }
    let next = usize::try_from(found).unwrap_or(0);
    for (version, sql) in (1..=known).zip(MIGRATIONS).skip(next) {
        let sql = format!(
            "BEGIN; CREATE SCHEMA IF NOT EXISTS orderhook; SET LOCAL search_path TO orderhook;
            CREATE TABLE IF NOT EXISTS migrations (version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now());
            {sql}
            INSERT INTO migrations (version) VALUES ({version}); COMMIT;"
        );
        if let Err(error) = connection.batch_execute(&sql).await {
            connection.batch_execute("ROLLBACK").await?;
            return Err(explained(&error));
        }
        tracing::info!(version, "schema of the store made");
    }
    Ok(())
}

/// Finds out whether a pooler between this process and the server takes the connection away between two transactions: in that case
/// nothing that belongs to a session works. `other` is a second connection.
pub(super) async fn check_session(connection: &Connection, other: &Connection) -> Result<(), StoreError> {
    connection.batch_execute("SET orderhook.session TO 'one'").await?;
    // Takes the server's connection that was last free.
    other.batch_execute("BEGIN; SET LOCAL orderhook.session TO 'two'").await?;
    let rows = connection.query("SELECT coalesce(current_setting('orderhook.session', true), '')", &[]).await;
    other.batch_execute("COMMIT").await?;
    let kept = rows
        .is_ok_and(|rows| rows.first().is_some_and(|row| row.try_get::<_, &str>(0).is_ok_and(|found| found == "one")));
    if kept {
        return Ok(());
    }
    Err(StoreError::Refused(
        "a pooler in transaction mode stands before PostgreSQL: set PgBouncer's pool_mode to session, or connect without it".to_owned(),
    ))
}

/// Why a start has no connection.
pub(super) fn unconnected(error: ConnectError) -> StoreError {
    match error {
        ConnectError::Server(error) => explained(&error),
        ConnectError::Closed => StoreError::Closed,
    }
}

/// An error that a start meets: with what to do, where it does not pass.
pub(super) fn explained(error: &Error) -> StoreError {
    match fault::advice(error) {
        Some(advice) => StoreError::Refused(format!("PostgreSQL: {}: {advice}", fault::sentence(error))),
        None => match error.code() {
            Some(code) if !matches!(code.code().get(..2), Some("08" | "53" | "57" | "58")) => {
                StoreError::Refused(format!("PostgreSQL: {}", fault::sentence(error)))
            }
            _ => StoreError::Unavailable(format!("PostgreSQL: {}", fault::sentence(error))),
        },
    }
}
