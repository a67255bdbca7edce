//! The queries behind lists and searches, and how their rows merge into one page.
//!
//! A page reads a bounded number of rows: a filter that matches few rows returns short pages with a cursor, not long
//! reads.

use rusqlite::types::Value;
use rusqlite::{Connection, Rows, params_from_iter};

use super::bodies::Bodies;
use super::rows;
use crate::domain::{Codes, DeliveryId, DeliveryStatus, OrderId, OrderStatus, Timestamp};
use crate::store::{DeliveryFilter, OrderFilter, Page, Paged, StoreError};

/// Rows looked at for one page.
pub(super) const BUDGET: usize = 20_000;

/// All slots in which the own ids of orders lie.
const SLOTS: &str = "WITH RECURSIVE slots (number) AS (
    SELECT max(slot) FROM orders INDEXED BY orders_by_own_id WHERE slot IS NOT NULL
    UNION ALL
    SELECT (SELECT max(slot) FROM orders INDEXED BY orders_by_own_id WHERE slot IS NOT NULL AND slot < number)
        FROM slots WHERE number IS NOT NULL)";
/// Every order in each of the slots; a condition on `order_id` makes it a search.
const OF_OWN_ID: &str =
    "slots CROSS JOIN orders INDEXED BY orders_by_own_id ON orders.slot IS NOT NULL AND orders.slot = number";
/// The same by the customer's e-mail.
const OF_EMAIL: &str =
    "slots CROSS JOIN orders INDEXED BY orders_by_email ON email IS NOT NULL AND orders.slot = number";
/// Deliveries whose last code is not 2xx.
const BY_CODE: &str = "deliveries INDEXED BY deliveries_by_code WHERE (last_code < 200 OR last_code > 299)";
/// The lowest of those codes within a range.
const NEXT_CODE: &str = "SELECT min(last_code) FROM deliveries INDEXED BY deliveries_by_code
    WHERE (last_code < 200 OR last_code > 299) AND last_code BETWEEN ?1 AND ?2";

/// A query for rows of falling keys: column 0 is the key, column 1 whether the filter takes the row. `?1` and `?2`
/// are the range of keys.
pub(super) struct Source {
    sql: String,
    params: Vec<Value>,
}

/// The conditions of a filter other than the range of keys and the order's id, and their parameters.
pub(super) struct Condition {
    pub(super) taken: String,
    pub(super) params: Vec<Value>,
}

impl Condition {
    fn new(since: Option<Timestamp>, until: Option<Timestamp>, page: Page) -> Self {
        let from = since.map_or(0, DeliveryId::sequence_at);
        let to = until.map_or(i64::MAX, DeliveryId::sequence_at);
        let range = [Value::Integer(from), Value::Integer(to.min(page.before.unwrap_or(i64::MAX)))];
        Self { taken: "1".to_owned(), params: range.into() }
    }

    /// Adds a condition on one parameter, which stands as `?` in it.
    fn and(&mut self, condition: &str, value: Value) {
        self.params.push(value);
        let condition = condition.replace('?', &format!("?{}", self.params.len()));
        self.taken.push_str(" AND ");
        self.taken.push_str(&condition);
    }

    fn one_of(&mut self, column: &str, values: &[i64]) {
        if !values.is_empty() {
            let values: Vec<String> = values.iter().map(ToString::to_string).collect();
            self.taken.push_str(&format!(" AND {column} IN ({})", values.join(", ")));
        }
    }

    /// A source with further parameters, numbered from the next one on.
    fn source(&self, sql: String, more: impl IntoIterator<Item = Value>) -> Source {
        Source { sql, params: self.params.iter().cloned().chain(more).collect() }
    }

    /// The number of the next parameter.
    fn next(&self) -> usize {
        self.params.len() + 1
    }
}

/// What the filter of a list of orders asks of a row.
pub(super) fn order_condition(filter: &OrderFilter, page: Page) -> Condition {
    let mut condition = Condition::new(filter.since, filter.until, page);
    if let Some(kind) = &filter.kind {
        condition.and("kind = ?", Value::Text(kind.clone()));
    }
    let statuses: Vec<i64> = filter.status.iter().flat_map(|status| rows::progresses(*status)).copied().collect();
    condition.one_of("status", &statuses);
    condition
}

