//! The replicas: each shows that it lives, and takes over what those have left that do not.
//!
//! A replica is alive by the server's clock. Declaring it dead takes away its rows in `commits`: what it still tries to write fails
//! then, and what it was writing has ended before.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Row;

use super::claim::freed;
use super::connections::Connection;
use super::tx::{Fault, Tx, Write};
use crate::domain::{IdSource, OrderId, Timestamp};
use crate::store::{Replica, StoreError};
use crate::telemetry::VERSION;

/// How many replicas can be alive at a time: their numbers are part of the keys that they make.
pub(super) const MOST: i64 = 1 << IdSource::NUMBER_BITS;

/// How far ahead of the clock keys may be that a replica has made, at its next start.
const RESERVED: Duration = Duration::from_secs(60);

/// Held while a replica joins.
const JOIN: &str = "SELECT pg_advisory_xact_lock(hashtextextended('replicas', 0))";

/// The number that was not used for longest.
const NUMBER: &str = "SELECT n::smallint, coalesce(u.used_to, 0) FROM generate_series(0, $1::bigint - 1) n
    LEFT JOIN replica_numbers u ON u.number = n
    WHERE NOT EXISTS (SELECT FROM replicas r WHERE r.number = n) ORDER BY 2, 1 LIMIT 1";

/// Makes a replica known: returns its number, and the key that those it makes must be above.
pub(super) async fn join(
    connection: &Connection,
    replica: Replica,
    connections: u16,
    ttl: Duration,
    now: Timestamp,
) -> Result<(u16, i64), StoreError> {
    connection.batch_execute("BEGIN").await?;
    let joined = join_within(connection, replica, connections, ttl, now).await;
    let end = if joined.is_ok() { "COMMIT" } else { "ROLLBACK" };
    connection.batch_execute(end).await?;
    joined
}

async fn join_within(
    connection: &Connection,
    replica: Replica,
    connections: u16,
    ttl: Duration,
    now: Timestamp,
) -> Result<(u16, i64), StoreError> {
    connection.query(JOIN, &[]).await?;
    // The answer to a try before this one may have been lost. Nothing is held yet.
    connection.execute("DELETE FROM commits WHERE replica = $1", &[&replica.0]).await?;
    connection.execute("DELETE FROM replicas WHERE id = $1", &[&replica.0]).await?;
    let rows = connection.query(NUMBER, &[&MOST]).await?;
    let row =
        rows.first().ok_or_else(|| StoreError::Unavailable(format!("{MOST} replicas are alive, which is the most")))?;
    let (number, used_to): (i16, i64) = (row.try_get(0)?, row.try_get(1)?);
    // All its keys are above that, also where its clock is set back: so it has left nothing open below.
    let above = OrderId::sequence_at(now).max(used_to);
    connection
        .execute(
            "INSERT INTO replicas (id, number, alive_until, watermark, started_at, version)
                VALUES ($1, $2, clock_timestamp() + $3::bigint * interval '1 millisecond', $4, clock_timestamp(), $5)",
            &[&replica.0, &number, &millis(ttl), &above, &VERSION],
        )
        .await?;
    connection
        .execute(
            "INSERT INTO commits (replica, connection, number)
                SELECT $1, n, 0 FROM generate_series(0, $2::integer - 1) n",
            &[&replica.0, &i32::from(connections)],
        )
        .await?;
    reserve(connection, number, now).await?;
    Ok((u16::try_from(number).unwrap_or(0), above))
}

/// Keeps in mind which keys may have been made with a number.
async fn reserve(connection: &Connection, number: i16, now: Timestamp) -> Result<(), StoreError> {
    connection
        .execute(
            "INSERT INTO replica_numbers (number, used_to) VALUES ($1, $2)
                ON CONFLICT (number) DO UPDATE SET used_to = greatest(replica_numbers.used_to, excluded.used_to)",
            &[&number, &OrderId::sequence_at(now.after(RESERVED))],
        )
        .await?;
    Ok(())
}

/// Shows that a replica lives. Returns the time by the server's clock; `None`: it was declared dead, or never joined.
pub(super) async fn beat(
    connection: &Connection,
    replica: Replica,
    watermark: i64,
    ttl: Duration,
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let rows = connection
        .query(
            "UPDATE replicas SET alive_until = clock_timestamp() + $2::bigint * interval '1 millisecond', watermark = $3
                WHERE id = $1
                RETURNING number, (extract(epoch FROM clock_timestamp()) * 1000)::bigint",
            &[&replica.0, &millis(ttl), &watermark],
        )
        .await?;
    let Some(row) = rows.first() else { return Ok(None) };
    reserve(connection, row.try_get(0)?, now).await?;
    Ok(Some(Timestamp::from_millis(row.try_get(1)?)))
}

