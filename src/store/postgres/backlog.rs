//! What waits, and how channels fare.

use std::sync::Arc;

use super::connections::Loan;
use super::details::{self, cause};
use super::rows::{self, corrupt, get};
use super::text::text;
use crate::domain::{DeliveryId, Timestamp};
use crate::store::{Backlog, Cause, ChannelState, DeliverySummary, HeldKey, HeldKeys, NextDue, StoreError};

/// When the next deliveries of the channel `c` are due.
macro_rules! next_due {
    () => {
        "(SELECT due_at FROM states WHERE channel = c.id AND state = 0 AND state < 2 ORDER BY due_at LIMIT 1),
        (SELECT due_at FROM states WHERE channel = c.id AND state = 1 AND state < 2 ORDER BY due_at LIMIT 1)"
    };
}

/// [`crate::store::Queue::next_due`].
pub(super) async fn next_due(loan: &Loan, channel: &str) -> Result<NextDue, StoreError> {
    let sql = concat!("SELECT ", next_due!(), " FROM channels c WHERE c.name = $1");
    let found = loan.query(sql, &[&text(channel)]).await?;
    let Some(row) = found.first() else { return Ok(NextDue::default()) };
    Ok(NextDue { first: rows::maybe_time(row, 0)?, retry: rows::maybe_time(row, 1)? })
}

/// [`crate::store::Queue::overdue`].
pub(super) async fn overdue(loan: &Loan, now: Timestamp, limit: usize) -> Result<Vec<DeliverySummary>, StoreError> {
    let sql = "SELECT delivery FROM states WHERE promised_at IS NOT NULL AND promised_at <= $1
        ORDER BY promised_at LIMIT $2";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = loan.query(sql, &[&now.as_millis(), &limit]).await?;
    let keys = found.iter().map(|row| get(row, 0)).collect::<Result<Vec<_>, _>>()?;
    details::summaries(loan, &keys).await
}

/// How many deliveries of the channel `$1` wait for another one, and how many hold their key; up to `$2` each.
const HELD: &str = "SELECT
    (SELECT count(*) FROM (SELECT FROM states WHERE channel = $1 AND state = -1 AND state < 2 LIMIT $2) waiting),
    (SELECT count(*) FROM (SELECT FROM states WHERE channel = $1 AND in_line AND state > 4 LIMIT $2) closing)";

/// The oldest of those that hold their key, up to `$3`, each with how many wait for it.
const BEHIND: &str = "SELECT d.seq, d.rest, s.ordering_key,
        (SELECT count(*) FROM (SELECT FROM states w
            WHERE w.channel = $1 AND w.ordering_key = s.ordering_key AND w.in_line AND w.state = -1 LIMIT $2) waiting)
    FROM (SELECT delivery, ordering_key FROM states WHERE channel = $1 AND in_line AND state > 4
        ORDER BY delivery + 0 LIMIT $3) s
    CROSS JOIN LATERAL (SELECT seq, rest FROM deliveries WHERE deliveries.seq = s.delivery LIMIT 1) d ORDER BY 1";

/// [`crate::store::History::held`].
pub(super) async fn held(loan: &Loan, channel: &str) -> Result<HeldKeys, StoreError> {
    let found = loan.query("SELECT id FROM channels WHERE name = $1", &[&text(channel)]).await?;
    let Some(row) = found.first() else { return Ok(HeldKeys::default()) };
    let number: i32 = get(row, 0)?;
    let most = i64::try_from(HeldKeys::MOST).unwrap_or(i64::MAX);
    let shown = i64::try_from(HeldKeys::SHOWN).unwrap_or(i64::MAX);
    let counts = loan.query(HELD, &[&number, &most]).await?;
    let behind = loan.query(BEHIND, &[&number, &most, &shown]).await?;
    let mut held = HeldKeys::default();
    for row in &counts {
        held.deliveries = rows::count(row, 0)?;
        held.keys = rows::count(row, 1)?;
    }
    for row in &behind {
        let delivery: DeliveryId = rows::id(row, 0)?;
        let key = get::<Option<String>>(row, 2)?;
        let key = key.ok_or_else(|| corrupt("states", "ordering_key", delivery.sequence()))?;
        held.behind.push(HeldKey { key, delivery, waiting: rows::count(row, 3)? });
    }
    Ok(held)
}