/// Orders whose own id is `id`.
pub(super) fn orders_of_own_id(condition: &Condition, id: &str) -> Source {
    let (taken, number) = (&condition.taken, condition.next());
    let sql = format!(
        "{SLOTS} SELECT seq, {taken} FROM {OF_OWN_ID} AND order_id = ?{number} AND seq >= ?1 AND seq < ?2 ORDER BY seq DESC"
    );
    condition.source(sql, [Value::Text(id.to_owned())])
}

/// Orders of that e-mail.
pub(super) fn orders_of_email(condition: &Condition, email: &str) -> Source {
    let (taken, number) = (&condition.taken, condition.next());
    let sql = format!(
        "{SLOTS} SELECT seq, {taken} FROM {OF_EMAIL} AND email = ?{number} AND seq >= ?1 AND seq < ?2 ORDER BY seq DESC"
    );
    condition.source(sql, [Value::Text(email.to_owned())])
}

/// The order of an `ord_…`.
pub(super) fn order_of_id(condition: &Condition, id: OrderId) -> Source {
    let (taken, number) = (&condition.taken, condition.next());
    let sql = format!(
        "SELECT seq, {taken} FROM orders WHERE seq = ?{number} AND id = ?{} AND seq >= ?1 AND seq < ?2",
        number + 1
    );
    condition.source(sql, [Value::Integer(id.sequence()), Value::Blob(id.to_bytes().into())])
}

/// Where the orders of a filter are found, but for its text.
pub(super) fn order_sources(filter: &OrderFilter, page: Page) -> Vec<Source> {
    let condition = order_condition(filter, page);
    let taken = &condition.taken;
    if let Some(id) = &filter.order_id {
        let server = id.parse().ok().map(|id| order_of_id(&condition, id));
        return std::iter::once(orders_of_own_id(&condition, id)).chain(server).collect();
    }
    if filter.status.is_empty() || filter.status.contains(&OrderStatus::Completed) {
        let sql = format!("SELECT seq, {taken} FROM orders WHERE seq >= ?1 AND seq < ?2 ORDER BY seq DESC");
        return vec![condition.source(sql, [])];
    }
    let statuses = filter.status.iter().flat_map(|status| rows::progresses(*status));
    let of_status = |status: &i64| {
        let sql = format!(
            "SELECT seq, {taken} FROM orders INDEXED BY orders_by_status
                WHERE status = {status} AND status <> 2 AND seq >= ?1 AND seq < ?2 ORDER BY seq DESC"
        );
        condition.source(sql, [])
    };
    statuses.map(of_status).collect()
}

/// What the filter of a list of deliveries asks of a row.
pub(super) fn delivery_condition(filter: &DeliveryFilter, page: Page) -> Condition {
    let mut condition = Condition::new(filter.since, filter.until, page);
    if let Some(channel) = &filter.channel {
        condition.and("channel = (SELECT id FROM channels WHERE name = ?)", Value::Text(channel.clone()));
    }
    let states: Vec<i64> = filter.status.iter().flat_map(|status| rows::states(*status)).copied().collect();
    condition.one_of("state", &states);
    if let Some(cause) = filter.cause {
        condition.and("cause = ?", Value::Integer(cause));
    }
    if !filter.code.is_empty() {
        let codes = filter.code.iter().map(|Codes { from, to }| format!("last_code BETWEEN {from} AND {to}"));
        condition.taken.push_str(&format!(" AND ({})", codes.collect::<Vec<_>>().join(" OR ")));
    }
    if let Some(late) = filter.late {
        condition.taken.push_str(if late { " AND broke_promise IS NOT NULL" } else { " AND broke_promise IS NULL" });
    }
    condition
}

/// Deliveries of the orders with that id, own or the server's; with `email`, also of the orders of that e-mail.
pub(super) fn deliveries_of_orders(condition: &Condition, id: &str, email: Option<&str>) -> Source {
    let (taken, number) = (&condition.taken, condition.next());
    let mut origins = vec![format!("SELECT seq, deliveries FROM {OF_OWN_ID} AND order_id = ?{number}")];
    let mut params = vec![Value::Text(id.to_owned())];
    if let Ok(id) = id.parse::<OrderId>() {
        let (seq, bytes) = (number + params.len(), number + params.len() + 1);
        params.extend([Value::Integer(id.sequence()), Value::Blob(id.to_bytes().into())]);
        origins.push(format!("SELECT seq, deliveries FROM orders WHERE seq = ?{seq} AND id = ?{bytes}"));
    }
    if let Some(email) = email {
        origins.push(format!("SELECT seq, deliveries FROM {OF_EMAIL} AND email = ?{}", number + params.len()));
        params.push(Value::Text(email.to_owned()));
    }
    let origins = origins.join(" UNION ");
    let sql = format!(
        "{SLOTS}, origins (whose, listed) AS MATERIALIZED ({origins}),
            found (key) AS (SELECT value FROM origins, json_each(listed)
                UNION SELECT seq FROM origins CROSS JOIN deliveries INDEXED BY deliveries_late
                    ON late = whose AND late IS NOT NULL)
            SELECT seq, {taken} FROM found CROSS JOIN deliveries ON seq = key
                WHERE seq >= ?1 AND seq < ?2 ORDER BY seq DESC"
    );
    condition.source(sql, params)
}

