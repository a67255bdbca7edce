//! Deliveries that were under way when the process died.
//!
//! What ended the process may be in one of them: an order that a template or a response that a parser cannot take. So
//! each is marked in the store while an attempt of it is under way. One that was in flight at three such ends in a row is
//! set aside as failed; a person may retry it. The second and third time it is tried apart from the other suspects and not
//! right after the start, so that it takes none of them with it, and none is blamed for a process that is killed as soon as
//! it runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

use crate::domain::{Clock, DeliveryId};
use crate::store::Queue;

/// Ends of the process after which a delivery is set aside.
const POISONED: u32 = 3;

/// How long after the start a delivery waits that was under way at two ends.
const SETTLED: Duration = Duration::from_secs(2);

/// What is said of a delivery that is set aside.
pub(super) const ERROR: &str = "poisoned: the process ended three times while this delivery was under way";

/// What all suspects share.
pub(super) struct Suspects {
    started: Duration,
    /// Held by the one that is tried apart.
    apart: Mutex<()>,
}

impl Suspects {
    pub(super) fn new(started: Duration) -> Self {
        Self { started, apart: Mutex::new(()) }
    }
}

/// Suspects among the deliveries of an attempt, while it is under way.
#[must_use]
pub(super) struct Watch<'a> {
    marked: Vec<DeliveryId>,
    poisoned: Vec<DeliveryId>,
    _apart: Option<MutexGuard<'a, ()>>,
}

impl<'a> Watch<'a> {
    /// Begins an attempt of these deliveries. Costs nothing where none is a suspect.
    pub(super) async fn begin(
        suspects: &'a Suspects,
        queue: &dyn Queue,
        clock: &Arc<dyn Clock>,
        deliveries: impl Iterator<Item = DeliveryId>,
    ) -> Self {
        let crashed = deliveries.map(|id| (id, queue.crashes(id))).filter(|(_, crashes)| *crashes > 0);
        let (poisoned, marked): (Vec<_>, Vec<_>) = crashed.partition(|(_, crashes)| *crashes >= POISONED);
        for (delivery, _) in &poisoned {
            tracing::error!(%delivery, "delivery set aside: the process ended three times while it was under way");
        }
        let mut apart = None;
        if marked.iter().any(|(_, crashes)| *crashes + 1 >= POISONED) {
            clock.sleep_until(suspects.started + SETTLED).await;
            apart = Some(suspects.apart.lock().await);
        }
        let ids = |of: Vec<(DeliveryId, u32)>| of.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        let (poisoned, marked) = (ids(poisoned), ids(marked));
        for id in &marked {
            if let Err(error) = queue.begin_suspect(*id).await {
                tracing::warn!(delivery = %id, %error, "a delivery that was under way when the process died is tried unmarked");
            }
        }
        Self { marked, poisoned, _apart: apart }
    }

    /// Whether this one is to be set aside instead of sent.
    pub(super) fn is_poisoned(&self, delivery: DeliveryId) -> bool {
        self.poisoned.contains(&delivery)
    }

    /// Ends the attempt: the process is still there.
    pub(super) async fn end(self, queue: &dyn Queue) {
        for id in self.marked.iter().chain(&self.poisoned) {
            if let Err(error) = queue.clear_suspect(*id).await {
                tracing::warn!(delivery = %id, %error, "a delivery stays suspected of having ended the process");
            }
        }
    }
}
