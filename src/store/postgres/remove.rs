//! Retention: what is finished and old goes, with everything that belongs to it. Whole days go with their partitions, as long as
//! nothing in them is open; the rest row by row.

use async_trait::async_trait;

use super::causes;
pub(super) use super::finished::Records;
use super::partitions::TABLES;
use super::tx::{Fault, Tx, Write};

/// Held by whoever removes.
const ALONE: &str = "SELECT pg_try_advisory_xact_lock(hashtextextended('retention', 0))";

/// The oldest partition, if all of its keys are below a key.
const OLDEST: &str = "SELECT first, next FROM partitions WHERE next <= $1 AND first > $2 ORDER BY first LIMIT 1";

/// Whether something with a key of a range is open, or is about something with one.
const OPEN: &str = "SELECT EXISTS (SELECT FROM processing WHERE seq >= $1 AND seq < $2)
    OR EXISTS (SELECT FROM replicas WHERE watermark < $2)
    OR EXISTS (SELECT FROM states s JOIN deliveries d ON d.seq = s.delivery
        WHERE (s.state IN (-1, 0, 1, 2, 4) OR s.in_line)
            AND (s.delivery >= $1 AND s.delivery < $2 OR abs(d.origin) >= $1 AND abs(d.origin) < $2))";

/// What belongs to the orders and events of a range of keys.
const BELONGINGS: [&str; 5] = [
    "DELETE FROM idempotency WHERE key IN (SELECT key FROM orders WHERE seq >= $1 AND seq < $2
        UNION ALL SELECT key FROM events WHERE seq >= $1 AND seq < $2
        UNION ALL SELECT own_key FROM events WHERE seq >= $1 AND seq < $2)",
    "WITH late AS (DELETE FROM deliveries WHERE seq >= $2
            AND (late >= $1 AND late < $2 OR late > -$2 AND late <= -$1) RETURNING seq),
        attempts AS (DELETE FROM attempts WHERE delivery IN (SELECT seq FROM late)),
        verdicts AS (DELETE FROM verdicts WHERE delivery IN (SELECT seq FROM late))
        DELETE FROM states WHERE delivery IN (SELECT seq FROM late)",
    "DELETE FROM states WHERE delivery >= $1 AND delivery < $2",
    "DELETE FROM verdicts WHERE delivery >= $1 AND delivery < $2",
    "DELETE FROM suspects WHERE delivery >= $1 AND delivery < $2",
];

/// Drops the oldest partition behind `after` if it ends before a key and nothing in it is open.
pub(super) struct DropOldest {
    pub(super) after: i64,
    pub(super) before: i64,
}

/// What became of the oldest partition.
pub(super) enum Oldest {
    /// It is gone, with so many orders and events.
    Dropped { first: i64, records: u64 },
    /// Something in it is open.
    Open { first: i64 },
}

#[async_trait]
impl Write for DropOldest {
    /// `None`: there is no such partition, or another replica is about it.
    type Output = Option<Oldest>;

    async fn apply(&self, tx: &Tx<'_>) -> Result<Option<Oldest>, Fault> {
        if !is_alone(tx).await? {
            tx.undo();
            return Ok(None);
        }
        let Some(row) = tx.first(OLDEST, &[&self.before, &self.after]).await? else {
            tx.undo();
            return Ok(None);
        };
        let (first, next): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let open = tx.first(OPEN, &[&first, &next]).await?;
        if open.map(|row| row.try_get(0)).transpose()?.unwrap_or(true) {
            tx.undo();
            return Ok(Some(Oldest::Open { first }));
        }
        // Readers are not to wait long for the tables that go.
        tx.execute("SET LOCAL lock_timeout = '2s'", &[]).await?;
        let counted = tx
            .first(
                "SELECT (SELECT count(*) FROM orders WHERE seq >= $1 AND seq < $2)
                    + (SELECT count(*) FROM events WHERE seq >= $1 AND seq < $2)",
                &[&first, &next],
            )
            .await?;
        let records: i64 = counted.map(|row| row.try_get(0)).transpose()?.unwrap_or(0);
        tx.execute(
            "WITH gone AS (SELECT cause, count(*) AS deliveries FROM states
                    WHERE cause IS NOT NULL AND delivery >= $1 AND delivery < $2 GROUP BY cause)
                UPDATE causes SET open = open - gone.deliveries FROM gone WHERE id = gone.cause",
            &[&first, &next],
        )
        .await?;
        tx.execute("DELETE FROM causes WHERE open <= 0", &[]).await?;
        for sql in BELONGINGS {
            tx.execute(sql, &[&first, &next]).await?;
        }
        let day = first_day(first);
        for table in TABLES {
            tx.batch(&format!("DROP TABLE IF EXISTS {table}_{day}")).await?;
        }
        tx.execute("DELETE FROM partitions WHERE first = $1", &[&first]).await?;
        Ok(Some(Oldest::Dropped { first, records: records.unsigned_abs() }))
    }
}

