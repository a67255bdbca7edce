//! How domain values are written in rows, and read back.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use rusqlite::Row;
use rusqlite::types::{Value, ValueRef};

use super::fault::corrupt;
use crate::domain::event::EventStep;
use crate::domain::{Arrival, DeliveryStatus, EventId, OrderId, OrderStatus, Origin, Parcel, Subject, Timestamp};
use crate::store::StoreError;

/// `deliveries.state`: a delivery's status, and while it is pending, who has it.
pub(super) mod state {
    /// Waits for the deliveries before it in the line of its key.
    pub(in crate::store::sqlite) const HELD: i64 = -1;
    /// Waits for its first attempt.
    pub(in crate::store::sqlite) const FIRST: i64 = 0;
    /// Waits for a further attempt, also the first of a new round.
    pub(in crate::store::sqlite) const RETRY: i64 = 1;
    /// Belongs to a replica.
    pub(in crate::store::sqlite) const LEASED: i64 = 2;
    pub(in crate::store::sqlite) const ACCEPTED: i64 = 3;
    pub(in crate::store::sqlite) const DISPATCHED: i64 = 4;
    pub(in crate::store::sqlite) const REJECTED: i64 = 5;
    pub(in crate::store::sqlite) const FAILED: i64 = 6;
    pub(in crate::store::sqlite) const CANCELLED: i64 = 7;

    /// The states in which a delivery can be in the line of a key, but for [`LEASED`].
    pub(in crate::store::sqlite) const IN_LINE: [i64; 5] = [HELD, FIRST, RETRY, REJECTED, FAILED];

    /// Whether the delivery is pending.
    pub(in crate::store::sqlite) const fn is_pending(state: i64) -> bool {
        state <= LEASED
    }
}

/// The states that a status stands for.
pub(super) const fn states(status: DeliveryStatus) -> &'static [i64] {
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
pub(super) fn delivery_status(state: i64, seq: i64) -> Result<DeliveryStatus, StoreError> {
    DeliveryStatus::ALL
        .iter()
        .copied()
        .find(|status| states(*status).contains(&state))
        .ok_or_else(|| corrupt("deliveries", "state", seq))
}

/// `orders.status`: an order's status, and while it is processing, whether somebody works on it.
pub(super) mod progress {
    /// Processing, and belongs to nobody.
    pub(in crate::store::sqlite) const FREE: i64 = 0;
    /// Processing, and belongs to a replica.
    pub(in crate::store::sqlite) const OWNED: i64 = 1;
    pub(in crate::store::sqlite) const COMPLETED: i64 = 2;
    pub(in crate::store::sqlite) const REJECTED: i64 = 3;
}

/// What an order of that status, at work with somebody, has in `orders.status`.
pub(super) const fn progress_of(status: OrderStatus) -> i64 {
    match status {
        OrderStatus::Processing => progress::OWNED,
        OrderStatus::Completed => progress::COMPLETED,
        OrderStatus::Rejected => progress::REJECTED,
    }
}

/// The values of `orders.status` that a status stands for.
pub(super) const fn progresses(status: OrderStatus) -> &'static [i64] {
    match status {
        OrderStatus::Processing => &[progress::FREE, progress::OWNED],
        OrderStatus::Completed => &[progress::COMPLETED],
        OrderStatus::Rejected => &[progress::REJECTED],
    }
}

/// The status of an `orders.status`.
pub(super) fn order_status(progress: i64, seq: i64) -> Result<OrderStatus, StoreError> {
    OrderStatus::ALL
        .iter()
        .copied()
        .find(|status| progresses(*status).contains(&progress))
        .ok_or_else(|| corrupt("orders", "status", seq))
}

/// `deliveries.origin`.
pub(super) const fn origin_key(origin: Origin) -> i64 {
    match origin {
        Origin::Order(id) => id.sequence(),
        Origin::Event(id) => -id.sequence(),
    }
}

/// The id of an origin, as an event's.
pub(super) const fn origin_id(origin: Origin) -> EventId {
    match origin {
        Origin::Order(id) => id.cast(),
        Origin::Event(id) => id,
    }
}

/// The types of orderhook's own events by the number that `deliveries.event_type` has for them. Numbers are for ever:
/// a new one goes to the end.
const TYPES: [&str; 9] = [
    "order.received",
    "order.completed",
    "order.rejected",
    "order.step_failed",
    "delivery.failed",
    "channel.disabled",
    "channel.recovered",
    "channel.failing",
    "delivery.late",
];
static TYPE_NAMES: LazyLock<[Arc<str>; 9]> = LazyLock::new(|| TYPES.map(Arc::from));

