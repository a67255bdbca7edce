//! The queries behind lists and searches.
//!
//! Each looks at rows of falling keys, at most [`BUDGET`] of them, and says which of them the filter takes. A filter that takes
//! few of many makes short pages with a cursor, not long reads. Conditions stand in what is selected, never where an index is
//! chosen, and look rows up one by one: so every filter makes the same statement, with one plan, whatever its parameters.
//! Indexes other than primary keys have their keys as `(seq + 0)`, and are asked for by that: else a primary key, which is in
//! the right order too, could be read from end to end for the few rows that are wanted.

use super::connections::{Loan, Params};
use super::rows;
use super::text::text;
use crate::domain::{Codes, DeliveryId, DeliveryStatus, OrderId, OrderStatus, Timestamp};
use crate::store::{DeliveryFilter, OrderFilter, Page, StoreError};

/// Rows looked at for one page.
pub(super) const BUDGET: usize = 20_000;

/// Codes for which deliveries are found by their index. With more the list looks at all deliveries.
const CODES: usize = 32;

/// What a source finds.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Keys that the filter takes, falling.
    pub(super) keys: Vec<i64>,
    /// How many rows were looked at.
    pub(super) looked_at: usize,
    /// The last of them.
    pub(super) last: Option<i64>,
}

/// The range of keys to look at.
#[derive(Debug, Clone, Copy)]
struct Range {
    from: i64,
    before: i64,
}

impl Range {
    fn new(since: Option<Timestamp>, until: Option<Timestamp>, page: Page) -> Self {
        let to = until.map_or(i64::MAX, DeliveryId::sequence_at);
        Self { from: since.map_or(0, DeliveryId::sequence_at), before: to.min(page.before.unwrap_or(i64::MAX)) }
    }
}

/// Puts a source, which selects `seq` and `taken` of falling keys, into a statement. `$1` to `$4` are the range of keys, how many
/// are wanted and how many rows may be looked at. It answers one row for each key that is taken, with its place among the rows
/// looked at; and, where that are fewer than wanted, one for the last row looked at.
macro_rules! window {
    ($source:expr) => {
        concat!(
            "WITH looked_at AS MATERIALIZED (SELECT seq, taken, row_number() OVER () AS place FROM (",
            $source,
            ") source), page AS MATERIALIZED (SELECT seq, place FROM looked_at WHERE taken LIMIT $3)
            SELECT seq, place, true FROM page
            UNION ALL SELECT min(seq), count(*), false FROM looked_at WHERE (SELECT count(*) FROM page) < $3"
        )
    };
}

async fn window(loan: &Loan, sql: &str, params: Params<'_>) -> Result<Window, StoreError> {
    let mut window = Window::default();
    for row in loan.query(sql, params).await? {
        let Some(seq) = rows::get::<Option<i64>>(&row, 0)? else { continue };
        window.last = Some(seq);
        window.looked_at = usize::try_from(rows::count(&row, 1)?).unwrap_or(usize::MAX);
        if rows::get(&row, 2)? {
            window.keys.push(seq);
        }
    }
    Ok(window)
}

/// What a filter of orders asks of `$row`, which has `seq`, `kind` and `status`. `$5` is the type, `$6` the statuses.
macro_rules! order_taken {
    () => {
        "($5::text IS NULL OR o.kind = $5) AND ($6::smallint[] IS NULL OR CASE o.status WHEN 2 THEN 2
            ELSE coalesce((SELECT e.status FROM order_ends e WHERE e.seq = o.seq), o.status) END = ANY ($6))"
    };
}

const ORDERS: &str = window!(concat!(
    "SELECT o.seq, ",
    order_taken!(),
    " AS taken FROM (SELECT seq, kind, status FROM orders WHERE seq >= $1 AND seq < $2 ORDER BY seq DESC LIMIT $4) o"
));

