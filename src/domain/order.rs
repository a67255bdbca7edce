//! An order's status, the record of its steps, and why a channel got nothing of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::code::Code;

/// Gives a closed set of names their text, both ways, and serde in the same words.
macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $text)] $variant),* }

        impl $name {
            /// Every value, in the order of an order's life.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name in the API, the database and logs.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// The value of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use names;

names! {
    /// Where an order is on its way.
    OrderStatus {
        /// Steps of its chain remain.
        Processing = "processing",
        /// Every step passed, or failed without being critical.
        Completed = "completed",
        /// A critical step failed.
        Rejected = "rejected",
    }
}

names! {
    /// How a step of a chain went.
    StepStatus {
        /// It did what it was asked.
        Passed = "passed",
        /// It did not; the error says why.
        Failed = "failed",
        /// Its `when` did not hold.
        Skipped = "skipped",
        /// It is under way. Never journaled: a step that was under way in a crash runs again.
        Running = "running",
    }
}

/// A journaled step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step's name within its chain.
    pub step: String,
    /// The plugin it ran.
    pub plugin: String,
    /// Whether its failure rejects the order.
    pub critical: bool,
    /// How it went.
    pub status: StepStatus,
    /// The response's status, or why there was none; `None` for a step that was skipped.
    pub code: Option<Code>,
    /// What went wrong.
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// When it began.
    pub started_at: Timestamp,
}

names! {
    /// Why a channel got nothing of an event.
    SkipReason {
        /// It does not subscribe to the event.
        Event = "event",
        /// Its `when` does not hold.
        When = "when",
        /// Its `filter` does not hold.
        Filter = "filter",
        /// No item of the order is one for it.
        Product = "product",
        /// It had its delivery for this value of `once_per` before.
        OncePer = "once_per",
        /// The order's relationship goes to another channel.
        Relationship = "relationship",
        /// It is switched off in the configuration.
        Disabled = "disabled",
    }
}

/// A channel that got nothing of an order, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    /// The channel's name.
    pub channel: Arc<str>,
    /// Why.
    pub reason: SkipReason,
    /// More about it, such as the expression that could not be evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

names! {
    /// What a critical step failed by.
    RejectedBy {
        /// A status that `shouldRejectOn` lists, or a plugin's own refusal.
        Status = "status",
        /// The time ran out.
        Timeout = "timeout",
        /// No usable response.
        NoResponse = "no_response",
    }
}

/// Why an order was rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The step that failed.
    pub step: String,
    /// The plugin it ran.
    pub plugin: String,
    /// What it failed by.
    pub by: RejectedBy,
    /// The error's text.
    pub detail: String,
}
