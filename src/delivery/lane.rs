//! A channel's lane: the task that starts its attempts, claims from the store, and waits for what is due.

use std::collections::HashSet;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::domain::{DeliveryId, Outcome, Timestamp};
use crate::store::{ChannelState, Claim, Leased, NextDue, StoreError, Which};
use crate::telemetry::metrics::ChannelMetrics;

use super::lanes::Shared;
use super::outlet::Outlet;
use super::queue::{LaneQueue, is_retry};
use super::record::Recorder;
use super::runs::{LaneRuns, Wish};
use super::stats::{LastHour, Rates};
use super::workers::Workers;
use super::{attempt, bucket};

/// How often a lane asks the store without being told to: for the work of replicas that died, and of other replicas'
/// callers.
const POLL: Duration = Duration::from_secs(5);

pub(super) struct Lane {
    outlet: Outlet,
    pub(super) metrics: ChannelMetrics,
    workers: Workers,
    queue: Mutex<LaneQueue>,
    wake: Notify,
    /// What waits in the store, as far as is known; a time in the past: to be asked for.
    due: Mutex<NextDue>,
    /// The runs of a channel with a schedule, which claims by them alone.
    runs: Option<Mutex<LaneRuns>>,
    /// Deliveries of one request.
    bucket: usize,
    claiming: AtomicBool,
    recalled: AtomicBool,
    state: AtomicU8,
    hour: Mutex<LastHour>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The earlier of two times, where there are any.
fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl Deref for Lane {
    type Target = Outlet;

    fn deref(&self) -> &Outlet {
        &self.outlet
    }
}

impl Lane {
    pub(super) fn new(
        outlet: Outlet,
        metrics: ChannelMetrics,
        workers: Workers,
        state: ChannelState,
        now: Timestamp,
    ) -> Self {
        let past = Some(Timestamp::default());
        let channel = &outlet.channel;
        Self {
            queue: Mutex::new(LaneQueue::new(channel.concurrency)),
            metrics,
            workers,
            wake: Notify::new(),
            due: Mutex::new(NextDue { first: past, retry: past }),
            runs: channel.schedule.clone().map(|schedule| Mutex::new(LaneRuns::new(schedule, now))),
            bucket: channel.schedule.as_ref().map_or(1, |schedule| schedule.bucket),
            claiming: AtomicBool::new(false),
            recalled: AtomicBool::new(false),
            state: AtomicU8::new(state as u8),
            hour: Mutex::new(LastHour::default()),
            outlet,
        }
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
        lock(&self.hour).rates(now)
    }