/// The delivery of that id.
pub(super) fn delivery_of_id(condition: &Condition, id: DeliveryId) -> Source {
    let (taken, number) = (&condition.taken, condition.next());
    let sql = format!(
        "SELECT seq, {taken} FROM deliveries WHERE seq = ?{number} AND id = ?{} AND seq >= ?1 AND seq < ?2",
        number + 1
    );
    condition.source(sql, [Value::Integer(id.sequence()), Value::Blob(id.to_bytes().into())])
}

/// Where the deliveries of a filter are found, but for its text.
pub(super) fn delivery_sources(
    conn: &Connection,
    filter: &DeliveryFilter,
    page: Page,
) -> Result<Vec<Source>, StoreError> {
    let condition = delivery_condition(filter, page);
    let taken = &condition.taken;
    if let Some(id) = &filter.order_id {
        return Ok(vec![deliveries_of_orders(&condition, id, None)]);
    }
    if filter.cause.is_some() {
        let sql = format!(
            "SELECT seq, {taken} FROM deliveries INDEXED BY deliveries_by_cause
                WHERE cause IS NOT NULL AND cause = ?{} AND seq >= ?1 AND seq < ?2 ORDER BY seq DESC",
            condition.next()
        );
        return Ok(vec![condition.source(sql, filter.cause.map(Value::Integer))]);
    }
    if filter.late == Some(true) {
        let sql = format!(
            "SELECT seq, {taken} FROM deliveries INDEXED BY deliveries_past_promise
                WHERE broke_promise IS NOT NULL AND broke_promise = 1 AND seq >= ?1 AND seq < ?2 ORDER BY seq DESC"
        );
        return Ok(vec![condition.source(sql, [])]);
    }
    if !filter.code.is_empty() && filter.code.iter().all(|Codes { from, to }| *to < 200 || *from > 299) {
        let mut codes = Vec::new();
        for asked in &filter.code {
            codes_within(conn, *asked, &mut codes)?;
        }
        let of_code = |code| {
            let sql = format!(
                "SELECT seq, {taken} FROM {BY_CODE} AND last_code = {code} AND seq >= ?1 AND seq < ?2 ORDER BY seq DESC"
            );
            condition.source(sql, [])
        };
        return Ok(codes.into_iter().map(of_code).collect());
    }
    if filter.status.is_empty() || filter.status.contains(&DeliveryStatus::Accepted) {
        let sql = format!("SELECT seq, {taken} FROM deliveries WHERE seq >= ?1 AND seq < ?2 ORDER BY seq DESC");
        return Ok(vec![condition.source(sql, [])]);
    }
    let states = filter.status.iter().flat_map(|status| rows::states(*status));
    let of_state = |state: &i64| {
        let sql = format!(
            "SELECT seq, {taken} FROM deliveries INDEXED BY deliveries_by_state
                WHERE state = {state} AND state <> 3 AND seq >= ?1 AND seq < ?2 ORDER BY seq DESC"
        );
        condition.source(sql, [])
    };
    Ok(states.map(of_state).collect())
}

/// Every code within `asked` that some delivery has; `found` keeps each once.
fn codes_within(conn: &Connection, asked: Codes, found: &mut Vec<i32>) -> Result<(), StoreError> {
    let mut next = conn.prepare_cached(NEXT_CODE)?;
    let mut from = asked.from;
    while let Some(code) = next.query_row([from, asked.to], |row| row.get::<_, Option<i32>>(0))? {
        if !found.contains(&code) {
            found.push(code);
        }
        from = code.saturating_add(1);
    }
    Ok(())
}

