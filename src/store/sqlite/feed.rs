//! Reads what those who watch are told of.

use std::sync::Arc;

use super::db::Tally;
use super::details;
use super::readers::Readers;
use crate::domain::{OrderId, Timestamp};
use crate::store::feed::Feed;
use crate::store::{Finished, Recorded};

/// Tells of an order's end.
pub(super) async fn ended(feed: &Feed, readers: &Arc<Readers>, order: OrderId, at: Timestamp) {
    match readers.read(move |conn| details::order_summary(conn, order.sequence())).await {
        Ok(found) => feed.ended(found, at),
        Err(error) => tracing::debug!(%error, "the end of an order is not shown to watchers"),
    }
}

/// Tells of attempts that were recorded.
pub(super) async fn attempted(
    feed: &Feed,
    readers: &Arc<Readers>,
    tally: &Arc<Tally>,
    finished: &[Finished],
    recorded: &[Recorded],
) {
    let done = finished.iter().zip(recorded).filter(|(_, recorded)| **recorded == Recorded::Done);
    let done: Vec<&Finished> = done.map(|(one, _)| one).collect();
    let keys: Vec<i64> = done.iter().map(|one| one.lease.delivery.sequence()).collect();
    let tally = Arc::clone(tally);
    match readers.read(move |conn| details::summaries(conn, &tally, keys)).await {
        Ok(found) => done.into_iter().zip(found).for_each(|(one, delivery)| feed.attempted(one, delivery)),
        Err(error) => tracing::debug!(%error, "attempts are not shown to watchers"),
    }
}
