//! Whether the store accepts writes, checked for all probes together.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use crate::domain::Timestamp;
use crate::store::{History, StoreError};
use crate::telemetry::Throttle;

/// The longest time that the store may take for a check.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the result of a check holds.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How long the store counts as full after it refused a write for lack of room, unless it takes one before.
const FULL_FOR: Duration = Duration::from_secs(10);

const FULL: &str = "the store is full";

/// The result of a check: why the store is not ready.
type Checked = Result<(), &'static str>;

/// Stands for a time that never was.
const NEVER: i64 = i64::MIN;

/// The last check of the store, shared by everybody who asks.
#[derive(Debug)]
pub(super) struct Readiness {
    last: Mutex<Option<(Timestamp, Checked)>>,
    /// When the store refused a write for lack of room, in milliseconds.
    full_at: AtomicI64,
}

impl Default for Readiness {
    fn default() -> Self {
        Self { last: Mutex::default(), full_at: AtomicI64::new(NEVER) }
    }
}

impl Readiness {
    /// Returns whether the store accepts writes. Writes to it at most once a second, however many ask.
    pub(super) async fn of(&self, history: &dyn History, now: Timestamp) -> Checked {
        let full_at = self.full_at.load(Ordering::Acquire);
        if full_at != NEVER && is_within(Timestamp::from_millis(full_at), now, FULL_FOR) {
            return Err(FULL);
        }
        // Callers that ask meanwhile wait for this check and share its result.
        let mut last = self.last.lock().await;
        if let Some((at, checked)) = *last
            && is_within(at, now, CHECK_INTERVAL)
        {
            return checked;
        }
        let checked = check(history).await;
        *last = Some((now, checked));
        checked
    }

    /// Notes that the store refused a write for lack of room.
    pub(super) fn refused_as_full(&self, now: Timestamp) {
        self.full_at.store(now.as_millis(), Ordering::Release);
    }

    /// Notes that the store took a write.
    pub(super) fn accepted(&self) {
        if self.full_at.load(Ordering::Acquire) != NEVER {
            self.full_at.store(NEVER, Ordering::Release);
        }
    }
}

/// Whether `now` is less than `time` after `at`. A clock that was set back does not prolong it.
fn is_within(at: Timestamp, now: Timestamp, time: Duration) -> bool {
    now >= at && now.since(at) < time
}

async fn check(history: &dyn History) -> Checked {
    static LOG: Throttle = Throttle::new();
    match tokio::time::timeout(PATIENCE, history.ping()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            if let Some(suppressed) = LOG.admit() {
                tracing::warn!(%error, suppressed, "the store is not ready");
            }
            Err(match error {
                StoreError::Full(_) => FULL,
                _ => "the store is failing",
            })
        }
        Err(_) => Err("the store does not respond in time"),
    }
}