/// `$7`, `$8`: whether orders in processing and rejected ones are wanted.
const UNFINISHED: &str = window!(concat!(
    "SELECT o.seq, ",
    order_taken!(),
    " AS taken FROM (SELECT seq FROM (
            (SELECT seq FROM processing WHERE $7::boolean AND seq >= $1 AND seq < $2 ORDER BY seq DESC LIMIT $4)
            UNION ALL
            (SELECT seq + 0 AS seq FROM order_ends WHERE $8::boolean AND status = 3 AND seq + 0 >= $1 AND seq + 0 < $2
                ORDER BY seq + 0 DESC LIMIT $4)
        ) found ORDER BY seq DESC LIMIT $4) found
        CROSS JOIN LATERAL (SELECT seq, kind, status FROM orders WHERE orders.seq = found.seq LIMIT 1) o"
));

/// Orders of the own id `$7`, of the id `$8` and `$9`, or of the e-mail `$10`. One can come more than once.
const EXACT_ORDERS: &str = window!(concat!(
    "SELECT o.seq, ",
    order_taken!(),
    " AS taken FROM (SELECT seq, kind, status FROM (
            (SELECT seq + 0 AS seq, kind, status FROM orders WHERE order_id = $7 AND seq + 0 >= $1 AND seq + 0 < $2
                ORDER BY seq + 0 DESC LIMIT $4)
            UNION ALL
            (SELECT seq, kind, status FROM orders WHERE seq = $8 AND rest = $9 AND seq >= $1 AND seq < $2 LIMIT 1)
            UNION ALL
            (SELECT seq + 0 AS seq, kind, status FROM orders WHERE email = $10 AND seq + 0 >= $1 AND seq + 0 < $2
                ORDER BY seq + 0 DESC LIMIT $4)
        ) found ORDER BY seq DESC LIMIT $4) o"
));

/// Orders of an id or e-mail.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exact<'a> {
    /// The own id, or the server's.
    pub(super) id: &'a str,
    /// The e-mail in lower case.
    pub(super) email: Option<&'a str>,
}

/// Orders in the range of a page that the filter takes, but for its text.
pub(super) async fn orders(loan: &Loan, filter: &OrderFilter, page: Page, budget: usize) -> Result<Window, StoreError> {
    if let Some(id) = &filter.order_id {
        return exact_orders(loan, filter, page, Exact { id, email: None }).await;
    }
    let range = Range::new(filter.since, filter.until, page);
    let (kind, statuses) = (filter.kind.as_deref().map(text), statuses(filter));
    let (wanted, budget) = (number(page.limit), number(budget));
    if filter.status.is_empty() || filter.status.contains(&OrderStatus::Completed) {
        return window(loan, ORDERS, &[&range.from, &range.before, &wanted, &budget, &kind, &statuses]).await;
    }
    let processing = filter.status.contains(&OrderStatus::Processing);
    let rejected = filter.status.contains(&OrderStatus::Rejected);
    window(loan, UNFINISHED, &[&range.from, &range.before, &wanted, &budget, &kind, &statuses, &processing, &rejected])
        .await
}

/// Those of them that have an id or e-mail.
pub(super) async fn exact_orders(
    loan: &Loan,
    filter: &OrderFilter,
    page: Page,
    exact: Exact<'_>,
) -> Result<Window, StoreError> {
    let range = Range::new(filter.since, filter.until, page);
    let (kind, statuses) = (filter.kind.as_deref().map(text), statuses(filter));
    let (own, email) = (text(exact.id), exact.email.map(text));
    let (seq, rest) = exact.id.parse().ok().map(|id: OrderId| (id.sequence(), id.rest())).unzip();
    let (wanted, budget) = (number(page.limit), number(BUDGET));
    window(
        loan,
        EXACT_ORDERS,
        &[&range.from, &range.before, &wanted, &budget, &kind, &statuses, &own, &seq, &rest, &email],
    )
    .await
}

/// What `orders.status` and `order_ends.status` are for the statuses asked for.
fn statuses(filter: &OrderFilter) -> Option<Vec<i16>> {
    let of = |status: &OrderStatus| i16::try_from(rows::progress_of(*status)).unwrap_or_default();
    (!filter.status.is_empty()).then(|| filter.status.iter().map(of).collect())
}

