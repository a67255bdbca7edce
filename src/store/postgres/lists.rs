//! Pages of orders and deliveries, newest first.

use super::connections::Loan;
use super::{details, keys};
use crate::store::{DeliveryFilter, DeliverySummary, OrderFilter, OrderSummary, Page, Paged, StoreError};

/// [`crate::store::History::orders`].
pub(super) async fn orders(loan: &Loan, filter: &OrderFilter, page: Page) -> Result<Paged<OrderSummary>, StoreError> {
    let found = keys::order_keys(loan, filter, page).await?;
    let data = details::order_summaries(loan, &found.data).await?;
    Ok(Paged { data, next: found.next, searched_back_to: found.searched_back_to })
}

/// [`crate::store::History::deliveries`].
pub(super) async fn deliveries(
    loan: &Loan,
    filter: &DeliveryFilter,
    page: Page,
) -> Result<Paged<DeliverySummary>, StoreError> {
    let found = keys::delivery_keys(loan, filter, page).await?;
    let data = details::summaries(loan, &found.data).await?;
    Ok(Paged { data, next: found.next, searched_back_to: found.searched_back_to })
}
