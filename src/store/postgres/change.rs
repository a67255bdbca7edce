//! What a person or a receiver does to deliveries, one or many.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::lines::{self, Line};
use super::text::text;
use super::tx::{Fault, Tx, Write};
use super::{causes, states};
use crate::domain::likeness::likeness;
use crate::domain::{Code, DeliveryId, DeliveryStatus, Timestamp};
use crate::store::rows::{self, state};
use crate::store::{Cause, Change, Changed, StoreError};

/// [`crate::store::Queue::change`].
pub(super) struct ChangeOne {
    pub(super) delivery: DeliveryId,
    pub(super) change: Change,
    pub(super) cause: Cause,
}

/// What a change did, and which channel has a delivery that can be claimed now.
pub(super) type Done = (Option<Changed>, Vec<(Arc<str>, Timestamp)>);

#[async_trait]
impl Write for ChangeOne {
    type Output = Done;

    async fn apply(&self, tx: &Tx<'_>) -> Result<Done, Fault> {
        let seq = self.delivery.sequence();
        states::make(tx, &[seq]).await?;
        let rows = find(tx, &[seq]).await?;
        let Some(row) = rows.into_iter().next().filter(|row| row.rest == self.delivery.rest()) else {
            tx.undo();
            return Ok((None, Vec::new()));
        };
        let channel = Arc::clone(&row.channel);
        if !row.allows(self.change) {
            if row.state == state::LEASED && self.cause.is_receiver() && self.change.settles() {
                keep_early(tx, &row, self.change, &self.cause).await?;
                return Ok((Some(Changed::Kept(channel)), Vec::new()));
            }
            tx.undo();
            return Ok((Some(Changed::Refused(row.status)), Vec::new()));
        }
        lines::lock(tx, row.line.as_slice()).await?;
        let mut waiting = Vec::new();
        let lease = apply(tx, &row, self.change, &self.cause, &mut waiting).await?;
        Ok((Some(Changed::Done(self.change.makes(), channel, lease)), waiting))
    }
}

/// One group of [`crate::store::Queue::change_all`].
pub(super) struct ChangeSome {
    /// Keys of deliveries that the filter took when the call began.
    pub(super) keys: Vec<i64>,
    /// The statuses that the filter takes; empty: any.
    pub(super) statuses: Arc<[DeliveryStatus]>,
    pub(super) change: Change,
    pub(super) cause: Cause,
}

#[async_trait]
impl Write for ChangeSome {
    /// The channels, and how many of each; and those with a delivery that can be claimed now.
    type Output = (HashMap<Arc<str>, u64>, Vec<(Arc<str>, Timestamp)>);

    async fn apply(&self, tx: &Tx<'_>) -> Result<Self::Output, Fault> {
        states::make(tx, &self.keys).await?;
        let rows = find(tx, &self.keys).await?;
        let taken =
            |row: &&Found| (self.statuses.is_empty() || self.statuses.contains(&row.status)) && row.allows(self.change);
        let rows: Vec<&Found> = rows.iter().filter(taken).collect();
        let all: Vec<Line> = rows.iter().filter_map(|row| row.line.clone()).collect();
        lines::lock(tx, &all).await?;
        let (mut channels, mut waiting) = (HashMap::new(), Vec::new());
        for row in rows {
            apply(tx, row, self.change, &self.cause, &mut waiting).await?;
            *channels.entry(Arc::clone(&row.channel)).or_default() += 1;
        }
        Ok((channels, waiting))
    }
}

struct Found {
    seq: i64,
    rest: i64,
    channel: Arc<str>,
    state: i64,
    status: DeliveryStatus,
    lease: i64,
    last_code: Option<i32>,
    /// The line of its key, where it has one, and whether it is in it.
    line: Option<Line>,
    in_line: bool,
}

impl Found {
    /// A failed or rejected delivery that holds its key can be settled too: that opens the key.
    fn allows(&self, change: Change) -> bool {
        let closes = self.in_line && matches!(self.status, DeliveryStatus::Failed | DeliveryStatus::Rejected);
        change.allows(self.status) || closes && matches!(change, Change::Accept | Change::Cancel)
    }
}

async fn find(tx: &Tx<'_>, keys: &[i64]) -> Result<Vec<Found>, Fault> {
    let rows = tx
        .query(
            "SELECT s.delivery, d.rest, c.name, s.state, s.lease, s.last_code, s.channel, s.ordering_key, s.in_line
                FROM states s JOIN deliveries d ON d.seq = s.delivery JOIN channels c ON c.id = s.channel
                WHERE s.delivery = ANY ($1) ORDER BY s.delivery FOR UPDATE OF s",
            &[&keys],
        )
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let seq = row.try_get(0)?;
        let state = i64::from(row.try_get::<_, i16>(3)?);
        let channel = row.try_get(6)?;
        let key: Option<String> = row.try_get(7)?;
        found.push(Found {
            seq,
            rest: row.try_get(1)?,
            channel: Arc::from(row.try_get::<_, &str>(2)?),
            state,
            status: rows::delivery_status(state, seq)?,
            lease: row.try_get(4)?,
            last_code: row.try_get(5)?,
            line: key.map(|key| Line { channel, key }),
            in_line: row.try_get(8)?,
        });
    }
    Ok(found)
}

