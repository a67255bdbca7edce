//! How a lane asks for deliveries, at once or by the runs of a schedule.

use std::sync::Arc;

use super::types::Replica;
use crate::domain::Timestamp;

/// What attempt deliveries wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Their first.
    First,
    /// A further one, also the first of a round that `/retry` started.
    Retries,
    Any,
}

/// A run of a channel's schedule that is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The last run on record.
    pub last: Timestamp,
    /// This one, on record from now on.
    pub at: Timestamp,
}

/// Which deliveries to take.
#[derive(Debug, Clone)]
pub struct Claim {
    /// For whom.
    pub replica: Replica,
    /// Of which channel.
    pub channel: Arc<str>,
    /// Waiting for which attempt.
    pub which: Which,
    /// Due at that time.
    pub now: Timestamp,
    /// At most so many.
    pub limit: usize,
    /// With bodies of so many bytes at most, but for the first.
    pub max_bytes: usize,
}

/// When a channel's next waiting deliveries are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NextDue {
    /// The next first attempt.
    pub first: Option<Timestamp>,
    /// The next retry.
    pub retry: Option<Timestamp>,
}

impl NextDue {
    /// Returns the earlier one of each time.
    #[must_use]
    pub fn or_earlier(self, other: Self) -> Self {
        let earlier = |one: Option<Timestamp>, other: Option<Timestamp>| one.into_iter().chain(other).min();
        Self { first: earlier(self.first, other.first), retry: earlier(self.retry, other.retry) }
    }
}