/// What a filter of deliveries asks of a row of `states`: `$5` is the channel's name, `$6` the states, `$7` the codes as a
/// multirange, `$8` whether the delivery is late, `$9` the cause.
macro_rules! state_taken {
    () => {
        "(($5::text IS NULL OR coalesce(s.channel = (SELECT id FROM channels WHERE name = $5), false))
            AND ($6::smallint[] IS NULL OR s.state = ANY ($6))
            AND ($7::text IS NULL OR coalesce(s.last_code <@ (SELECT $7::text::int4multirange), false))
            AND ($8::boolean IS NULL OR s.broke_promise = $8)
            AND ($9::bigint IS NULL OR coalesce(s.cause = $9, false)))"
    };
}

/// The same of a delivery `d` without such a row: accepted by its first attempt `a`.
macro_rules! accepted_taken {
    () => {
        "(($5::text IS NULL OR coalesce(d.channel = (SELECT id FROM channels WHERE name = $5), false))
            AND ($6::smallint[] IS NULL OR 3 = ANY ($6))
            AND ($7::text IS NULL OR a.code <@ (SELECT $7::text::int4multirange))
            AND $8::boolean IS NOT TRUE AND $9::bigint IS NULL)"
    };
}

/// The same of one that has made no attempt either: it is under way for the first time.
macro_rules! born_taken {
    () => {
        "(($5::text IS NULL OR coalesce(d.channel = (SELECT id FROM channels WHERE name = $5), false))
            AND ($6::smallint[] IS NULL OR 2 = ANY ($6))
            AND $7::text IS NULL AND $8::boolean IS NOT TRUE AND $9::bigint IS NULL)"
    };
}

/// The same of any delivery `d`, which has `seq` and `channel`.
macro_rules! delivery_taken {
    () => {
        concat!(
            "(($5::text IS NULL AND $6::smallint[] IS NULL AND $7::text IS NULL AND $8::boolean IS NULL AND $9::bigint IS NULL)
                OR coalesce((SELECT ",
            state_taken!(),
            " FROM states s WHERE s.delivery = d.seq), (SELECT ",
            accepted_taken!(),
            " FROM attempts a WHERE a.delivery = d.seq AND a.number = 1 AND a.id IS NOT NULL), ",
            born_taken!(),
            "))"
        )
    };
}

/// Rows of `states` by an index, as an arm of a source.
macro_rules! state_arm {
    ($condition:expr) => {
        concat!(
            "(SELECT s.delivery + 0 AS seq, ",
            state_taken!(),
            " AS taken FROM states s WHERE ",
            $condition,
            " AND s.delivery + 0 >= $1 AND s.delivery + 0 < $2 ORDER BY s.delivery + 0 DESC LIMIT $4)"
        )
    };
}

/// Arms, one after the other.
macro_rules! arms {
    ($first:expr $(, $more:expr)* $(,)?) => {
        concat!("SELECT seq, taken FROM (", $first, $(" UNION ALL ", $more,)* ") arms ORDER BY seq DESC LIMIT $4")
    };
}

const DELIVERIES: &str = window!(concat!(
    "SELECT d.seq, ",
    delivery_taken!(),
    " AS taken FROM (SELECT seq, channel FROM deliveries WHERE seq >= $1 AND seq < $2 ORDER BY seq DESC LIMIT $4) d"
));

const BY_CAUSE: &str = window!(state_arm!("s.cause = $9 AND s.cause IS NOT NULL"));

const PAST_PROMISE: &str = window!(state_arm!("s.broke_promise"));

/// One of the states that are wanted. Those that are not there find nothing.
macro_rules! of_state {
    ($place:literal) => {
        state_arm!(concat!("s.state = ($6::smallint[])[", $place, "] AND s.state <> 3"))
    };
}

const BY_STATE: &str = window!(arms![
    of_state!("1"),
    of_state!("2"),
    of_state!("3"),
    of_state!("4"),
    of_state!("5"),
    of_state!("6"),
    of_state!("7"),
    of_state!("8"),
]);

/// The same with those that are under way for the first time.
const PENDING: &str = window!(arms![
    of_state!("1"),
    of_state!("2"),
    of_state!("3"),
    of_state!("4"),
    of_state!("5"),
    of_state!("6"),
    of_state!("7"),
    of_state!("8"),
    concat!(
        "(SELECT d.seq, coalesce((SELECT false FROM states s WHERE s.delivery = d.seq),
                (SELECT false FROM attempts a WHERE a.delivery = d.seq AND a.number = 1),
                d.born IS NOT NULL AND ",
        born_taken!(),
        ") AS taken FROM (SELECT seq, channel, born FROM deliveries
                WHERE seq >= greatest($1, (SELECT coalesce(min(watermark), 9223372036854775807) FROM replicas)) AND seq < $2
                ORDER BY seq DESC LIMIT $4) d ORDER BY d.seq DESC)"
    ),
]);