/// Merges sources into a page of the keys that the filter takes, and whose bodies have the text.
pub(super) fn merge(
    conn: &Connection,
    sources: &[Source],
    limit: usize,
    mut text: Option<&mut Bodies<'_>>,
) -> Result<Paged<i64>, StoreError> {
    let mut statements =
        sources.iter().map(|source| conn.prepare_cached(&source.sql)).collect::<rusqlite::Result<Vec<_>>>()?;
    let mut heads = Vec::new();
    for (statement, source) in statements.iter_mut().zip(sources) {
        let mut rows = statement.query(params_from_iter(&source.params))?;
        heads.push((head(&mut rows)?, rows));
    }
    let mut page = Paged { data: Vec::new(), next: None, searched_back_to: None };
    let mut last = None;
    for _ in 0..BUDGET {
        let Some((found, rows)) = heads.iter_mut().max_by_key(|(found, _)| *found) else { return Ok(page) };
        let Some((seq, taken)) = *found else { return Ok(page) };
        if taken && last != Some(seq) {
            if page.data.len() == limit {
                page.next = if text.is_some() { last } else { page.data.last().copied() };
                return Ok(page);
            }
            match &mut text {
                None => page.data.push(seq),
                Some(text) => {
                    if text.is_spent() {
                        break;
                    }
                    if text.matches(seq)? {
                        page.data.push(seq);
                    }
                }
            }
        }
        last = Some(seq);
        *found = head(rows)?;
    }
    page.next = last;
    Ok(page)
}

fn head(rows: &mut Rows<'_>) -> rusqlite::Result<Option<(i64, bool)>> {
    // A comparison with NULL takes nothing.
    rows.next()?.map(|row| Ok((row.get(0)?, row.get::<_, Option<bool>>(1)?.unwrap_or(false)))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What SQLite would do, as `EXPLAIN QUERY PLAN` says.
    fn plan(sql: &str) -> Vec<String> {
        let conn = Connection::open_in_memory().expect("a database");
        for migration in
            [include_str!("migrations/0001_orders_and_deliveries.sql"), include_str!("migrations/0011_search.sql")]
        {
            conn.execute_batch(migration).expect("the schema");
        }
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a plan");
        let rows = statement.query_map([], |row| row.get(3)).expect("a plan");
        rows.map(|line| line.expect("a line")).collect()
    }

    #[test]
    fn no_page_of_unfinished_deliveries_scans_or_sorts_the_table() {
        for (table, index, column) in [
            ("deliveries", "deliveries_by_state", "state = 6 AND state <> 3"),
            ("orders", "orders_by_status", "status = 0 AND status <> 2"),
        ] {
            let plan = plan(&format!(
                "SELECT seq, 1 FROM {table} INDEXED BY {index}
                    WHERE {column} AND seq >= 1 AND seq < 2 ORDER BY seq DESC"
            ));
            assert_eq!(plan.len(), 1, "{plan:?}");
            assert!(plan[0].contains("rowid>? AND rowid<?"), "{plan:?}");
        }
    }

    #[test]
    fn an_own_id_is_searched_for_once_in_each_slot() {
        let plan = plan(&format!("{SLOTS} SELECT seq FROM {OF_OWN_ID} AND order_id = 'A'"));
        assert!(plan.iter().any(|line| line.contains("orders_by_own_id (slot=? AND order_id=?)")), "{plan:?}");
        assert!(plan.iter().any(|line| line.contains("orders_by_own_id (slot>? AND slot<?)")), "{plan:?}");
    }

    #[test]
    fn a_code_and_an_email_are_searched_for_by_index() {
        let by_code = plan(&format!(
            "SELECT seq, 1 FROM {BY_CODE} AND last_code = 503 AND seq >= 1 AND seq < 2 ORDER BY seq DESC"
        ));
        assert_eq!(by_code.len(), 1, "{by_code:?}");
        assert!(by_code[0].contains("(last_code=? AND rowid>? AND rowid<?)"), "{by_code:?}");
        let codes = plan(&NEXT_CODE.replace("?1", "500").replace("?2", "599"));
        assert!(codes.iter().any(|line| line.contains("(last_code>? AND last_code<?)")), "{codes:?}");
        let email = plan(&format!("{SLOTS} SELECT seq FROM {OF_EMAIL} AND email = 'a@b.example'"));
        assert!(email.iter().any(|line| line.contains("orders_by_email (slot=? AND email=?)")), "{email:?}");
    }
}