/// Counts the deliveries that wait or are leased by their rows in `states`, and those that are under way for the first time by
/// their lack of one, above the lowest watermark. A delivery that is held is not due.
const BACKLOG: &str =
    "WITH lowest AS MATERIALIZED (SELECT coalesce(min(watermark), 9223372036854775807) AS key FROM replicas),
    counted AS (
        SELECT channel, count(*) AS pending, min(due_at) FILTER (WHERE state <> -1) AS due
            FROM states WHERE state < 2 GROUP BY channel
        UNION ALL
        SELECT channel, count(*), min(due_at) FROM states WHERE state = 2 GROUP BY channel
        UNION ALL
        SELECT d.channel, count(*), min(d.due_at) FROM deliveries d
            WHERE d.seq >= (SELECT key FROM lowest) AND d.born IS NOT NULL
                AND NOT EXISTS (SELECT FROM states s
                    WHERE s.delivery = d.seq AND s.delivery >= (SELECT key FROM lowest))
                AND NOT EXISTS (SELECT FROM attempts a
                    WHERE a.delivery = d.seq AND a.number = 1 AND a.delivery >= (SELECT key FROM lowest))
            GROUP BY d.channel)
    SELECT c.name, sum(pending)::bigint, min(due) FROM counted JOIN channels c ON c.id = counted.channel
        GROUP BY c.name ORDER BY c.name COLLATE \"C\"";

/// [`crate::store::History::backlog`].
pub(super) async fn backlog(loan: &Loan) -> Result<Vec<Backlog>, StoreError> {
    let read = |row| {
        let channel = Arc::from(get::<&str>(row, 0)?);
        Ok(Backlog { channel, pending: rows::count(row, 1)?, oldest_due: rows::maybe_time(row, 2)? })
    };
    loan.query(BACKLOG, &[]).await?.iter().map(read).collect()
}

/// [`crate::store::History::knows_channel`].
pub(super) async fn knows_channel(loan: &Loan, name: &str) -> Result<bool, StoreError> {
    Ok(!loan.query("SELECT FROM channels WHERE name = $1", &[&text(name)]).await?.is_empty())
}

/// [`crate::store::History::channel_causes`].
pub(super) async fn channel_causes(loan: &Loan) -> Result<Vec<(Arc<str>, Cause)>, StoreError> {
    let sql = "SELECT name, state_at, state_author, state_reason FROM channels WHERE state_at IS NOT NULL
        ORDER BY name COLLATE \"C\"";
    let read = |row| Ok((Arc::from(get::<&str>(row, 0)?), cause(row, 1)?));
    loan.query(sql, &[]).await?.iter().map(read).collect()
}

/// [`crate::store::Queue::channel_states`].
pub(super) async fn channel_states(loan: &Loan) -> Result<Vec<(Arc<str>, ChannelState)>, StoreError> {
    let sql = "SELECT name, state, id FROM channels WHERE state IS NOT NULL ORDER BY name COLLATE \"C\"";
    let mut states = Vec::new();
    for row in loan.query(sql, &[]).await? {
        let number = i64::from(get::<i32>(&row, 2)?);
        let state = ChannelState::from_name(get(&row, 1)?).ok_or_else(|| corrupt("channels", "state", number))?;
        states.push((Arc::from(get::<&str>(&row, 0)?), state));
    }
    Ok(states)
}

/// [`crate::store::Queue::health`].
pub(super) async fn health(loan: &Loan) -> Result<Vec<(Arc<str>, String)>, StoreError> {
    let read = |row| Ok((Arc::from(get::<&str>(row, 0)?), get(row, 1)?));
    loan.query("SELECT name, health FROM channels WHERE health IS NOT NULL", &[]).await?.iter().map(read).collect()
}

/// [`crate::store::Ledger::interrupted`].
pub(super) async fn interrupted(loan: &Loan) -> Result<Vec<(String, u64)>, StoreError> {
    let sql = "SELECT chain, count(*) FROM processing WHERE owner IS NULL GROUP BY chain";
    let read = |row| Ok((get::<Option<String>>(row, 0)?.unwrap_or_default(), rows::count(row, 1)?));
    loan.query(sql, &[]).await?.iter().map(read).collect()
}

/// [`crate::store::Queue::secret`].
pub(super) async fn secret(loan: &Loan) -> Result<[u8; 32], StoreError> {
    let found = loan.query("SELECT bytes FROM secrets WHERE id = 1", &[]).await?;
    let bytes = found.first().map(|row| get::<&[u8]>(row, 0)).transpose()?;
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| corrupt("secrets", "bytes", 1))
}

/// The tables of the schema that `orders` is in, with their partitions, indexes and what they keep out of line.
const BYTES: &str = "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
    WHERE relkind = 'r' AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'orders'::regclass)";

/// [`crate::store::History::bytes`].
pub(super) async fn bytes(loan: &Loan) -> Result<u64, StoreError> {
    let found = loan.query(BYTES, &[]).await?;
    found.first().map_or(Ok(0), |row| rows::count(row, 0))
}
