//! Orders and deliveries with all that is known of them.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio_postgres::Row;

use super::connections::{Loan, Params};
use super::keys;
use super::rows::{self, corrupt, get};
use super::text::text;
use crate::domain::{
    Attempt, Body, Code, DeliveryId, DeliveryStatus, EventId, Exchange, OrderId, Outcome, StepRecord, Subject,
};
use crate::store::{
    Cause, Change, DeliveryDetail, DeliverySummary, Interrupted, OrderDetail, OrderFilter, OrderKey, OrderSummary,
    Page, StoreError, Verdict,
};

/// Earlier orders with the same own id that are shown.
const SAME_ID: usize = 20;

const ORDER_SUMMARIES: &str =
    "SELECT o.seq, o.rest, o.order_id, o.kind, coalesce(e.status, o.status), o.chain, o.received_at,
        CASE WHEN e.seq IS NOT NULL THEN e.ended_at WHEN o.status = 2 THEN o.received_at END
    FROM unnest($1::bigint[]) k (seq)
    CROSS JOIN LATERAL (SELECT * FROM orders WHERE orders.seq = k.seq LIMIT 1) o
    LEFT JOIN LATERAL (SELECT seq, status, ended_at FROM order_ends WHERE order_ends.seq = k.seq LIMIT 1) e ON true";

/// The orders with these keys, in the same order, but for those that are gone.
pub(super) async fn order_summaries(loan: &Loan, keys: &[i64]) -> Result<Vec<OrderSummary>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = HashMap::new();
    for row in loan.query(ORDER_SUMMARIES, &[&keys]).await? {
        let id: OrderId = rows::id(&row, 0)?;
        let status = rows::order_status(rows::small(&row, 4)?, id.sequence())?;
        let summary = OrderSummary {
            id,
            order_id: get::<Option<String>>(&row, 2)?.unwrap_or_else(|| id.to_string()),
            kind: get(&row, 3)?,
            status,
            chain: get(&row, 5)?,
            received_at: rows::time(&row, 6)?,
            ended_at: rows::maybe_time(&row, 7)?,
        };
        found.insert(id.sequence(), summary);
    }
    Ok(keys.iter().filter_map(|seq| found.remove(seq)).collect())
}

/// An order in a list.
pub(super) async fn order_summary(loan: &Loan, seq: i64) -> Result<Option<OrderSummary>, StoreError> {
    Ok(order_summaries(loan, &[seq]).await?.pop())
}

/// The context of the order `o`, whose end is `e`.
macro_rules! order_context {
    () => {
        "CASE WHEN e.seq IS NOT NULL THEN e.context ELSE (SELECT context FROM steps
            WHERE order_seq = o.seq AND context IS NOT NULL ORDER BY position DESC LIMIT 1) END"
    };
}

const ORDER: &str = concat!(
    "SELECT o.body, o.arrival, ",
    order_context!(),
    ", CASE WHEN e.seq IS NOT NULL THEN e.skipped ELSE o.skipped END, o.deliveries, e.deliveries
    FROM (SELECT * FROM orders WHERE seq = $1 LIMIT 1) o
    LEFT JOIN LATERAL (SELECT * FROM order_ends WHERE order_ends.seq = o.seq LIMIT 1) e ON true"
);

/// [`crate::store::History::order`].
pub(super) async fn order(loan: &Loan, key: &OrderKey) -> Result<Option<OrderDetail>, StoreError> {
    let seq = match key {
        OrderKey::Id(id) => by_id(loan, *id).await?,
        OrderKey::Own(own) => match (newest(loan, own).await?, own.parse()) {
            (None, Ok(id)) => by_id(loan, id).await?,
            (newest, _) => newest,
        },
    };
    let Some(seq) = seq else { return Ok(None) };
    let late = "SELECT seq FROM deliveries WHERE late = $1";
    let params: Params<'_> = &[&seq];
    let (summary, found, late, steps) = tokio::try_join!(biased;
        order_summary(loan, seq),
        loan.query(ORDER, params),
        loan.query(late, params),
        steps(loan, seq)
    )?;
    let (Some(summary), Some(row)) = (summary, found.first()) else { return Ok(None) };
    let skipped = match get::<Option<&str>>(row, 3)? {
        Some(text) => serde_json::from_str(text).map_err(|_| corrupt("orders", "skipped", seq))?,
        None => Vec::new(),
    };
    let mut deliveries = late.iter().map(|row| get(row, 0)).collect::<Result<Vec<i64>, _>>()?;
    for column in [4, 5] {
        deliveries.extend(get::<Option<Vec<i64>>>(row, column)?.unwrap_or_default());
    }
    deliveries.sort_unstable();
    deliveries.dedup();
    let same = OrderFilter { order_id: Some(summary.order_id.clone()), ..OrderFilter::default() };
    let (deliveries, same) = tokio::try_join!(biased;
        summaries(loan, &deliveries),
        keys::order_keys(loan, &same, Page { limit: SAME_ID, before: Some(seq) })
    )?;
    Ok(Some(OrderDetail {
        summary,
        body: rows::bytes(row, 0)?,
        arrival: rows::arrival(get(row, 1)?),
        context: rows::context(get(row, 2)?),
        steps,
        deliveries,
        skipped,
        same_id: order_ids(loan, &same.data).await?,
    }))
}

