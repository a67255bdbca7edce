//! A lane as a state machine: what a channel starts, claims and puts back, and when. Pure: no lock, no runtime, no store, and no
//! clock of its own.
//!
//! One task owns it (`task.rs`). Whatever happens to the lane comes in as a [`LaneEvent`]; what is to be done goes out as
//! [`LaneEffect`]s. The only fence is a delivery's lease number: what the machine holds under an older one than the store's is of
//! no effect, and is dropped as soon as the machine learns of it.

use std::collections::HashMap;
use std::time::Duration;

use crate::domain::{Code, DeliveryId, Setbacks, Sign, Timestamp};
use crate::store::{ChannelState, Lease, Leased, NextDue};

use super::breaker::{Breaker, Flip, Gate};
use super::events::{LaneEffect, LaneEvent, LaneSettings, LaneView, Now, Ticket};
use super::pace::Pace;
use super::progress::{Newer, Progress, Stale};
use super::queue::{LaneQueue, bytes, is_retry};
use super::runs::LaneRuns;
use super::share::Share;

/// How often a lane asks the store without a reason: for the work of replicas that died, and of other replicas' callers.
const POLL: Duration = Duration::from_secs(5);

/// The machine.
#[derive(Debug)]
pub(super) struct LaneMachine {
    settings: Option<LaneSettings>,
    /// Bytes that it may hold.
    memory: usize,
    state: ChannelState,
    stopping: bool,
    share: Share,
    queue: LaneQueue,
    runs: Option<LaneRuns>,
    breaker: Breaker,
    pace: Pace,
    /// Slow start: attempts allowed at once, until it reaches `concurrency`.
    ramp: Option<usize>,
    /// What waits in the store, as far as is known; a time in the past: to be asked for.
    due: NextDue,
    claiming: bool,
    /// Claims begun before the last recall belong to an older epoch: what they bring goes back.
    epoch: u64,
    /// What is held goes back before anything else starts.
    stale: Option<Stale>,
    /// Why deliveries are on their way back, and how many.
    putting_back: Option<(Stale, usize)>,
    /// Newer lease numbers of deliveries that a claim or a record under way may still bring.
    newer: HashMap<DeliveryId, Newer>,
    claims: Progress,
    records: Progress,
    recording: (usize, usize),
    next_poll: Duration,
    setbacks: Setbacks,
}

impl LaneMachine {
    pub(super) fn new(now: Now) -> Self {
        let past = Some(Timestamp::default());
        Self {
            settings: None,
            memory: 0,
            state: ChannelState::Disabled,
            stopping: false,
            share: Share::default(),
            queue: LaneQueue::new(1),
            runs: None,
            breaker: Breaker::default(),
            pace: Pace::default(),
            ramp: None,
            due: NextDue { first: past, retry: past },
            claiming: false,
            epoch: 0,
            stale: None,
            putting_back: None,
            newer: HashMap::new(),
            claims: Progress::default(),
            records: Progress::default(),
            recording: (0, 0),
            next_poll: now.mono + POLL,
            setbacks: Setbacks::new((now.wall, now.mono)),
        }
    }

