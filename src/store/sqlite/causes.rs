//! Why deliveries failed, counted as they are recorded: a list of causes costs the same however many deliveries failed.

use rusqlite::{Connection, OptionalExtension, params};

use super::db::{Db, Tally};
use crate::domain::{Code, DeliveryId, Timestamp};
pub(super) use crate::store::likenesses::of_attempt;
use crate::store::likenesses::{APART, OTHERS};
use crate::store::{FailureCause, StoreError};

/// Causes that are listed.
const LISTED: i64 = 250;
/// Deliveries counted one by one.
const COUNTED: i64 = 10_000;

/// Counts a delivery that has failed or was rejected.
pub(super) fn join(
    db: &Db<'_>,
    delivery: i64,
    channel: i64,
    code: Option<Code>,
    likeness: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    let code = code.map(Code::as_i32);
    let mut known = db.conn.prepare_cached(
        "SELECT id FROM causes WHERE channel = ?1 AND ifnull(code, 0) = ifnull(?2, 0) AND likeness = ?3",
    )?;
    let mut find = |likeness: &str| -> rusqlite::Result<Option<i64>> {
        known.query_row(params![channel, code, likeness], |row| row.get(0)).optional()
    };
    let mut likeness = likeness;
    let mut cause = find(likeness)?;
    if cause.is_none() {
        let apart: i64 = db
            .conn
            .prepare_cached("SELECT count(*) FROM causes WHERE channel = ?1 AND ifnull(code, 0) = ifnull(?2, 0)")?
            .query_row(params![channel, code], |row| row.get(0))?;
        if apart >= APART {
            likeness = OTHERS;
            cause = find(likeness)?;
        }
    }
    let cause = if let Some(cause) = cause {
        db.conn
            .prepare_cached("UPDATE causes SET open = open + 1, last_at = max(last_at, ?2) WHERE id = ?1")?
            .execute(params![cause, at.as_millis()])?;
        cause
    } else {
        db.conn
            .prepare_cached(
                "INSERT INTO causes (channel, code, likeness, open, first_at, last_at) VALUES (?1, ?2, ?3, 1, ?4, ?4)",
            )?
            .execute(params![channel, code, likeness, at.as_millis()])?;
        db.conn.last_insert_rowid()
    };
    db.conn.prepare_cached("UPDATE deliveries SET cause = ?2 WHERE seq = ?1")?.execute([delivery, cause])?;
    Ok(())
}

/// Counts a delivery out that is retried or removed.
pub(super) fn leave(db: &Db<'_>, delivery: i64) -> Result<(), StoreError> {
    let cause: Option<i64> = db
        .conn
        .prepare_cached("SELECT cause FROM deliveries WHERE seq = ?1")?
        .query_row([delivery], |row| row.get(0))
        .optional()?
        .flatten();
    let Some(cause) = cause else { return Ok(()) };
    db.conn.prepare_cached("UPDATE deliveries SET cause = NULL WHERE seq = ?1")?.execute([delivery])?;
    db.conn.prepare_cached("UPDATE causes SET open = open - 1 WHERE id = ?1")?.execute([cause])?;
    db.conn.prepare_cached("DELETE FROM causes WHERE id = ?1 AND open <= 0")?.execute([cause])?;
    Ok(())
}

/// The newest delivery of a cause.
const NEWEST: &str =
    "SELECT max(seq) FROM deliveries INDEXED BY deliveries_by_cause WHERE cause IS NOT NULL AND cause = ?1";
/// How many of them came in since a key, up to a limit.
const SINCE: &str = "SELECT count(*) FROM (SELECT 1 FROM deliveries INDEXED BY deliveries_by_cause
    WHERE cause IS NOT NULL AND cause = ?1 AND seq >= ?2 LIMIT ?3)";

/// [`crate::store::History::causes`].
pub(super) fn causes(
    conn: &Connection,
    tally: &Tally,
    since: Option<Timestamp>,
) -> Result<Vec<FailureCause>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT id, channel, code, likeness, open, first_at, last_at FROM causes WHERE last_at >= ?1
            ORDER BY open DESC, last_at DESC LIMIT ?2",
    )?;
    let (mut newest, mut counted) = (conn.prepare_cached(NEWEST)?, conn.prepare_cached(SINCE)?);
    let mut id_of = conn.prepare_cached("SELECT id FROM deliveries WHERE seq = ?1")?;
    let mut found = statement.query(params![since.map_or(i64::MIN, Timestamp::as_millis), LISTED])?;
    let mut causes = Vec::new();
    while let Some(row) = found.next()? {
        let id: i64 = row.get(0)?;
        let open: i64 = row.get(4)?;
        let first_at = Timestamp::from_millis(row.get(5)?);
        let count = match since {
            Some(since) if open > 0 => {
                counted.query_row(params![id, DeliveryId::sequence_at(since), COUNTED], |row| row.get(0))?
            }
            _ => open,
        };
        let example: Option<i64> = newest.query_row([id], |row| row.get(0))?;
        let Some(example) = example.filter(|_| count > 0) else { continue };
        causes.push(FailureCause {
            id,
            channel: tally.name(row.get(1)?)?,
            code: row.get::<_, Option<i32>>(2)?.map(Code::from_i32),
            likeness: row.get(3)?,
            count: count.unsigned_abs(),
            more: since.is_some() && count == COUNTED,
            first_at,
            last_at: Timestamp::from_millis(row.get(6)?),
            example: DeliveryId::from_bytes(id_of.query_row([example], |row| row.get(0))?),
        });
    }
    Ok(causes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_find_their_deliveries_by_index() {
        let conn = Connection::open_in_memory().expect("a database");
        for migration in
            [include_str!("migrations/0001_orders_and_deliveries.sql"), include_str!("migrations/0014_causes.sql")]
        {
            conn.execute_batch(migration).expect("the schema");
        }
        for (sql, expected) in [(NEWEST, "(cause=?)"), (SINCE, "(cause=? AND rowid>?)")] {
            let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a plan");
            let given = statement.parameter_count();
            let lines =
                statement.query_map(rusqlite::params_from_iter((0..given).map(|_| 1)), |row| row.get::<_, String>(3));
            let plan: Vec<String> = lines.expect("a plan").map(|line| line.expect("a line")).collect();
            assert!(
                plan.iter().any(|line| line.contains("deliveries_by_cause") && line.contains(expected)),
                "{plan:?}"
            );
        }
    }
}
