//! Deliveries and events as they are born: with an order, with an event, or with another delivery's failure.

use std::sync::Arc;

use rusqlite::params;

use super::db::{Db, Terms};
use super::line::{self, Key};
use super::once;
use super::rows::{self, EMPTY, state};
use crate::domain::ids::Id;
use crate::domain::{DeliveryId, Origin, Subject, Timestamp};
use crate::store::{Leased, NewDelivery, Replica, StoreError};

/// How a delivery's origin and it are joined.
#[derive(Debug, Clone, Copy)]
pub(super) struct Birth<'a> {
    /// Who takes it, where anybody does.
    pub(super) replica: Option<Replica>,
    /// The context that the row of its order has for good, so that it need not be written again.
    pub(super) inherited: Option<&'a str>,
    /// The origin whose row lists it: it needs no entry in an index of its own.
    pub(super) listed: Option<Origin>,
}

/// The column that lists deliveries born with `origin`, in its row; nothing where there are none.
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
pub(super) fn insert_delivery(db: &mut Db<'_>, delivery: &NewDelivery, birth: Birth<'_>) -> Result<(), StoreError> {
    let channel = db.channel(&delivery.channel)?;
    let event = &delivery.event;
    let origin = event.subject.origin;
    let key = delivery.ordering_key.as_deref();
    let held = match key {
        Some(key) => line::is_taken(db, Key { channel, key })?,
        None => false,
    };
    let owner = birth.replica.filter(|_| !held && is_leased(delivery, db.terms));
    let state = match owner {
        Some(_) => state::LEASED,
        None if held => state::HELD,
        None => state::FIRST,
    };
    if held {
        db.notes.held.push(delivery.id);
    }
    let inherited = match origin {
        Origin::Order(_) => birth.inherited,
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
        (birth.listed != Some(origin)).then(|| rows::origin_key(origin)),
        delivery.parcel.as_deref().map(rows::parcel_text).transpose()?,
        delivery.parcel.as_deref().and_then(|parcel| parcel.text.as_deref()),
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
pub(super) fn insert_all(db: &mut Db<'_>, deliveries: &[NewDelivery], birth: Birth<'_>) -> Result<(), StoreError> {
    for delivery in deliveries {
        insert_event(db, &delivery.event.subject, (None, None), None)?;
        insert_delivery(db, delivery, birth)?;
    }
    Ok(())
}

/// Inserts what may be left out: one-offs that their channels had before are.
pub(super) fn insert_free(db: &mut Db<'_>, deliveries: &[NewDelivery], birth: Birth<'_>) -> Result<(), StoreError> {
    let taken = once::taken(db, deliveries.iter())?;
    for delivery in deliveries.iter().filter(|delivery| !once::is_late(delivery, &taken)) {
        insert_event(db, &delivery.event.subject, (None, None), None)?;
        insert_delivery(db, delivery, birth)?;
    }
    Ok(())
}

/// What a group of writes gave birth to: to be told of once it is durable.
#[derive(Default)]
pub(super) struct Born {
    /// Deliveries that belong to this replica.
    pub(super) leased: Vec<Leased>,
    /// Channels and times of deliveries that belong to nobody.
    pub(super) waiting: Vec<(Arc<str>, Timestamp)>,
    /// Deliveries of the write at hand that were inserted as held.
    pub(super) held: Vec<DeliveryId>,
}

impl Born {
    /// Takes over those that were inserted as leased, and notes the others; their slots are given back.
    pub(super) fn take(&mut self, deliveries: &mut Vec<NewDelivery>, terms: Terms) {
        for delivery in std::mem::take(deliveries) {
            if self.held.contains(&delivery.id) {
                continue;
            }
            if is_leased(&delivery, terms) {
                self.leased.push(Leased {
                    id: delivery.id,
                    channel: delivery.channel,
                    event: delivery.event,
                    parcel: delivery.parcel,
                    due_at: delivery.due_at,
                    attempts: 0,
                    round_start: 0,
                    lease: 1,
                    slot: delivery.slot,
                });
            } else {
                self.waiting.push((delivery.channel, delivery.due_at));
            }
        }
    }

    /// Notes deliveries that were inserted as waiting.
    pub(super) fn wait(&mut self, deliveries: &[NewDelivery]) {
        let waits = deliveries.iter().filter(|delivery| !self.held.contains(&delivery.id));
        self.waiting.extend(waits.map(|delivery| (Arc::clone(&delivery.channel), delivery.due_at)));
    }
}

fn is_leased(delivery: &NewDelivery, terms: Terms) -> bool {
    // It may have been made after its transaction began.
    let now = terms.now.max(delivery.id.time());
    terms.connected && delivery.slot.is_some() && delivery.due_at <= now
}
