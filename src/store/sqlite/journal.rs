//! The journal of an order's chain, and orders whose chain was interrupted.

use std::sync::Arc;

use rusqlite::{OptionalExtension, params};

use super::accept::set_answer;
use super::db::{Db, Terms};
use super::fault::corrupt;
use super::handoff::Handoff;
use super::insert::{self, Insertion};
use super::job::{Job, Task, Write};
use super::once;
use super::rows::{self, EMPTY, progress};
use crate::domain::{OrderId, OrderStatus, Origin, StepRecord};
use crate::store::{Interrupted, JournalEntry, Journaled, OrderEnd, Replica, StoreError};

/// [`crate::store::Ledger::journal`].
pub(super) struct Journal(pub(super) JournalEntry);

impl Write for Journal {
    /// `None` where the order no longer belongs to the replica.
    type Output = Option<Journaled>;

    fn weight(&self) -> usize {
        512 + self.0.context.as_ref().map_or(0, |context| context.len()) + 512 * self.0.deliveries.len()
    }

    fn apply(&self, db: &mut Db<'_>) -> Result<Option<Journaled>, StoreError> {
        let entry = &self.0;
        let seq = entry.order.sequence();
        let found: Option<(Option<String>, bool)> = db
            .conn
            .prepare_cached(
                "SELECT context, deliveries IS NULL FROM orders
                    WHERE seq = ?1 AND id = ?2 AND status = 1 AND owner = ?3",
            )?
            .query_row(params![seq, entry.order.to_bytes(), entry.replica.0], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((kept, unlisted)) = found else { return Ok(None) };
        let taken = once::taken(db, entry.deliveries.iter())?;
        if !taken.is_empty() {
            return Ok(Some(Journaled::OnceConflict(taken)));
        }
        // The end writes the order's row anyway: it can list what comes with it, if nothing is listed yet.
        let origin = Origin::Order(entry.order);
        let listed = entry.end.as_ref().filter(|_| unlisted).map(|_| origin);
        for (position, record) in &entry.steps {
            let record = serde_json::to_string(record).map_err(|error| StoreError::Corrupt(error.to_string()))?;
            db.conn
                .prepare_cached("INSERT OR REPLACE INTO steps (order_seq, position, record) VALUES (?1, ?2, ?3)")?
                .execute(params![seq, position, record])?;
        }
        match &entry.end {
            Some(end) => {
                self.end(db, end, listed.and_then(|origin| insert::list(&entry.deliveries, origin)).as_deref())?;
            }
            None => {
                if let Some(context) = &entry.context {
                    db.conn
                        .prepare_cached("UPDATE orders SET context = ?2 WHERE seq = ?1")?
                        .execute(params![seq, &**context])?;
                }
            }
        }
        let context = entry.context.as_deref().or(kept.as_deref()).unwrap_or(EMPTY);
        let inherited = entry.end.as_ref().map(|_| context);
        insert::insert_all(db, &entry.deliveries, Insertion { replica: Some(entry.replica), inherited, listed })?;
        if let Some((key, answer)) = &entry.answer {
            set_answer(db, key, answer)?;
        }
        Ok(Some(Journaled::Done))
    }

    fn hand_off(&mut self, output: &Option<Journaled>, terms: Terms, handoff: &mut Handoff) {
        if *output == Some(Journaled::Done) {
            handoff.take(&mut self.0.deliveries, terms);
        } else {
            self.0.deliveries.clear();
        }
    }
}

impl Journal {
    fn end(&self, db: &Db<'_>, end: &OrderEnd, list: Option<&str>) -> Result<(), StoreError> {
        let (status, owner) = match end.status {
            OrderStatus::Processing => (progress::OWNED, Some(self.0.replica.0)),
            ended => (rows::progress_of(ended), None),
        };
        db.conn
            .prepare_cached(
                "UPDATE orders SET status = ?2, owner = ?3, ended_at = ?4, skipped = ?5, context = ifnull(?6, context),
                    deliveries = ifnull(?7, deliveries) WHERE seq = ?1",
            )?
            .execute(params![
                self.0.order.sequence(),
                status,
                owner,
                end.at.as_millis(),
                rows::skips(&end.skipped)?,
                self.0.context.as_deref(),
                list,
            ])?;
        Ok(())
    }
}

/// [`crate::store::Ledger::resume`].
pub(super) struct Resume {
    pub(super) replica: Replica,
    pub(super) chain: String,
    pub(super) limit: usize,
}

impl Write for Resume {
    type Output = Vec<Interrupted>;

