//! Rows of PostgreSQL as domain values.

use std::sync::Arc;

use bytes::Bytes;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use crate::domain::ids::Id;
use crate::domain::{EventId, Origin, Subject, Timestamp};
use crate::store::StoreError;
pub(super) use crate::store::error::corrupt;
pub(super) use crate::store::rows::*;

/// The value of a column.
pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, StoreError> {
    Ok(row.try_get(column)?)
}

/// A time column.
pub(super) fn time(row: &Row, column: usize) -> Result<Timestamp, StoreError> {
    get(row, column).map(Timestamp::from_millis)
}

/// A time column that may be NULL.
pub(super) fn maybe_time(row: &Row, column: usize) -> Result<Option<Timestamp>, StoreError> {
    Ok(get::<Option<i64>>(row, column)?.map(Timestamp::from_millis))
}

/// The id of the columns `seq` and `rest`, of which this is the first.
pub(super) fn id<K>(row: &Row, column: usize) -> Result<Id<K>, StoreError> {
    Ok(Id::from_parts(get(row, column)?, get(row, column + 1)?))
}

/// The same where both may be NULL.
pub(super) fn maybe_id<K>(row: &Row, column: usize) -> Result<Option<Id<K>>, StoreError> {
    let parts = get::<Option<i64>>(row, column)?.zip(get(row, column + 1)?);
    Ok(parts.map(|(seq, rest)| Id::from_parts(seq, rest)))
}

/// An id that is kept as its 16 bytes.
pub(super) fn whole_id<K>(bytes: &[u8], wrong: impl FnOnce() -> StoreError) -> Result<Id<K>, StoreError> {
    bytes.try_into().map(Id::from_bytes).map_err(|_| wrong())
}

/// The id of an event: its own, of the column `event_id`, or its origin's.
pub(super) fn event_id(own: Option<&[u8]>, origin: EventId, seq: i64) -> Result<EventId, StoreError> {
    own.map_or(Ok(origin), |bytes| whole_id(bytes, || corrupt("deliveries", "event_id", seq)))
}

/// A number that is never below zero.
pub(super) fn count(row: &Row, column: usize) -> Result<u64, StoreError> {
    get::<i64>(row, column).map(i64::unsigned_abs)
}

/// The same of an `integer`.
pub(super) fn small_count(row: &Row, column: usize) -> Result<u32, StoreError> {
    get::<i32>(row, column).map(i32::unsigned_abs)
}

/// A `smallint`, as states and statuses are.
pub(super) fn small(row: &Row, column: usize) -> Result<i64, StoreError> {
    get::<i16>(row, column).map(i64::from)
}

/// Bytes that may be NULL: there are none then.
pub(super) fn bytes(row: &Row, column: usize) -> Result<Bytes, StoreError> {
    Ok(get::<Option<&[u8]>>(row, column)?.map(Bytes::copy_from_slice).unwrap_or_default())
}

/// Columns 0 to 7 of a row of `orders`: `seq, rest, order_id, kind, received_at, chain, body, arrival`.
pub(super) fn order_subject(row: &Row) -> Result<Subject, StoreError> {
    let id = id(row, 0)?;
    subject(row, Origin::Order(id), || id.to_string())
}

/// The same columns of a row of `events`.
pub(super) fn event_subject(row: &Row) -> Result<Subject, StoreError> {
    let id = id(row, 0)?;
    subject(row, Origin::Event(id), || id.to_string())
}

fn subject(row: &Row, origin: Origin, id: impl FnOnce() -> String) -> Result<Subject, StoreError> {
    Ok(Subject {
        origin,
        order_id: get::<Option<String>>(row, 2)?.unwrap_or_else(id),
        kind: get(row, 3)?,
        received_at: time(row, 4)?,
        chain: get(row, 5)?,
        body: bytes(row, 6)?,
        arrival: arrival(get(row, 7)?),
    })
}

/// The type of an event: its own, of the column `event_type`, or its origin's.
pub(super) fn event_kind(own: Option<&str>, origin: &str) -> Arc<str> {
    Arc::from(own.unwrap_or(origin))
}
