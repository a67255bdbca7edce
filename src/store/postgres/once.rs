//! One-offs: a channel gets one event for each value. Looked up and written in the transaction of the deliveries, so that of two
//! events at the same moment one is the first.

use std::collections::HashSet;
use std::sync::Arc;

use super::text::text;
use super::tx::{Fault, Tx};
use crate::domain::EventId;
use crate::store::rows;
use crate::store::{NewDelivery, OnceConflict};

/// Locks the values, in an order that everybody keeps to, and returns those that were taken.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hash) FROM (
    SELECT DISTINCT hashtextextended(value, -1 - channel) AS hash FROM unnest($1::integer[], $2::text[]) t (channel, value)
        ORDER BY 1) locks";
const FIND: &str = "SELECT o.channel, o.value FROM unnest($1::integer[], $2::text[]) t (channel, value)
    JOIN onces o ON o.channel = t.channel AND o.value = t.value";

/// The channels and events among `deliveries` that come too late: the channel had the value before, or gets it by an earlier
/// event here. Deliveries of one channel and event belong together.
pub(super) async fn taken<'d>(
    tx: &Tx<'_>,
    deliveries: impl Iterator<Item = &'d NewDelivery>,
) -> Result<OnceConflict, Fault> {
    let with: Vec<_> = deliveries.filter_map(|delivery| Some((delivery, delivery.once.as_deref()?))).collect();
    if with.is_empty() {
        return Ok(OnceConflict::new());
    }
    let (mut channels, mut values) = (Vec::new(), Vec::new());
    for (delivery, once) in &with {
        channels.push(tx.channels.number(&delivery.channel)?);
        values.push(text(&once.value));
    }
    tx.query(LOCK, &[&channels, &values]).await?;
    let mut had = HashSet::new();
    for row in tx.query(FIND, &[&channels, &values]).await? {
        had.insert((row.try_get::<_, i32>(0)?, row.try_get::<_, String>(1)?));
    }
    let mut taken = OnceConflict::new();
    let mut seen: HashSet<(&Arc<str>, EventId)> = HashSet::new();
    for ((delivery, once), (channel, value)) in with.into_iter().zip(channels.into_iter().zip(values)) {
        if !seen.insert((&delivery.channel, delivery.event.id)) {
            continue;
        }
        let key = (channel, value.into_owned());
        if had.contains(&key) {
            taken.push((Arc::clone(&delivery.channel), delivery.event.id));
        } else if once.takes {
            had.insert(key);
        }
    }
    Ok(taken)
}

/// Uses up what deliveries take.
pub(super) async fn take(tx: &Tx<'_>, deliveries: impl Iterator<Item = &NewDelivery>) -> Result<(), Fault> {
    let (mut channels, mut values, mut origins) = (Vec::new(), Vec::new(), Vec::new());
    for delivery in deliveries {
        if let Some(once) = delivery.once.as_ref().filter(|once| once.takes) {
            channels.push(tx.channels.number(&delivery.channel)?);
            values.push(text(&once.value));
            origins.push(rows::origin_key(delivery.event.subject.origin));
        }
    }
    if !channels.is_empty() {
        tx.execute(
            "INSERT INTO onces (channel, value, origin) SELECT * FROM unnest($1::integer[], $2::text[], $3::bigint[])
                ON CONFLICT DO NOTHING",
            &[&channels, &values, &origins],
        )
        .await?;
    }
    Ok(())
}

/// Whether a delivery is among those that come too late.
pub(super) fn is_late(delivery: &NewDelivery, taken: &OnceConflict) -> bool {
    taken.iter().any(|(channel, event)| *channel == delivery.channel && *event == delivery.event.id)
}
