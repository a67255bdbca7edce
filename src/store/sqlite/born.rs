//! Deliveries and events as they are born: with an order, with an event, or with another delivery's failure.

use std::sync::Arc;

use rusqlite::params;

use super::db::{Db, Terms};
use super::rows::{self, EMPTY, state};
use crate::domain::ids::Id;
use crate::domain::{Origin, Subject, Timestamp};
use crate::store::{Leased, NewDelivery, Replica, StoreError};

/// Inserts an event without an order; one that is already there stays as it is.
pub(super) fn insert_event(db: &mut Db<'_>, subject: &Subject, key: Option<&str>) -> Result<(), StoreError> {
    let Origin::Event(id) = subject.origin else { return Ok(()) };
    db.hot.insert_event.execute(params![
        id.sequence(),
        id.to_bytes(),
        subject.received_at.as_millis(),
        subject.kind,
        subject.chain,
        rows::own_id(subject),
        key,
        &subject.body[..],
    ])?;
    Ok(())
}

/// Inserts a delivery: leased to `replica` where it has a slot and its time has come, else waiting. `inherited` is the
/// context that the row of its origin has for good, so that it need not be written again.
pub(super) fn insert_delivery(
    db: &mut Db<'_>,
    delivery: &NewDelivery,
    replica: Option<Replica>,
    inherited: Option<&str>,
) -> Result<(), StoreError> {
    let channel = db.channel(&delivery.channel)?;
    let event = &delivery.event;
    let owner = replica.filter(|_| is_leased(delivery, db.terms));
    let inherited = match event.subject.origin {
        Origin::Order(_) => inherited,
        Origin::Event(_) => Some(EMPTY),
    };
    let event_id = Some(event.id).filter(|id| *id != rows::origin_id(event.subject.origin));
    db.hot.insert_delivery.execute(params![
        delivery.id.sequence(),
        delivery.id.to_bytes(),
        channel,
        if owner.is_some() { state::LEASED } else { state::FIRST },
        rows::origin_key(event.subject.origin),
        owner.map(|replica| replica.0),
        delivery.due_at.as_millis(),
        delivery.id.time().as_millis(),
        event_id.map(Id::to_bytes),
        rows::event_type(&event.kind, &event.subject),
        event.at.as_millis(),
        event.step,
        Some(&*event.context).filter(|context| inherited != Some(context)),
    ])?;
    db.count(channel, 1);
    Ok(())
}

/// Inserts deliveries whose origins may be events that have no row yet.
pub(super) fn insert_all(
    db: &mut Db<'_>,
    deliveries: &[NewDelivery],
    replica: Option<Replica>,
    inherited: Option<&str>,
) -> Result<(), StoreError> {
    for delivery in deliveries {
        insert_event(db, &delivery.event.subject, None)?;
        insert_delivery(db, delivery, replica, inherited)?;
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
}

impl Born {
    /// Takes over those that were inserted as leased, and notes the others; their slots are given back.
    pub(super) fn take(&mut self, deliveries: &mut Vec<NewDelivery>, terms: Terms) {
        for delivery in std::mem::take(deliveries) {
            if is_leased(&delivery, terms) {
                self.leased.push(Leased {
                    id: delivery.id,
                    channel: delivery.channel,
                    event: delivery.event,
                    due_at: delivery.due_at,
                    attempts: 0,
                    round_start: 0,
                    slot: delivery.slot,
                });
            } else {
                self.waiting.push((delivery.channel, delivery.due_at));
            }
        }
    }

    /// Notes deliveries that were inserted as waiting.
    pub(super) fn wait(&mut self, deliveries: &[NewDelivery]) {
        self.waiting.extend(deliveries.iter().map(|delivery| (Arc::clone(&delivery.channel), delivery.due_at)));
    }
}

fn is_leased(delivery: &NewDelivery, terms: Terms) -> bool {
    terms.connected && delivery.slot.is_some() && delivery.due_at <= terms.now
}
