//! A delivery's status, its attempts, and what an attempt's outcome makes of it.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::code::Code;
use super::headers::HeaderLines;
use super::ids::AttemptId;
use super::order::names;

names! {
    /// Where a delivery is on its way.
    DeliveryStatus {
        /// Waiting or under way.
        Pending = "pending",
        /// The receiver took it.
        Accepted = "accepted",
        /// The receiver has it and says later whether it took it.
        Dispatched = "dispatched",
        /// The receiver refused it.
        Rejected = "rejected",
        /// It could not be delivered.
        Failed = "failed",
        /// A person stopped it.
        Cancelled = "cancelled",
    }
}

impl DeliveryStatus {
    /// Whether nothing more will happen by itself.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Dispatched)
    }

    /// Whether it may be cancelled.
    pub const fn may_cancel(self) -> bool {
        matches!(self, Self::Pending | Self::Dispatched)
    }

    /// Whether the receiver may still say what became of it.
    pub const fn may_settle(self) -> bool {
        matches!(self, Self::Dispatched)
    }
}

names! {
    /// What the response rules make of an attempt.
    Outcome {
        /// Delivered.
        Accepted = "accepted",
        /// Delivered; the receiver settles it later.
        Dispatched = "dispatched",
        /// Refused for good.
        Rejected = "rejected",
        /// Failed for good.
        Failed = "failed",
        /// To be tried again, while attempts remain.
        Retry = "retry",
        /// Failed for good, and the channel is to be disabled.
        Disable = "disable",
    }
}

impl Outcome {
    /// Whether the receiver has the delivery.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Accepted | Self::Dispatched)
    }

    /// The status in which a delivery ends by this outcome; `None` for one that may be tried again.
    pub const fn ends_as(self) -> Option<DeliveryStatus> {
        match self {
            Self::Accepted => Some(DeliveryStatus::Accepted),
            Self::Dispatched => Some(DeliveryStatus::Dispatched),
            Self::Rejected => Some(DeliveryStatus::Rejected),
            Self::Failed | Self::Disable => Some(DeliveryStatus::Failed),
            Self::Retry => None,
        }
    }
}

/// What a delivery carries of its event, where that is not all of it. Most deliveries have none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PreparedDelivery {
    /// The items it is about, by their positions in the order's list; empty: the order itself is the item. `None`: it
    /// is not about items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<u32>>,
    /// How many units it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<u64>,
    /// Which unit of the order this is, from 1, where each unit has a delivery of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<u64>,
    /// How many units of the order have a delivery of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<u64>,
    /// Why no request can be made for it: it fails at its first attempt, with this sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Whether it goes out as a mail to the customer: the text of the response by which another delivery was accepted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mail: bool,
    /// That text. Stored by itself, since it can be long: what is listed or shown comes without it.
    #[serde(skip)]
    pub text: Option<Arc<str>>,
}

/// A request body, kept so that a copy of the order in it need not be stored again with every attempt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Body {
    /// All of it; or, with `spliced`, what stands in front of the order.
    pub head: Bytes,
    /// What stands behind the order, where the order's bytes as received stand between the two.
    pub spliced: Option<Bytes>,
}

impl Body {
    /// A body that stands by itself.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self { head: bytes.into(), spliced: None }
    }

    /// The order's bytes as received, and nothing else.
    pub fn order() -> Self {
        Self { head: Bytes::new(), spliced: Some(Bytes::new()) }
    }

    /// The whole body, with `order` (the subject's bytes) put back in its place.
    pub fn join(&self, order: &Bytes) -> Bytes {
        match &self.spliced {
            None => self.head.clone(),
            Some(tail) if self.head.is_empty() && tail.is_empty() => order.clone(),
            Some(tail) => [&self.head[..], order, tail].concat().into(),
        }
    }
}

/// A request and what came back, as shown in the history. Secrets are masked before they get here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Exchange {
    /// The HTTP method.
    pub method: String,
    /// The URL, filled.
    pub url: String,
    /// The request's headers, masked.
    pub request_headers: HeaderLines,
    /// The request's body.
    #[serde(skip)]
    pub request_body: Body,
    /// The response's headers, masked; empty where there was no response.
    pub response_headers: HeaderLines,
    /// The response's body, up to the channel's `max_response`.
    #[serde(skip)]
    pub response_body: Bytes,
    /// Whether more of the response came than is kept.
    pub truncated: bool,
    /// Where the time went; `None` where no response began, and for mails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<Times>,
}

/// Where the time of a request went, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Times {
    /// DNS, TCP and TLS; `None` where a connection was kept from an earlier request.
    pub connect_ms: Option<u64>,
    /// From then on until the head of the response was there.
    pub first_byte_ms: u64,
    /// The body of the response.
    pub body_ms: u64,
}

/// One attempt of a delivery, as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its id, `att_…`.
    pub id: AttemptId,
    /// 1 for the first of the delivery, over all rounds.
    pub number: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The response's status, or why there was none.
    pub code: Code,
    /// What the channel's rules made of it.
    pub outcome: Outcome,
    /// What went wrong, in a sentence.
    pub error: Option<String>,
    /// What was sent and received.
    pub exchange: Exchange,
}
