//! Text searches: first the orders whose id or e-mail is the text, by index, then those with the text in their bodies.
//!
//! A page looks at a bounded number of bytes of bodies, newest first, and says how far back it looked.

use rusqlite::Connection;

use super::bodies::Bodies;
use super::sources::{self, Source};
use crate::domain::DeliveryId;
use crate::store::{DeliveryFilter, OrderFilter, Page, Paged, StoreError};

const ORDER_BODY: &str = "SELECT body, ifnull(order_id = ?2, 0) OR ifnull(email = ?3, 0) FROM orders WHERE seq = ?1";
const DELIVERY_BODY: &str = "SELECT coalesce(o.body, e.body), ifnull(o.order_id = ?2, 0) OR ifnull(o.email = ?3, 0)
    FROM deliveries d LEFT JOIN orders o ON o.seq = d.origin LEFT JOIN events e ON e.seq = -d.origin WHERE d.seq = ?1";

/// Keys of the orders on a page of a search.
pub(super) fn orders(
    conn: &Connection,
    filter: &OrderFilter,
    text: &str,
    page: Page,
) -> Result<Paged<i64>, StoreError> {
    let exact = |page| {
        let condition = sources::order_condition(filter, page);
        let mut sources = vec![
            sources::orders_of_own_id(&condition, text),
            sources::orders_of_email(&condition, &text.to_lowercase()),
        ];
        sources.extend(text.parse().ok().map(|id| sources::order_of_id(&condition, id)));
        sources
    };
    let bodies = |page| Ok(sources::order_sources(filter, page));
    search(conn, ORDER_BODY, text, page, filter.order_id.is_none().then_some(&exact), bodies)
}

/// Keys of the deliveries on a page of a search.
pub(super) fn deliveries(
    conn: &Connection,
    filter: &DeliveryFilter,
    text: &str,
    page: Page,
) -> Result<Paged<i64>, StoreError> {
    let exact = |page| {
        let condition = sources::delivery_condition(filter, page);
        let mut sources = vec![sources::deliveries_of_orders(&condition, text, Some(&text.to_lowercase()))];
        sources.extend(text.parse().ok().map(|id| sources::delivery_of_id(&condition, id)));
        sources
    };
    let bodies = |page| sources::delivery_sources(conn, filter, page);
    search(conn, DELIVERY_BODY, text, page, filter.order_id.is_none().then_some(&exact), bodies)
}

/// A page: what `exact` finds, where that is to be looked at, then what of `bodies` has the text.
fn search(
    conn: &Connection,
    body: &str,
    text: &str,
    page: Page,
    exact: Option<&dyn Fn(Page) -> Vec<Source>>,
    bodies: impl Fn(Page) -> Result<Vec<Source>, StoreError>,
) -> Result<Paged<i64>, StoreError> {
    let mut found = Paged { data: Vec::new(), next: None, searched_back_to: None };
    let mut before = page.before.map(i64::saturating_neg);
    if let (Some(exact), None | Some(0..)) = (exact, page.before) {
        found = sources::merge(conn, &exact(page), page.limit, None)?;
        if found.next.is_some() {
            return Ok(found);
        }
        before = None;
    }
    let room = page.limit.saturating_sub(found.data.len());
    if room == 0 {
        found.next = Some(before.map_or(-i64::MAX, i64::saturating_neg));
        return Ok(found);
    }
    let mut texts = Bodies::new(conn, body, text, exact.is_some())?;
    let rest = sources::merge(conn, &bodies(Page { limit: room, before })?, room, Some(&mut texts))?;
    found.data.extend(rest.data);
    found.data.sort_unstable_by(|one, other| other.cmp(one));
    found.searched_back_to = rest.next.map(DeliveryId::time_of);
    found.next = rest.next.map(i64::saturating_neg);
    Ok(found)
}
