//! Retention: what is finished and old goes, with everything that belongs to it.

use rusqlite::{Connection, params};

use super::causes;
use super::db::Db;
use super::job::Write;
use crate::store::StoreError;

/// Where a removal looks: orders, or events without an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Records {
    Orders,
    Events,
}

/// Rows looked at in one read.
const WINDOW: i64 = 5000;

/// The next finished records with keys behind `after` and before `before`; and where to go on, if anywhere.
pub(super) fn find_finished(
    conn: &Connection,
    records: Records,
    after: i64,
    before: i64,
) -> Result<(Vec<i64>, Option<i64>), StoreError> {
    let sql = match records {
        Records::Orders => {
            "SELECT seq, status >= 2
                AND NOT EXISTS (SELECT 1 FROM json_each(orders.deliveries) CROSS JOIN deliveries d ON d.seq = value
                    WHERE (state IN (-1, 0, 1, 2, 4) OR line IS NOT NULL))
                AND NOT EXISTS (SELECT 1 FROM deliveries INDEXED BY deliveries_late
                    WHERE late = orders.seq AND late IS NOT NULL AND (state IN (-1, 0, 1, 2, 4) OR line IS NOT NULL))
                FROM orders WHERE seq > ?1 AND seq < ?2 ORDER BY seq LIMIT ?3"
        }
        Records::Events => {
            "SELECT seq,
                NOT EXISTS (SELECT 1 FROM json_each(events.deliveries) CROSS JOIN deliveries d ON d.seq = value
                    WHERE (state IN (-1, 0, 1, 2, 4) OR line IS NOT NULL))
                AND NOT EXISTS (SELECT 1 FROM deliveries INDEXED BY deliveries_late
                    WHERE late = -events.seq AND late IS NOT NULL AND (state IN (-1, 0, 1, 2, 4) OR line IS NOT NULL))
                FROM events WHERE seq > ?1 AND seq < ?2 ORDER BY seq LIMIT ?3"
        }
    };
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([after, before, WINDOW])?;
    let (mut finished, mut looked_at, mut last) = (Vec::new(), 0, after);
    while let Some(row) = rows.next()? {
        looked_at += 1;
        last = row.get(0)?;
        if row.get(1)? {
            finished.push(last);
        }
    }
    Ok((finished, (looked_at == WINDOW).then_some(last)))
}

/// Removes some records that were found finished, if they still are.
pub(super) struct Remove {
    pub(super) records: Records,
    pub(super) keys: Vec<i64>,
}

impl Write for Remove {
    type Output = u64;

    fn apply(&self, db: &mut Db<'_>) -> Result<u64, StoreError> {
        let conn = db.conn;
        let mut open = conn.prepare_cached(match self.records {
            Records::Orders => {
                "SELECT d.seq, d.state IN (-1, 0, 1, 2, 4) OR d.line IS NOT NULL
                    FROM orders, json_each(orders.deliveries) CROSS JOIN deliveries d ON d.seq = value
                    WHERE orders.seq = ?1
                    UNION ALL SELECT seq, (state IN (-1, 0, 1, 2, 4) OR line IS NOT NULL) FROM deliveries INDEXED BY deliveries_late
                        WHERE late = ?1 AND late IS NOT NULL"
            }
            Records::Events => {
                "SELECT d.seq, d.state IN (-1, 0, 1, 2, 4) OR d.line IS NOT NULL
                    FROM events, json_each(events.deliveries) CROSS JOIN deliveries d ON d.seq = value
                    WHERE events.seq = ?1
                    UNION ALL SELECT seq, (state IN (-1, 0, 1, 2, 4) OR line IS NOT NULL) FROM deliveries INDEXED BY deliveries_late
                        WHERE late = -?1 AND late IS NOT NULL"
            }
        })?;
        let mut attempts = conn.prepare_cached("DELETE FROM attempts WHERE delivery = ?1")?;
        let mut verdicts = conn.prepare_cached("DELETE FROM verdicts WHERE delivery = ?1")?;
        let mut deliveries = conn.prepare_cached("DELETE FROM deliveries WHERE seq = ?1")?;
        let mut keys = conn.prepare_cached(match self.records {
            Records::Orders => "DELETE FROM idempotency WHERE key = (SELECT key FROM orders WHERE seq = ?1)",
            Records::Events => {
                "DELETE FROM idempotency WHERE key IN
                    (SELECT key FROM events WHERE seq = ?1 UNION ALL SELECT own_key FROM events WHERE seq = ?1)"
            }
        })?;
        let mut steps = conn.prepare_cached("DELETE FROM steps WHERE order_seq = ?1")?;
        let mut records = conn.prepare_cached(match self.records {
            Records::Orders => "DELETE FROM orders WHERE seq = ?1",
            Records::Events => "DELETE FROM events WHERE seq = ?1",
        })?;
        let mut removed = 0;
        for seq in &self.keys {
            let found: Vec<(i64, bool)> =
                open.query_map([seq], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
            if found.iter().any(|(_, open)| *open) {
                continue;
            }
            for (delivery, _) in found {
                causes::leave(db, delivery)?;
                attempts.execute([delivery])?;
                verdicts.execute([delivery])?;
                deliveries.execute([delivery])?;
            }
            keys.execute([seq])?;
            if self.records == Records::Orders {
                steps.execute([seq])?;
            }
            removed += records.execute(params![seq])? as u64;
        }
        Ok(removed)
    }
}
