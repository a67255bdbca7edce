//! The lines of ordered channels: of the deliveries with one key, one at a time can be claimed, over all replicas.
//!
//! A delivery stays in the line of its key until it has ended, or, where a failure holds the key, until a person has settled it.
//! Whatever changes a delivery in a line locks the line first and ends with [`advance`], in the same transaction.

use std::collections::HashSet;

use super::tx::{Fault, Tx};
use crate::domain::Timestamp;

/// The line of a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Line {
    pub(super) channel: i32,
    pub(super) key: String,
}

/// Locks, in an order that everybody keeps to.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hash) FROM (
    SELECT DISTINCT hashtextextended(key, channel) AS hash FROM unnest($1::integer[], $2::text[]) t (channel, key)
        ORDER BY 1) locks";

const TAKEN: &str = "SELECT channel, key FROM unnest($1::integer[], $2::text[]) t (channel, key)
    WHERE EXISTS (SELECT FROM states s WHERE s.channel = t.channel AND s.ordering_key = t.key AND s.in_line)";

/// Lets the first of a line be claimed, unless one is leased, and holds the others.
const ADVANCE: &str = "WITH
    busy AS (SELECT FROM states WHERE channel = $1 AND ordering_key = $2 AND in_line AND state = 2 LIMIT 1),
    head AS (SELECT first.* FROM unnest('{-1,0,1,5,6}'::smallint[]) s (state) CROSS JOIN LATERAL (
            SELECT delivery, state, place FROM states
                WHERE channel = $1 AND ordering_key = $2 AND in_line AND state = s.state ORDER BY place LIMIT 1) first
        WHERE NOT EXISTS (SELECT FROM busy) ORDER BY place LIMIT 1),
    held AS (UPDATE states SET state = -1
        WHERE channel = $1 AND ordering_key = $2 AND in_line AND state IN (0, 1)
            AND delivery <> (SELECT delivery FROM head)),
    freed AS (UPDATE states SET state = (attempts > 0)::integer
        WHERE delivery = (SELECT delivery FROM head WHERE state = -1) RETURNING due_at)
    SELECT due_at FROM freed";

async fn lock_all(tx: &Tx<'_>, lines: &[Line]) -> Result<(Vec<i32>, Vec<String>), Fault> {
    let channels: Vec<i32> = lines.iter().map(|line| line.channel).collect();
    let keys: Vec<String> = lines.iter().map(|line| line.key.clone()).collect();
    tx.query(LOCK, &[&channels, &keys]).await?;
    Ok((channels, keys))
}

/// Locks lines until the end of the transaction.
pub(super) async fn lock(tx: &Tx<'_>, lines: &[Line]) -> Result<(), Fault> {
    if !lines.is_empty() {
        lock_all(tx, lines).await?;
    }
    Ok(())
}

/// Locks lines, and returns those that some delivery is in.
pub(super) async fn lock_and_find_taken(tx: &Tx<'_>, lines: &[Line]) -> Result<HashSet<Line>, Fault> {
    let (channels, keys) = lock_all(tx, lines).await?;
    let rows = tx.query(TAKEN, &[&channels, &keys]).await?;
    let line = |row: &tokio_postgres::Row| Ok(Line { channel: row.try_get(0)?, key: row.try_get(1)? });
    rows.iter().map(line).collect()
}

/// Lets the next delivery of a line that is locked be claimed. Returns when it is due, where it could not be claimed before.
pub(super) async fn advance(tx: &Tx<'_>, line: &Line) -> Result<Option<Timestamp>, Fault> {
    let row = tx.first(ADVANCE, &[&line.channel, &line.key]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.map(Timestamp::from_millis))
}

/// Takes a delivery out of its line, which is locked.
pub(super) async fn leave(tx: &Tx<'_>, delivery: i64, line: &Line) -> Result<Option<Timestamp>, Fault> {
    tx.execute("UPDATE states SET in_line = false WHERE delivery = $1", &[&delivery]).await?;
    advance(tx, line).await
}
