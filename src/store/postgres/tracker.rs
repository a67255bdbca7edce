//! Which deliveries were born leased to this process and have not ended: what others need to know when it dies.
//!
//! Such a delivery has no row but its own until its first attempt is recorded. Others find what a dead replica left by looking at
//! the deliveries from its watermark on, which it writes with each heartbeat.

use parking_lot::Mutex;
use std::collections::BTreeSet;

/// Deliveries looked at at a time.
const OLDEST: usize = 1000;

/// The deliveries.
#[derive(Default)]
pub(super) struct Tracker(Mutex<Tracked>);

#[derive(Default)]
struct Tracked {
    open: BTreeSet<i64>,
    /// What was last given out as the watermark: nothing below it is born leased.
    watermark: i64,
}

impl Tracker {
    /// A delivery is about to be born leased. Returns `false` where its key is too old for that: others would not find it.
    pub(super) fn open(&self, key: i64) -> bool {
        let mut tracked = self.lock();
        key >= tracked.watermark && {
            tracked.open.insert(key);
            true
        }
    }

    /// Whether a delivery was born leased and has not ended.
    pub(super) fn is_open(&self, key: i64) -> bool {
        self.lock().open.contains(&key)
    }

    /// These have ended, have a row in `states` now, or were never born.
    pub(super) fn close(&self, keys: impl IntoIterator<Item = i64>) {
        let mut tracked = self.lock();
        for key in keys {
            tracked.open.remove(&key);
        }
    }

    /// The watermark to write: every delivery below it has ended or has a row. `newest` is a key that ids made from now on are
    /// not far behind.
    pub(super) fn watermark(&self, newest: i64) -> i64 {
        let mut tracked = self.lock();
        tracked.watermark = tracked.open.first().copied().unwrap_or(newest).min(newest);
        tracked.watermark
    }

    /// The oldest of them below a key, a few at a time.
    pub(super) fn oldest(&self, below: i64) -> Vec<i64> {
        self.lock().open.range(..below).take(OLDEST).copied().collect()
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, Tracked> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_is_the_oldest_open_delivery() {
        let tracker = Tracker::default();
        assert!(tracker.open(30) && tracker.open(10) && tracker.open(20));
        assert_eq!(tracker.watermark(50), 10);
        tracker.close([10]);
        assert_eq!(tracker.watermark(50), 20);
        tracker.close([20, 30]);
        assert_eq!(tracker.watermark(50), 50);
    }

    #[test]
    fn nothing_is_born_leased_below_a_watermark_that_was_given_out() {
        let tracker = Tracker::default();
        assert_eq!(tracker.watermark(50), 50);
        assert!(!tracker.open(49) && tracker.open(50));
        assert!(tracker.is_open(50) && !tracker.is_open(49));
    }
}
