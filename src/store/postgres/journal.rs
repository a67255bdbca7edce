//! The journal of an order's chain, and orders whose chain was interrupted.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;

use super::births::{self, Birth, EventKeys, Placed};
use super::text::text;
use super::tx::{Fault, Tx, Write};
use crate::domain::{OrderId, OrderStatus, Origin};
use crate::store::rows;
use crate::store::{Answer, JournalEntry, Journaled, OrderEnd, Replica, StoreError};

/// [`crate::store::Ledger::journal`].
pub(super) struct Journal(pub(super) JournalEntry);

#[async_trait]
impl Write for Journal {
    /// What became of it and of its deliveries; `None` where the order no longer belongs to the replica.
    type Output = Option<(Journaled, Vec<Placed>)>;

    fn replica(&self) -> Option<Replica> {
        Some(self.0.replica)
    }

    fn channels(&self) -> Vec<Arc<str>> {
        let names: HashSet<&Arc<str>> = self.0.deliveries.iter().map(|delivery| &delivery.channel).collect();
        names.into_iter().map(Arc::clone).collect()
    }

    async fn apply(&self, tx: &Tx<'_>) -> Result<Self::Output, Fault> {
        let entry = &self.0;
        let seq = entry.order.sequence();
        let owned = tx
            .first(
                "SELECT 1 FROM processing p WHERE seq = $1 AND owner = $2
                    AND EXISTS (SELECT FROM orders o WHERE o.seq = $1 AND o.rest = $3) FOR UPDATE",
                &[&seq, &entry.replica.0, &entry.order.rest()],
            )
            .await?;
        if owned.is_none() {
            tx.undo();
            return Ok(None);
        }
        let taken = super::once::taken(tx, entry.deliveries.iter()).await?;
        if !taken.is_empty() {
            tx.undo();
            return Ok(Some((Journaled::OnceConflict(taken), Vec::new())));
        }
        let origin = Origin::Order(entry.order);
        let is_end = entry.end.is_some();
        let births: Vec<_> = entry
            .deliveries
            .iter()
            .map(|delivery| Birth {
                delivery,
                replica: Some(entry.replica),
                listed: is_end && delivery.event.subject.origin == origin,
            })
            .collect();
        // The end's row carries the context, whether it changed with the last step or before.
        insert_steps(tx, entry).await?;
        if let Some(end) = &entry.end {
            self.end(tx, end).await?;
        }
        births::events(tx, births.iter().map(|birth| (&*birth.delivery.event.subject, EventKeys::default()))).await?;
        let placed = births::insert(tx, &births).await?;
        if let Some((key, answer)) = &entry.answer {
            set_answer(tx, key, answer).await?;
        }
        Ok(Some((Journaled::Done, placed)))
    }
}

impl Journal {
    async fn end(&self, tx: &Tx<'_>, end: &OrderEnd) -> Result<(), Fault> {
        let entry = &self.0;
        let seq = entry.order.sequence();
        if end.status == OrderStatus::Processing {
            return Ok(());
        }
        let status = i16::try_from(rows::progress_of(end.status)).unwrap_or_default();
        let list = births::list(&entry.deliveries, Origin::Order(entry.order));
        tx.execute(
            "WITH ended AS (DELETE FROM processing WHERE seq = $1)
                INSERT INTO order_ends (seq, status, ended_at, skipped, context, deliveries)
                VALUES ($1, $2, $3, $4, (SELECT context FROM steps WHERE order_seq = $1 AND context IS NOT NULL
                    ORDER BY position DESC LIMIT 1), $5::text::bigint[])",
            &[&seq, &status, &end.at.as_millis(), &rows::skips(&end.skipped)?, &list],
        )
        .await?;
        Ok(())
    }
}

/// Records steps; the last of them carries the context, where it has changed.
async fn insert_steps(tx: &Tx<'_>, entry: &JournalEntry) -> Result<(), Fault> {
    let seq = entry.order.sequence();
    let last = entry.steps.len().saturating_sub(1);
    for (at, (position, record)) in entry.steps.iter().enumerate() {
        let record = serde_json::to_string(record).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let context = entry.context.as_deref().filter(|_| at == last);
        let position = i32::try_from(*position).unwrap_or(i32::MAX);
        tx.execute(
            "INSERT INTO steps (order_seq, position, record, context) VALUES ($1, $2, $3, $4)
                ON CONFLICT (order_seq, position) DO UPDATE
                    SET record = excluded.record, context = coalesce(excluded.context, steps.context)",
            &[&seq, &position, &record, &context],
        )
        .await?;
    }
    Ok(())
}

