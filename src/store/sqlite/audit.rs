//! What callers changed: written, listed and removed.

use rusqlite::{Connection, params};

use super::db::Db;
use super::job::Write;
use super::rows;
use crate::domain::{DeliveryId, Timestamp};
use crate::store::{Act, Cause, Page, Paged, Period, StoreError};

/// Entries that one commit removes at most.
pub(super) const REMOVE: usize = 1000;

/// [`crate::store::Queue::audit`].
pub(super) struct Audit(pub(super) Act);

impl Write for Audit {
    type Output = ();

    fn apply(&self, db: &mut Db<'_>) -> Result<(), StoreError> {
        let Act { cause, act, channel, delivery, order, filter, detail, count } = &self.0;
        db.conn
            .prepare_cached(
                "INSERT INTO audit (seq, at, act, author, reason, channel, delivery, order_id, filter, detail, count)
                    VALUES (max(?1, (SELECT ifnull(max(seq), 0) + 1 FROM audit)), ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?
            .execute(params![
                DeliveryId::sequence_at(cause.at),
                cause.at.as_millis(),
                act,
                cause.by,
                cause.reason,
                channel,
                delivery,
                order,
                filter,
                detail,
                count.map(|count| i64::try_from(count).unwrap_or(i64::MAX)),
            ])?;
        Ok(())
    }
}

/// One group of [`crate::store::Queue::remove_audited`].
pub(super) struct RemoveAudited {
    pub(super) before: Timestamp,
}

impl Write for RemoveAudited {
    type Output = usize;

    fn apply(&self, db: &mut Db<'_>) -> Result<usize, StoreError> {
        let before = DeliveryId::sequence_at(self.before);
        Ok(db
            .conn
            .prepare_cached(
                "DELETE FROM audit WHERE seq IN (SELECT seq FROM audit WHERE seq < ?1 ORDER BY seq LIMIT ?2)",
            )?
            .execute(params![before, REMOVE as i64])?)
    }
}

/// [`crate::store::History::audited`].
pub(super) fn audited(conn: &Connection, period: Period, page: Page) -> Result<Paged<Act>, StoreError> {
    let from = period.since.map_or(0, DeliveryId::sequence_at);
    let to = period.until.map_or(i64::MAX, DeliveryId::sequence_at).min(page.before.unwrap_or(i64::MAX));
    let mut statement = conn.prepare_cached(
        "SELECT seq, at, author, reason, act, channel, delivery, order_id, filter, detail, count
            FROM audit WHERE seq >= ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3",
    )?;
    let mut found = statement.query(params![from, to, page.limit as i64 + 1])?;
    let (mut data, mut last, mut next) = (Vec::new(), None, None);
    while let Some(row) = found.next()? {
        if data.len() == page.limit {
            next = last;
            break;
        }
        last = Some(row.get(0)?);
        data.push(Act {
            cause: Cause { at: rows::time(row, 1)?, by: row.get(2)?, reason: row.get(3)? },
            act: row.get(4)?,
            channel: row.get(5)?,
            delivery: row.get(6)?,
            order: row.get(7)?,
            filter: row.get(8)?,
            detail: row.get(9)?,
            count: row.get::<_, Option<i64>>(10)?.map(i64::unsigned_abs),
        });
    }
    Ok(Paged { data, next, searched_back_to: None })
}
