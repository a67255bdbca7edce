//! Orders and deliveries with all that is known of them.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row};

use super::claim::load_origin;
use super::db::Tally;
use super::fault::corrupt;
use super::rows;
use super::{journal, lists};
use crate::domain::{
    Attempt, AttemptId, Body, Code, DeliveryId, DeliveryStatus, EventId, Exchange, OrderId, Outcome, Timestamp,
};
use crate::store::{
    Backlog, Cause, Change, ChannelState, DeliveryDetail, DeliveryFilter, DeliverySummary, HeldKey, HeldKeys, NextDue,
    OrderDetail, OrderFilter, OrderKey, OrderSummary, Page, Paged, StoreError, Verdict,
};

/// [`crate::store::History::orders`].
pub(super) fn orders(conn: &Connection, filter: &OrderFilter, page: Page) -> Result<Paged<OrderSummary>, StoreError> {
    let keys = lists::orders(conn, filter, page)?;
    let data = keys.data.into_iter().map(|seq| order_summary(conn, seq)).collect::<Result<_, _>>()?;
    Ok(Paged { data, next: keys.next, searched_back_to: keys.searched_back_to })
}

/// An order in a list.
pub(super) fn order_summary(conn: &Connection, seq: i64) -> Result<OrderSummary, StoreError> {
    conn.prepare_cached("SELECT id, order_id, kind, status, chain, received_at, ended_at FROM orders WHERE seq = ?1")?
        .query_row([seq], |row| {
        let id = OrderId::from_bytes(row.get(0)?);
        let own: Option<String> = row.get(1)?;
        let status: i64 = row.get(3)?;
        let ended_at: Option<i64> = row.get(6)?;
        Ok(rows::order_status(status, seq).map(|status| (id, own, status, ended_at)).and_then(
            |(id, own, status, ended_at)| {
                Ok(OrderSummary {
                    id,
                    order_id: own.unwrap_or_else(|| id.to_string()),
                    kind: row.get(2)?,
                    status,
                    chain: row.get(4)?,
                    received_at: rows::time(row, 5)?,
                    ended_at: ended_at.map(Timestamp::from_millis),
                })
            },
        ))
    })?
}