/// One of the codes of `$10`.
macro_rules! of_code {
    ($($place:literal)*) => {
        arms![$(state_arm!(concat!(
            "s.last_code = ($10::integer[])[", $place, "] AND (s.last_code < 200 OR s.last_code > 299)"
        ))),*]
    };
}

const BY_CODE: &str = window!(of_code!("1" "2" "3" "4" "5" "6" "7" "8"));

const BY_MANY_CODES: &str = window!(of_code!(
    "1" "2" "3" "4" "5" "6" "7" "8" "9" "10" "11" "12" "13" "14" "15" "16" "17" "18" "19" "20" "21" "22" "23" "24" "25" "26"
    "27" "28" "29" "30" "31" "32"
));

/// Every code within `$1` and `$2` that is no 2xx and that some delivery has, up to `$3`.
const CODES_WITHIN: &str = "WITH RECURSIVE codes (code) AS (
        SELECT min(last_code) FROM states WHERE (last_code < 200 OR last_code > 299) AND last_code BETWEEN $1 AND $2
        UNION ALL
        SELECT (SELECT min(last_code) FROM states
            WHERE (last_code < 200 OR last_code > 299) AND last_code > code AND last_code <= $2)
            FROM codes WHERE code IS NOT NULL)
    SELECT code FROM codes WHERE code IS NOT NULL LIMIT $3";

/// Deliveries of the orders that [`EXACT_ORDERS`] finds by `$10` to `$13`, and the one of the id `$14` and `$15`.
const EXACT_DELIVERIES: &str = window!(concat!(
    "SELECT d.seq, ",
    delivery_taken!(),
    " AS taken FROM (WITH origins AS MATERIALIZED (
            SELECT seq, deliveries FROM orders WHERE order_id = $10
            UNION ALL SELECT seq, deliveries FROM orders WHERE seq = $11 AND rest = $12
            UNION ALL SELECT seq, deliveries FROM orders WHERE email = $13),
        found AS (SELECT unnest(deliveries) AS key FROM origins
            UNION SELECT unnest(e.deliveries) FROM origins o
                CROSS JOIN LATERAL (SELECT deliveries FROM order_ends WHERE order_ends.seq = o.seq LIMIT 1) e
            UNION SELECT l.seq FROM origins o
                CROSS JOIN LATERAL (SELECT seq FROM deliveries WHERE late = o.seq OFFSET 0) l
            UNION SELECT seq FROM deliveries WHERE seq = $14 AND rest = $15)
        SELECT d.seq, d.channel FROM (SELECT key FROM found WHERE key >= $1 AND key < $2 ORDER BY key DESC LIMIT $4) found
            CROSS JOIN LATERAL (SELECT seq, channel FROM deliveries WHERE seq = key LIMIT 1) d) d"
));

/// The parameters `$5` to `$9` of a filter.
struct Asked<'a> {
    channel: Option<super::text::Text<'a>>,
    states: Option<Vec<i16>>,
    codes: Option<String>,
    late: Option<bool>,
    cause: Option<i64>,
}

