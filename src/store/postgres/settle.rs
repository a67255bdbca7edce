//! Small writes: own events, states of channels, promises, orderings, what is kept of health and of callers.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;

use super::births::{self, Placed};
use super::lines::{self, Line};
use super::text::text;
use super::tx::{Fault, Tx, Write};
use crate::domain::{AfterFailure, DeliveryId, Timestamp};
use crate::store::{Act, Cause, ChannelState, NewDelivery, Replica};

/// Channels with deliveries that can be claimed now.
pub(super) type Waiting = Vec<(Arc<str>, Timestamp)>;

fn names(deliveries: &[NewDelivery]) -> Vec<Arc<str>> {
    let names: HashSet<&Arc<str>> = deliveries.iter().map(|delivery| &delivery.channel).collect();
    names.into_iter().map(Arc::clone).collect()
}

async fn insert_free(tx: &Tx<'_>, deliveries: &[NewDelivery]) -> Result<Waiting, Fault> {
    let placed = births::insert_free(tx, deliveries.iter()).await?;
    let waits = placed.into_iter().filter(|(_, placed)| *placed == Placed::Waiting);
    Ok(waits.map(|(delivery, _)| (Arc::clone(&delivery.channel), delivery.due_at)).collect())
}

/// [`crate::store::Queue::insert`].
pub(super) struct Insert(pub(super) Vec<NewDelivery>);

#[async_trait]
impl Write for Insert {
    type Output = Waiting;

    fn channels(&self) -> Vec<Arc<str>> {
        names(&self.0)
    }

    async fn apply(&self, tx: &Tx<'_>) -> Result<Waiting, Fault> {
        insert_free(tx, &self.0).await
    }
}

/// [`crate::store::Queue::set_channel_state`].
pub(super) struct SetChannelState {
    pub(super) channel: Arc<str>,
    pub(super) state: ChannelState,
    pub(super) cause: Cause,
    /// Of the event that goes with it.
    pub(super) deliveries: Vec<NewDelivery>,
}

#[async_trait]
impl Write for SetChannelState {
    type Output = Waiting;

    fn channels(&self) -> Vec<Arc<str>> {
        let mut names = names(&self.deliveries);
        names.push(Arc::clone(&self.channel));
        names
    }

    async fn apply(&self, tx: &Tx<'_>) -> Result<Waiting, Fault> {
        let channel = tx.channels.number(&self.channel)?;
        let state = Some(self.state.as_str()).filter(|_| self.state != ChannelState::Enabled);
        let cause = state.map(|_| &self.cause);
        tx.execute(
            "UPDATE channels SET state = $2, state_at = $3, state_author = $4, state_reason = $5 WHERE id = $1",
            &[
                &channel,
                &state,
                &cause.map(|cause| cause.at.as_millis()),
                &cause.and_then(|cause| cause.by.as_deref()).map(text),
                &cause.and_then(|cause| cause.reason.as_deref()).map(text),
            ],
        )
        .await?;
        insert_free(tx, &self.deliveries).await
    }
}

/// [`crate::store::Queue::mark_late`].
pub(super) struct MarkLate {
    pub(super) now: Timestamp,
    pub(super) late: Vec<DeliveryId>,
    pub(super) deliveries: Vec<NewDelivery>,
}

#[async_trait]
impl Write for MarkLate {
    /// Those that this write has marked.
    type Output = (Vec<DeliveryId>, Waiting);

    fn channels(&self) -> Vec<Arc<str>> {
        names(&self.deliveries)
    }

    async fn apply(&self, tx: &Tx<'_>) -> Result<Self::Output, Fault> {
        let keys: Vec<i64> = self.late.iter().map(|id| id.sequence()).collect();
        let rows = tx
            .query(
                "UPDATE states SET broke_promise = true, promised_at = NULL
                    WHERE delivery IN (SELECT delivery FROM states WHERE delivery = ANY ($1) AND promised_at <= $2
                        ORDER BY delivery FOR UPDATE) RETURNING delivery",
                &[&keys, &self.now.as_millis()],
            )
            .await?;
        let marked: HashSet<i64> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        let marked: Vec<DeliveryId> = self.late.iter().filter(|id| marked.contains(&id.sequence())).copied().collect();
        let waiting =
            if marked.len() == self.late.len() { insert_free(tx, &self.deliveries).await? } else { Vec::new() };
        Ok((marked, waiting))
    }
}

/// [`crate::store::Queue::set_ordering`], some deliveries at a time.
pub(super) struct SetOrdering {
    pub(super) channel: Arc<str>,
    pub(super) after_failure: Option<AfterFailure>,
    pub(super) limit: usize,
}

#[async_trait]
impl Write for SetOrdering {
    /// How many deliveries have left their lines, and what can be claimed now.
    type Output = (usize, Waiting);

    fn channels(&self) -> Vec<Arc<str>> {
        vec![Arc::clone(&self.channel)]
    }