    pub(super) fn attempted(&self, now: Timestamp, outcome: Outcome, took: Duration) {
        let success = matches!(outcome, Outcome::Accepted | Outcome::Dispatched);
        lock(&self.hour).add(now, success, u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        self.metrics.attempt(outcome, took);
    }

    /// Runs until the stop begins; what it holds by then goes back to the store.
    pub(super) async fn drive(self: Arc<Self>, shared: Arc<Shared>, recorder: Recorder) {
        let mut spare = None;
        while !shared.soft.is_cancelled() {
            let mut hungry = false;
            if self.recalled.swap(false, Ordering::AcqRel) {
                let held = self.put_back(&shared).await;
                if let Some(runs) = &self.runs {
                    lock(runs).recall(held);
                }
                self.waiting(shared.clock.now());
            }
            if self.state() == ChannelState::Enabled {
                hungry = self.start(&shared, &recorder, &mut spare);
                match &self.runs {
                    None => self.claim(&shared),
                    Some(runs) => self.run(&shared, runs),
                }
            } else {
                self.put_back(&shared).await;
                if let Some(runs) = &self.runs {
                    lock(runs).end();
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
        self.put_back(&shared).await;
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
            if self.bucket > 1 {
                let mut together = lock(&self.queue).mates(&delivery, self.bucket - 1);
                together.push(delivery);
                for ended in bucket::run(shared, self, together).await {
                    recorder.send(Arc::clone(self), ended);
                }
            } else {
                let ended = attempt::run(shared, self, delivery).await;
                recorder.send(Arc::clone(self), ended);
            }
            next = place.pass_on(shared);
        }
    }

    /// Claims from the store what is due and wanted, in a task of its own.
    fn claim(self: &Arc<Self>, shared: &Arc<Shared>) {
        let now = shared.clock.now();
        let (first, retry) = {
            let (queue, due) = (lock(&self.queue), lock(&self.due));
            let wanted = |at: Option<Timestamp>, retries| {
                if at.is_some_and(|at| at <= now) { queue.wants(retries) } else { 0 }
            };
            (wanted(due.first, false), wanted(due.retry, true))
        };
        if first + retry == 0 || self.claiming.swap(true, Ordering::AcqRel) {
            return;
        }
        let (lane, shared) = (Arc::clone(self), Arc::clone(shared));
        tokio::spawn(async move {
            for (retries, limit) in [(false, first), (true, retry)] {
                if limit > 0 && !shared.soft.is_cancelled() {
                    lane.claim_some(&shared, retries, limit).await;
                }
            }
            lane.claiming.store(false, Ordering::Release);
            lane.wake.notify_one();
        });
    }

    async fn claim_some(&self, shared: &Shared, retries: bool, limit: usize) {
        if let Err(error) = self.try_claim(shared, retries, limit).await {
            tracing::error!(channel = &*self.channel.name, %error, "deliveries could not be claimed, trying again");
            tokio::time::sleep(Duration::from_millis(500)).await;
            self.waiting(shared.clock.now());
        }
    }

    async fn try_claim(&self, shared: &Shared, retries: bool, limit: usize) -> Result<(), StoreError> {
        let (queue, channel) = (&shared.store.queue, &self.channel.name);
        // Whoever says from here on that something waits is not overwritten below.
        if retries {
            lock(&self.due).retry = None;
        } else {
            lock(&self.due).first = None;
        }
        let mut next = self.look(shared, retries).await?;
        let now = shared.clock.now();
        if next.is_some_and(|at| at <= now) {
            let max_bytes = shared.memory.room(channel);
            let which = if retries { Which::Retries } else { Which::First };
            let claim = Claim { replica: shared.replica, channel: Arc::clone(channel), which, now, limit, max_bytes };
            let claimed = queue.claim(claim).await?;
            let full = claimed.len() >= limit;
            self.take_claimed(shared, claimed);
            next = if full { Some(now) } else { self.look(shared, retries).await? };
        }
        let mut due = lock(&self.due);
        if retries {
            due.retry = earlier(due.retry, next);
        } else {
            due.first = earlier(due.first, next);
        }
        Ok(())
    }

    /// When the next first attempt, or retry, in the store is due. What a look at the first attempts finds decides
    /// whether deliveries may be born with room in memory.
    async fn look(&self, shared: &Shared, retries: bool) -> Result<Option<Timestamp>, StoreError> {
        let (memory, channel) = (&shared.memory, &self.channel.name);
        let mark = memory.mark(channel);
        let next = shared.store.queue.next_due(Arc::clone(channel)).await?;
        if retries {
            return Ok(next.retry);
        }
        if next.first.is_some_and(|at| at <= shared.clock.now()) {
            memory.fall_behind(channel);
        } else {
            memory.caught_up(channel, mark);
        }
        Ok(next.first)
    }

    fn take_claimed(&self, shared: &Shared, claimed: Vec<Leased>) {
        self.take(claimed.into_iter().map(|mut delivery| {
            delivery.slot = shared.memory.hold(&self.channel.name, &delivery.event);
            delivery
        }));
    }

    /// Claims for the schedule's runs, in a task of its own.
    fn run(self: &Arc<Self>, shared: &Arc<Shared>, runs: &Mutex<LaneRuns>) {
        if self.claiming.load(Ordering::Acquire) {
            return;
        }
        let held = lock(&self.queue).held();
        let wish = lock(runs).wish(shared.clock.now(), held);
        let Some(wish) = wish else { return };
        self.claiming.store(true, Ordering::Release);
        let (lane, shared) = (Arc::clone(self), Arc::clone(shared));
        tokio::spawn(async move {
            if let (false, Some(runs)) = (shared.soft.is_cancelled(), &lane.runs)
                && let Err(error) = lane.fulfil(&shared, runs, wish).await
            {
                tracing::error!(channel = &*lane.channel.name, %error, "deliveries could not be claimed, trying again");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            lane.claiming.store(false, Ordering::Release);
            lane.wake.notify_one();
        });
    }

    async fn fulfil(&self, shared: &Shared, runs: &Mutex<LaneRuns>, wish: Wish) -> Result<(), StoreError> {
        let (queue, channel) = (&shared.store.queue, &self.channel.name);
        let claim = |now, limit| Claim {
            replica: shared.replica,
            channel: Arc::clone(channel),
            which: Which::Any,
            now,
            limit,
            max_bytes: shared.memory.room(channel),
        };
        let claimed = match wish {
            Wish::Last(or) => {
                let last = queue.last_run(Arc::clone(channel), or).await?;
                lock(runs).last(last);
                return Ok(());
            }
            Wish::Begin(run, limit) => {
                let claimed = queue.begin_run(run, claim(run.at, limit)).await?;
                lock(runs).begun(run, claimed.as_ref().map(Vec::len));
                claimed.unwrap_or_default()
            }
            Wish::More(at, limit) => {
                let claimed = queue.claim(claim(at, limit)).await?;
                lock(runs).claimed(claimed.len());
                claimed
            }
        };
        self.take_claimed(shared, claimed);
        Ok(())
    }

    /// Gives what is held in memory back to the store; answers how much it was.
    async fn put_back(&self, shared: &Shared) -> usize {
        shared.memory.fall_behind(&self.channel.name);
        let held: Vec<Leased> = lock(&self.queue).drain();
        if held.is_empty() {
            return 0;
        }
        let count = held.len();
        let ids = held.iter().map(|delivery| delivery.id).collect();
        if let Err(error) = shared.store.queue.put_back(shared.replica, ids).await {
            tracing::error!(channel = &*self.channel.name, %error, "deliveries could not be put back, trying again");
            self.take(held.into_iter());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        self.waiting(shared.clock.now());
        count
    }

    fn next_timer(&self, now: Timestamp) -> Option<Timestamp> {
        if let Some(runs) = &self.runs {
            return lock(runs).next(now).filter(|_| self.state() == ChannelState::Enabled);
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
        let next = {
            let mut queue = lock(&lane.queue);
            queue.done(self.retry);
            queue.start(now)
        };
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
