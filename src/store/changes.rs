//! Changes that people and receivers make to deliveries and channels, and their causes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::{DeliveryStatus, Timestamp};

/// What a person or a receiver does to a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// `/accept`: dispatched to accepted.
    Accept,
    /// `/fail`: dispatched to failed.
    Fail,
    /// `/retry`: a new round of attempts, due immediately. The next attempt of a pending delivery becomes due, in its
    /// round.
    Retry,
    /// `/cancel`: no further attempt.
    Cancel,
}

/// Who changes something, when and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cause {
    /// When.
    pub at: Timestamp,
    /// The name of the caller's token, or `receiver`; `None` where no token is needed.
    pub by: Option<Arc<str>>,
    /// What the caller gave as the reason.
    pub reason: Option<Arc<str>>,
}

impl Cause {
    /// Who a receiver is that settles its own delivery.
    pub const RECEIVER: &'static str = "receiver";

    /// Whether the delivery's receiver is the caller.
    pub fn is_receiver(&self) -> bool {
        self.by.as_deref() == Some(Self::RECEIVER)
    }
}

impl From<Timestamp> for Cause {
    fn from(at: Timestamp) -> Self {
        Self { at, ..Self::default() }
    }
}

/// A change that was made, and its cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What was done.
    pub act: Change,
    /// By whom, when and why.
    pub cause: Cause,
}

impl Change {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Accept, Self::Fail, Self::Retry, Self::Cancel];

    /// The name in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Fail => "fail",
            Self::Retry => "retry",
            Self::Cancel => "cancel",
        }
    }

    /// The change of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|change| change.as_str() == name)
    }

    /// Whether a delivery of that status can be changed so.
    pub const fn allows(self, status: DeliveryStatus) -> bool {
        match self {
            Self::Accept | Self::Fail => status.may_settle(),
            Self::Retry => true,
            Self::Cancel => status.may_cancel(),
        }
    }

    /// Whether it says what became of a dispatched delivery.
    pub const fn settles(self) -> bool {
        matches!(self, Self::Accept | Self::Fail)
    }

    /// The status that it makes.
    pub const fn makes(self) -> DeliveryStatus {
        match self {
            Self::Accept => DeliveryStatus::Accepted,
            Self::Fail => DeliveryStatus::Failed,
            Self::Retry => DeliveryStatus::Pending,
            Self::Cancel => DeliveryStatus::Cancelled,
        }
    }
}

/// What a change did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// The delivery has this status now; its channel, and the number of its lease.
    Done(DeliveryStatus, Arc<str>, i64),
    /// Its attempt is under way: the receiver's verdict is kept, and decides once a response of `dispatched` is recorded.
    Kept(Arc<str>),
    /// Its status does not allow it.
    Refused(DeliveryStatus),
}

/// A channel's state at run time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelState {
    /// It delivers.
    Enabled,
    /// A person stopped it for a while; its deliveries stay pending.
    Paused,
    /// It stopped itself, for the reason in its events; its deliveries stay pending.
    Disabled,
}

impl ChannelState {
    /// All states, for metrics.
    pub const ALL: &'static [Self] = &[Self::Enabled, Self::Paused, Self::Disabled];

    /// The name in the API, the database and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.as_str() == name)
    }
}
