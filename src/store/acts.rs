//! The audit: what callers changed.

use serde::Serialize;

use super::changes::Cause;
use crate::domain::Timestamp;

/// A change that a call made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Act {
    /// When, by which token and why.
    pub cause: Cause,
    /// What was done, such as `retry` or `pause`.
    pub act: String,
    /// The channel that it was done to.
    pub channel: Option<String>,
    /// The delivery, `dlv_…`.
    pub delivery: Option<String>,
    /// The order, `ord_…`.
    pub order: Option<String>,
    /// The filter of a bulk call as the caller sent it, JSON.
    pub filter: Option<String>,
    /// What a reload changed, or where deliveries were moved to; JSON.
    pub detail: Option<String>,
    /// How many deliveries.
    pub count: Option<u64>,
}

impl Act {
    /// Something that was done for a reason.
    pub fn new(act: &str, cause: Cause) -> Self {
        Self { cause, act: act.to_owned(), ..Self::default() }
    }

    /// The same with a detail.
    #[must_use]
    pub fn with_detail(mut self, detail: &impl Serialize) -> Self {
        self.detail = serde_json::to_string(detail).ok();
        self
    }
}

/// A range of times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Period {
    /// At that time or later.
    pub since: Option<Timestamp>,
    /// Before that time.
    pub until: Option<Timestamp>,
}
