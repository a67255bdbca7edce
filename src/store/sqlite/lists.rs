//! Pages of orders and deliveries, newest first.

use rusqlite::Connection;

use super::search;
use super::sources::{delivery_sources, merge, order_sources};
use crate::store::{DeliveryFilter, OrderFilter, Page, Paged, StoreError};

/// Keys of the orders on a page.
pub(super) fn orders(conn: &Connection, filter: &OrderFilter, page: Page) -> Result<Paged<i64>, StoreError> {
    match &filter.q {
        Some(text) => search::orders(conn, filter, text, page),
        None => merge(conn, &order_sources(filter, page), page.limit, None),
    }
}

/// Keys of the deliveries on a page.
pub(super) fn deliveries(conn: &Connection, filter: &DeliveryFilter, page: Page) -> Result<Paged<i64>, StoreError> {
    match &filter.q {
        Some(text) => search::deliveries(conn, filter, text, page),
        None => merge(conn, &delivery_sources(conn, filter, page)?, page.limit, None),
    }
}