/// Keeps a verdict that came before the response of the attempt under way was recorded.
async fn keep_early(tx: &Tx<'_>, row: &Found, change: Change, cause: &Cause) -> Result<(), Fault> {
    insert_verdict(tx, row.seq, change, cause).await?;
    let state = rows::states(change.makes()).first().copied().and_then(|state| i16::try_from(state).ok());
    tx.execute("UPDATE states SET early_state = $2, early_lease = lease WHERE delivery = $1", &[&row.seq, &state])
        .await?;
    Ok(())
}

async fn insert_verdict(tx: &Tx<'_>, seq: i64, change: Change, cause: &Cause) -> Result<(), Fault> {
    let number = tx
        .first(
            "INSERT INTO verdicts (delivery, number, at, act, author, reason)
                SELECT $1, coalesce(max(number), 0) + 1, $2, $3, $4, $5 FROM verdicts WHERE delivery = $1 RETURNING number",
            &[
                &seq,
                &cause.at.as_millis(),
                &change.as_str(),
                &cause.by.as_deref().map(text),
                &cause.reason.as_deref().map(text),
            ],
        )
        .await?;
    let number: i32 = number.map(|row| row.try_get(0)).transpose()?.unwrap_or(0);
    if number > VERDICTS {
        let last = number - VERDICTS;
        tx.execute("DELETE FROM verdicts WHERE delivery = $1 AND number <= $2", &[&seq, &last]).await?;
    }
    Ok(())
}

/// Verdicts of a delivery that are kept.
const VERDICTS: i32 = 100;

/// Makes a change that is allowed. Returns the number of the delivery's lease from now on.
async fn apply(
    tx: &Tx<'_>,
    row: &Found,
    change: Change,
    cause: &Cause,
    waiting: &mut Vec<(Arc<str>, Timestamp)>,
) -> Result<i64, Fault> {
    let now = cause.at;
    let seq = row.seq;
    insert_verdict(tx, seq, change, cause).await?;
    if change == Change::Retry && state::is_pending(row.state) {
        // Not in a round of its own: the next attempt is made now.
        tx.execute("UPDATE states SET due_at = least(due_at, $2) WHERE delivery = $1", &[&seq, &now.as_millis()])
            .await?;
        if row.state != state::HELD {
            waiting.push((Arc::clone(&row.channel), now));
        }
        return Ok(row.lease);
    }
    if change == Change::Retry {
        causes::leave(tx, &[seq]).await?;
        tx.execute(
            "UPDATE states SET owner = NULL, round_start = attempts, due_at = $2, lease = lease + 1,
                state = CASE WHEN ordering_key IS NULL THEN (attempts > 0)::integer ELSE -1 END,
                in_line = ordering_key IS NOT NULL WHERE delivery = $1",
            &[&seq, &now.as_millis()],
        )
        .await?;
        match &row.line {
            None => waiting.push((Arc::clone(&row.channel), now)),
            Some(line) => {
                let freed = lines::advance(tx, line).await?;
                waiting.extend(freed.map(|at| (Arc::clone(&row.channel), at)));
            }
        }
        return Ok(row.lease + 1);
    }
    let next = rows::states(change.makes()).first().copied().unwrap_or(state::CANCELLED);
    if row.status != change.makes() && matches!(row.status, DeliveryStatus::Failed | DeliveryStatus::Rejected) {
        causes::leave(tx, &[seq]).await?;
    }
    let state = i16::try_from(next).map_err(|_| StoreError::Corrupt("states.state".to_owned()))?;
    tx.execute(
        "UPDATE states SET state = $2::smallint, owner = NULL, updated_at = $3, lease = lease + 1,
            promised_at = CASE WHEN $2::smallint = 7 OR $3 <= promised_at AND $2::smallint = 3 THEN NULL ELSE promised_at END
            WHERE delivery = $1",
        &[&seq, &state, &now.as_millis()],
    )
    .await?;
    if next == state::FAILED {
        let said = cause.reason.as_deref().unwrap_or("marked as failed");
        causes::join(tx, seq, row.last_code.map(Code::from_i32), &likeness(said), now).await?;
    }
    if row.in_line
        && let Some(line) = &row.line
    {
        let freed = lines::leave(tx, seq, line).await?;
        waiting.extend(freed.map(|at| (Arc::clone(&row.channel), at)));
    }
    Ok(row.lease + 1)
}
