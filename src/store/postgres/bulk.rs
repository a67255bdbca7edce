//! Changes of many deliveries: found by reads, written in groups.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Postgres, change, details, keys};
use crate::domain::DeliveryStatus;
use crate::store::{BulkChanged, Cause, Change, DeliveryFilter, Happening, News, StoreError};

/// Deliveries that one commit of a bulk change takes at most.
const BULK: usize = 1000;

/// Deliveries that a dry run of a bulk change shows.
const EXAMPLES: usize = 3;

impl Postgres {
    /// [`crate::store::Queue::change_all`]; `done` counts along.
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
        let filter = DeliveryFilter { status: statuses.clone(), ..filter };
        let found = keys::all_keys(&self.loan().await?, &filter).await?;
        let mut examples = Vec::new();
        if dry_run {
            let shown: Vec<i64> = found.iter().rev().take(EXAMPLES).copied().collect();
            examples = details::summaries(&self.loan().await?, &shown).await?;
        }
        let statuses: Arc<[_]> = statuses.into();
        let mut channels = BTreeMap::<Arc<str>, u64>::new();
        for keys in found.chunks(BULK) {
            let group = if dry_run {
                details::channels(&self.loan().await?, keys).await?
            } else {
                let (statuses, cause) = (Arc::clone(&statuses), cause.clone());
                let work = change::ChangeSome { keys: keys.to_vec(), statuses, change, cause };
                let (group, waiting) = self.write(work).await?;
                self.tell(waiting);
                if let Some(done) = done {
                    done.fetch_add(group.values().sum(), Ordering::Relaxed);
                }
                group
            };
            for (channel, count) in group {
                *channels.entry(channel).or_default() += count;
            }
        }
        let count = channels.values().sum();
        if !dry_run && count > 0 {
            for channel in channels.keys() {
                self.news.send(News::Changed(Arc::clone(channel)));
            }
            self.feed.tell(Happening::Deliveries { act: change, count, cause });
        }
        Ok(BulkChanged { count, channels: channels.into_iter().collect(), examples })
    }
}