    /// Takes in what has happened. [`LaneMachine::act`] and [`LaneMachine::start`] say what follows.
    pub(super) fn step(&mut self, event: LaneEvent, now: Now) -> Option<Flip> {
        match event {
            LaneEvent::HandedOver(deliveries) => self.take_for_now(deliveries),
            LaneEvent::StoreHas(at) => self.waits(at),
            LaneEvent::Claimed { epoch, deliveries, next } => {
                self.claim_ended();
                self.due = self.due.or_earlier(next);
                self.take_claimed(epoch, deliveries);
                if self.runs.is_some() {
                    // Taken before there was a schedule.
                    self.stale.get_or_insert(Stale::GivenBack);
                }
            }
            LaneEvent::LastRun(at) => {
                self.claim_ended();
                self.runs.iter_mut().for_each(|runs| runs.last(at));
            }
            LaneEvent::RunBegun { epoch, run, deliveries } => {
                self.claim_ended();
                if let Some(runs) = &mut self.runs {
                    runs.begun(run, deliveries.as_ref().map(Vec::len));
                }
                self.take_claimed(epoch, deliveries.unwrap_or_default());
            }
            LaneEvent::RunClaimed { epoch, deliveries } => {
                self.claim_ended();
                if let Some(runs) = &mut self.runs {
                    runs.claimed(deliveries.len());
                }
                self.take_claimed(epoch, deliveries);
            }
            LaneEvent::ClaimFailed => {
                self.claim_ended();
                self.waits(now.wall);
            }
            LaneEvent::Ended { ticket, sign, code, accepted, records, bytes } => {
                self.queue.done(ticket.retry);
                self.records.begun += records as u64;
                self.recording = (self.recording.0 + records, self.recording.1 + bytes);
                return self.judge(ticket.probe, sign, code, accepted, now);
            }
            LaneEvent::Recorded { records, bytes, kept, waits } => {
                self.recording = (self.recording.0.saturating_sub(records), self.recording.1.saturating_sub(bytes));
                self.records.ended += records as u64;
                if !kept.is_empty() {
                    self.take_for_now(kept);
                }
                self.forget_old();
                if let Some(at) = waits {
                    self.waits(at);
                }
            }
            LaneEvent::Forget(Lease { delivery, number }) => {
                self.queue.forget(delivery, number);
                let lease = self.newer.get(&delivery).map_or(number, |newer| newer.lease.max(number));
                let (claims, records) = (self.claims.begun, self.records.begun);
                self.newer.insert(delivery, Newer { lease, claims, records });
                self.forget_old();
            }
            LaneEvent::Hasten(delivery) => {
                self.queue.hasten(delivery, now.wall);
                self.waits(now.wall);
            }
            LaneEvent::Recall => {
                self.epoch += 1;
                self.stale.get_or_insert(Stale::Recalled);
                self.waits(now.wall);
            }
            LaneEvent::Breaker(until) => {
                self.breaker.follow(until, now);
                self.allow();
            }
            LaneEvent::Share(share) => {
                self.share = share;
                self.waits(now.wall);
                self.allow();
            }
            LaneEvent::Configure(settings) => self.configure(settings, now),
            LaneEvent::SetMemory(bytes) => self.memory = bytes,
            LaneEvent::SetState { state, gently } => self.set_state(state, gently, now),
            LaneEvent::NotPutBack(deliveries) => {
                let why = self.putting_back.take().map_or(Stale::Recalled, |(why, _)| why);
                for delivery in deliveries {
                    self.queue.push(delivery);
                }
                self.stale.get_or_insert(why);
            }
            LaneEvent::Stop => self.stopping = true,
        }
        None
    }

    fn claim_ended(&mut self) {
        self.claiming = false;
        self.claims.ended += 1;
    }

    fn claim_begun(&mut self) {
        self.claiming = true;
        self.claims.begun += 1;
    }

    /// Lets go of lease numbers that nothing under way can fall short of any more.
    fn forget_old(&mut self) {
        let (claims, records) = (self.claims.ended, self.records.ended);
        self.newer.retain(|_, newer| newer.claims > claims || newer.records > records);
    }

    /// The store has taken back what it was given.
    pub(super) fn put_back(&mut self, now: Now) {
        match self.putting_back.take() {
            // What a run has claimed it claims again.
            Some((Stale::Recalled, count)) => self.runs.iter_mut().for_each(|runs| runs.recall(count)),
            _ => self.runs.iter_mut().for_each(LaneRuns::end),
        }
        self.waits(now.wall);
    }

    fn configure(&mut self, settings: Option<LaneSettings>, now: Now) {
        let Some(new) = settings else {
            self.settings = None;
            return;
        };
        if self.runs.as_ref().map(LaneRuns::schedule) != new.schedule.as_ref() {
            self.runs = new.schedule.clone().map(|schedule| LaneRuns::new(schedule, now.wall));
            self.epoch += 1;
            self.stale = Some(Stale::GivenBack);
        }
        self.breaker.configure(new.breaker);
        self.pace.configure(new.rate_limit, now.mono);
        self.settings = Some(new);
        self.allow();
    }

    fn set_state(&mut self, state: ChannelState, gently: bool, now: Now) {
        if state == ChannelState::Enabled && self.state != ChannelState::Enabled {
            self.waits(now.wall);
            if gently {
                self.breaker.reset();
                self.ramp = Some(1);
                self.allow();
            }
        }
        self.state = state;
    }

