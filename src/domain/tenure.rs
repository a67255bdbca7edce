//! How long this replica may act on what it holds, by its own monotonic clock.
//!
//! A store that several replicas share gives a replica's work to others once it has been silent for a while. It stops by itself
//! before that: whatever its clocks say, and also when the process was halted and goes on later.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::clock::Clock;

/// Until when.
#[derive(Debug, Clone)]
pub struct Tenure {
    clock: Arc<dyn Clock>,
    /// Milliseconds of [`Clock::elapsed`].
    until: Arc<AtomicU64>,
}

impl Tenure {
    /// One without an end, until it gets one.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, until: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    /// Sets its end; `None`: it has none.
    pub fn extend(&self, until: Option<Duration>) {
        let millis = until.map_or(u64::MAX, |until| u64::try_from(until.as_millis()).unwrap_or(u64::MAX));
        self.until.store(millis, Ordering::Release);
    }

    /// Whether this replica may still act.
    pub fn holds(&self) -> bool {
        let until = self.until.load(Ordering::Acquire);
        until == u64::MAX || u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX) < until
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::{ManualClock, Timestamp};
    use super::*;

    #[test]
    fn it_ends_by_the_monotonic_clock_and_can_be_extended() {
        let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
        let tenure = Tenure::new(Arc::new(clock.clone()));
        assert!(tenure.holds());
        tenure.extend(Some(clock.elapsed() + Duration::from_secs(12)));
        clock.advance(Duration::from_millis(11_999));
        assert!(tenure.holds());
        clock.advance(Duration::from_millis(1));
        assert!(!tenure.holds());
        tenure.extend(Some(clock.elapsed() + Duration::from_secs(12)));
        assert!(tenure.holds());
    }
}
