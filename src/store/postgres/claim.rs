//! Deliveries change hands: claimed from the store, put back, moved to another channel.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_postgres::Row;

use super::connections::Loan;
use super::lines::{self, Line};
use super::rows::{self, EMPTY, get, origin_id, state};
use super::tx::{Fault, Tx, Write};
use super::{details, states};
use crate::domain::{DeliveryId, Event, Timestamp};
use crate::store::error::corrupt;
use crate::store::{Cause, Claim, Lease, Leased, Replica, Run, StoreError, Which};

/// [`crate::store::Queue::claim`].
pub(super) struct ClaimDue(pub(super) Claim);

/// What was claimed, and in how many deaths of replicas each delivery was under way that was in any.
pub(super) type Claimed = (Vec<Leased>, Vec<(DeliveryId, u32)>);

#[async_trait]
impl Write for ClaimDue {
    /// Rows for [`read_all`].
    type Output = Vec<Row>;

    fn replica(&self) -> Option<Replica> {
        Some(self.0.replica)
    }

    fn channels(&self) -> Vec<Arc<str>> {
        vec![Arc::clone(&self.0.channel)]
    }

    async fn apply(&self, tx: &Tx<'_>) -> Result<Vec<Row>, Fault> {
        claim(tx, &self.0).await
    }
}

/// Candidates of one state, the longest due first, with the bytes that each brings; those that another replica is about to claim
/// are passed over.
const OF_STATE: &str = "SELECT s.delivery, s.due_at, d.origin,
        (coalesce(octet_length(d.mail), 0) + coalesce(octet_length(d.context), 0) +
            coalesce((SELECT octet_length(body) FROM orders WHERE seq = d.origin),
                (SELECT octet_length(body) FROM events WHERE seq = -d.origin), 0))::bigint
    FROM states s JOIN deliveries d ON d.seq = s.delivery
    WHERE s.channel = $1 AND s.state = $2 AND s.state < 2 AND s.due_at <= $3
    ORDER BY s.due_at, s.delivery LIMIT $4 FOR UPDATE OF s SKIP LOCKED";

/// What a lane needs of a delivery.
const LEASE: &str = "WITH leased AS (UPDATE states SET state = 2, owner = $2, lease = lease + 1 WHERE delivery = ANY ($1)
        RETURNING delivery, attempts, round_start, due_at, lease)
    SELECT l.delivery, d.rest, d.origin, l.attempts, l.round_start, l.due_at, d.event_id, d.event_type, d.event_at, d.step,
        d.context, d.parcel, d.mail, d.steps, l.lease, p.crashes
        FROM leased l JOIN deliveries d ON d.seq = l.delivery LEFT JOIN suspects p ON p.delivery = l.delivery
        ORDER BY l.due_at, l.delivery";

/// Leases what a claim asks for.
async fn claim(tx: &Tx<'_>, claim: &Claim) -> Result<Vec<Row>, Fault> {
    let channel = tx.channels.number(&claim.channel)?;
    let states: &[i64] = match claim.which {
        Which::First => &[state::FIRST],
        Which::Retries => &[state::RETRY],
        Which::Any => &[state::FIRST, state::RETRY],
    };
    let limit = i64::try_from(claim.limit).unwrap_or(i64::MAX);
    let mut due: Vec<(i64, i64, i64)> = Vec::new();
    for state in states {
        let state = i16::try_from(*state).unwrap_or_default();
        for row in tx.query(OF_STATE, &[&channel, &state, &claim.now.as_millis(), &limit]).await? {
            due.push((row.try_get(1)?, row.try_get(0)?, row.try_get(3)?));
        }
    }
    due.sort_unstable();
    let (mut keys, mut bytes) = (Vec::new(), 0usize);
    for (_, seq, brings) in due.into_iter().take(claim.limit) {
        bytes = bytes.saturating_add(usize::try_from(brings).unwrap_or(0));
        if bytes > claim.max_bytes && !keys.is_empty() {
            break;
        }
        keys.push(seq);
    }
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    Ok(tx.query(LEASE, &[&keys, &claim.replica.0]).await?)
}