/// [`crate::store::History::order`].
pub(super) fn order(conn: &Connection, tally: &Tally, key: &OrderKey) -> Result<Option<OrderDetail>, StoreError> {
    let seq = match key {
        OrderKey::Id(id) => by_id(conn, *id)?,
        OrderKey::Own(own) => match (newest(conn, own)?, own.parse()) {
            (None, Ok(id)) => by_id(conn, id)?,
            (newest, _) => newest,
        },
    };
    let Some(seq) = seq else { return Ok(None) };
    let (body, context, skipped, arrival): (Vec<u8>, Option<String>, Option<String>, Option<String>) = conn
        .prepare_cached("SELECT body, context, skipped, arrival FROM orders WHERE seq = ?1")?
        .query_row([seq], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let skipped = match skipped {
        Some(text) => serde_json::from_str(&text).map_err(|_| corrupt("orders", "skipped", seq))?,
        None => Vec::new(),
    };
    let mut statement = conn.prepare_cached(
        "SELECT value FROM orders, json_each(orders.deliveries) WHERE seq = ?1
            UNION ALL SELECT seq FROM deliveries INDEXED BY deliveries_late WHERE late = ?1 AND late IS NOT NULL
            ORDER BY 1",
    )?;
    let deliveries: Vec<i64> = statement.query_map([seq], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let summary = order_summary(conn, seq)?;
    let same = OrderFilter { order_id: Some(summary.order_id.clone()), ..OrderFilter::default() };
    let same = lists::orders(conn, &same, Page { limit: SAME_ID, before: Some(seq) })?;
    Ok(Some(OrderDetail {
        summary,
        body: Bytes::from(body),
        arrival: rows::arrival(arrival),
        context: rows::context(context),
        steps: journal::steps(conn, seq)?,
        deliveries: summaries(conn, tally, deliveries)?,
        skipped,
        same_id: same.data.into_iter().map(|seq| order_id(conn, seq)).collect::<Result<_, _>>()?,
    }))
}

/// Earlier orders with the same own id that are shown.
const SAME_ID: usize = 20;

fn order_id(conn: &Connection, seq: i64) -> Result<OrderId, StoreError> {
    let mut statement = conn.prepare_cached("SELECT id FROM orders WHERE seq = ?1")?;
    Ok(statement.query_row([seq], |row| row.get(0).map(OrderId::from_bytes))?)
}

/// The newest order with that id of its own.
fn newest(conn: &Connection, own: &str) -> Result<Option<i64>, StoreError> {
    let mut next = conn.prepare_cached(
        "SELECT max(slot) FROM orders INDEXED BY orders_by_own_id WHERE slot IS NOT NULL AND slot < ?1",
    )?;
    let mut within = conn.prepare_cached(
        "SELECT max(seq) FROM orders INDEXED BY orders_by_own_id WHERE slot IS NOT NULL AND slot = ?1 AND order_id = ?2",
    )?;
    let mut slot = i64::MAX;
    while let Some(below) = next.query_row([slot], |row| row.get::<_, Option<i64>>(0))? {
        if let Some(seq) = within.query_row((below, own), |row| row.get(0))? {
            return Ok(Some(seq));
        }
        slot = below;
    }
    Ok(None)
}

fn by_id(conn: &Connection, id: OrderId) -> Result<Option<i64>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT seq FROM orders WHERE seq = ?1 AND id = ?2")?;
    Ok(statement.query_row((id.sequence(), id.to_bytes()), |row| row.get(0)).optional()?)
}

/// [`crate::store::History::deliveries`].
pub(super) fn deliveries(
    conn: &Connection,
    tally: &Tally,
    filter: &DeliveryFilter,
    page: Page,
) -> Result<Paged<DeliverySummary>, StoreError> {
    let keys = lists::deliveries(conn, filter, page)?;
    Ok(Paged { data: summaries(conn, tally, keys.data)?, next: keys.next, searched_back_to: keys.searched_back_to })
}

/// The deliveries with these keys, in the same order.
pub(super) fn summaries(conn: &Connection, tally: &Tally, keys: Vec<i64>) -> Result<Vec<DeliverySummary>, StoreError> {
    keys.into_iter().map(|seq| delivery_summary(conn, tally, seq)).collect()
}

fn delivery_summary(conn: &Connection, tally: &Tally, seq: i64) -> Result<DeliverySummary, StoreError> {
    conn.prepare_cached(
        "SELECT d.id, d.channel, d.state, d.origin, d.event_id, d.event_type, d.updated_at, d.attempts, d.due_at,
            d.last_code, o.id, o.order_id, e.id, e.kind, d.parcel, d.ordering_key,
            d.broke_promise IS NOT NULL
            FROM deliveries d LEFT JOIN orders o ON o.seq = d.origin LEFT JOIN events e ON e.seq = -d.origin
            WHERE d.seq = ?1",
    )?
    .query_row([seq], |row| Ok(read_summary(row, tally, seq)))?
}

fn read_summary(row: &Row<'_>, tally: &Tally, seq: i64) -> Result<DeliverySummary, StoreError> {
    let id = DeliveryId::from_bytes(row.get(0)?);
    let status = rows::delivery_status(row.get(2)?, seq)?;
    let order: Option<OrderId> = row.get::<_, Option<[u8; 16]>>(10)?.map(OrderId::from_bytes);
    let origin: EventId = match order {
        Some(order) => order.cast(),
        None => EventId::from_bytes(
            row.get::<_, Option<[u8; 16]>>(12)?.ok_or_else(|| corrupt("deliveries", "origin", seq))?,
        ),
    };
    let kind: Option<String> = row.get(13)?;
    let event_id: Option<[u8; 16]> = row.get(4)?;
    let own: Option<String> = row.get(11)?;
    let due_at = rows::time(row, 8)?;
    let last_code: Option<i32> = row.get(9)?;
    Ok(DeliverySummary {
        id,
        channel: tally.name(row.get(1)?)?,
        status,
        event: (
            event_id.map_or(origin, EventId::from_bytes),
            rows::event_kind(row.get_ref(5)?, kind.as_deref().unwrap_or_default(), seq)?,
        ),
        order,
        order_id: order.map(|order| own.unwrap_or_else(|| order.to_string())),
        created_at: id.time(),
        updated_at: rows::time(row, 6)?,
        attempts: row.get(7)?,
        next_attempt_at: (status == DeliveryStatus::Pending).then_some(due_at),
        last_code: last_code.map(Code::from_i32),
        prepared: rows::prepared(row.get(14)?, None, seq)?,
        ordering_key: row.get(15)?,
        late: row.get(16)?,
    })
}

/// [`crate::store::History::delivery`].
pub(super) fn delivery(conn: &Connection, tally: &Tally, id: DeliveryId) -> Result<Option<DeliveryDetail>, StoreError> {
    let seq = id.sequence();
    let origin: Option<i64> = conn
        .prepare_cached("SELECT origin FROM deliveries WHERE seq = ?1 AND id = ?2")?
        .query_row((seq, id.to_bytes()), |row| row.get(0))
        .optional()?;
    let Some(origin) = origin else { return Ok(None) };
    let (subject, _) = load_origin(conn, origin)?.ok_or_else(|| corrupt("deliveries", "origin", seq))?;
    let mut statement = conn.prepare_cached(
        "SELECT id, number, started_at, duration_ms, code, outcome, error, exchange, request_head, request_tail,
            response_body FROM attempts WHERE delivery = ?1 ORDER BY number",
    )?;
    let mut found = statement.query([seq])?;
    let mut attempts = Vec::new();
    while let Some(row) = found.next()? {
        attempts.push(read_attempt(row, seq, &subject.body)?);
    }
    let verdicts = verdicts(conn, seq)?;
    Ok(Some(DeliveryDetail { summary: delivery_summary(conn, tally, seq)?, attempts, verdicts }))
}

fn verdicts(conn: &Connection, delivery: i64) -> Result<Vec<Verdict>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT act, at, author, reason FROM verdicts WHERE delivery = ?1 ORDER BY number")?;
    let mut found = statement.query([delivery])?;
    let mut verdicts = Vec::new();
    while let Some(row) = found.next()? {
        let act: String = row.get(0)?;
        let act = Change::from_name(&act).ok_or_else(|| corrupt("verdicts", "act", delivery))?;
        verdicts.push(Verdict { act, cause: cause(row)? });
    }
    Ok(verdicts)
}