/// The replicas that are alive, in an order that all of them share.
pub(super) async fn alive(connection: &Connection) -> Result<Vec<Replica>, StoreError> {
    let rows = connection
        .query("SELECT id FROM replicas WHERE alive_until > clock_timestamp() ORDER BY started_at, id", &[])
        .await?;
    rows.iter().map(|row| Ok(Replica(row.try_get(0)?))).collect()
}

/// Has a replica that has stopped count as dead from now on.
pub(super) async fn retire(connection: &Connection, replica: Replica, cleanly: bool) -> Result<(), StoreError> {
    connection
        .execute(
            "UPDATE replicas SET alive_until = clock_timestamp() - interval '1 second', ended = $2 WHERE id = $1",
            &[&replica.0, &cleanly],
        )
        .await?;
    Ok(())
}

/// Declares one replica dead that has been silent for too long, and frees what it held.
pub(super) struct Reap;

/// What was freed: how many orders and deliveries, and the channels with deliveries that can be claimed now.
pub(super) type Freed = (u64, Vec<(Arc<str>, Timestamp)>);

const DEAD: &str = "SELECT id, watermark, ended FROM replicas WHERE alive_until <= clock_timestamp()
    ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED";

/// Deliveries born leased to it, without an attempt and a row in `states`: they get one.
const BORN: &str = "WITH
    bare AS (SELECT seq, channel, due_at FROM deliveries d WHERE seq >= $2 AND born = $1
        AND NOT EXISTS (SELECT FROM states s WHERE s.delivery = d.seq)),
    marked AS (INSERT INTO attempts (delivery, number, id, started_at, duration_ms, code, outcome, exchange)
        SELECT seq, 1, NULL, 0, 0, 0, '', '{}' FROM bare ON CONFLICT DO NOTHING RETURNING delivery)
    INSERT INTO states (delivery, channel, state, owner, lease, attempts, round_start, due_at, updated_at)
        SELECT seq, channel, 2, $1, 1, 0, 0, due_at, seq >> 15 FROM bare JOIN marked ON marked.delivery = bare.seq";

/// Deliveries that were under way: one of them may be why it died.
const SUSPECT: &str = "INSERT INTO suspects (delivery, crashes, begun)
    SELECT delivery, 1, false FROM states s WHERE state = 2 AND owner = $1
        AND NOT EXISTS (SELECT FROM suspects p WHERE p.delivery = s.delivery AND NOT p.begun)
    ON CONFLICT (delivery) DO UPDATE SET crashes = suspects.crashes + 1, begun = false";

const LEASED: &str = "UPDATE states SET state = (attempts > 0)::integer, owner = NULL WHERE state = 2 AND owner = $1
    RETURNING channel, CASE WHEN in_line THEN ordering_key END, due_at";

#[async_trait]
impl Write for Reap {
    /// `None`: all are alive.
    type Output = Option<Freed>;

    async fn apply(&self, tx: &Tx<'_>) -> Result<Option<Freed>, Fault> {
        let Some(row) = tx.first(DEAD, &[]).await? else {
            tx.undo();
            return Ok(None);
        };
        let (dead, watermark, ended): (i64, i64, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        // What it was writing ends before, and nothing can follow.
        tx.execute("SET LOCAL lock_timeout = '8s'", &[]).await?;
        tx.execute("DELETE FROM commits WHERE replica = $1", &[&dead]).await?;
        tx.execute(BORN, &[&dead, &watermark]).await?;
        if !ended {
            tx.execute(SUSPECT, &[&dead]).await?;
        }
        let rows: Vec<Row> = tx.query(LEASED, &[&dead]).await?;
        let waiting = freed(tx, &rows).await?;
        let orders = tx.execute("UPDATE processing SET owner = NULL WHERE owner = $1", &[&dead]).await?;
        tx.execute("UPDATE channels SET owner = NULL WHERE owner = $1", &[&dead]).await?;
        tx.execute("DELETE FROM replicas WHERE id = $1", &[&dead]).await?;
        Ok(Some((rows.len() as u64 + orders, waiting)))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
