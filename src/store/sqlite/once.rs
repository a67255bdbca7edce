//! One-offs: a channel gets one event for each value. Looked up and written in the transaction of the deliveries, so
//! that of two events at the same moment one is the first.

use std::sync::Arc;

use rusqlite::params;

use super::db::Db;
use super::rows;
use crate::domain::EventId;
use crate::store::{NewDelivery, OnceConflict, StoreError};

/// The channels and events among `deliveries` that come too late: the channel had the value before, or gets it by an
/// earlier event here. Deliveries of one channel and event belong together.
pub(super) fn taken<'d>(
    db: &mut Db<'_>,
    deliveries: impl Iterator<Item = &'d NewDelivery>,
) -> Result<OnceConflict, StoreError> {
    let mut taken = OnceConflict::new();
    let mut seen: Vec<(&Arc<str>, EventId, &str, bool)> = Vec::new();
    for delivery in deliveries {
        let Some(once) = &delivery.once else { continue };
        let (channel, event) = (&delivery.channel, delivery.event.id);
        if seen.iter().any(|(name, id, ..)| *name == channel && *id == event) {
            continue;
        }
        let here = seen.iter().any(|(name, _, value, takes)| *takes && *name == channel && *value == once.value);
        let number = db.channel(channel)?;
        if here || db.exists("SELECT 1 FROM onces WHERE channel = ?1 AND value = ?2", params![number, once.value])? {
            taken.push((Arc::clone(channel), event));
        }
        seen.push((channel, event, &once.value, once.takes && !here));
    }
    Ok(taken)
}

/// Uses up what a delivery takes.
pub(super) fn take(db: &mut Db<'_>, delivery: &NewDelivery) -> Result<(), StoreError> {
    let Some(once) = delivery.once.as_ref().filter(|once| once.takes) else { return Ok(()) };
    let channel = db.channel(&delivery.channel)?;
    db.conn
        .prepare_cached("INSERT INTO onces (channel, value, origin) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
        .execute(params![channel, once.value, rows::origin_key(delivery.event.subject.origin)])?;
    Ok(())
}

/// Whether a delivery is among those that come too late.
pub(super) fn is_late(delivery: &NewDelivery, taken: &OnceConflict) -> bool {
    taken.iter().any(|(channel, event)| *channel == delivery.channel && *event == delivery.event.id)
}
