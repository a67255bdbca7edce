//! The runs of a lane with a schedule: when the next one begins, and what it may still claim.
//!
//! A run begins with a claim that puts it on record. What is too large for the lane's memory is claimed bit by bit, as
//! what was claimed before is started; a run is over when it has claimed its batch, or nothing is left. The next run
//! begins when the last one has started everything, so that a receiver that hangs does not fill the lane.

use crate::domain::{RunClock, Schedule, Timestamp};
use crate::store::Run;

use super::events::RunRequest;

/// What is known of a channel's runs.
#[derive(Debug)]
pub(super) struct LaneRuns {
    schedule: Schedule,
    /// When the lane was made: stands for the last run of a channel that never had one.
    started: Timestamp,
    /// `None`: to be read from the store.
    clock: Option<RunClock>,
    /// How many deliveries the run under way may still claim.
    left: usize,
}

impl LaneRuns {
    pub(super) fn new(schedule: Schedule, started: Timestamp) -> Self {
        Self { schedule, started, clock: None, left: 0 }
    }

    /// When they are.
    pub(super) fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// What to ask for, with `held` deliveries in memory that are not started.
    pub(super) fn request(&mut self, now: Timestamp, held: usize) -> Option<RunRequest> {
        let Some(clock) = &mut self.clock else { return Some(RunRequest::Last(self.started)) };
        if held > 0 {
            return None;
        }
        if self.left > 0 {
            return Some(RunRequest::More(clock.recorded, self.left));
        }
        let due = clock.next(&self.schedule.runs, now) <= now;
        due.then_some(RunRequest::Begin(Run { last: clock.recorded, at: now }, self.schedule.batch))
    }

    /// The store says when the last run was.
    pub(super) fn last(&mut self, at: Timestamp) {
        self.clock = Some(RunClock::new(at));
    }

    /// A run has begun and claimed so many; `None`: another replica was first.
    pub(super) fn begun(&mut self, run: Run, claimed: Option<usize>) {
        self.clock = claimed.map(|_| RunClock::new(run.at));
        self.left = self.schedule.batch;
        self.claimed(claimed.unwrap_or(0));
    }

    /// The run under way has claimed so many more.
    pub(super) fn claimed(&mut self, claimed: usize) {
        self.left = if claimed == 0 { 0 } else { self.left.saturating_sub(claimed) };
    }

    /// So many deliveries have gone back to the store, and are to be claimed anew.
    pub(super) fn recall(&mut self, held: usize) {
        self.left = (self.left + held).min(self.schedule.batch);
    }

    /// The run under way claims no more: the channel stands still.
    pub(super) fn end(&mut self) {
        self.left = 0;
    }

    /// When the next run is due, where that is known; none while one is under way.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<Timestamp> {
        let next = self.clock.as_mut()?.next(&self.schedule.runs, now);
        // One that is due and has not begun waits for what is held, not for time.
        Some(next).filter(|next| *next > now && self.left == 0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::domain::Runs;

    use super::*;

    const MINUTE: i64 = 60_000;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_millis(minutes * MINUTE)
    }

    fn runs(batch: usize) -> LaneRuns {
        let runs = Runs::Every(Duration::from_secs(15 * 60));
        LaneRuns::new(Schedule { runs, batch, bucket: 1 }, at(0))
    }

    fn run(last: i64, now: i64) -> Run {
        Run { last: at(last), at: at(now) }
    }

    #[test]
    fn a_run_claims_its_batch_bit_by_bit_and_the_next_one_waits_for_it() {
        let mut lane = runs(60);
        assert_eq!(lane.request(at(1), 0), Some(RunRequest::Last(at(0))));
        lane.last(at(1));
        assert_eq!(lane.request(at(14), 0), None);
        assert_eq!(lane.next(at(14)), Some(at(15)));
        assert_eq!(lane.request(at(15), 0), Some(RunRequest::Begin(run(1, 15), 60)));
        lane.begun(run(1, 15), Some(40));
        assert_eq!(lane.request(at(15), 3), None);
        assert_eq!(lane.request(at(16), 0), Some(RunRequest::More(at(15), 20)));
        lane.claimed(20);
        assert_eq!(lane.request(at(29), 0), None, "the batch is full");
        assert_eq!(lane.request(at(31), 2), None, "two of the run before are not started");
        assert_eq!(lane.next(at(31)), None);
        assert_eq!(lane.request(at(31), 0), Some(RunRequest::Begin(run(15, 31), 60)));
        lane.begun(run(15, 31), Some(0));
        assert_eq!(lane.request(at(31), 0), None, "nothing was there");
        assert_eq!(lane.next(at(31)), Some(at(45)));
    }

    #[test]
    fn a_run_that_another_replica_began_is_read_from_the_store() {
        let mut lane = runs(60);
        lane.last(at(1));
        lane.begun(run(1, 15), None);
        assert_eq!(lane.request(at(15), 0), Some(RunRequest::Last(at(0))));
        lane.last(at(15));
        assert_eq!(lane.request(at(15), 0), None);
    }

    #[test]
    fn what_went_back_is_claimed_again_and_a_standstill_ends_the_run() {
        let mut lane = runs(10);
        lane.last(at(0));
        lane.begun(run(0, 15), Some(10));
        lane.recall(7);
        assert_eq!(lane.request(at(16), 0), Some(RunRequest::More(at(15), 7)));
        lane.recall(70);
        assert_eq!(lane.request(at(16), 0), Some(RunRequest::More(at(15), 10)));
        lane.end();
        assert_eq!(lane.request(at(16), 0), None);
    }
}