/// Reads what was claimed, with what it is about.
pub(super) async fn read_all(loan: &Loan, claim: &Claim, rows: &[Row]) -> Result<Claimed, StoreError> {
    let origins: Vec<i64> = rows.iter().map(|row| get(row, 2)).collect::<Result<_, _>>()?;
    let origins = details::origins(loan, &origins).await?;
    let (mut leased, mut suspects) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        let delivery = read(row, claim, &origins)?;
        if let Some(crashes) = get::<Option<i32>>(row, 15)? {
            suspects.push((delivery.id, u32::try_from(crashes).unwrap_or(0)));
        }
        leased.push(delivery);
    }
    Ok((leased, suspects))
}

/// The leases of what was claimed.
pub(super) fn leases(rows: &[Row]) -> Result<Vec<Lease>, StoreError> {
    let lease = |row| Ok(Lease { delivery: DeliveryId::from_parts(get(row, 0)?, get(row, 1)?), number: get(row, 14)? });
    rows.iter().map(lease).collect()
}

fn read(row: &Row, claim: &Claim, origins: &HashMap<i64, details::Shared>) -> Result<Leased, StoreError> {
    let seq: i64 = get(row, 0)?;
    let (subject, _) = origins.get(&get(row, 2)?).ok_or_else(|| corrupt("deliveries", "origin", seq))?;
    let context: Option<&str> = get(row, 10)?;
    Ok(Leased {
        id: DeliveryId::from_parts(seq, get(row, 1)?),
        channel: Arc::clone(&claim.channel),
        event: Arc::new(Event {
            id: rows::event_id(get(row, 6)?, origin_id(subject.origin), seq)?,
            kind: rows::event_kind(get(row, 7)?, &subject.kind),
            at: rows::time(row, 8)?,
            context: Arc::from(context.unwrap_or(EMPTY)),
            step: get::<Option<&str>>(row, 9)?.map(Arc::from),
            steps: rows::steps(get(row, 13)?, seq)?,
            subject: Arc::clone(subject),
        }),
        prepared: rows::prepared(get(row, 11)?, get(row, 12)?, seq)?,
        due_at: rows::time(row, 5)?,
        attempts: rows::small_count(row, 3)?,
        round_start: rows::small_count(row, 4)?,
        lease: get(row, 14)?,
        slot: None,
    })
}

/// [`crate::store::Queue::begin_run`].
pub(super) struct BeginRun {
    pub(super) run: Run,
    pub(super) claim: Claim,
}

#[async_trait]
impl Write for BeginRun {
    /// `None`: the last run on record is another one.
    type Output = Option<Vec<Row>>;

    fn replica(&self) -> Option<Replica> {
        Some(self.claim.replica)
    }

    fn channels(&self) -> Vec<Arc<str>> {
        vec![Arc::clone(&self.claim.channel)]
    }

    async fn apply(&self, tx: &Tx<'_>) -> Result<Self::Output, Fault> {
        let channel = tx.channels.number(&self.claim.channel)?;
        let begun = tx
            .execute(
                "UPDATE channels SET last_run = $3 WHERE id = $1 AND last_run = $2",
                &[&channel, &self.run.last.as_millis(), &self.run.at.as_millis()],
            )
            .await?;
        if begun == 0 { Ok(None) } else { claim(tx, &self.claim).await.map(Some) }
    }
}

/// [`crate::store::Queue::last_run`].
pub(super) struct LastRun {
    pub(super) channel: Arc<str>,
    pub(super) or: Timestamp,
}

#[async_trait]
impl Write for LastRun {
    type Output = Timestamp;

    fn channels(&self) -> Vec<Arc<str>> {
        vec![Arc::clone(&self.channel)]
    }

    async fn apply(&self, tx: &Tx<'_>) -> Result<Timestamp, Fault> {
        let channel = tx.channels.number(&self.channel)?;
        let row = tx
            .first(
                "UPDATE channels SET last_run = coalesce(last_run, $2) WHERE id = $1 RETURNING last_run",
                &[&channel, &self.or.as_millis()],
            )
            .await?;
        let row = row.ok_or_else(|| corrupt("channels", "last_run", channel.into()))?;
        Ok(Timestamp::from_millis(row.try_get(0)?))
    }
}