    /// What an attempt's end says about the receiver.
    fn judge(&mut self, probe: bool, sign: Sign, code: Code, accepted: bool, now: Now) -> Option<Flip> {
        let flip = self.breaker.ended(probe, sign, code, now);
        if flip == Some(Flip::Closed) {
            self.ramp = Some(1);
        } else if accepted && let Some(ramp) = &mut self.ramp {
            *ramp = ramp.saturating_mul(2);
        }
        self.allow();
        flip
    }

    /// How many attempts may be under way here at once, but for slow start.
    fn concurrency(&self) -> usize {
        self.settings
            .as_ref()
            .map_or(0, |settings| self.share.attempts(settings.concurrency, settings.rate_limit.is_some()))
    }

    /// Applies slow start to the queue.
    fn allow(&mut self) {
        let concurrency = self.concurrency();
        self.ramp = self.ramp.filter(|ramp| *ramp < concurrency);
        self.queue.allow(self.ramp.unwrap_or(concurrency));
    }

    fn take(&mut self, deliveries: Vec<Leased>) {
        for delivery in deliveries {
            if self.newer.get(&delivery.id).is_none_or(|newer| delivery.lease >= newer.lease) {
                self.queue.push(delivery);
            }
        }
    }

    fn take_claimed(&mut self, epoch: u64, deliveries: Vec<Leased>) {
        if epoch != self.epoch && !deliveries.is_empty() {
            self.stale.get_or_insert(Stale::Recalled);
        }
        self.take(deliveries);
        self.forget_old();
    }

    /// Takes deliveries that are to be sent now: where there is a schedule by now, they wait for its run.
    fn take_for_now(&mut self, deliveries: Vec<Leased>) {
        self.take(deliveries);
        if self.runs.is_some() {
            self.stale.get_or_insert(Stale::GivenBack);
        }
    }

    /// Something waits in the store from `at` on; it is not known whether it is a first attempt.
    fn waits(&mut self, at: Timestamp) {
        self.due = self.due.or_earlier(NextDue { first: Some(at), retry: Some(at) });
    }

    fn is_running(&self) -> bool {
        self.state == ChannelState::Enabled && self.concurrency() > 0 && !self.stopping
    }

    /// Whether records wait for the store that take all of the lane's memory.
    fn is_full(&self) -> bool {
        self.recording.1 > self.memory
    }

    /// Says what is to be claimed and put back.
    pub(super) fn act(&mut self, now: Now, effects: &mut Vec<LaneEffect>) {
        if let Some(by) = self.setbacks.look((now.wall, now.mono)) {
            self.queue.set_back(by);
            self.waits(now.wall);
        }
        if now.mono >= self.next_poll {
            self.next_poll = now.mono + POLL;
            self.waits(now.wall);
        }
        if !self.is_running() || self.stale.is_some() {
            self.give_back(effects);
        }
        if self.is_running() && !self.claiming && self.stale.is_none() && self.putting_back.is_none() {
            self.claim(now, effects);
        }
    }

    fn give_back(&mut self, effects: &mut Vec<LaneEffect>) {
        if self.putting_back.is_some() {
            return;
        }
        let held = self.queue.drain();
        let why = self.stale.take().filter(|_| self.is_running()).unwrap_or(Stale::GivenBack);
        if held.is_empty() {
            if why == Stale::GivenBack {
                self.runs.iter_mut().for_each(LaneRuns::end);
            }
            return;
        }
        self.putting_back = Some((why, held.len()));
        effects.push(LaneEffect::PutBack(held));
    }

    fn claim(&mut self, now: Now, effects: &mut Vec<LaneEffect>) {
        let epoch = self.epoch;
        if let Some(runs) = &mut self.runs {
            let Some(request) = runs.request(now.wall, self.queue.held()) else { return };
            self.claim_begun();
            effects.push(LaneEffect::Run { epoch, request });
            return;
        }
        let retry_bytes = self.retry_room();
        let wanted = |at: Option<Timestamp>, retries: bool| {
            let full = retries && retry_bytes == 0 && self.queue.retry_bytes() > 0;
            if at.is_some_and(|at| at <= now.wall) && !full { self.queue.wants(retries) } else { 0 }
        };
        let (first, retries) = (wanted(self.due.first, false), wanted(self.due.retry, true));
        if first + retries == 0 {
            return;
        }
        // What is said to wait from here on is not overwritten by what the claim finds.
        if first > 0 {
            self.due.first = None;
        }
        if retries > 0 {
            self.due.retry = None;
        }
        self.claim_begun();
        effects.push(LaneEffect::Claim { epoch, first, retries, retry_bytes });
    }