/// Columns 1 to 3: when, by whom and why.
fn cause(row: &Row<'_>) -> rusqlite::Result<Cause> {
    Ok(Cause { at: rows::time(row, 1)?, by: row.get(2)?, reason: row.get(3)? })
}

/// [`crate::store::History::channel_causes`].
pub(super) fn channel_causes(conn: &Connection) -> Result<Vec<(Arc<str>, Cause)>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT name, state_at, state_author, state_reason FROM channels WHERE state_at IS NOT NULL ORDER BY name",
    )?;
    let causes = statement.query_map([], |row| Ok((row.get(0)?, cause(row)?)))?;
    Ok(causes.collect::<Result<_, _>>()?)
}

fn read_attempt(row: &Row<'_>, delivery: i64, order: &Bytes) -> Result<Attempt, StoreError> {
    let outcome: String = row.get(5)?;
    let exchange: String = row.get(7)?;
    let blob = |column| row.get::<_, Option<Vec<u8>>>(column).map(|bytes| bytes.map(Bytes::from));
    let body = Body { head: blob(8)?.unwrap_or_default(), spliced: blob(9)? };
    let exchange = Exchange {
        request_body: Body::whole(body.join(order)),
        response_body: blob(10)?.unwrap_or_default(),
        ..serde_json::from_str(&exchange).map_err(|_| corrupt("attempts", "exchange", delivery))?
    };
    Ok(Attempt {
        id: AttemptId::from_bytes(row.get(0)?),
        number: row.get(1)?,
        started_at: rows::time(row, 2)?,
        duration_ms: row.get::<_, i64>(3)?.unsigned_abs(),
        code: Code::from_i32(row.get(4)?),
        outcome: Outcome::from_name(&outcome).ok_or_else(|| corrupt("attempts", "outcome", delivery))?,
        error: row.get(6)?,
        exchange,
    })
}

/// [`crate::store::Queue::next_due`].
pub(super) fn next_due(conn: &Connection, channel: &str) -> Result<NextDue, StoreError> {
    let number: Option<i64> = conn
        .prepare_cached("SELECT id FROM channels WHERE name = ?1")?
        .query_row([channel], |row| row.get(0))
        .optional()?;
    let Some(number) = number else { return Ok(NextDue::default()) };
    Ok(NextDue {
        first: oldest_waiting(conn, number, rows::state::FIRST)?,
        retry: oldest_waiting(conn, number, rows::state::RETRY)?,
    })
}

fn oldest_waiting(conn: &Connection, channel: i64, state: i64) -> Result<Option<Timestamp>, StoreError> {
    let due: Option<i64> = conn
        .prepare_cached(
            "SELECT min(due_at) FROM deliveries INDEXED BY deliveries_waiting
                WHERE channel = ?1 AND state = ?2 AND state < 2",
        )?
        .query_row([channel, state], |row| row.get(0))?;
    Ok(due.map(Timestamp::from_millis))
}

/// [`crate::store::Queue::overdue`].
pub(super) fn overdue(
    conn: &Connection,
    tally: &Tally,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<DeliverySummary>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT seq FROM deliveries INDEXED BY deliveries_promised
            WHERE promised_at IS NOT NULL AND promised_at <= ?1 ORDER BY promised_at LIMIT ?2",
    )?;
    let found = statement.query_map([now.as_millis(), limit as i64], |row| row.get(0))?;
    summaries(conn, tally, found.collect::<Result<_, _>>()?)
}