/// [`crate::store::Queue::put_back`].
pub(super) struct PutBack(pub(super) Vec<Lease>);

#[async_trait]
impl Write for PutBack {
    /// Channels with deliveries that can be claimed now.
    type Output = Vec<(Arc<str>, Timestamp)>;

    async fn apply(&self, tx: &Tx<'_>) -> Result<Self::Output, Fault> {
        let mut leases: Vec<(i64, i64, i64)> =
            self.0.iter().map(|lease| (lease.delivery.sequence(), lease.delivery.rest(), lease.number)).collect();
        leases.sort_unstable();
        let keys: Vec<i64> = leases.iter().map(|(seq, ..)| *seq).collect();
        let rest: Vec<i64> = leases.iter().map(|(_, rest, _)| *rest).collect();
        let numbers: Vec<i64> = leases.iter().map(|(.., number)| *number).collect();
        states::make(tx, &keys).await?;
        let rows = tx
            .query(
                "UPDATE states s SET state = (s.attempts > 0)::integer, owner = NULL
                    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) t (delivery, rest, lease)
                    JOIN deliveries d ON d.seq = t.delivery AND d.rest = t.rest
                    WHERE s.delivery = t.delivery AND s.state = 2 AND s.lease = t.lease
                    RETURNING s.channel, CASE WHEN s.in_line THEN s.ordering_key END, s.due_at",
                &[&keys, &rest, &numbers],
            )
            .await?;
        freed(tx, &rows).await
    }
}

/// Rows that were freed, as `channel, ordering_key, due_at`: an older delivery of a line may have been retried while they were
/// leased. Returns the channels with deliveries that can be claimed now.
pub(super) async fn freed(tx: &Tx<'_>, rows: &[Row]) -> Result<Vec<(Arc<str>, Timestamp)>, Fault> {
    let (mut all, mut waiting) = (Vec::new(), Vec::new());
    for row in rows {
        let channel = row.try_get(0)?;
        if let Some(name) = tx.channels.name(channel) {
            waiting.push((name, Timestamp::from_millis(row.try_get(2)?)));
        }
        if let Some(key) = row.try_get::<_, Option<String>>(1)? {
            all.push(Line { channel, key });
        }
    }
    lines::lock(tx, &all).await?;
    for line in &all {
        lines::advance(tx, line).await?;
    }
    Ok(waiting)
}

/// One group of [`crate::store::Queue::move_pending`]. Those that belong to a replica stay.
pub(super) struct Move {
    pub(super) from: Arc<str>,
    pub(super) to: Arc<str>,
    pub(super) cause: Cause,
}

/// Deliveries that one commit moves at most.
pub(super) const GROUP: u64 = 1000;

#[async_trait]
impl Write for Move {
    type Output = u64;

    fn channels(&self) -> Vec<Arc<str>> {
        vec![Arc::clone(&self.from), Arc::clone(&self.to)]
    }

    async fn apply(&self, tx: &Tx<'_>) -> Result<u64, Fault> {
        let (from, to) = (tx.channels.number(&self.from)?, tx.channels.number(&self.to)?);
        let group = i64::try_from(GROUP).unwrap_or(i64::MAX);
        // The keys of an ordered channel mean nothing in another. What has been tried before begins a round of its own with the
        // other channel.
        Ok(tx
            .execute(
                "UPDATE states SET channel = $2, round_start = attempts, ordering_key = NULL, in_line = false,
                    state = CASE state WHEN -1 THEN (attempts > 0)::integer ELSE state END,
                    due_at = CASE state WHEN 1 THEN least(due_at, $3) ELSE due_at END
                    WHERE delivery IN (SELECT delivery FROM states WHERE channel = $1 AND state < 2 LIMIT $4
                        FOR UPDATE SKIP LOCKED)",
                &[&from, &to, &self.cause.at.as_millis(), &group],
            )
            .await?)
    }
}
