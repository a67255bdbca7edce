//! Finished attempts on their way into the store: in groups, until the store has them.
//!
//! While a group is being committed the next one gathers. What waits for its record counts in its lane's memory, so that a store
//! that stops taking records stops the lanes too. A group that the store refuses for good is written one by one, so that only the
//! record at fault is given up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::domain::{DeliveryStatus, Outcome, Timestamp};
use crate::store::{Finished, Leased, Next, Recorded, StoreError};

use super::super::context::Context;
use super::super::sender::ChannelSender;
use super::events::LaneEvent;
use super::handle::Lane;

/// The largest group, in records and in bytes.
const GROUP: usize = 512;
const GROUP_BYTES: usize = 4 << 20;

/// How long to wait before a group is written again, when the store did not take it.
const STORE_RETRY: Duration = Duration::from_millis(500);

/// Where a lane puts its finished attempts.
#[derive(Clone)]
pub(super) struct Recorder(mpsc::UnboundedSender<Entry>);

struct Entry {
    lane: Arc<Lane>,
    sender: Arc<ChannelSender>,
    finished: Finished,
    delivery: Leased,
}

/// The other end of [`Recorder`].
pub(super) struct Records {
    entries: mpsc::UnboundedReceiver<Entry>,
    /// Taken from `entries`, too much for the group before.
    rest: VecDeque<Entry>,
}

/// A recorder and its other end. Unbounded: the lanes' memory bounds what can be in it.
pub(super) fn recorder() -> (Recorder, Records) {
    let (sender, entries) = mpsc::unbounded_channel();
    (Recorder(sender), Records { entries, rest: VecDeque::new() })
}

impl Recorder {
    /// Has an attempt recorded.
    pub(super) fn send(&self, lane: &Arc<Lane>, sender: &Arc<ChannelSender>, finished: Finished, delivery: Leased) {
        let entry = Entry { lane: Arc::clone(lane), sender: Arc::clone(sender), finished, delivery };
        if self.0.send(entry).is_err() {
            tracing::error!(channel = &*lane.name, "an attempt could not be recorded: the recorder has ended");
        }
    }
}

/// The rest of an entry, while its record is with the store.
type Rest = (Arc<Lane>, Arc<ChannelSender>, Leased);

impl Records {
    /// Records what comes until there is no more recorder. After the stop's second stage, a store that does not take records is given
    /// up.
    pub(super) async fn run(mut self, context: Arc<Context>) {
        loop {
            let group = self.group().await;
            if group.is_empty() {
                return;
            }
            let mut finished = Vec::with_capacity(group.len());
            let mut rest: Vec<Rest> = Vec::with_capacity(group.len());
            for entry in group {
                finished.push(entry.finished);
                rest.push((entry.lane, entry.sender, entry.delivery));
            }
            let Some(recorded) = record(&context, Arc::new(finished)).await else { return };
            report(&context, recorded, rest).await;
        }
    }

    /// The next group; empty once there is nothing more to come.
    async fn group(&mut self) -> Vec<Entry> {
        if self.rest.is_empty() {
            self.rest.extend(self.entries.recv().await);
        }
        while self.rest.len() < GROUP
            && let Ok(entry) = self.entries.try_recv()
        {
            self.rest.push_back(entry);
        }
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            bytes += entry.finished.bytes();
            bytes <= GROUP_BYTES
        };
        let count = self.rest.iter().take(GROUP).take_while(fits).count().max(1).min(self.rest.len());
        self.rest.drain(..count).collect()
    }
}

/// Records that were written together, and what became of each; an error: it is given up.
type Written = (Arc<Vec<Finished>>, Vec<Result<Recorded, StoreError>>);

/// Writes a group. `None`: cut off by the stop.
async fn record(context: &Context, finished: Arc<Vec<Finished>>) -> Option<Vec<Written>> {
    loop {
        match context.store.queue.record(Arc::clone(&finished)).await {
            Ok(recorded) => return Some(vec![(finished, recorded.into_iter().map(Ok).collect())]),
            Err(error) if error.is_passing() => {
                if context.hard.is_cancelled() {
                    tracing::error!(%error, attempts = finished.len(), "attempts are not recorded: they are made again after a restart");
                    return None;
                }
                tracing::error!(%error, attempts = finished.len(), "attempts could not be recorded, trying again");
                tokio::time::sleep(STORE_RETRY).await;
            }
            Err(error) => match Arc::try_unwrap(finished) {
                Ok(several) if several.len() > 1 => {
                    tracing::warn!(%error, attempts = several.len(), "attempts are recorded one by one");
                    let mut written = Vec::with_capacity(several.len());
                    for one in several {
                        written.extend(Box::pin(record(context, Arc::new(vec![one]))).await?);
                    }
                    return Some(written);
                }
                given_up => {
                    let finished = given_up.map_or_else(|shared| shared, Arc::new);
                    let errors = finished.iter().map(|_| Err(error.clone())).collect();
                    return Some(vec![(finished, errors)]);
                }
            },
        }
    }
}

