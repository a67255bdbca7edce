//! What a lane holds in memory, and what it starts next.
//!
//! First attempts go before retries, so that a receiver's old failures do not hold up what is new; yet one in
//! [`TURN`] is a retry, so that a busy lane does not starve them. Retries take at most half of the channel's places,
//! so that a dead receiver's time-outs leave room for first attempts.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use crate::domain::{DeliveryId, Timestamp};
use crate::store::Leased;

/// With both waiting, every so many starts is a retry.
const TURN: u32 = 16;

/// A lane's deliveries in memory.
#[derive(Debug)]
pub(super) struct LaneQueue {
    concurrency: usize,
    first: VecDeque<Leased>,
    ready: VecDeque<Leased>,
    later: BinaryHeap<Reverse<Due>>,
    in_flight: usize,
    retries_in_flight: usize,
    since_retry: u32,
    /// Bytes of the retries in it.
    retry_bytes: usize,
}

#[derive(Debug)]
struct Due(Leased);

impl Due {
    fn key(&self) -> (Timestamp, DeliveryId) {
        (self.0.due_at, self.0.id)
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// Bytes that a delivery takes in memory.
pub(super) fn bytes(delivery: &Leased) -> usize {
    let text = delivery.prepared.as_deref().and_then(|prepared| prepared.text.as_ref()).map_or(0, |text| text.len());
    1024 + delivery.event.subject.body.len() + delivery.event.context.len() + text
}

/// Whether a delivery's next attempt is a retry. So is the first of a round that a person started again: it does not go
/// before what is new.
pub(super) fn is_retry(delivery: &Leased) -> bool {
    delivery.attempts > 0
}

impl LaneQueue {
    pub(super) fn new(concurrency: usize) -> Self {
        Self {
            concurrency: concurrency.max(1),
            first: VecDeque::new(),
            ready: VecDeque::new(),
            later: BinaryHeap::new(),
            in_flight: 0,
            retries_in_flight: 0,
            since_retry: 0,
            retry_bytes: 0,
        }
    }

    /// Allows so many attempts at once from now on; those under way count.
    pub(super) fn allow(&mut self, concurrency: usize) {
        self.concurrency = concurrency.max(1);
    }

    /// Takes a delivery into the queue.
    pub(super) fn push(&mut self, delivery: Leased) {
        if is_retry(&delivery) {
            self.retry_bytes += bytes(&delivery);
            self.later.push(Reverse(Due(delivery)));
        } else {
            self.first.push_back(delivery);
        }
    }

    /// The next delivery to start at `now`, if there is one and a place for it. Its place is taken until
    /// [`LaneQueue::done`].
    pub(super) fn start(&mut self, now: Timestamp) -> Option<Leased> {
        self.become_due(now);
        if self.in_flight >= self.concurrency {
            return None;
        }
        let retry_due = self.retries_in_flight < self.retry_places() && !self.ready.is_empty();
        let delivery = if retry_due && (self.first.is_empty() || self.since_retry >= TURN) {
            self.since_retry = 0;
            let next = self.ready.pop_front();
            self.retry_bytes -= next.as_ref().map_or(0, bytes);
            next
        } else {
            self.since_retry = self.since_retry.saturating_add(1);
            self.first.pop_front()
        }?;
        self.in_flight += 1;
        self.retries_in_flight += usize::from(is_retry(&delivery));
        Some(delivery)
    }

    /// Up to `limit` further deliveries that go into the request of `first`, which was just started; they take no place.
    /// First attempts go with first attempts, and retries with those tried as often, so that what was sent together is
    /// sent together again.
    pub(super) fn siblings(&mut self, first: &Leased, limit: usize) -> Vec<Leased> {
        let made = |delivery: &Leased| delivery.attempts - delivery.round_start;
        let retry = is_retry(first);
        let queue = if retry { &mut self.ready } else { &mut self.first };
        let count = queue.iter().take(limit).take_while(|next| made(next) == made(first)).count();
        let siblings: Vec<Leased> = queue.drain(..count).collect();
        if retry {
            self.retry_bytes -= siblings.iter().map(bytes).sum::<usize>();
        }
        siblings
    }

    fn become_due(&mut self, now: Timestamp) {
        while self.later.peek().is_some_and(|Reverse(due)| due.0.due_at <= now) {
            self.ready.extend(self.later.pop().map(|Reverse(due)| due.0));
        }
    }

    /// An attempt is over; `retry` says which kind it was.
    pub(super) fn done(&mut self, retry: bool) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if retry {
            self.retries_in_flight = self.retries_in_flight.saturating_sub(1);
        }
    }

    /// Drops a delivery that is held under an older lease than this one.
    pub(super) fn forget(&mut self, delivery: DeliveryId, lease: i64) {
        let stays = |held: &Leased| held.id != delivery || held.lease >= lease;
        self.first.retain(stays);
        self.ready.retain(stays);
        self.later.retain(|Reverse(due)| stays(&due.0));
        let retries = self.ready.iter().chain(self.later.iter().map(|Reverse(due)| &due.0));
        self.retry_bytes = retries.map(bytes).sum();
    }

    /// Whether it holds a delivery that is due.
    pub(super) fn has_ready(&mut self, now: Timestamp) -> bool {
        self.become_due(now);
        !self.first.is_empty() || !self.ready.is_empty()
    }

    /// Makes a retry that is held for later due at `now`.
    pub(super) fn hasten(&mut self, delivery: DeliveryId, now: Timestamp) {
        self.later = std::mem::take(&mut self.later)
            .into_iter()
            .map(|Reverse(Due(mut held))| {
                if held.id == delivery {
                    held.due_at = held.due_at.min(now);
                }
                Reverse(Due(held))
            })
            .collect();
    }

    /// The wall clock was set back: what is held for later is due as much earlier by it.
    pub(super) fn set_back(&mut self, by: Duration) {
        self.later = std::mem::take(&mut self.later)
            .into_iter()
            .map(|Reverse(Due(mut held))| {
                held.due_at = held.due_at.before(by);
                Reverse(Due(held))
            })
            .collect();
    }

    /// Takes everything out that is not in flight.
    pub(super) fn drain(&mut self) -> Vec<Leased> {
        let later = std::mem::take(&mut self.later).into_iter().map(|Reverse(due)| due.0);
        let ready = std::mem::take(&mut self.ready);
        self.retry_bytes = 0;
        std::mem::take(&mut self.first).into_iter().chain(ready).chain(later).collect()
    }

    /// How many first attempts, or retries, it would be glad to have more of: enough to keep its places busy until
    /// the next claim.
    pub(super) fn wants(&self, retries: bool) -> usize {
        let (held, places) =
            if retries { (self.ready.len(), self.retry_places()) } else { (self.first.len(), self.concurrency) };
        let low = places.max(8);
        if held >= low { 0 } else { (low * 4).min(low.max(1024)) - held }
    }

    /// When the next retry that is not ready yet will be.
    pub(super) fn next_retry(&self) -> Option<Timestamp> {
        self.later.peek().map(|Reverse(due)| due.0.due_at)
    }

    /// Whether something would start if there were a worker for it.
    pub(super) fn is_hungry(&mut self, now: Timestamp) -> bool {
        self.become_due(now);
        let retry = !self.ready.is_empty() && self.retries_in_flight < self.retry_places();
        self.in_flight < self.concurrency && (retry || !self.first.is_empty())
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Deliveries held that are not in flight.
    pub(super) fn held(&self) -> usize {
        self.first.len() + self.ready.len() + self.later.len()
    }

    /// Bytes of the retries that it holds.
    pub(super) fn retry_bytes(&self) -> usize {
        self.retry_bytes
    }

    fn retry_places(&self) -> usize {
        (self.concurrency / 2).max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use proptest::prelude::*;

    use crate::domain::{Event, EventId, Origin, Subject};

    use super::*;

    fn delivery(id: u128, attempts: u32, due: i64) -> Leased {
        let event = EventId::from_u128(1);
        let subject = Subject {
            origin: Origin::Event(event),
            order_id: String::new(),
            kind: String::new(),
            received_at: Timestamp::default(),
            chain: None,
            body: Bytes::new(),
            arrival: None,
        };
        Leased {
            id: DeliveryId::from_u128(id),
            channel: Arc::from("erp"),
            event: Arc::new(Event {
                id: event,
                kind: Arc::from("a"),
                at: Timestamp::default(),
                subject: Arc::new(subject),
                context: Arc::from(""),
                step: None,
                steps: Arc::default(),
            }),
            prepared: None,
            due_at: Timestamp::from_millis(due),
            attempts,
            round_start: 0,
            lease: 1,
            slot: None,
        }
    }

    #[test]
    fn first_attempts_go_before_retries_and_retries_are_not_starved() {
        let mut queue = LaneQueue::new(1);
        for id in 0..40 {
            queue.push(delivery(id, 0, 0));
        }
        queue.push(delivery(100, 1, 0));
        queue.push(Leased { round_start: 1, ..delivery(101, 1, 0) });
        let mut order = Vec::new();
        while let Some(next) = queue.start(Timestamp::from_millis(0)) {
            order.push(next.id.as_u128());
            queue.done(is_retry(&next));
        }
        assert_eq!(order.len(), 42);
        let at = |id: u128| order.iter().position(|other| *other == id).unwrap();
        assert_eq!((at(100), at(101)), (16, 33));
    }

    #[test]
    fn deliveries_of_one_request_have_been_tried_as_often() {
        let mut queue = LaneQueue::new(1);
        for (id, attempts) in [(1, 0), (2, 1), (3, 0), (4, 1), (5, 2), (6, 0)] {
            queue.push(delivery(id, attempts, 0));
        }
        let mut requests = Vec::new();
        while let Some(first) = queue.start(Timestamp::from_millis(1)) {
            let siblings = queue.siblings(&first, 1);
            queue.done(is_retry(&first));
            requests
                .push(std::iter::once(first).chain(siblings).map(|delivery| delivery.id.as_u128()).collect::<Vec<_>>());
        }
        assert_eq!(requests, [vec![1, 3], vec![6], vec![2, 4], vec![5]]);
    }

    #[test]
    fn a_lane_wants_more_up_to_any_concurrency() {
        let mut queue = LaneQueue::new(3000);
        for id in 0..2999 {
            queue.push(delivery(id, 0, 0));
        }
        assert_eq!(queue.wants(false), 1);
        queue.push(delivery(2999, 0, 0));
        assert_eq!(queue.wants(false), 0);
    }

    #[test]
    fn a_retry_waits_for_its_time_and_a_cancelled_delivery_is_dropped() {
        let mut queue = LaneQueue::new(4);
        queue.push(delivery(1, 1, 50));
        queue.push(delivery(2, 0, 0));
        queue.push(delivery(3, 0, 0));
        queue.forget(DeliveryId::from_u128(2), 2);
        queue.forget(DeliveryId::from_u128(3), 1);
        queue.forget(DeliveryId::from_u128(9), 2);
        assert_eq!(queue.start(Timestamp::from_millis(0)).map(|d| d.id.as_u128()), Some(3));
        assert!(queue.start(Timestamp::from_millis(49)).is_none());
        assert_eq!(queue.next_retry(), Some(Timestamp::from_millis(50)));
        assert_eq!(queue.start(Timestamp::from_millis(50)).map(|d| d.id.as_u128()), Some(1));
    }

    proptest! {
        #[test]
        fn places_are_never_passed_and_nothing_is_lost(
            concurrency in 1usize..9,
            steps in proptest::collection::vec((0u8..3, 0u32..3), 1..200),
        ) {
            let mut queue = LaneQueue::new(concurrency);
            let mut under_way = Vec::new();
            let (mut pushed, mut ended) = (0u128, 0u128);
            for (step, attempts) in steps {
                match step {
                    0 => { pushed += 1; queue.push(delivery(pushed, attempts, 0)); }
                    1 => under_way.extend(queue.start(Timestamp::from_millis(1))),
                    _ => if let Some(over) = under_way.pop() { queue.done(is_retry(&over)); ended += 1; },
                }
                prop_assert!(queue.in_flight() <= concurrency && queue.in_flight() == under_way.len());
                let retries = under_way.iter().filter(|d| is_retry(d)).count();
                prop_assert!(retries <= (concurrency / 2).max(1));
                prop_assert_eq!(pushed, ended + under_way.len() as u128 + queue.held() as u128);
            }
        }
    }
}
