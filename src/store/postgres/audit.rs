//! What callers changed.

use super::connections::Loan;
use super::details::cause;
use super::rows::get;
use crate::domain::DeliveryId;
use crate::store::{Act, Page, Paged, Period, StoreError};

/// [`crate::store::History::audited`].
pub(super) async fn audited(loan: &Loan, period: Period, page: Page) -> Result<Paged<Act>, StoreError> {
    let from = period.since.map_or(0, DeliveryId::sequence_at);
    let to = period.until.map_or(i64::MAX, DeliveryId::sequence_at).min(page.before.unwrap_or(i64::MAX));
    let sql = "SELECT seq, at, author, reason, act, channel, delivery, order_id, filter, detail, count
        FROM audit WHERE seq >= $1 AND seq < $2 ORDER BY seq DESC LIMIT $3";
    let wanted = i64::try_from(page.limit.saturating_add(1)).unwrap_or(i64::MAX);
    let found = loan.query(sql, &[&from, &to, &wanted]).await?;
    let (mut data, mut last, mut next) = (Vec::new(), None, None);
    for row in &found {
        if data.len() == page.limit {
            next = last;
            break;
        }
        last = Some(get(row, 0)?);
        data.push(Act {
            cause: cause(row, 1)?,
            act: get(row, 4)?,
            channel: get(row, 5)?,
            delivery: get(row, 6)?,
            order: get(row, 7)?,
            filter: get(row, 8)?,
            detail: get(row, 9)?,
            count: get::<Option<i64>>(row, 10)?.map(i64::unsigned_abs),
        });
    }
    Ok(Paged { data, next, searched_back_to: None })
}
