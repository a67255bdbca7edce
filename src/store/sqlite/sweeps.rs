//! Reads of everything that a filter or a period takes, page by page, each on a snapshot of its own.

use std::sync::Arc;
use std::time::Instant;

use super::remove::Records;
use super::{Sqlite, lists, remove, sources};
use crate::domain::{OrderId, Timestamp};
use crate::store::{DeliveryFilter, Page, StoreError};

/// Orders that one commit of a removal takes at most.
const REMOVE: usize = 100;

impl Sqlite {
    /// Every delivery that a filter takes now, oldest first.
    pub(super) async fn keys(&self, filter: DeliveryFilter) -> Result<Vec<i64>, StoreError> {
        let filter = Arc::new(filter);
        let (mut keys, mut before) = (Vec::new(), None);
        loop {
            let filter = Arc::clone(&filter);
            let page = Page { limit: sources::BUDGET, before };
            let found = self.readers.read(move |conn| lists::deliveries(conn, &filter, page)).await?;
            keys.extend(found.data);
            before = found.next;
            if before.is_none() {
                keys.sort_unstable();
                return Ok(keys);
            }
        }
    }

    /// Removes finished records that came in before that time, in small slices with pauses between them. Dropped, it stops after the
    /// slice under way.
    pub(super) async fn remove(&self, records: Records, before: Timestamp) -> Result<u64, StoreError> {
        let before = OrderId::sequence_at(before);
        let (mut removed, mut after) = (0, 0);
        loop {
            let (keys, next) =
                self.readers.read(move |conn| remove::find_finished(conn, records, after, before)).await?;
            for keys in keys.chunks(REMOVE) {
                let begun = Instant::now();
                removed += self.writer.write(remove::Remove { records, keys: keys.to_vec() }).await?;
                // As long as it took, the store is everybody else's.
                tokio::time::sleep(begun.elapsed()).await;
            }
            let Some(next) = next else { return Ok(removed) };
            after = next;
        }
    }
}
