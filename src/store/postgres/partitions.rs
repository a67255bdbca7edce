//! The partitions of the large tables: one for the keys of each day.

use tokio_postgres::Error;

use super::connections::Connection;
use crate::domain::{OrderId, Timestamp};

/// The partitioned tables, each with the column that holds the key.
pub(super) const TABLES: [&str; 6] = ["orders", "steps", "order_ends", "events", "deliveries", "attempts"];

/// The milliseconds of a partition.
pub(super) const DAY: i64 = 24 * 3600 * 1000;

/// How many days beyond the present one have their partitions made ahead.
const AHEAD: i64 = 2;

/// Held while partitions are made or dropped.
const LOCK: i64 = 0x6f72_6472_7061_7274;

/// Makes the partitions for today, yesterday and the next days, where they are missing.
pub(super) async fn make_around(connection: &Connection, now: Timestamp) -> Result<(), Error> {
    let today = now.as_millis().max(0) / DAY;
    for day in (today - 1).max(0)..=today + AHEAD {
        make(connection, day).await?;
    }
    Ok(())
}

/// Makes the partition that a row of `error` lacks, as the server names it: `(seq) = (…)`.
pub(super) async fn make_missing(connection: &Connection, error: &Error) -> Result<(), Error> {
    let detail = error.as_db_error().and_then(|error| error.detail()).unwrap_or_default();
    let key = detail.rsplit_once('(').and_then(|(_, rest)| rest.split(')').next()).and_then(|key| key.parse().ok());
    match key {
        Some(key) => make(connection, OrderId::time_of(key).as_millis() / DAY).await,
        None => Ok(()),
    }
}

async fn make(connection: &Connection, day: i64) -> Result<(), Error> {
    let first = OrderId::sequence_at(Timestamp::from_millis(day * DAY));
    let next = OrderId::sequence_at(Timestamp::from_millis((day + 1) * DAY));
    if !connection.query("SELECT 1 FROM partitions WHERE first = $1", &[&first]).await?.is_empty() {
        return Ok(());
    }
    let mut sql = format!(
        "BEGIN; SELECT pg_advisory_xact_lock({LOCK});
        INSERT INTO partitions (first, next) VALUES ({first}, {next}) ON CONFLICT DO NOTHING;"
    );
    for table in TABLES {
        sql.push_str(&format!(
            "CREATE TABLE IF NOT EXISTS {table}_{day} PARTITION OF {table} FOR VALUES FROM ({first}) TO ({next});"
        ));
    }
    sql.push_str("COMMIT;");
    let made = connection.batch_execute(&sql).await;
    if made.is_err() {
        connection.batch_execute("ROLLBACK").await?;
    }
    made
}
