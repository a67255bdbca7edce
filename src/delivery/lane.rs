//! A channel's lane: the task that starts its attempts, claims from the store, and waits for what is due.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::domain::{Attempt, DeliveryId, Outcome, Timestamp};
use crate::store::{ChannelState, Leased, NextDue};
use crate::telemetry::metrics::ChannelMetrics;

use super::health::{self, Health, Turn};
use super::lanes::Shared;
use super::outlet::Outlet;
use super::queue::{LaneQueue, is_retry};
use super::record::Recorder;
use super::runs::LaneRuns;
use super::stats::Rates;
use super::workers::Workers;
use super::{attempt, bucket};

/// How often a lane asks the store without being told to: for the work of replicas that died, and of other replicas'
/// callers.
const POLL: Duration = Duration::from_secs(5);

pub(super) struct Lane {
    pub(super) name: Arc<str>,
    /// What an attempt that begins now is made with; none once the channel is no longer configured.
    outlet: ArcSwapOption<Outlet>,
    pub(super) metrics: ChannelMetrics,
    pub(super) workers: Workers,
    pub(super) queue: Mutex<LaneQueue>,
    pub(super) wake: Notify,
    /// What waits in the store, as far as is known; a time in the past: to be asked for.
    pub(super) due: Mutex<NextDue>,
    /// Whether the channel has a schedule.
    scheduled: AtomicBool,
    /// Its runs: it claims by them alone.
    pub(super) runs: Mutex<Option<LaneRuns>>,
    pub(super) claiming: AtomicBool,
    recalled: AtomicBool,
    /// What is held waits for a run that is yet to come.
    given_back: AtomicBool,
    state: AtomicU8,
    /// How it has fared.
    pub(super) record: Mutex<health::Record>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The earlier of two times, where there are any.
pub(super) fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl Lane {
    /// A lane that is not driven yet, of a channel that is switched off.
    pub(super) fn new(name: &Arc<str>, metrics: ChannelMetrics, workers: Workers) -> Self {
        let past = Some(Timestamp::default());
        Self {
            name: Arc::clone(name),
            outlet: ArcSwapOption::empty(),
            queue: Mutex::new(LaneQueue::new(1)),
            metrics,
            workers,
            wake: Notify::new(),
            due: Mutex::new(NextDue { first: past, retry: past }),
            scheduled: AtomicBool::new(false),
            runs: Mutex::new(None),
            claiming: AtomicBool::new(false),
            recalled: AtomicBool::new(false),
            given_back: AtomicBool::new(false),
            state: AtomicU8::new(ChannelState::Disabled as u8),
            record: Mutex::default(),
        }
    }

    /// Makes further attempts with `outlet`; those under way end as they began. Where the schedule is another one,
    /// what is held goes back to the store, to wait for its run.
    pub(super) fn configure(&self, outlet: Outlet, now: Timestamp) {
        let schedule = outlet.channel.schedule.clone();
        lock(&self.queue).allow(outlet.channel.concurrency);
        self.outlet.store(Some(Arc::new(outlet)));
        let mut runs = lock(&self.runs);
        if runs.as_ref().map(LaneRuns::schedule) != schedule.as_ref() {
            self.scheduled.store(schedule.is_some(), Ordering::Release);
            *runs = schedule.map(|schedule| LaneRuns::new(schedule, now));
            self.given_back.store(true, Ordering::Release);
        }
        self.wake.notify_one();
    }

    /// Starts nothing any more: the channel is no longer configured. What it holds goes back to the store.
    pub(super) fn retire(&self) {
        self.set_state(ChannelState::Disabled);
        self.outlet.store(None);
    }

    /// Whether its channel is configured, and not switched off there.
    pub(super) fn is_on(&self) -> bool {
        self.outlet.load().as_ref().is_some_and(|outlet| outlet.channel.enabled)
    }

    /// What an attempt that begins now is made with.
    pub(super) fn outlet(&self) -> Option<Arc<Outlet>> {
        self.outlet.load_full()
    }

    /// Whether attempts that begin now are made with that.
    pub(super) fn goes_by(&self, outlet: &Arc<Outlet>) -> bool {
        self.outlet.load().as_ref().is_some_and(|now| Arc::ptr_eq(now, outlet))
    }

    /// Whether it claims by a schedule alone.
    pub(super) fn is_scheduled(&self) -> bool {
        self.scheduled.load(Ordering::Acquire)
    }

    pub(super) fn state(&self) -> ChannelState {
        let state = self.state.load(Ordering::Acquire);
        ChannelState::ALL.iter().copied().find(|other| *other as u8 == state).unwrap_or(ChannelState::Enabled)
    }

    pub(super) fn set_state(&self, state: ChannelState) {
        self.state.store(state as u8, Ordering::Release);
        self.wake.notify_one();
    }

    /// Takes deliveries that belong to this replica.
    pub(super) fn take(&self, deliveries: impl Iterator<Item = Leased>) {
        let mut queue = lock(&self.queue);
        deliveries.for_each(|delivery| queue.push(delivery));
        drop(queue);
        self.wake.notify_one();
    }

    /// The same of deliveries that are to be sent at once: where there is a schedule by now, they wait for its run.
    pub(super) fn take_for_now(&self, deliveries: impl Iterator<Item = Leased>) {
        self.take(deliveries);
        if self.is_scheduled() {
            self.given_back.store(true, Ordering::Release);
            self.wake.notify_one();
        }
    }

    /// Something waits in the store from `at` on; it is not known whether it is a first attempt.
    pub(super) fn waiting(&self, at: Timestamp) {
        let mut due = lock(&self.due);
        let at = Some(at);
        *due = NextDue { first: earlier(due.first, at), retry: earlier(due.retry, at) };
        drop(due);
        self.wake.notify_one();
    }

    pub(super) fn forget(&self, deliveries: &HashSet<DeliveryId>) {
        lock(&self.queue).remove(deliveries);
    }

    /// What is held in memory goes back to the store, and what of it is still to be sent is claimed anew.
    pub(super) fn recall(&self) {
        self.recalled.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    pub(super) fn in_flight(&self) -> usize {
        lock(&self.queue).in_flight()
    }

    pub(super) fn rates(&self, now: Timestamp) -> Rates {
        lock(&self.record).hour.rates(now)
    }

    /// How its receiver fares.
    pub(super) fn health(&self) -> Health {
        lock(&self.record).health.clone()
    }

    /// Counts an attempt that has ended. Returns what it changes about how the receiver fares.
    pub(super) fn attempted(&self, now: Timestamp, attempt: &Attempt, took: Duration) -> Option<Turn> {
        let success = matches!(attempt.outcome, Outcome::Accepted | Outcome::Dispatched);
        self.metrics.attempt(attempt.outcome, took);
        let mut record = lock(&self.record);
        record.changed = true;
        record.hour.add(now, success, attempt.duration_ms);
        record.health.attempted(now, attempt)
    }

    /// Runs until the stop begins; what it holds by then goes back to the store.
    pub(super) async fn drive(self: Arc<Self>, shared: Arc<Shared>, recorder: Recorder) {
        let mut spare = None;
        while !shared.soft.is_cancelled() {
            let mut hungry = false;
            let (recalled, given_back) =
                (self.recalled.swap(false, Ordering::AcqRel), self.given_back.swap(false, Ordering::AcqRel));
            if recalled || given_back {
                let again = || {
                    self.recalled.fetch_or(recalled, Ordering::AcqRel);
                    self.given_back.fetch_or(given_back, Ordering::AcqRel);
                };
                let Some(held) = self.put_back(&shared, again).await else { continue };
                if let (false, Some(runs)) = (given_back, &mut *lock(&self.runs)) {
                    runs.recall(held);
                }
                self.waiting(shared.clock.now());
            }
            if self.state() == ChannelState::Enabled {
                hungry = self.start(&shared, &recorder, &mut spare);
                if self.is_scheduled() {
                    self.run(&shared);
                } else {
                    self.claim(&shared);
                }
            } else {
                // A worker that it has waited for is free for others.
                spare = None;
                self.put_back(&shared, || ()).await;
                if let Some(runs) = &mut *lock(&self.runs) {
                    runs.end();
                }
            }
            let now = shared.clock.now();
            let poll = now.after(POLL);
            let timer = shared.clock.sleep_until(self.next_timer(now).map_or(poll, |at| at.clamp(now, poll)));
            tokio::select! {
                () = self.wake.notified() => {}
                () = timer => self.timed(&shared, poll),
                place = self.workers.take(), if hungry && spare.is_none() => spare = place,
                () = shared.soft.cancelled() => {}
            }
        }
        self.put_back(&shared, || ()).await;
    }

    /// Starts what can be started. Answers whether only workers are wanting.
    fn start(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        recorder: &Recorder,
        spare: &mut Option<OwnedSemaphorePermit>,
    ) -> bool {
        let now = shared.clock.now();
        loop {
            let Some(permit) = spare.take().or_else(|| self.workers.try_take()) else {
                return lock(&self.queue).is_hungry(now);
            };
            let Some(delivery) = lock(&self.queue).start(now) else { return false };
            let (lane, shared, recorder) = (Arc::clone(self), Arc::clone(shared), recorder.clone());
            shared.tasks.clone().spawn(async move { lane.work(&shared, &recorder, delivery, permit).await });
        }
    }

    /// Makes an attempt, and goes on with the next delivery as long as one can be started at once: a task for each
    /// would cost more than the rest of the lane.
    async fn work(
        self: &Arc<Self>,
        shared: &Shared,
        recorder: &Recorder,
        first: Leased,
        _permit: OwnedSemaphorePermit,
    ) {
        let mut next = Some(first);
        while let Some(delivery) = next.take() {
            let place = Place { lane: self, retry: is_retry(&delivery), given: false };
            let Some(outlet) = self.outlet() else {
                // The channel has just been taken away: back to the store, with the rest.
                self.take(std::iter::once(delivery));
                return;
            };
            let bucket = outlet.channel.schedule.as_ref().map_or(1, |schedule| schedule.bucket);
            if bucket > 1 {
                let mut together = lock(&self.queue).mates(&delivery, bucket - 1);
                together.push(delivery);
                for ended in bucket::run(shared, self, &outlet, together).await {
                    recorder.send(self, &outlet, ended);
                }
            } else {
                let ended = attempt::run(shared, self, &outlet, delivery).await;
                recorder.send(self, &outlet, ended);
            }
            next = place.pass_on(shared);
        }
    }

    /// Gives what is held in memory back to the store; answers how much it was. `None`: the store did not take it, so
    /// that it is still held, and was not before `again` had been called: nothing of it is to be started as it is.
    async fn put_back(&self, shared: &Shared, again: impl FnOnce()) -> Option<usize> {
        shared.memory.fall_behind(&self.name);
        let held: Vec<Leased> = lock(&self.queue).drain();
        if held.is_empty() {
            return Some(0);
        }
        let count = held.len();
        let ids = held.iter().map(|delivery| delivery.id).collect();
        if let Err(error) = shared.store.queue.put_back(shared.replica, ids).await {
            tracing::error!(channel = &*self.name, %error, "deliveries could not be put back, trying again");
            again();
            self.take(held.into_iter());
            tokio::time::sleep(Duration::from_millis(500)).await;
            self.waiting(shared.clock.now());
            return None;
        }
        self.waiting(shared.clock.now());
        Some(count)
    }

    fn next_timer(&self, now: Timestamp) -> Option<Timestamp> {
        if self.is_scheduled() {
            let next = lock(&self.runs).as_mut().and_then(|runs| runs.next(now));
            return next.filter(|_| self.state() == ChannelState::Enabled);
        }
        let queue = lock(&self.queue);
        let due = lock(&self.due);
        let stored = earlier(due.first.filter(|_| queue.wants(false) > 0), due.retry.filter(|_| queue.wants(true) > 0))
            .filter(|_| !self.claiming.load(Ordering::Acquire));
        if self.state() == ChannelState::Enabled { earlier(queue.next_retry(), stored) } else { None }
    }

    /// The timer has ended: if it was the poll, the store is to be asked.
    fn timed(&self, shared: &Shared, poll: Timestamp) {
        let now = shared.clock.now();
        if now >= poll {
            let mut due = lock(&self.due);
            *due = NextDue { first: earlier(due.first, Some(now)), retry: earlier(due.retry, Some(now)) };
        }
    }
}

/// An attempt's place in its lane, given back when it is over, however it ends.
struct Place<'a> {
    lane: &'a Lane,
    retry: bool,
    /// Whether the next delivery has it.
    given: bool,
}

impl Place<'_> {
    /// Gives the place to the next delivery, if there is one to start and nobody else waits for the worker.
    fn pass_on(mut self, shared: &Shared) -> Option<Leased> {
        let lane = self.lane;
        if shared.soft.is_cancelled() || lane.state() != ChannelState::Enabled || lane.workers.is_awaited() {
            return None; // dropped, the place wakes the lane
        }
        let now = shared.clock.now();
        let mut queue = lock(&lane.queue);
        // Seen by whoever sees what could not be given back.
        if lane.given_back.load(Ordering::Acquire) || lane.recalled.load(Ordering::Acquire) {
            drop(queue);
            return None;
        }
        queue.done(self.retry);
        let next = queue.start(now);
        drop(queue);
        self.given = true;
        let waiting = {
            let due = lock(&lane.due);
            earlier(due.first, due.retry).is_some_and(|at| at <= now)
        };
        if waiting || next.is_none() {
            lane.wake.notify_one();
        }
        next
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.given {
            lock(&self.lane.queue).done(self.retry);
            self.lane.wake.notify_one();
        }
    }
}
