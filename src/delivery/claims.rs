//! What a lane takes out of the store: what is due, or what its schedule's runs send.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::domain::Timestamp;
use crate::store::{Claim, Leased, StoreError, Which};

use super::lane::{Lane, earlier, lock};
use super::lanes::Shared;
use super::runs::{LaneRuns, Wish};

impl Lane {
    /// Claims from the store what is due and wanted, in a task of its own.
    pub(super) fn claim(self: &Arc<Self>, shared: &Arc<Shared>) {
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
            tracing::error!(channel = &*self.name, %error, "deliveries could not be claimed, trying again");
            tokio::time::sleep(Duration::from_millis(500)).await;
            self.waiting(shared.clock.now());
        }
    }

    async fn try_claim(&self, shared: &Shared, retries: bool, limit: usize) -> Result<(), StoreError> {
        let (queue, channel) = (&shared.store.queue, &self.name);
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
            self.take_for_now(self.with_slots(shared, claimed));
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
        let (memory, channel) = (&shared.memory, &self.name);
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

    fn with_slots(&self, shared: &Shared, claimed: Vec<Leased>) -> impl Iterator<Item = Leased> {
        claimed.into_iter().map(|mut delivery| {
            delivery.slot = shared.memory.hold(&self.name, &delivery.event);
            delivery
        })
    }

    /// Claims for the schedule's runs, in a task of its own.
    pub(super) fn run(self: &Arc<Self>, shared: &Arc<Shared>) {
        if self.claiming.load(Ordering::Acquire) {
            return;
        }
        let held = lock(&self.queue).held();
        let wish = lock(&self.runs).as_mut().and_then(|runs| runs.wish(shared.clock.now(), held));
        let Some(wish) = wish else { return };
        self.claiming.store(true, Ordering::Release);
        let (lane, shared) = (Arc::clone(self), Arc::clone(shared));
        tokio::spawn(async move {
            if !shared.soft.is_cancelled()
                && let Err(error) = lane.fulfil(&shared, wish).await
            {
                tracing::error!(channel = &*lane.name, %error, "deliveries could not be claimed, trying again");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            lane.claiming.store(false, Ordering::Release);
            lane.wake.notify_one();
        });
    }

    async fn fulfil(&self, shared: &Shared, wish: Wish) -> Result<(), StoreError> {
        let (queue, channel) = (&shared.store.queue, &self.name);
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
                self.of_runs(|runs| runs.last(last));
                return Ok(());
            }
            Wish::Begin(run, limit) => {
                let claimed = queue.begin_run(run, claim(run.at, limit)).await?;
                self.of_runs(|runs| runs.begun(run, claimed.as_ref().map(Vec::len)));
                claimed.unwrap_or_default()
            }
            Wish::More(at, limit) => {
                let claimed = queue.claim(claim(at, limit)).await?;
                self.of_runs(|runs| runs.claimed(claimed.len()));
                claimed
            }
        };
        self.take(self.with_slots(shared, claimed));
        Ok(())
    }

    /// Tells the runs, unless a reload has taken the schedule away meanwhile.
    fn of_runs(&self, tell: impl FnOnce(&mut LaneRuns)) {
        if let Some(runs) = &mut *lock(&self.runs) {
            tell(runs);
        }
    }
}