/// What a lane learns of a group.
struct News {
    lane: Arc<Lane>,
    records: usize,
    bytes: usize,
    kept: Vec<Leased>,
    waits: Option<Timestamp>,
}

/// Logs and counts what has been recorded, and tells the lanes.
async fn report(context: &Context, written: Vec<Written>, rest: Vec<Rest>) {
    let mut news: Vec<News> = Vec::new();
    let mut to_disable: Vec<(Arc<Lane>, &Finished, String)> = Vec::new();
    let each = written.iter().flat_map(|(finished, recorded)| finished.iter().zip(recorded));
    for ((one, recorded), (lane, sender, delivery)) in each.zip(rest) {
        let at = news.iter().position(|news| Arc::ptr_eq(&news.lane, &lane)).unwrap_or_else(|| {
            news.push(News { lane: Arc::clone(&lane), records: 0, bytes: 0, kept: Vec::new(), waits: None });
            news.len() - 1
        });
        let Some(news) = news.get_mut(at) else { continue };
        news.records += 1;
        news.bytes += one.bytes();
        match recorded {
            Ok(Recorded::Done) => {
                settle(&lane, one, delivery, news);
                // What is said to a request by settings that no longer hold does not count for those that do.
                if let Some(why) = reason_to_disable(&lane, &sender, one).filter(|_| lane.uses(&sender)) {
                    to_disable.push((lane, one, why));
                }
            }
            Ok(Recorded::Fenced) => {
                tracing::info!(delivery = %delivery.id, channel = &*lane.name, "an attempt ended after its delivery had moved on");
            }
            Err(error) => {
                context.fail("an attempt could not be recorded");
                tracing::error!(%error, delivery = %delivery.id, channel = &*lane.name, "an attempt is not recorded: it is made again after a restart");
            }
        }
    }
    for News { lane, records, bytes, kept, waits } in news {
        lane.post(LaneEvent::Recorded { records, bytes, kept, waits });
    }
    for (lane, one, why) in to_disable {
        context.disable(&lane, one.lease.delivery, &one.attempt, &why).await;
    }
}

/// Why a recorded attempt disables its channel, where it does.
fn reason_to_disable(lane: &Lane, sender: &ChannelSender, finished: &Finished) -> Option<String> {
    let attempt = &finished.attempt;
    if attempt.outcome == Outcome::Disable {
        return Some(format!("the receiver answered {}", attempt.code.as_i32()));
    }
    let most = sender.channel.holding.disable_after?;
    let since = lane.health().failing_since?;
    let ended = attempt.started_at.after(Duration::from_millis(attempt.duration_ms));
    let text = || format!("every attempt since {since} has failed (disable_after)");
    (!attempt.outcome.is_success() && ended.since(since) >= most).then(text)
}

/// What follows once an attempt is on record.
fn settle(lane: &Lane, finished: &Finished, mut delivery: Leased, news: &mut News) {
    let attempt = &finished.attempt;
    let channel = &*lane.name;
    let (event, order_id) = (Arc::clone(&delivery.event), &delivery.event.subject.order_id);
    let id = || event.subject.id();
    match finished.next {
        Next::End(status) => {
            lane.metrics.delivery(status);
            if matches!(status, DeliveryStatus::Accepted | DeliveryStatus::Dispatched) {
                tracing::debug!(delivery = %delivery.id, order = id(), order_id, channel, attempt = attempt.number, code = attempt.code.as_i32(), duration_ms = attempt.duration_ms, %status, "delivered");
            } else {
                tracing::warn!(delivery = %delivery.id, order = id(), order_id, channel, attempt = attempt.number, code = attempt.code.as_i32(), error = attempt.error, %status, "not delivered");
            }
        }
        Next::Keep(at) | Next::Wait(at) => {
            tracing::debug!(delivery = %delivery.id, order = id(), order_id, channel, attempt = attempt.number, code = attempt.code.as_i32(), error = attempt.error, next_attempt_at = %at, "retry scheduled");
            if matches!(finished.next, Next::Keep(_)) {
                delivery.attempts = attempt.number;
                delivery.lease += 1;
                delivery.due_at = at;
                news.kept.push(delivery);
            } else {
                news.waits = Some(news.waits.map_or(at, |other| other.min(at)));
            }
        }
    }
}
