//! How domain values are written in rows, whatever the database.

use std::sync::{Arc, LazyLock};

use crate::domain::event::EventStep;
use crate::domain::{Arrival, DeliveryStatus, EventId, OrderStatus, Origin, PreparedDelivery, Skip, Subject};

use super::error::{StoreError, corrupt};

/// `deliveries.state`: a delivery's status, and while it is pending, who has it.
pub(in crate::store) mod state {
    /// Waits for the deliveries before it in the line of its key.
    pub(in crate::store) const HELD: i64 = -1;
    /// Waits for its first attempt.
    pub(in crate::store) const FIRST: i64 = 0;
    /// Waits for a further attempt, also the first of a new round.
    pub(in crate::store) const RETRY: i64 = 1;
    /// Belongs to a replica.
    pub(in crate::store) const LEASED: i64 = 2;
    pub(in crate::store) const ACCEPTED: i64 = 3;
    pub(in crate::store) const DISPATCHED: i64 = 4;
    pub(in crate::store) const REJECTED: i64 = 5;
    pub(in crate::store) const FAILED: i64 = 6;
    pub(in crate::store) const CANCELLED: i64 = 7;

    /// The states in which a delivery can be in the line of a key, but for [`LEASED`].
    pub(in crate::store) const IN_LINE: [i64; 5] = [HELD, FIRST, RETRY, REJECTED, FAILED];

    /// Whether the delivery is pending.
    pub(in crate::store) const fn is_pending(state: i64) -> bool {
        state <= LEASED
    }
}

/// The states that a status stands for.
pub(in crate::store) const fn states(status: DeliveryStatus) -> &'static [i64] {
    match status {
        DeliveryStatus::Pending => &[state::HELD, state::FIRST, state::RETRY, state::LEASED],
        DeliveryStatus::Accepted => &[state::ACCEPTED],
        DeliveryStatus::Dispatched => &[state::DISPATCHED],
        DeliveryStatus::Rejected => &[state::REJECTED],
        DeliveryStatus::Failed => &[state::FAILED],
        DeliveryStatus::Cancelled => &[state::CANCELLED],
    }
}

/// The status of a state.
pub(in crate::store) fn delivery_status(state: i64, seq: i64) -> Result<DeliveryStatus, StoreError> {
    DeliveryStatus::ALL
        .iter()
        .copied()
        .find(|status| states(*status).contains(&state))
        .ok_or_else(|| corrupt("deliveries", "state", seq))
}

/// `orders.status`: an order's status, and while it is processing, whether somebody works on it.
pub(in crate::store) mod progress {
    /// Processing, and belongs to nobody.
    pub(in crate::store) const FREE: i64 = 0;
    /// Processing, and belongs to a replica.
    pub(in crate::store) const OWNED: i64 = 1;
    pub(in crate::store) const COMPLETED: i64 = 2;
    pub(in crate::store) const REJECTED: i64 = 3;
}

/// What an order of that status, at work with somebody, has in `orders.status`.
pub(in crate::store) const fn progress_of(status: OrderStatus) -> i64 {
    match status {
        OrderStatus::Processing => progress::OWNED,
        OrderStatus::Completed => progress::COMPLETED,
        OrderStatus::Rejected => progress::REJECTED,
    }
}

/// The values of `orders.status` that a status stands for.
pub(in crate::store) const fn progresses(status: OrderStatus) -> &'static [i64] {
    match status {
        OrderStatus::Processing => &[progress::FREE, progress::OWNED],
        OrderStatus::Completed => &[progress::COMPLETED],
        OrderStatus::Rejected => &[progress::REJECTED],
    }
}

/// The status of an `orders.status`.
pub(in crate::store) fn order_status(progress: i64, seq: i64) -> Result<OrderStatus, StoreError> {
    OrderStatus::ALL
        .iter()
        .copied()
        .find(|status| progresses(*status).contains(&progress))
        .ok_or_else(|| corrupt("orders", "status", seq))
}

/// `deliveries.origin`.
pub(in crate::store) const fn origin_key(origin: Origin) -> i64 {
    match origin {
        Origin::Order(id) => id.sequence(),
        Origin::Event(id) => -id.sequence(),
    }
}

/// The id of an origin, as an event's.
pub(in crate::store) const fn origin_id(origin: Origin) -> EventId {
    match origin {
        Origin::Order(id) => id.cast(),
        Origin::Event(id) => id,
    }
}

/// An empty context.
pub(in crate::store) const EMPTY: &str = "{}";
static EMPTY_CONTEXT: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(EMPTY));

/// A context column as text.
pub(in crate::store) fn context(text: Option<String>) -> Arc<str> {
    text.map_or_else(|| Arc::clone(&EMPTY_CONTEXT), Arc::from)
}

/// The steps of an event as a column; nothing where there are none.
pub(in crate::store) fn steps_text(steps: &[EventStep]) -> Result<Option<String>, StoreError> {
    if steps.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(steps).map(Some).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// The steps of a column.
pub(in crate::store) fn steps(text: Option<String>, seq: i64) -> Result<Arc<[EventStep]>, StoreError> {
    text.map_or_else(
        || Ok(Arc::default()),
        |text| serde_json::from_str(&text).map_err(|_| corrupt("deliveries", "steps", seq)),
    )
}

/// A prepared delivery as a column.
pub(in crate::store) fn prepared_text(prepared: &PreparedDelivery) -> Result<String, StoreError> {
    serde_json::to_string(prepared).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// The prepared delivery of the columns `parcel` and `mail`, where there is one.
pub(in crate::store) fn prepared(
    text: Option<String>,
    mail: Option<String>,
    seq: i64,
) -> Result<Option<Arc<PreparedDelivery>>, StoreError> {
    let Some(text) = text else { return Ok(None) };
    let prepared: PreparedDelivery = serde_json::from_str(&text).map_err(|_| corrupt("deliveries", "parcel", seq))?;
    Ok(Some(Arc::new(PreparedDelivery { text: mail.map(Arc::from), ..prepared })))
}

/// What a request brought along, of its column. A column that cannot be read costs the trace, not the order.
pub(in crate::store) fn arrival(text: Option<String>) -> Option<Arc<Arrival>> {
    text.and_then(|text| serde_json::from_str(&text).ok()).map(Arc::new)
}

/// What a request brought along, as a column; nothing where it brought nothing.
pub(in crate::store) fn arrival_text(subject: &Subject) -> Result<Option<String>, StoreError> {
    let text = subject.arrival.as_deref().map(serde_json::to_string).transpose();
    text.map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// The own id of a subject as stored: nothing where it is the server's.
pub(in crate::store) fn own_id(subject: &Subject) -> Option<&str> {
    Some(subject.order_id.as_str()).filter(|own| *own != subject.id())
}

/// A list of skipped channels as a column; nothing where it is empty.
pub(in crate::store) fn skips(skipped: &[Skip]) -> Result<Option<String>, StoreError> {
    if skipped.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(skipped).map(Some).map_err(|error| StoreError::Corrupt(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_statuses_belong_together_one_to_one() {
        for status in DeliveryStatus::ALL {
            for number in states(*status) {
                assert_eq!(delivery_status(*number, 0).expect("a status"), *status);
                assert_eq!(state::is_pending(*number), *status == DeliveryStatus::Pending);
            }
        }
        assert!(delivery_status(8, 0).is_err());
        for status in OrderStatus::ALL {
            assert!(progresses(*status).contains(&progress_of(*status)));
            for number in progresses(*status) {
                assert_eq!(order_status(*number, 0).expect("a status"), *status);
            }
        }
        assert!(order_status(4, 0).is_err());
    }
}