async fn order_ids(loan: &Loan, keys: &[i64]) -> Result<Vec<OrderId>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT o.seq, o.rest FROM unnest($1::bigint[]) k (seq)
        CROSS JOIN LATERAL (SELECT seq, rest FROM orders WHERE orders.seq = k.seq LIMIT 1) o ORDER BY 1 DESC";
    loan.query(sql, &[&keys]).await?.iter().map(|row| rows::id(row, 0)).collect()
}

/// The newest order with that id of its own.
async fn newest(loan: &Loan, own: &str) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT seq FROM orders WHERE order_id = $1 ORDER BY seq + 0 DESC LIMIT 1";
    loan.query(sql, &[&text(own)]).await?.first().map(|row| get(row, 0)).transpose()
}

async fn by_id(loan: &Loan, id: OrderId) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT seq FROM orders WHERE seq = $1 AND rest = $2";
    loan.query(sql, &[&id.sequence(), &id.rest()]).await?.first().map(|row| get(row, 0)).transpose()
}

/// An order's journaled steps, in order.
pub(super) async fn steps(loan: &Loan, seq: i64) -> Result<Vec<StepRecord>, StoreError> {
    let records = loan.query("SELECT record FROM steps WHERE order_seq = $1 ORDER BY position", &[&seq]).await?;
    let record = |row| serde_json::from_str(get(row, 0)?).map_err(|_| corrupt("steps", "record", seq));
    records.iter().map(record).collect()
}

/// Deliveries as they are now. Other than the view `delivery_states`, it looks each of them up by its key.
const SUMMARIES: &str = "SELECT d.seq, d.rest, c.name,
        coalesce(s.state, CASE WHEN a.delivery IS NULL THEN 2 ELSE 3 END)::smallint,
        d.event_id, d.event_type, coalesce(s.updated_at, a.started_at + a.duration_ms, d.seq >> 15),
        coalesce(s.attempts, a.number, 0), coalesce(s.due_at, d.due_at), coalesce(s.last_code, a.code),
        o.seq, o.rest, o.order_id, e.seq, e.rest, coalesce(o.kind, e.kind), d.parcel,
        CASE WHEN s.delivery IS NULL THEN d.ordering_key ELSE s.ordering_key END, coalesce(s.broke_promise, false)
    FROM unnest($1::bigint[]) k (seq)
    CROSS JOIN LATERAL (SELECT * FROM deliveries WHERE deliveries.seq = k.seq LIMIT 1) d
    LEFT JOIN LATERAL (SELECT * FROM states WHERE states.delivery = d.seq LIMIT 1) s ON true
    LEFT JOIN LATERAL (SELECT delivery, number, started_at, duration_ms, code FROM attempts
        WHERE attempts.delivery = d.seq AND attempts.number = 1 AND attempts.id IS NOT NULL AND s.delivery IS NULL
        LIMIT 1) a ON true
    LEFT JOIN LATERAL (SELECT seq, rest, order_id, kind FROM orders WHERE orders.seq = d.origin LIMIT 1) o ON true
    LEFT JOIN LATERAL (SELECT seq, rest, kind FROM events WHERE events.seq = -d.origin LIMIT 1) e ON true
    CROSS JOIN LATERAL (SELECT name FROM channels WHERE channels.id = coalesce(s.channel, d.channel) LIMIT 1) c";