    /// Bytes of retries that there is room for: half of the lane's memory at most is theirs.
    fn retry_room(&self) -> usize {
        (self.memory / 2).saturating_sub(self.queue.retry_bytes())
    }

    /// Whether a delivery that is tried again soon may stay in memory until then.
    pub(super) fn may_keep(&self, delivery: &Leased) -> bool {
        bytes(delivery) <= self.retry_room() && !self.stopping
    }

    /// Starts an attempt, if one can start: of one delivery, or of all that go into one request.
    pub(super) fn start(&mut self, now: Now) -> Option<(Vec<Leased>, Ticket)> {
        if !self.can_start(now) {
            return None;
        }
        let first = self.queue.start(now.wall)?;
        let bucket = self.settings.as_ref().and_then(|settings| Some(settings.schedule.as_ref()?.bucket)).unwrap_or(1);
        let ticket = Ticket { retry: is_retry(&first), probe: self.breaker.started(now) };
        self.pace.started(now.mono);
        let mut together = if bucket > 1 { self.queue.siblings(&first, bucket - 1) } else { Vec::new() };
        together.insert(0, first);
        Some((together, ticket))
    }

    /// Whether the state, the breaker, the pace and the records that wait allow a start.
    fn can_start(&self, now: Now) -> bool {
        self.is_running()
            && self.stale.is_none()
            && !self.is_full()
            && self.pace.wait_until(now.mono).is_none()
            && !matches!(self.breaker.gate(now), Gate::Shut(_))
    }

    /// Whether an attempt would start if there were a worker for it.
    pub(super) fn wants_worker(&mut self, now: Now) -> bool {
        self.can_start(now) && self.queue.is_hungry(now.wall)
    }

    /// When something is to be done that no event tells of.
    pub(super) fn next_wake(&mut self, now: Now) -> Timestamp {
        let poll = now.wall_at(self.next_poll);
        let mut wake = poll;
        let mut sooner = |at: Timestamp| wake = wake.min(at);
        if self.is_running() {
            if let Some(runs) = &mut self.runs {
                runs.next(now.wall).into_iter().for_each(&mut sooner);
            } else if !self.claiming && self.stale.is_none() && self.putting_back.is_none() {
                let first = self.due.first.filter(|_| self.queue.wants(false) > 0);
                let full = self.retry_room() == 0 && self.queue.retry_bytes() > 0;
                let retry = self.due.retry.filter(|_| self.queue.wants(true) > 0 && !full);
                first.into_iter().chain(retry).for_each(&mut sooner);
            }
            if self.stale.is_none() && !self.is_full() {
                let held = self.queue.has_ready(now.wall);
                match (self.breaker.gate(now), self.pace.wait_until(now.mono)) {
                    (Gate::Shut(None), _) => {}
                    (Gate::Shut(Some(until)), _) => sooner(now.wall_at(until)),
                    (_, Some(until)) if held => sooner(now.wall_at(until)),
                    _ => self.queue.next_retry().into_iter().for_each(&mut sooner),
                }
            }
        }
        wake.max(now.wall)
    }

    /// Whether nothing is left to do after a stop.
    pub(super) fn is_done(&self) -> bool {
        self.stopping
            && self.putting_back.is_none()
            && !self.claiming
            && self.queue.held() == 0
            && self.queue.in_flight() == 0
    }

    pub(super) fn view(&self, now: Now) -> LaneView {
        LaneView {
            in_flight: self.queue.in_flight(),
            allowed: self.ramp.unwrap_or_else(|| self.concurrency()),
            breaker: self.breaker.view(),
            pace: self.pace.rate().zip(self.pace.left(now.mono)),
            recording: self.recording,
        }
    }
}