/// [`crate::store::History::held`].
pub(super) fn held(conn: &Connection, tally: &Tally, channel: &str) -> Result<HeldKeys, StoreError> {
    let Some(number) = tally.number(channel) else { return Ok(HeldKeys::default()) };
    let count = |sql: &str, params: &[&dyn rusqlite::ToSql]| -> Result<u64, StoreError> {
        Ok(conn.prepare_cached(sql)?.query_row(params, |row| row.get::<_, i64>(0))?.unsigned_abs())
    };
    let most = HeldKeys::MOST as i64;
    let deliveries = count(
        "SELECT count(*) FROM (SELECT 1 FROM deliveries INDEXED BY deliveries_waiting
            WHERE channel = ?1 AND state = -1 AND state < 2 LIMIT ?2)",
        &[&number, &most],
    )?;
    let keys = count(
        "SELECT count(*) FROM (SELECT 1 FROM deliveries INDEXED BY deliveries_closing
            WHERE channel = ?1 AND line IS NOT NULL AND state > 4 LIMIT ?2)",
        &[&number, &most],
    )?;
    let mut statement = conn.prepare_cached(
        "SELECT id, ordering_key FROM deliveries INDEXED BY deliveries_closing
            WHERE channel = ?1 AND line IS NOT NULL AND state > 4 ORDER BY seq LIMIT ?2",
    )?;
    let closing = statement.query_map([number, HeldKeys::SHOWN as i64], |row| {
        Ok((DeliveryId::from_bytes(row.get(0)?), row.get::<_, String>(1)?))
    })?;
    let mut behind = Vec::new();
    for closing in closing {
        let (delivery, key) = closing?;
        let waiting = count(
            "SELECT count(*) FROM (SELECT 1 FROM deliveries INDEXED BY deliveries_in_line
                WHERE channel = ?1 AND ordering_key = ?2 AND line IS NOT NULL AND state = -1 LIMIT ?3)",
            &[&number, &key, &most],
        )?;
        behind.push(HeldKey { key, delivery, waiting });
    }
    Ok(HeldKeys { deliveries, keys, behind })
}

/// [`crate::store::History::backlog`].
pub(super) fn backlog(conn: &Connection, tally: &Tally) -> Result<Vec<Backlog>, StoreError> {
    let pending = tally.pending();
    let mut leased = HashMap::new();
    let mut statement = conn.prepare_cached(
        "SELECT channel, min(due_at) FROM deliveries INDEXED BY deliveries_by_state
            WHERE state = 2 AND state <> 3 GROUP BY channel",
    )?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        leased.insert(row.get::<_, i64>(0)?, rows::time(row, 1)?);
    }
    let mut backlog = Vec::with_capacity(pending.len());
    for (number, channel, pending) in pending {
        let dues = [
            leased.get(&number).copied(),
            oldest_waiting(conn, number, rows::state::FIRST)?,
            oldest_waiting(conn, number, rows::state::RETRY)?,
        ];
        backlog.push(Backlog { channel, pending, oldest_due: dues.into_iter().flatten().min() });
    }
    backlog.sort_by(|one, other| one.channel.cmp(&other.channel));
    Ok(backlog)
}

/// [`crate::store::Queue::secret`].
pub(super) fn secret(conn: &Connection) -> Result<[u8; 32], StoreError> {
    Ok(conn.query_row("SELECT bytes FROM secrets WHERE id = 1", [], |row| row.get(0))?)
}

/// [`crate::store::Queue::health`].
pub(super) fn health(conn: &Connection) -> Result<Vec<(Arc<str>, String)>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT name, health FROM channels WHERE health IS NOT NULL")?;
    let found = statement.query_map([], |row| Ok((Arc::from(row.get::<_, String>(0)?), row.get(1)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// [`crate::store::Queue::channel_states`].
pub(super) fn channel_states(conn: &Connection) -> Result<Vec<(Arc<str>, ChannelState)>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT id, name, state FROM channels WHERE state IS NOT NULL ORDER BY name")?;
    let mut found = statement.query([])?;
    let mut states = Vec::new();
    while let Some(row) = found.next()? {
        let name: String = row.get(1)?;
        let state: String = row.get(2)?;
        let state =
            ChannelState::from_name(&state).ok_or_else(|| corrupt("channels", "state", row.get(0).unwrap_or(0)))?;
        states.push((Arc::from(name), state));
    }
    Ok(states)
}

/// The numbers of the channels of these deliveries, and how many of each there are.
pub(super) fn channels(conn: &Connection, keys: &[i64]) -> Result<HashMap<i64, u64>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT channel FROM deliveries WHERE seq = ?1")?;
    let mut channels = HashMap::new();
    for seq in keys {
        if let Some(channel) = statement.query_row([seq], |row| row.get(0)).optional()? {
            *channels.entry(channel).or_default() += 1;
        }
    }
    Ok(channels)
}
