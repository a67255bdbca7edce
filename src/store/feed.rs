//! The feed: tells those who watch what has become durable. Costs nothing while nobody does.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

use super::{Acceptance, DeliverySummary, Finished, Happening, OrderSummary};
use crate::domain::{OrderStatus, Subject, Timestamp};

/// What a watcher may be behind before it misses something.
const BEHIND: usize = 1024;

/// Where watchers subscribe.
pub(super) struct Feed(broadcast::Sender<Arc<Happening>>);

impl Feed {
    pub(super) fn new() -> Self {
        Self(broadcast::channel(BEHIND).0)
    }

    pub(super) fn watch(&self) -> broadcast::Receiver<Arc<Happening>> {
        self.0.subscribe()
    }

    /// Whether anybody watches.
    pub(super) fn is_watched(&self) -> bool {
        self.0.receiver_count() > 0
    }

    pub(super) fn tell(&self, happening: Happening) {
        // Nobody may be watching any more.
        let _ = self.0.send(Arc::new(happening));
    }

    /// An order, if it was accepted.
    pub(super) fn accepted(&self, subject: &Subject, status: OrderStatus, acceptance: &Acceptance) {
        if let (Acceptance::New, Some(id)) = (acceptance, subject.order()) {
            let (order_id, kind) = (subject.order_id.clone(), subject.kind.clone());
            self.tell(Happening::Order { at: subject.received_at, id, order_id, kind, status });
        }
    }

    /// An order's end.
    pub(super) fn ended(&self, order: OrderSummary, at: Timestamp) {
        let OrderSummary { id, order_id, kind, status, .. } = order;
        self.tell(Happening::Order { at, id, order_id, kind, status });
    }

    /// An attempt that was recorded, and what its delivery is now.
    pub(super) fn attempted(&self, one: &Finished, delivery: DeliverySummary) {
        let attempt = &one.attempt;
        self.tell(Happening::Attempt {
            at: attempt.started_at.after(Duration::from_millis(attempt.duration_ms)),
            delivery: one.lease.delivery,
            channel: delivery.channel,
            order_id: delivery.order_id,
            number: attempt.number,
            code: attempt.code,
            outcome: attempt.outcome,
            error: attempt.error.clone(),
            duration_ms: attempt.duration_ms,
            status: delivery.status,
            next_attempt_at: delivery.next_attempt_at,
        });
    }
}
