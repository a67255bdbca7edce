//! The feed: tells those who watch what has become durable. Costs nothing while nobody does.

use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::broadcast;

use super::db::Tally;
use super::details;
use super::readers::Readers;
use crate::domain::{OrderId, OrderStatus, Subject, Timestamp};
use crate::store::{Acceptance, Finished, Happening, Recorded, StoreError};

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
    pub(super) async fn ended(&self, readers: &Arc<Readers>, order: OrderId, at: Timestamp) {
        match readers.read(move |conn| details::order_summary(conn, order.sequence())).await {
            Ok(found) => {
                let (id, order_id, kind, status) = (found.id, found.order_id, found.kind, found.status);
                self.tell(Happening::Order { at, id, order_id, kind, status });
            }
            Err(error) => tracing::debug!(%error, "the end of an order is not shown to watchers"),
        }
    }

    /// Attempts that were recorded.
    pub(super) async fn attempted(
        &self,
        readers: &Arc<Readers>,
        tally: &Arc<Tally>,
        finished: Arc<Vec<Finished>>,
        recorded: &[Recorded],
    ) {
        let done = recorded.iter().map(|recorded| *recorded == Recorded::Done).collect::<Vec<_>>();
        let tally = Arc::clone(tally);
        let read = readers.read(move |conn| attempts(conn, &tally, &finished, &done)).await;
        match read {
            Ok(happened) => happened.into_iter().for_each(|happening| self.tell(happening)),
            Err(error) => tracing::debug!(%error, "attempts are not shown to watchers"),
        }
    }
}

fn attempts(
    conn: &Connection,
    tally: &Tally,
    finished: &[Finished],
    done: &[bool],
) -> Result<Vec<Happening>, StoreError> {
    let done = finished.iter().zip(done).filter(|(_, done)| **done).map(|(one, _)| one);
    let happening = |one: &Finished| {
        let attempt = &one.attempt;
        let mut found = details::summaries(conn, tally, vec![one.lease.delivery.sequence()])?;
        let Some(delivery) = found.pop() else { return Ok(None) };
        Ok(Some(Happening::Attempt {
            at: attempt.started_at.after(std::time::Duration::from_millis(attempt.duration_ms)),
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
        }))
    };
    let happened: Result<Vec<_>, StoreError> = done.map(happening).collect();
    Ok(happened?.into_iter().flatten().collect())
}