/// `deliveries.event_type` for an event of that type on that subject.
pub(super) fn event_type<'a>(kind: &'a str, subject: &Subject) -> rusqlite::types::ToSqlOutput<'a> {
    use rusqlite::types::ToSqlOutput;
    if let Some(number) = TYPES.iter().position(|name| *name == kind) {
        return ToSqlOutput::Owned(Value::Integer(number as i64));
    }
    let same = matches!(subject.origin, Origin::Event(_)) && subject.kind == kind;
    ToSqlOutput::Borrowed(if same { ValueRef::Null } else { ValueRef::Text(kind.as_bytes()) })
}

/// The type behind a `deliveries.event_type`; `own` is the origin's kind.
pub(super) fn event_kind(value: ValueRef<'_>, own: &str, seq: i64) -> Result<Arc<str>, StoreError> {
    let wrong = || corrupt("deliveries", "event_type", seq);
    match value {
        ValueRef::Null => Ok(Arc::from(own)),
        ValueRef::Integer(number) => {
            usize::try_from(number).ok().and_then(|at| TYPE_NAMES.get(at)).cloned().ok_or_else(wrong)
        }
        ValueRef::Text(text) => std::str::from_utf8(text).map(Arc::from).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

/// An empty context.
pub(super) const EMPTY: &str = "{}";
static EMPTY_CONTEXT: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(EMPTY));

/// A context column as text.
pub(super) fn context(text: Option<String>) -> Arc<str> {
    text.map_or_else(|| Arc::clone(&EMPTY_CONTEXT), Arc::from)
}

/// The steps of an event as a column; nothing where there are none.
pub(super) fn steps_text(steps: &[EventStep]) -> Result<Option<String>, StoreError> {
    if steps.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(steps).map(Some).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// The steps of a column.
pub(super) fn steps(text: Option<String>, seq: i64) -> Result<Arc<[EventStep]>, StoreError> {
    text.map_or_else(
        || Ok(Arc::default()),
        |text| serde_json::from_str(&text).map_err(|_| corrupt("deliveries", "steps", seq)),
    )
}

/// A parcel as a column.
pub(super) fn parcel_text(parcel: &Parcel) -> Result<String, StoreError> {
    serde_json::to_string(parcel).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// The parcel of the columns `parcel` and `mail`, where there is one.
pub(super) fn parcel(text: Option<String>, mail: Option<String>, seq: i64) -> Result<Option<Arc<Parcel>>, StoreError> {
    let Some(text) = text else { return Ok(None) };
    let parcel: Parcel = serde_json::from_str(&text).map_err(|_| corrupt("deliveries", "parcel", seq))?;
    Ok(Some(Arc::new(Parcel { text: mail.map(Arc::from), ..parcel })))
}

/// A time column.
pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_millis)
}

/// Columns 0 to 6 of a row of `orders`: `id, order_id, kind, received_at, chain, body, arrival`.
pub(super) fn order_subject(row: &Row<'_>) -> rusqlite::Result<Subject> {
    let id = OrderId::from_bytes(row.get(0)?);
    subject(row, Origin::Order(id), id.to_string())
}

/// The same columns of a row of `events`.
pub(super) fn event_subject(row: &Row<'_>) -> rusqlite::Result<Subject> {
    let id = EventId::from_bytes(row.get(0)?);
    subject(row, Origin::Event(id), id.to_string())
}

fn subject(row: &Row<'_>, origin: Origin, id: String) -> rusqlite::Result<Subject> {
    Ok(Subject {
        origin,
        order_id: row.get::<_, Option<String>>(1)?.unwrap_or(id),
        kind: row.get(2)?,
        received_at: time(row, 3)?,
        chain: row.get(4)?,
        body: Bytes::from(row.get::<_, Vec<u8>>(5)?),
        arrival: arrival(row.get(6)?),
    })
}

/// What a request brought along, of its column. A column that cannot be read costs the trace, not the order.
pub(super) fn arrival(text: Option<String>) -> Option<Arc<Arrival>> {
    text.and_then(|text| serde_json::from_str(&text).ok()).map(Arc::new)
}

/// What a request brought along, as a column; nothing where it brought nothing.
pub(super) fn arrival_text(subject: &Subject) -> Result<Option<String>, StoreError> {
    let text = subject.arrival.as_deref().map(serde_json::to_string).transpose();
    text.map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// The own id of a subject as stored: nothing where it is the server's.
pub(super) fn own_id(subject: &Subject) -> Option<&str> {
    Some(subject.order_id.as_str()).filter(|own| *own != subject.id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_own_event_has_a_number() {
        assert!(crate::domain::event::OWN_EVENTS.iter().all(|event| TYPES.contains(event)));
    }

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