    fn apply(&self, db: &mut Db<'_>) -> Result<Vec<Interrupted>, StoreError> {
        let mut orders = Vec::new();
        loop {
            let free = self.free(db, self.limit - orders.len())?;
            if free.is_empty() {
                return Ok(orders);
            }
            for seq in free {
                match self.take(db, seq) {
                    Ok(order) => orders.push(order),
                    // It stays with this replica, and so out of the way of the others.
                    Err(StoreError::Corrupt(error)) => {
                        tracing::error!(
                            chain = self.chain,
                            error,
                            "an interrupted order cannot be read, so its chain does not resume: it stays `processing`"
                        );
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }

    fn unheard(&self, output: Vec<Interrupted>) -> Option<Box<dyn Job>> {
        let orders: Vec<_> = output.iter().filter_map(|order| order.subject.order()).collect();
        (!orders.is_empty()).then(|| Box::new(Task::alone(GiveUp { replica: self.replica, orders })) as Box<dyn Job>)
    }
}

impl Resume {
    fn free(&self, db: &Db<'_>, limit: usize) -> Result<Vec<i64>, StoreError> {
        let mut free = db.conn.prepare_cached(
            "SELECT seq FROM orders INDEXED BY orders_by_chain WHERE status = 0 AND chain = ?1 ORDER BY seq LIMIT ?2",
        )?;
        let free = free.query_map(params![self.chain, limit as i64], |row| row.get(0))?;
        Ok(free.collect::<Result<_, _>>()?)
    }

    fn take(&self, db: &Db<'_>, seq: i64) -> Result<Interrupted, StoreError> {
        db.conn
            .prepare_cached("UPDATE orders SET status = 1, owner = ?2, resumed = resumed + 1 WHERE seq = ?1")?
            .execute(params![seq, self.replica.0])?;
        let (subject, context, key, resumed) = db
            .conn
            .prepare_cached(
                "SELECT id, order_id, kind, received_at, chain, body, arrival, context, key, resumed FROM orders WHERE seq = ?1",
            )?
            .query_row([seq], |row| {
                let key: Option<String> = row.get(8)?;
                Ok((rows::order_subject(row)?, rows::context(row.get(7)?), key, row.get(9)?))
            })?;
        let unanswered = match key {
            Some(key) if db.exists("SELECT 1 FROM idempotency WHERE key = ?1 AND status IS NULL", [&key])? => Some(key),
            _ => None,
        };
        Ok(Interrupted { subject: Arc::new(subject), context, steps: steps(db.conn, seq)?, unanswered, resumed })
    }
}

/// [`crate::store::Ledger::interrupted`].
pub(super) fn interrupted(conn: &rusqlite::Connection) -> Result<Vec<(String, u64)>, StoreError> {
    let mut chains = conn.prepare_cached(
        "SELECT chain, count(*) FROM orders INDEXED BY orders_by_chain WHERE status = 0 GROUP BY chain",
    )?;
    let chains = chains.query_map([], |row| {
        let (chain, count): (Option<String>, i64) = (row.get(0)?, row.get(1)?);
        Ok((chain.unwrap_or_default(), count.unsigned_abs()))
    })?;
    Ok(chains.collect::<Result<_, _>>()?)
}

/// An order's journaled steps, in order.
pub(super) fn steps(conn: &rusqlite::Connection, seq: i64) -> Result<Vec<StepRecord>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT record FROM steps WHERE order_seq = ?1 ORDER BY position")?;
    let records = statement.query_map([seq], |row| row.get::<_, String>(0))?;
    records.map(|record| serde_json::from_str(&record?).map_err(|_| corrupt("steps", "record", seq))).collect()
}

/// [`crate::store::Ledger::reopen`].
pub(super) struct Reopen(pub(super) OrderId);

impl Write for Reopen {
    type Output = bool;

    fn apply(&self, db: &mut Db<'_>) -> Result<bool, StoreError> {
        let seq = self.0.sequence();
        let reopened = db
            .conn
            .prepare_cached(
                "UPDATE orders SET status = 0, owner = NULL, ended_at = NULL, skipped = NULL, resumed = 0
                    WHERE seq = ?1 AND id = ?2 AND status = 3",
            )?
            .execute(params![seq, self.0.to_bytes()])?;
        if reopened == 0 {
            return Ok(false);
        }
        db.conn
            .prepare_cached(
                "DELETE FROM steps WHERE order_seq = ?1
                    AND position = (SELECT max(position) FROM steps WHERE order_seq = ?1)",
            )?
            .execute([seq])?;
        Ok(true)
    }
}

/// [`crate::store::Ledger::give_up`].
pub(super) struct GiveUp {
    pub(super) replica: Replica,
    pub(super) orders: Vec<OrderId>,
}

impl Write for GiveUp {
    type Output = ();

    fn apply(&self, db: &mut Db<'_>) -> Result<(), StoreError> {
        for order in &self.orders {
            db.conn
                .prepare_cached(
                    "UPDATE orders SET status = 0, owner = NULL, resumed = resumed - 1
                        WHERE seq = ?1 AND id = ?2 AND status = 1 AND owner = ?3",
                )?
                .execute(params![order.sequence(), order.to_bytes(), self.replica.0])?;
        }
        Ok(())
    }
}