/// Sets the first answer of a key that has none.
pub(super) async fn set_answer(tx: &Tx<'_>, key: &str, answer: &Answer) -> Result<(), Fault> {
    tx.execute(
        "UPDATE idempotency SET status = $2, location = $3, body = $4 WHERE key = $1 AND status IS NULL",
        &[&text(key), &i32::from(answer.status), &answer.location.as_deref().map(text), &&answer.body[..]],
    )
    .await?;
    Ok(())
}

/// [`crate::store::Ledger::answer`].
pub(super) struct SetAnswer {
    pub(super) key: String,
    pub(super) answer: Answer,
}

#[async_trait]
impl Write for SetAnswer {
    /// The answer that stands.
    type Output = Answer;

    async fn apply(&self, tx: &Tx<'_>) -> Result<Answer, Fault> {
        set_answer(tx, &self.key, &self.answer).await?;
        let row =
            tx.first("SELECT status, location, body FROM idempotency WHERE key = $1", &[&text(&self.key)]).await?;
        let Some(row) = row else { return Ok(self.answer.clone()) };
        let status: Option<i32> = row.try_get(0)?;
        let Some(status) = status.and_then(|status| u16::try_from(status).ok()) else { return Ok(self.answer.clone()) };
        let body: Option<Vec<u8>> = row.try_get(2)?;
        Ok(Answer { status, location: row.try_get(1)?, body: body.unwrap_or_default().into() })
    }
}

/// [`crate::store::Ledger::resume`]: the keys of the orders that now belong to the replica.
pub(super) struct Resume {
    pub(super) replica: Replica,
    pub(super) chain: String,
    pub(super) limit: usize,
}

#[async_trait]
impl Write for Resume {
    type Output = Vec<i64>;

    fn replica(&self) -> Option<Replica> {
        Some(self.replica)
    }

    async fn apply(&self, tx: &Tx<'_>) -> Result<Vec<i64>, Fault> {
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        let rows = tx
            .query(
                "UPDATE processing SET owner = $1, resumed = resumed + 1 WHERE seq IN
                    (SELECT seq FROM processing WHERE owner IS NULL AND chain = $2 ORDER BY seq LIMIT $3
                        FOR UPDATE SKIP LOCKED) RETURNING seq",
                &[&self.replica.0, &text(&self.chain), &limit],
            )
            .await?;
        let mut taken: Vec<i64> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        taken.sort_unstable();
        Ok(taken)
    }
}

/// [`crate::store::Ledger::reopen`].
pub(super) struct Reopen(pub(super) OrderId);

#[async_trait]
impl Write for Reopen {
    type Output = bool;

    async fn apply(&self, tx: &Tx<'_>) -> Result<bool, Fault> {
        let seq = self.0.sequence();
        // What came with the end is listed by nobody any more.
        let reopened = tx
            .execute(
                "WITH ended AS (DELETE FROM order_ends WHERE seq = $1 AND status = 3
                        AND EXISTS (SELECT FROM orders WHERE seq = $1 AND rest = $2) RETURNING seq, deliveries),
                    unlisted AS (UPDATE deliveries d SET late = $1 FROM ended
                        WHERE d.seq = ANY (ended.deliveries) AND d.late IS NULL)
                    INSERT INTO processing (seq, chain, owner, resumed)
                    SELECT o.seq, o.chain, NULL, 0 FROM orders o JOIN ended ON ended.seq = o.seq",
                &[&seq, &self.0.rest()],
            )
            .await?;
        if reopened == 0 {
            return Ok(false);
        }
        // The context as it was before the last step.
        tx.execute(
            "DELETE FROM steps WHERE order_seq = $1 AND position = (SELECT max(position) FROM steps WHERE order_seq = $1)",
            &[&seq],
        )
        .await?;
        Ok(true)
    }
}

/// [`crate::store::Ledger::give_up`].
pub(super) struct GiveUp {
    pub(super) replica: Replica,
    pub(super) orders: Vec<i64>,
}

#[async_trait]
impl Write for GiveUp {
    type Output = ();

    async fn apply(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        tx.execute(
            "UPDATE processing SET owner = NULL, resumed = resumed - 1 WHERE seq = ANY ($1) AND owner = $2",
            &[&self.orders, &self.replica.0],
        )
        .await?;
        Ok(())
    }
}