    async fn apply(&self, tx: &Tx<'_>) -> Result<Self::Output, Fault> {
        let channel = tx.channels.number(&self.channel)?;
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        let sql = match self.after_failure {
            Some(AfterFailure::Hold) => return Ok((0, Vec::new())),
            Some(AfterFailure::Continue) => {
                "SELECT delivery, ordering_key FROM states WHERE channel = $1 AND in_line AND state > 4 LIMIT $2"
            }
            None => "SELECT delivery, ordering_key FROM states WHERE channel = $1 AND in_line LIMIT $2",
        };
        let rows = tx.query(sql, &[&channel, &limit]).await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            found.push((row.try_get::<_, i64>(0)?, Line { channel, key: row.try_get(1)? }));
        }
        let all: Vec<Line> = found.iter().map(|(_, line)| line.clone()).collect();
        lines::lock(tx, &all).await?;
        let mut waiting = Vec::new();
        for (delivery, line) in &found {
            let freed = if self.after_failure.is_some() {
                lines::leave(tx, *delivery, line).await?
            } else {
                let row = tx
                    .first(
                        "UPDATE states SET in_line = false,
                            state = CASE state WHEN -1 THEN (attempts > 0)::integer ELSE state END
                            WHERE delivery = $1 RETURNING CASE WHEN state < 2 THEN due_at END",
                        &[delivery],
                    )
                    .await?;
                let due: Option<i64> = row.map(|row| row.try_get(0)).transpose()?.flatten();
                due.map(Timestamp::from_millis)
            };
            waiting.extend(freed.map(|at| (Arc::clone(&self.channel), at)));
        }
        Ok((found.len(), waiting))
    }
}

/// [`crate::store::Queue::own_channels`].
pub(super) struct OwnChannels {
    pub(super) replica: Replica,
    pub(super) channels: Vec<Arc<str>>,
}

#[async_trait]
impl Write for OwnChannels {
    /// The names of those that are its own.
    type Output = Vec<String>;

    fn replica(&self) -> Option<Replica> {
        Some(self.replica)
    }

    fn channels(&self) -> Vec<Arc<str>> {
        self.channels.clone()
    }

    async fn apply(&self, tx: &Tx<'_>) -> Result<Vec<String>, Fault> {
        let numbers: Vec<i32> = self.channels.iter().map(|name| tx.channels.number(name)).collect::<Result<_, _>>()?;
        tx.execute(
            "UPDATE channels SET owner = NULL WHERE owner = $1 AND id <> ALL ($2)",
            &[&self.replica.0, &numbers],
        )
        .await?;
        tx.execute(
            "UPDATE channels SET owner = $1 WHERE id IN
                (SELECT id FROM channels WHERE id = ANY ($2) AND owner IS NULL ORDER BY id FOR UPDATE SKIP LOCKED)",
            &[&self.replica.0, &numbers],
        )
        .await?;
        let rows = tx.query("SELECT name FROM channels WHERE owner = $1 ORDER BY name", &[&self.replica.0]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}

/// [`crate::store::Queue::keep_health`].
pub(super) struct KeepHealth(pub(super) Vec<(Arc<str>, String)>);

#[async_trait]
impl Write for KeepHealth {
    type Output = ();

    fn channels(&self) -> Vec<Arc<str>> {
        self.0.iter().map(|(name, _)| Arc::clone(name)).collect()
    }

    async fn apply(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        let (mut channels, mut texts) = (Vec::new(), Vec::new());
        for (name, health) in &self.0 {
            channels.push(tx.channels.number(name)?);
            texts.push(text(health));
        }
        tx.execute(
            "UPDATE channels SET health = t.health FROM unnest($1::integer[], $2::text[]) t (id, health)
                WHERE channels.id = t.id",
            &[&channels, &texts],
        )
        .await?;
        Ok(())
    }
}

/// [`crate::store::Queue::audit`].
pub(super) struct Audit(pub(super) Act);

#[async_trait]
impl Write for Audit {
    type Output = ();

    async fn apply(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        let Act { cause, act, channel, delivery, order, filter, detail, count } = &self.0;
        // Entries of the same moment get keys one after the other.
        tx.query("SELECT pg_advisory_xact_lock(hashtextextended('audit', 0))", &[]).await?;
        tx.execute(
            "INSERT INTO audit (seq, at, act, author, reason, channel, delivery, order_id, filter, detail, count)
                VALUES (greatest($1, (SELECT coalesce(max(seq), 0) + 1 FROM audit)), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            &[
                &DeliveryId::sequence_at(cause.at),
                &cause.at.as_millis(),
                act,
                &cause.by.as_deref().map(text),
                &cause.reason.as_deref().map(text),
                &channel.as_deref().map(text),
                delivery,
                &order.as_deref().map(text),
                &filter.as_deref().map(text),
                &detail.as_deref().map(text),
                &count.map(|count| i64::try_from(count).unwrap_or(i64::MAX)),
            ],
        )
        .await?;
        Ok(())
    }
}

/// [`crate::store::Queue::begin_suspect`] and [`crate::store::Queue::clear_suspect`].
pub(super) struct Suspect {
    pub(super) delivery: DeliveryId,
    pub(super) begun: bool,
}

#[async_trait]
impl Write for Suspect {
    type Output = ();

    async fn apply(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        let sql = if self.begun {
            "UPDATE suspects SET begun = true WHERE delivery = $1"
        } else {
            "DELETE FROM suspects WHERE delivery = $1"
        };
        tx.execute(sql, &[&self.delivery.sequence()]).await?;
        Ok(())
    }
}

/// [`crate::store::History::ping`].
pub(super) struct Ping;

#[async_trait]
impl Write for Ping {
    type Output = ();

    async fn apply(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        tx.execute("UPDATE pings SET at = $1", &[&tx.now.as_millis()]).await?;
        Ok(())
    }
}
