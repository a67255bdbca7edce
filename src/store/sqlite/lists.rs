//! Pages of orders and deliveries, newest first. A page never looks at more than a bounded number of rows: a filter
//! that takes few of many makes short pages with a cursor, not long reads.

use rusqlite::types::Value;
use rusqlite::{Connection, Rows, params_from_iter};

use super::rows;
use crate::domain::{DeliveryId, DeliveryStatus, OrderId, OrderStatus, Timestamp};
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

/// A query for rows of falling keys: column 0 is the key, column 1 whether the filter takes the row. `?1` and `?2`
/// are the range of keys.
struct Source {
    sql: String,
    params: Vec<Value>,
}

/// The range of keys of a filter and a page.
fn range(since: Option<Timestamp>, until: Option<Timestamp>, page: Page) -> [Value; 2] {
    let from = since.map_or(0, DeliveryId::sequence_at);
    let to = until.map_or(i64::MAX, DeliveryId::sequence_at);
    [Value::Integer(from), Value::Integer(to.min(page.before.unwrap_or(i64::MAX)))]
}

fn numbers(values: impl IntoIterator<Item = i64>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(", ")
}

/// Keys of the orders on a page.
pub(super) fn orders(conn: &Connection, filter: &OrderFilter, page: Page) -> Result<Paged<i64>, StoreError> {
    let mut params: Vec<Value> = range(filter.since, filter.until, page).into();
    let mut taken = vec!["1".to_owned()];
    if let Some(kind) = &filter.kind {
        params.push(Value::Text(kind.clone()));
        taken.push(format!("kind = ?{}", params.len()));
    }
    let statuses: Vec<i64> = filter.status.iter().flat_map(|status| rows::progresses(*status)).copied().collect();
    if !statuses.is_empty() {
        taken.push(format!("status IN ({})", numbers(statuses.iter().copied())));
    }
    let taken = taken.join(" AND ");
    if let Some(id) = &filter.order_id {
        params.push(Value::Text(id.clone()));
        let own = format!(
            "{SLOTS} SELECT seq, {taken} FROM {OF_OWN_ID} AND order_id = ?{} AND seq >= ?1 AND seq < ?2 ORDER BY seq DESC",
            params.len()
        );
        let mut sources = vec![Source { sql: own, params: params.clone() }];
        if let Ok(id) = id.parse::<OrderId>() {
            params.pop();
            params.push(Value::Blob(id.to_bytes().into()));
            params.push(Value::Integer(id.sequence()));
            let (id, seq) = (params.len() - 1, params.len());
            let server =
                format!("SELECT seq, {taken} FROM orders WHERE seq = ?{seq} AND id = ?{id} AND seq >= ?1 AND seq < ?2");
            sources.push(Source { sql: server, params });
        }
        return merge(conn, &sources, page.limit);
    }
    if statuses.is_empty() || filter.status.contains(&OrderStatus::Completed) {
        let sql = format!("SELECT seq, {taken} FROM orders WHERE seq >= ?1 AND seq < ?2 ORDER BY seq DESC");
        return merge(conn, &[Source { sql, params }], page.limit);
    }
    let sources: Vec<Source> = statuses
        .into_iter()
        .map(|status| Source {
            sql: format!(
                "SELECT seq, {taken} FROM orders INDEXED BY orders_by_status
                    WHERE status = {status} AND status <> 2 AND seq >= ?1 AND seq < ?2 ORDER BY seq DESC"
            ),
            params: params.clone(),
        })
        .collect();
    merge(conn, &sources, page.limit)
}

/// Keys of the deliveries on a page.
pub(super) fn deliveries(conn: &Connection, filter: &DeliveryFilter, page: Page) -> Result<Paged<i64>, StoreError> {
    let mut params: Vec<Value> = range(filter.since, filter.until, page).into();
    let mut taken = vec!["1".to_owned()];
    if let Some(channel) = &filter.channel {
        params.push(Value::Text(channel.clone()));
        taken.push(format!("channel = (SELECT id FROM channels WHERE name = ?{})", params.len()));
    }
    let states: Vec<i64> = filter.status.iter().flat_map(|status| rows::states(*status)).copied().collect();
    if !states.is_empty() {
        taken.push(format!("state IN ({})", numbers(states.iter().copied())));
    }
    let taken = taken.join(" AND ");
    if let Some(id) = &filter.order_id {
        params.push(Value::Text(id.clone()));
        let mut origins = vec![format!("SELECT seq, deliveries FROM {OF_OWN_ID} AND order_id = ?{}", params.len())];
        if let Ok(id) = id.parse::<OrderId>() {
            params.push(Value::Integer(id.sequence()));
            params.push(Value::Blob(id.to_bytes().into()));
            let (seq, id) = (params.len() - 1, params.len());
            origins.push(format!("SELECT seq, deliveries FROM orders WHERE seq = ?{seq} AND id = ?{id}"));
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
        return merge(conn, &[Source { sql, params }], page.limit);
    }
    if states.is_empty() || filter.status.contains(&DeliveryStatus::Accepted) {
        let sql = format!("SELECT seq, {taken} FROM deliveries WHERE seq >= ?1 AND seq < ?2 ORDER BY seq DESC");
        return merge(conn, &[Source { sql, params }], page.limit);
    }
    let sources: Vec<Source> = states
        .into_iter()
        .map(|state| Source {
            sql: format!(
                "SELECT seq, {taken} FROM deliveries INDEXED BY deliveries_by_state
                    WHERE state = {state} AND state <> 3 AND seq >= ?1 AND seq < ?2 ORDER BY seq DESC"
            ),
            params: params.clone(),
        })
        .collect();
    merge(conn, &sources, page.limit)
}

/// Merges sources into a page of the keys that the filter takes.
fn merge(conn: &Connection, sources: &[Source], limit: usize) -> Result<Paged<i64>, StoreError> {
    let mut statements =
        sources.iter().map(|source| conn.prepare_cached(&source.sql)).collect::<rusqlite::Result<Vec<_>>>()?;
    let mut heads = Vec::new();
    for (statement, source) in statements.iter_mut().zip(sources) {
        let mut rows = statement.query(params_from_iter(&source.params))?;
        heads.push((head(&mut rows)?, rows));
    }
    let mut page = Paged { data: Vec::new(), next: None };
    let mut last = None;
    for _ in 0..BUDGET {
        let Some((found, rows)) = heads.iter_mut().max_by_key(|(found, _)| *found) else { return Ok(page) };
        let Some((seq, taken)) = *found else { return Ok(page) };
        if taken && last != Some(seq) {
            if page.data.len() == limit {
                page.next = page.data.last().copied();
                return Ok(page);
            }
            page.data.push(seq);
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
        conn.execute_batch(include_str!("migrations/0001_orders_and_deliveries.sql")).expect("the schema");
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
}