/// The deliveries with these keys, in the same order, but for those that are gone.
pub(super) async fn summaries(loan: &Loan, keys: &[i64]) -> Result<Vec<DeliverySummary>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = HashMap::new();
    for row in loan.query(SUMMARIES, &[&keys]).await? {
        let summary = read_summary(&row)?;
        found.insert(summary.id.sequence(), summary);
    }
    Ok(keys.iter().filter_map(|seq| found.remove(seq)).collect())
}

fn read_summary(row: &Row) -> Result<DeliverySummary, StoreError> {
    let id: DeliveryId = rows::id(row, 0)?;
    let seq = id.sequence();
    let status = rows::delivery_status(rows::small(row, 3)?, seq)?;
    let order: Option<OrderId> = rows::maybe_id(row, 10)?;
    let origin: EventId = match order {
        Some(order) => order.cast(),
        None => rows::maybe_id(row, 13)?.ok_or_else(|| corrupt("deliveries", "origin", seq))?,
    };
    let own: Option<String> = get(row, 12)?;
    let due_at = rows::time(row, 8)?;
    Ok(DeliverySummary {
        id,
        channel: Arc::from(get::<&str>(row, 2)?),
        status,
        event: (
            rows::event_id(get(row, 4)?, origin, seq)?,
            rows::event_kind(get(row, 5)?, get::<Option<&str>>(row, 15)?.unwrap_or_default()),
        ),
        order,
        order_id: order.map(|order| own.unwrap_or_else(|| order.to_string())),
        created_at: id.time(),
        updated_at: rows::time(row, 6)?,
        attempts: rows::small_count(row, 7)?,
        next_attempt_at: (status == DeliveryStatus::Pending).then_some(due_at),
        last_code: get::<Option<i32>>(row, 9)?.map(Code::from_i32),
        prepared: rows::prepared(get(row, 16)?, None, seq)?,
        ordering_key: get(row, 17)?,
        late: get(row, 18)?,
    })
}

/// [`crate::store::History::delivery`].
pub(super) async fn delivery(loan: &Loan, id: DeliveryId) -> Result<Option<DeliveryDetail>, StoreError> {
    let seq = id.sequence();
    let found = "SELECT origin FROM deliveries WHERE seq = $1 AND rest = $2";
    let attempts =
        "SELECT id, number, started_at, duration_ms, code, outcome, error, exchange, request_head, request_tail,
        response_body FROM attempts WHERE delivery = $1 AND id IS NOT NULL ORDER BY number";
    let verdicts = "SELECT at, author, reason, act FROM verdicts WHERE delivery = $1 ORDER BY number";
    let rest = id.rest();
    let (whole, key): (Params<'_>, Params<'_>) = (&[&seq, &rest], &[&seq]);
    let (found, summary, attempts, verdicts) = tokio::try_join!(biased;
        loan.query(found, whole),
        async { Ok(summaries(loan, &[seq]).await?.pop()) },
        loan.query(attempts, key),
        loan.query(verdicts, key)
    )?;
    let (Some(summary), Some(row)) = (summary, found.first()) else { return Ok(None) };
    let origin: i64 = get(row, 0)?;
    let origins = origins(loan, &[origin]).await?;
    let Some((subject, _)) = origins.get(&origin) else { return Ok(None) };
    let attempts = attempts.iter().map(|row| read_attempt(row, seq, &subject.body)).collect::<Result<_, _>>()?;
    let verdicts = verdicts.iter().map(|row| read_verdict(row, seq)).collect::<Result<_, _>>()?;
    Ok(Some(DeliveryDetail { summary, attempts, verdicts }))
}

fn read_verdict(row: &Row, delivery: i64) -> Result<Verdict, StoreError> {
    let act = Change::from_name(get(row, 3)?).ok_or_else(|| corrupt("verdicts", "act", delivery))?;
    Ok(Verdict { act, cause: cause(row, 0)? })
}

/// The columns when, by whom and why, of which this is the first.
pub(super) fn cause(row: &Row, column: usize) -> Result<Cause, StoreError> {
    let shared = |column| Ok::<_, StoreError>(get::<Option<&str>>(row, column)?.map(Arc::from));
    Ok(Cause { at: rows::time(row, column)?, by: shared(column + 1)?, reason: shared(column + 2)? })
}

