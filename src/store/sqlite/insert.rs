//! Inserts deliveries and events: with an order, with an event, or with the failure of another delivery.

use rusqlite::params;

use super::db::Db;
use super::handoff::is_leased;
use super::line::{self, Key};
use super::once;
use super::rows::{self, EMPTY, state};
use crate::domain::ids::Id;
use crate::domain::{Origin, Subject, Timestamp};
use crate::store::{NewDelivery, Replica, StoreError};

/// How new deliveries relate to their origin and to a replica.
#[derive(Debug, Clone, Copy)]
pub(super) struct Insertion<'a> {
    /// The replica that leases deliveries with a slot, if any.
    pub(super) replica: Option<Replica>,
    /// The context that the row of its order has for good, so that it need not be written again.
    pub(super) inherited: Option<&'a str>,
    /// The origin whose row lists it: it needs no entry in an index of its own.
    pub(super) listed: Option<Origin>,
}

/// Returns the column that lists the deliveries inserted with `origin`, in its row; `None` if there are none.
pub(super) fn list(deliveries: &[NewDelivery], origin: Origin) -> Option<String> {
    let mut keys = deliveries
        .iter()
        .filter(|delivery| delivery.event.subject.origin == origin)
        .map(|delivery| delivery.id.sequence().to_string())
        .peekable();
    keys.peek()?;
    Some(format!("[{}]", keys.collect::<Vec<_>>().join(",")))
}

/// Inserts an event without an order; one that is already there stays as it is.
pub(super) fn insert_event(
    db: &mut Db<'_>,
    subject: &Subject,
    (key, own_key): (Option<&str>, Option<&str>),
    list: Option<&str>,
) -> Result<(), StoreError> {
    let Origin::Event(id) = subject.origin else { return Ok(()) };
    db.hot.insert_event.execute(params![
        id.sequence(),
        id.to_bytes(),
        subject.received_at.as_millis(),
        subject.kind,
        subject.chain,
        rows::own_id(subject),
        key,
        list,
        &subject.body[..],
        rows::arrival_text(subject)?,
        own_key,
    ])?;
    Ok(())
}

/// Inserts a delivery: leased where somebody takes it, it has a slot and its time has come, else waiting.
pub(super) fn insert_delivery(
    db: &mut Db<'_>,
    delivery: &NewDelivery,
    insertion: Insertion<'_>,
) -> Result<(), StoreError> {
    let channel = db.channel(&delivery.channel)?;
    let event = &delivery.event;
    let origin = event.subject.origin;
    let key = delivery.ordering_key.as_deref();
    let held = match key {
        Some(key) => line::is_taken(db, Key { channel, key })?,
        None => false,
    };
    let owner = insertion.replica.filter(|_| !held && is_leased(delivery, db.terms));
    let state = match owner {
        Some(_) => state::LEASED,
        None if held => state::HELD,
        None => state::FIRST,
    };
    if held {
        db.notes.held.push(delivery.id);
    }
    let inherited = match origin {
        Origin::Order(_) => insertion.inherited,
        Origin::Event(_) => Some(EMPTY),
    };
    let event_id = Some(event.id).filter(|id| *id != rows::origin_id(origin));
    db.hot.insert_delivery.execute(params![
        delivery.id.sequence(),
        delivery.id.to_bytes(),
        channel,
        state,
        rows::origin_key(origin),
        owner.map(|replica| replica.0),
        delivery.due_at.as_millis(),
        delivery.id.time().as_millis(),
        event_id.map(Id::to_bytes),
        rows::event_type(&event.kind, &event.subject),
        event.at.as_millis(),
        event.step,
        Some(&*event.context).filter(|context| inherited != Some(context)),
        (insertion.listed != Some(origin)).then(|| rows::origin_key(origin)),
        delivery.prepared.as_deref().map(rows::prepared_text).transpose()?,
        delivery.prepared.as_deref().and_then(|prepared| prepared.text.as_deref()),
        rows::steps_text(&event.steps)?,
        i64::from(owner.is_some()),
        key,
        key.map(|_| 1),
        delivery.promised_at.map(Timestamp::as_millis),
    ])?;
    db.count(channel, 1);
    once::take(db, delivery)
}

/// Inserts deliveries whose origins may be events that have no row yet.
pub(super) fn insert_all(
    db: &mut Db<'_>,
    deliveries: &[NewDelivery],
    insertion: Insertion<'_>,
) -> Result<(), StoreError> {
    for delivery in deliveries {
        insert_event(db, &delivery.event.subject, (None, None), None)?;
        insert_delivery(db, delivery, insertion)?;
    }
    Ok(())
}

/// Inserts deliveries that no replica leases. Leaves out one-offs that their channels had before.
pub(super) fn insert_unleased(
    db: &mut Db<'_>,
    deliveries: &[NewDelivery],
    insertion: Insertion<'_>,
) -> Result<(), StoreError> {
    let taken = once::taken(db, deliveries.iter())?;
    for delivery in deliveries.iter().filter(|delivery| !once::is_late(delivery, &taken)) {
        insert_event(db, &delivery.event.subject, (None, None), None)?;
        insert_delivery(db, delivery, insertion)?;
    }
    Ok(())
}
