//! What a lane's machine remembers of claims, records and put-backs under way.

/// A newer lease number, and what may still bring an older one: the claims and records begun before the machine learned of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Newer {
    pub(super) lease: i64,
    pub(super) claims: u64,
    pub(super) records: u64,
}

/// How many of something have begun and ended, in order.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Progress {
    pub(super) begun: u64,
    pub(super) ended: u64,
}

/// Why what is held goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stale {
    /// The store knows better: a run under way claims it again.
    Recalled,
    /// It waits for a run of another schedule.
    GivenBack,
}