fn read_attempt(row: &Row, delivery: i64, order: &Bytes) -> Result<Attempt, StoreError> {
    let wrong = |column| move || corrupt("attempts", column, delivery);
    let tail = get::<Option<&[u8]>>(row, 9)?.map(Bytes::copy_from_slice);
    let body = Body { head: rows::bytes(row, 8)?, spliced: tail };
    let exchange = Exchange {
        request_body: Body::whole(body.join(order)),
        response_body: rows::bytes(row, 10)?,
        ..serde_json::from_str(get(row, 7)?).map_err(|_| corrupt("attempts", "exchange", delivery))?
    };
    Ok(Attempt {
        id: rows::whole_id(get(row, 0)?, wrong("id"))?,
        number: rows::small_count(row, 1)?,
        started_at: rows::time(row, 2)?,
        duration_ms: rows::count(row, 3)?,
        code: Code::from_i32(get(row, 4)?),
        outcome: Outcome::from_name(get(row, 5)?).ok_or_else(wrong("outcome"))?,
        error: get(row, 6)?,
        exchange,
    })
}

/// A subject, and the context that its order has now.
pub(super) type Shared = (Arc<Subject>, Arc<str>);

/// What deliveries are about: the subjects of each `deliveries.origin`.
pub(super) async fn origins(loan: &Loan, origins: &[i64]) -> Result<HashMap<i64, Shared>, StoreError> {
    const ORDERS: &str = concat!(
        "SELECT o.seq, o.rest, o.order_id, o.kind, o.received_at, o.chain, o.body, o.arrival, ",
        order_context!(),
        " FROM unnest($1::bigint[]) k (seq)
        CROSS JOIN LATERAL (SELECT * FROM orders WHERE orders.seq = k.seq LIMIT 1) o
        LEFT JOIN LATERAL (SELECT seq, context FROM order_ends WHERE order_ends.seq = k.seq LIMIT 1) e ON true"
    );
    const EVENTS: &str = "SELECT e.seq, e.rest, e.order_id, e.kind, e.received_at, e.chain, e.body, e.arrival
        FROM unnest($1::bigint[]) k (seq)
        CROSS JOIN LATERAL (SELECT * FROM events WHERE events.seq = k.seq LIMIT 1) e";
    let mut keys = origins.to_vec();
    keys.sort_unstable();
    keys.dedup();
    let (events, orders): (Vec<i64>, Vec<i64>) = keys.into_iter().partition(|key| *key < 0);
    let events: Vec<i64> = events.into_iter().map(i64::saturating_neg).collect();
    let mut found = HashMap::new();
    if !orders.is_empty() {
        for row in loan.query(ORDERS, &[&orders]).await? {
            let subject = Arc::new(rows::order_subject(&row)?);
            found.insert(get(&row, 0)?, (subject, rows::context(get(&row, 8)?)));
        }
    }
    if !events.is_empty() {
        for row in loan.query(EVENTS, &[&events]).await? {
            let subject = Arc::new(rows::event_subject(&row)?);
            found.insert(get::<i64>(&row, 0)?.saturating_neg(), (subject, rows::context(None)));
        }
    }
    Ok(found)
}

/// An order whose chain was interrupted, with its steps.
pub(super) async fn interrupted_order(loan: &Loan, seq: i64) -> Result<Option<Interrupted>, StoreError> {
    let Some((subject, context)) = origins(loan, &[seq]).await?.remove(&seq) else { return Ok(None) };
    let found = loan
        .query(
            "SELECT p.resumed, (SELECT i.key FROM idempotency i WHERE i.status IS NULL
                AND i.key = (SELECT key FROM orders o WHERE o.seq = p.seq))
                FROM processing p WHERE p.seq = $1",
            &[&seq],
        )
        .await?;
    let Some(row) = found.first() else { return Ok(None) };
    let (resumed, unanswered) = (rows::small_count(row, 0)?, get(row, 1)?);
    Ok(Some(Interrupted { subject, context, steps: steps(loan, seq).await?, unanswered, resumed }))
}

/// The channels of these deliveries, and how many of each there are.
pub(super) async fn channels(loan: &Loan, keys: &[i64]) -> Result<HashMap<Arc<str>, u64>, StoreError> {
    let found = loan
        .query(
            "SELECT c.name, count(*) FROM delivery_states d JOIN channels c ON c.id = d.channel
                WHERE d.seq = ANY ($1) GROUP BY c.name",
            &[&keys],
        )
        .await?;
    found.iter().map(|row| Ok((Arc::from(get::<&str>(row, 0)?), rows::count(row, 1)?))).collect()
}
