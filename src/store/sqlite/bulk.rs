//! Changes of many deliveries: found by reads, written in groups.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{BULK, Sqlite, change, details};
use crate::domain::DeliveryStatus;
use crate::store::{BulkChanged, Cause, Change, DeliveryFilter, Happening, StoreError};

/// Deliveries that a dry run of a bulk change shows.
const EXAMPLES: usize = 3;

impl Sqlite {
    /// [`crate::store::Queue::change_all`].
    pub(super) async fn change_matching(
        &self,
        filter: DeliveryFilter,
        change: Change,
        cause: Cause,
        dry_run: bool,
        done: Option<&AtomicU64>,
    ) -> Result<BulkChanged, StoreError> {
        let asked = if filter.status.is_empty() { DeliveryStatus::ALL } else { &filter.status };
        let statuses: Vec<_> = asked.iter().copied().filter(|status| change.allows(*status)).collect();
        if statuses.is_empty() {
            return Ok(BulkChanged::default());
        }
        let keys = self.keys(DeliveryFilter { status: statuses.clone(), ..filter }).await?;
        let statuses: Arc<[_]> = statuses.into();
        let mut examples = Vec::new();
        if dry_run {
            let tally = Arc::clone(&self.tally);
            let shown: Vec<i64> = keys.iter().rev().take(EXAMPLES).copied().collect();
            examples = self.readers.read(move |conn| details::summaries(conn, &tally, shown)).await?;
        }
        let mut channels = BTreeMap::<i64, u64>::new();
        for keys in keys.chunks(BULK) {
            let keys = keys.to_vec();
            let group = if dry_run {
                self.readers.read(move |conn| details::channels(conn, &keys)).await?
            } else {
                let (statuses, cause) = (Arc::clone(&statuses), cause.clone());
                self.writer.write(change::ChangeSome { keys, statuses, change, cause }).await?
            };
            if let Some(done) = done {
                done.fetch_add(group.values().sum(), Ordering::Relaxed);
            }
            for (channel, count) in group {
                *channels.entry(channel).or_default() += count;
            }
        }
        let count = channels.values().sum();
        if !dry_run && count > 0 {
            self.feed.tell(Happening::Deliveries { act: change, count, cause });
        }
        let named = |(channel, count)| Ok::<_, StoreError>((self.tally.name(channel)?, count));
        let channels = channels.into_iter().map(named).collect::<Result<_, _>>()?;
        Ok(BulkChanged { count, channels, examples })
    }
}