impl<'a> Asked<'a> {
    fn new(filter: &'a DeliveryFilter) -> Self {
        let states = filter.status.iter().flat_map(|status| rows::states(*status));
        let mut states: Vec<i16> = states.filter_map(|state| i16::try_from(*state).ok()).collect();
        // Each has an arm of its own, however often it is asked for.
        states.sort_unstable();
        states.dedup();
        let codes: Vec<_> = filter.code.iter().map(|Codes { from, to }| format!("[{from},{to}]")).collect();
        Self {
            channel: filter.channel.as_deref().map(text),
            states: (!states.is_empty()).then_some(states),
            codes: (!codes.is_empty()).then(|| format!("{{{}}}", codes.join(","))),
            late: filter.late,
            cause: filter.cause,
        }
    }
}

/// Deliveries in the range of a page that the filter takes, but for its text.
pub(super) async fn deliveries(
    loan: &Loan,
    filter: &DeliveryFilter,
    page: Page,
    budget: usize,
) -> Result<Window, StoreError> {
    if let Some(id) = &filter.order_id {
        return exact_deliveries(loan, filter, page, Exact { id, email: None }, None).await;
    }
    let codes =
        if filter.cause.is_none() && filter.late != Some(true) { unhappy_codes(loan, filter).await? } else { None };
    let range = Range::new(filter.since, filter.until, page);
    let (wanted, budget) = (number(page.limit), number(budget));
    let Asked { channel, states, codes: ranges, late, cause } = Asked::new(filter);
    let mut params: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> =
        vec![&range.from, &range.before, &wanted, &budget, &channel, &states, &ranges, &late, &cause];
    let sql = if cause.is_some() {
        BY_CAUSE
    } else if late == Some(true) {
        PAST_PROMISE
    } else if let Some(codes) = &codes {
        params.push(codes);
        if codes.len() > 8 { BY_MANY_CODES } else { BY_CODE }
    } else if filter.status.is_empty() || filter.status.contains(&DeliveryStatus::Accepted) {
        DELIVERIES
    } else if filter.status.contains(&DeliveryStatus::Pending) {
        PENDING
    } else {
        BY_STATE
    };
    window(loan, sql, &params).await
}

/// Those of them that are of orders with an id or e-mail, and the one of that id.
pub(super) async fn exact_deliveries(
    loan: &Loan,
    filter: &DeliveryFilter,
    page: Page,
    exact: Exact<'_>,
    delivery: Option<DeliveryId>,
) -> Result<Window, StoreError> {
    let range = Range::new(filter.since, filter.until, page);
    let (wanted, budget) = (number(page.limit), number(BUDGET));
    let Asked { channel, states, codes, late, cause } = Asked::new(filter);
    let (own, email) = (text(exact.id), exact.email.map(text));
    let (seq, rest) = exact.id.parse().ok().map(|id: OrderId| (id.sequence(), id.rest())).unzip();
    let (key, key_rest) = delivery.map(|id| (id.sequence(), id.rest())).unzip();
    window(
        loan,
        EXACT_DELIVERIES,
        &[
            &range.from,
            &range.before,
            &wanted,
            &budget,
            &channel,
            &states,
            &codes,
            &late,
            &cause,
            &own,
            &seq,
            &rest,
            &email,
            &key,
            &key_rest,
        ],
    )
    .await
}

/// The codes that a filter asks for, where their deliveries are found by index: none is a 2xx, and they are few.
async fn unhappy_codes(loan: &Loan, filter: &DeliveryFilter) -> Result<Option<Vec<i32>>, StoreError> {
    if filter.code.is_empty() || filter.code.iter().any(|Codes { from, to }| *to >= 200 && *from <= 299) {
        return Ok(None);
    }
    let mut codes = Vec::new();
    for Codes { from, to } in &filter.code {
        for row in loan.query(CODES_WITHIN, &[from, to, &number(CODES + 1)]).await? {
            codes.push(rows::get::<i32>(&row, 0)?);
        }
    }
    codes.sort_unstable();
    codes.dedup();
    Ok((codes.len() <= CODES).then_some(codes))
}

fn number(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
