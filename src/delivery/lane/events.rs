//! What a lane's machine is told and says: its events, its effects, and how it looks from outside.

use std::time::Duration;

use super::share::Share;
use crate::domain::{BreakerPolicy, Code, DeliveryId, Rate, Schedule, Sign, Timestamp};
use crate::store::{ChannelState, Lease, Leased, NextDue, Run};

/// A moment by both clocks: what the store keeps is due by the wall clock, what the lane waits for goes by the monotonic one.
#[derive(Debug, Clone, Copy)]
pub(in crate::delivery) struct Now {
    pub(super) wall: Timestamp,
    pub(super) mono: Duration,
}

impl Now {
    /// Returns the monotonic clock's time at one of the wall clock.
    pub(super) fn mono_at(self, wall: Timestamp) -> Duration {
        self.mono + wall.since(self.wall)
    }

    /// Returns the wall clock's time at a monotonic one.
    pub(super) fn wall_at(self, mono: Duration) -> Timestamp {
        self.wall.after(mono.saturating_sub(self.mono))
    }
}

/// What a lane needs of its channel's configuration.
#[derive(Debug, Clone)]
pub(in crate::delivery) struct LaneSettings {
    pub(super) concurrency: usize,
    pub(super) schedule: Option<Schedule>,
    pub(super) rate_limit: Option<Rate>,
    pub(super) breaker: Option<BreakerPolicy>,
}

/// An attempt under way.
#[derive(Debug, Clone, Copy)]
pub(in crate::delivery) struct Ticket {
    /// Whether it counts as a retry.
    pub(super) retry: bool,
    /// Whether it decides about the breaker.
    pub(super) probe: bool,
}

/// What happens to a lane.
#[derive(Debug)]
pub(in crate::delivery) enum LaneEvent {
    /// Deliveries that have just become durable belong to this replica.
    HandedOver(Vec<Leased>),
    /// A delivery waits in the store that is due at that time.
    StoreHas(Timestamp),
    /// A claim has ended.
    Claimed { epoch: u64, deliveries: Vec<Leased>, next: NextDue },
    /// The store says when the last run of the schedule was.
    LastRun(Timestamp),
    /// A run has begun; `None`: another replica was first.
    RunBegun { epoch: u64, run: Run, deliveries: Option<Vec<Leased>> },
    /// The run under way has claimed more.
    RunClaimed { epoch: u64, deliveries: Vec<Leased> },
    /// The store refused a claim.
    ClaimFailed,
    /// An attempt has ended; its records take that many bytes until they are stored.
    Ended { ticket: Ticket, sign: Sign, code: Code, accepted: bool, records: usize, bytes: usize },
    /// Records of attempts are stored, or given up; the deliveries that stay with the lane, and the earliest time at which one of
    /// the others is due.
    Recorded { records: usize, bytes: usize, kept: Vec<Leased>, waits: Option<Timestamp> },
    /// These deliveries have a newer lease number in the store.
    Forget(Lease),
    /// A delivery's next attempt is due now.
    Hasten(DeliveryId),
    /// Many deliveries have changed in the store.
    Recall,
    /// Another replica's breaker is open until then; `None`: it has closed.
    Breaker(Option<Timestamp>),
    /// The replica's share of the channel has changed.
    Share(Share),
    /// Further attempts go by another configuration; `None`: the channel is no longer configured.
    Configure(Option<LaneSettings>),
    /// The lane may hold so many bytes.
    SetMemory(usize),
    /// The channel's state has changed. `gently`: attempts start slowly at first.
    SetState { state: ChannelState, gently: bool },
    /// The store did not take these back.
    NotPutBack(Vec<Leased>),
    /// The service stops.
    Stop,
}

/// What a lane is to do.
#[derive(Debug)]
pub(super) enum LaneEffect {
    /// Claim up to so many first attempts and retries that are due.
    Claim { epoch: u64, first: usize, retries: usize, retry_bytes: usize },
    /// Ask the store for a run of the schedule.
    Run { epoch: u64, request: RunRequest },
    /// Give these back to the store.
    PutBack(Vec<Leased>),
}

/// A lane as people see it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LaneView {
    /// Attempts under way.
    pub in_flight: usize,
    /// Attempts that may be under way now: fewer than `concurrency` while a channel starts slowly.
    pub allowed: usize,
    /// Its breaker, where it has one.
    pub breaker: Option<BreakerView>,
    /// The `rate_limit`, and the attempts that may start now.
    pub pace: Option<(Rate, u64)>,
    /// Attempts whose records wait for the store, and their bytes.
    pub recording: (usize, usize),
}

/// What a lane is to ask the store for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunRequest {
    /// When the last run was; that time goes on record where there was none.
    Last(Timestamp),
    /// To begin a run, with so many deliveries at most.
    Begin(Run, usize),
    /// So many more for the run that began at that time.
    More(Timestamp, usize),
}

/// A breaker as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerView {
    /// Consecutive failures so far.
    pub failures: u32,
    /// The code of the last failure.
    pub code: Option<Code>,
    /// Until when nothing is sent; `None` while it is closed.
    pub open_until: Option<Timestamp>,
    /// Whether one attempt is under way that decides.
    pub probing: bool,
}
