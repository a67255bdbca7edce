//! How domain values are written in rows, and read back.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use rusqlite::Row;
use rusqlite::types::{Value, ValueRef};

use super::fault::corrupt;
use crate::domain::{EventId, OrderId, Origin, Subject, Timestamp};
use crate::store::StoreError;
pub(super) use crate::store::rows::*;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_own_event_has_a_number() {
        assert!(crate::domain::event::OWN_EVENTS.iter().all(|event| TYPES.contains(event)));
    }
}