fn first_day(first: i64) -> i64 {
    crate::domain::OrderId::time_of(first).as_millis() / super::partitions::DAY
}

async fn is_alone(tx: &Tx<'_>) -> Result<bool, Fault> {
    let row = tx.first(ALONE, &[]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or(false))
}

/// Removes some records that were found finished, if they still are.
pub(super) struct Remove {
    pub(super) records: Records,
    pub(super) keys: Vec<i64>,
}

/// Those of `$1` that are still finished, and their deliveries.
const FINISHED_ORDERS: &str = "SELECT o.seq, array(
        SELECT unnest(o.deliveries) UNION SELECT unnest(e.deliveries) UNION SELECT seq FROM deliveries WHERE late = o.seq)
    FROM orders o LEFT JOIN order_ends e ON e.seq = o.seq
    WHERE o.seq = ANY ($1) AND NOT EXISTS (SELECT FROM processing p WHERE p.seq = o.seq)";
const FINISHED_EVENTS: &str = "SELECT e.seq, array(
        SELECT unnest(e.deliveries) UNION SELECT seq FROM deliveries WHERE late = -e.seq)
    FROM events e WHERE e.seq = ANY ($1)";

/// Those of the deliveries that are open: they belong to a replica, wait, or hold a key.
const STILL_OPEN: &str = "SELECT d.seq FROM deliveries d LEFT JOIN states s ON s.delivery = d.seq
    WHERE d.seq = ANY ($1) AND (s.state IN (-1, 0, 1, 2, 4) OR s.in_line
        OR s.delivery IS NULL AND NOT EXISTS (SELECT FROM attempts a WHERE a.delivery = d.seq))";

#[async_trait]
impl Write for Remove {
    type Output = u64;

    async fn apply(&self, tx: &Tx<'_>) -> Result<u64, Fault> {
        if !is_alone(tx).await? {
            tx.undo();
            return Ok(0);
        }
        let sql = if self.records == Records::Orders { FINISHED_ORDERS } else { FINISHED_EVENTS };
        let mut found: Vec<(i64, Vec<i64>)> = Vec::new();
        for row in tx.query(sql, &[&self.keys]).await? {
            found.push((row.try_get(0)?, row.try_get(1)?));
        }
        let all: Vec<i64> = found.iter().flat_map(|(_, deliveries)| deliveries).copied().collect();
        let rows = tx.query(STILL_OPEN, &[&all]).await?;
        let open: std::collections::HashSet<i64> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        found.retain(|(_, deliveries)| !deliveries.iter().any(|delivery| open.contains(delivery)));
        let keys: Vec<i64> = found.iter().map(|(seq, _)| *seq).collect();
        let deliveries: Vec<i64> = found.into_iter().flat_map(|(_, deliveries)| deliveries).collect();
        causes::leave(tx, &deliveries).await?;
        for sql in [
            "DELETE FROM attempts WHERE delivery = ANY ($1)",
            "DELETE FROM verdicts WHERE delivery = ANY ($1)",
            "DELETE FROM states WHERE delivery = ANY ($1)",
            "DELETE FROM suspects WHERE delivery = ANY ($1)",
            "DELETE FROM deliveries WHERE seq = ANY ($1)",
        ] {
            tx.execute(sql, &[&deliveries]).await?;
        }
        let of_records: &[&str] = match self.records {
            Records::Orders => &[
                "DELETE FROM idempotency WHERE key IN (SELECT key FROM orders WHERE seq = ANY ($1))",
                "DELETE FROM steps WHERE order_seq = ANY ($1)",
                "DELETE FROM order_ends WHERE seq = ANY ($1)",
                "DELETE FROM orders WHERE seq = ANY ($1)",
            ],
            Records::Events => &[
                "DELETE FROM idempotency WHERE key IN (SELECT key FROM events WHERE seq = ANY ($1)
                    UNION ALL SELECT own_key FROM events WHERE seq = ANY ($1))",
                "DELETE FROM events WHERE seq = ANY ($1)",
            ],
        };
        let mut removed = 0;
        for sql in of_records {
            removed = tx.execute(sql, &[&keys]).await?;
        }
        Ok(removed)
    }
}

/// One group of [`crate::store::Queue::remove_audited`], and signed requests whose signatures hold no more.
pub(super) struct RemoveAudited {
    pub(super) before: i64,
    pub(super) limit: i64,
}

#[async_trait]
impl Write for RemoveAudited {
    type Output = u64;

    async fn apply(&self, tx: &Tx<'_>) -> Result<u64, Fault> {
        tx.execute("DELETE FROM signed_requests WHERE expires < $1", &[&tx.now.as_millis()]).await?;
        Ok(tx
            .execute(
                "DELETE FROM audit WHERE seq IN (SELECT seq FROM audit WHERE seq < $1 ORDER BY seq LIMIT $2)",
                &[&self.before, &self.limit],
            )
            .await?)
    }
}
