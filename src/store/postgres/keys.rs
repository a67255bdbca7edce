//! Keys of orders and deliveries, newest first, page by page.

use super::connections::Loan;
use super::pages::{one_more, paged};
use super::search;
use super::sources::{self, BUDGET};
use crate::store::{DeliveryFilter, OrderFilter, Page, Paged, StoreError};

/// Every delivery that a filter takes now, oldest first.
pub(super) async fn all_keys(loan: &Loan, filter: &DeliveryFilter) -> Result<Vec<i64>, StoreError> {
    let (mut keys, mut before) = (Vec::new(), None);
    loop {
        let found = delivery_keys(loan, filter, Page { limit: BUDGET, before }).await?;
        keys.extend(found.data);
        before = found.next;
        if before.is_none() {
            keys.sort_unstable();
            keys.dedup();
            return Ok(keys);
        }
    }
}

/// Keys of the orders on a page.
pub(super) async fn order_keys(loan: &Loan, filter: &OrderFilter, page: Page) -> Result<Paged<i64>, StoreError> {
    match &filter.q {
        Some(text) => search::orders(loan, filter, text, page).await,
        None => Ok(paged(sources::orders(loan, filter, one_more(page), BUDGET).await?, page)),
    }
}

/// Keys of the deliveries on a page.
pub(super) async fn delivery_keys(loan: &Loan, filter: &DeliveryFilter, page: Page) -> Result<Paged<i64>, StoreError> {
    match &filter.q {
        Some(text) => search::deliveries(loan, filter, text, page).await,
        None => Ok(paged(sources::deliveries(loan, filter, one_more(page), BUDGET).await?, page)),
    }
}
