//! Finished attempts on their way into the store: in groups, until the store has them.
//!
//! While a group is being committed the next one gathers. A delivery keeps its place in memory until its attempt is
//! recorded, so that a store that stops taking records stops the lanes too, and nothing that was delivered is
//! forgotten.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::domain::{DeliveryStatus, Outcome};
use crate::store::{Finished, Leased, Next, Recorded};

use super::attempt::Ended;
use super::lane::Lane;
use super::lanes::Shared;
use super::outlet::Outlet;

/// The largest group.
const GROUP: usize = 512;

/// How long to wait before a group is written again, when the store did not take it.
const STORE_RETRY: Duration = Duration::from_millis(500);

/// Where a lane puts its finished attempts.
#[derive(Clone)]
pub(super) struct Recorder(mpsc::UnboundedSender<Entry>);

struct Entry {
    lane: Arc<Lane>,
    outlet: Arc<Outlet>,
    finished: Finished,
    delivery: Leased,
}

/// The other end of [`Recorder`].
pub(super) struct Records(mpsc::UnboundedReceiver<Entry>);

/// A recorder and its other end. Unbounded: what can be in it is bounded by the lanes' memory.
pub(super) fn recorder() -> (Recorder, Records) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Recorder(sender), Records(receiver))
}

impl Recorder {
    pub(super) fn send(&self, lane: &Arc<Lane>, outlet: &Arc<Outlet>, ended: Ended) {
        // The other end lives until the last lane has let go of this one.
        let (lane, outlet) = (Arc::clone(lane), Arc::clone(outlet));
        let _ = self.0.send(Entry { lane, outlet, finished: ended.finished, delivery: ended.delivery });
    }
}

impl Records {
    /// Records until the stop's second stage, and then what has come back by then.
    pub(super) async fn run(mut self, shared: Arc<Shared>) {
        let mut group = Vec::with_capacity(GROUP);
        loop {
            tokio::select! {
                biased;
                count = self.0.recv_many(&mut group, GROUP) => if count == 0 { return },
                () = shared.hard.cancelled() => return,
            }
            let mut rest = Vec::with_capacity(group.len());
            let mut finished = Vec::with_capacity(group.len());
            for entry in group.drain(..) {
                finished.push(entry.finished);
                rest.push((entry.lane, entry.outlet, entry.delivery));
            }
            let finished = Arc::new(finished);
            let recorded = loop {
                match shared.store.queue.record(shared.replica, Arc::clone(&finished)).await {
                    Ok(recorded) => break recorded,
                    Err(error) if error.is_passing() && !shared.hard.is_cancelled() => {
                        tracing::error!(%error, attempts = finished.len(), "attempts could not be recorded, trying again");
                        tokio::time::sleep(STORE_RETRY).await;
                    }
                    Err(error) => {
                        tracing::error!(%error, attempts = finished.len(), "attempts are not recorded: they are made again after a restart");
                        return;
                    }
                }
            };
            for ((finished, (lane, outlet, delivery)), recorded) in finished.iter().zip(rest).zip(recorded) {
                settle(&shared, (&lane, &outlet), finished, delivery, recorded).await;
            }
        }
    }
}

/// What follows once an attempt is on record.
async fn settle(
    shared: &Arc<Shared>,
    (lane, outlet): (&Arc<Lane>, &Arc<Outlet>),
    finished: &Finished,
    mut delivery: Leased,
    recorded: Recorded,
) {
    let attempt = &finished.attempt;
    let channel = &*lane.name;
    let (event, order_id) = (Arc::clone(&delivery.event), &delivery.event.subject.order_id);
    let id = || event.subject.id();
    if recorded == Recorded::Fenced {
        tracing::info!(delivery = %delivery.id, order = id(), order_id, channel, "an attempt came back after its delivery had moved on");
        return;
    }
    match finished.next {
        Next::End(status) => {
            lane.metrics.delivery(status);
            if matches!(status, DeliveryStatus::Accepted | DeliveryStatus::Dispatched) {
                tracing::debug!(delivery = %delivery.id, order = id(), order_id, channel, attempt = attempt.number, code = attempt.code.as_i32(), duration_ms = attempt.duration_ms, %status, "delivered");
            } else {
                tracing::warn!(delivery = %delivery.id, order = id(), order_id, channel, attempt = attempt.number, code = attempt.code.as_i32(), error = attempt.error, %status, "not delivered");
            }
            // What a receiver said to a request by settings that no longer hold is not said to those that do.
            if attempt.outcome == Outcome::Disable && lane.goes_by(outlet) {
                shared.disable(lane, &delivery, attempt.code).await;
            }
        }
        Next::Keep(at) | Next::Wait(at) => {
            tracing::debug!(delivery = %delivery.id, order = id(), order_id, channel, attempt = attempt.number, code = attempt.code.as_i32(), error = attempt.error, next_attempt_at = %at, "to be tried again");
            if matches!(finished.next, Next::Keep(_)) {
                delivery.attempts = attempt.number;
                delivery.due_at = at;
                lane.take_for_now(std::iter::once(delivery));
            } else {
                lane.waiting(at);
            }
        }
    }
}
