//! What happened, to what: an [`Event`] about a [`Subject`], and the patterns by which channels subscribe.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::arrival::Arrival;
use super::clock::Timestamp;
use super::code::Code;
use super::ids::{EventId, OrderId};
use super::order::{StepRecord, StepStatus};
use super::trace::{self, TraceContext};

/// The events orderhook itself makes.
pub const OWN_EVENTS: &[&str] = &[
    "order.received",
    "order.completed",
    "order.rejected",
    "order.step_failed",
    "delivery.failed",
    "delivery.late",
    "channel.disabled",
    "channel.recovered",
    "channel.failing",
];

/// Whether events of that type are the product's own about deliveries and channels.
pub fn is_own(kind: &str) -> bool {
    ["delivery.", "channel."].iter().any(|prefix| kind.starts_with(prefix))
}

/// Where a subject's record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// An order of `POST /v1/orders`.
    Order(OrderId),
    /// An event without an order: `POST /v1/events`, or the product's own.
    Event(EventId),
}

impl Origin {
    /// The id that traces of all its requests share, 128 bits (W3C trace context).
    pub fn trace_id(self) -> u128 {
        match self {
            Self::Order(id) => id.as_u128(),
            Self::Event(id) => id.as_u128(),
        }
    }
}

/// What events are about: an order as it came in, or the data of an event that has none. Never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The record this is.
    pub origin: Origin,
    /// The order's own id, or the server's where it has none.
    pub order_id: String,
    /// The order's type; an event's type where there is no order.
    pub kind: String,
    /// When it came in.
    pub received_at: Timestamp,
    /// The chain it runs through.
    pub chain: Option<String>,
    /// The bytes received, a JSON object for orders, any JSON value for events.
    pub body: Bytes,
    /// What the request brought along, where it brought anything.
    pub arrival: Option<Arc<Arrival>>,
}

impl Subject {
    /// `ord_…` or `evt_…`.
    pub fn id(&self) -> String {
        match self.origin {
            Origin::Order(id) => id.to_string(),
            Origin::Event(id) => id.to_string(),
        }
    }

    /// The `traceparent` of a request about it whose own id is `span`: of the caller's trace, else of its own.
    pub fn traceparent(&self, span: u64) -> String {
        match self.trace() {
            Some(trace) => trace.parent(span),
            None => trace::traceparent(self.origin.trace_id(), span),
        }
    }

    /// The `tracestate` of such a request.
    pub fn tracestate(&self) -> Option<&str> {
        self.trace()?.state()
    }

    /// The id of the trace that everything about it belongs to.
    pub fn trace_id(&self) -> u128 {
        self.trace().map_or(self.origin.trace_id(), TraceContext::trace_id).max(1)
    }

    /// The id of the span that all other spans about it are below.
    pub fn span_id(&self) -> u64 {
        (self.origin.trace_id() as u64).max(1)
    }

    /// The trace that a caller's request brought along.
    pub fn trace(&self) -> Option<&TraceContext> {
        self.arrival.as_ref()?.trace.as_ref()
    }

    /// The attributes of the CloudEvent that it came as.
    pub fn cloudevent(&self) -> Option<&serde_json::Map<String, serde_json::Value>> {
        self.arrival.as_ref()?.cloudevent.as_ref()
    }

    /// The order's id, for a subject that is one.
    pub fn order(&self) -> Option<OrderId> {
        match self.origin {
            Origin::Order(id) => Some(id),
            Origin::Event(_) => None,
        }
    }
}

/// Something that happened and that channels can subscribe to. The same for every channel and every attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id, `evt_…`.
    pub id: EventId,
    /// Its type, such as `order.completed`.
    pub kind: Arc<str>,
    /// When it happened.
    pub at: Timestamp,
    /// What it is about.
    pub subject: Arc<Subject>,
    /// The order's context at that time, a JSON object as text.
    pub context: Arc<str>,
    /// The step that failed, for `order.step_failed` and `order.rejected`.
    pub step: Option<Arc<str>>,
    /// The steps of the order's chain that had ended by then, in their order.
    pub steps: Arc<[EventStep]>,
}

impl Event {
    /// The step that failed, with its code and error.
    pub fn failed(&self) -> Option<&EventStep> {
        let name = self.step.as_deref()?;
        self.steps.iter().rev().find(|step| step.step == name)
    }
}

/// A step of an order's chain, as the order's events carry it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventStep {
    /// The step's name within its chain.
    pub step: String,
    /// The plugin that it ran.
    pub plugin: String,
    /// How it ended.
    pub status: StepStatus,
    /// The response's status, or a code below zero; `None` for a step that was skipped.
    pub code: Option<Code>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl From<&StepRecord> for EventStep {
    fn from(record: &StepRecord) -> Self {
        Self {
            step: record.step.clone(),
            plugin: record.plugin.clone(),
            status: record.status,
            code: record.code,
            error: record.error.clone(),
        }
    }
}

/// A subscription: an event type in which `*` stands for any run of characters.
#[derive(Clone, PartialEq, Eq)]
pub struct EventPattern(String);

impl EventPattern {
    /// A pattern as written in a channel's `events`. `Err` says what is wrong with it.
    pub fn new(pattern: &str) -> Result<Self, &'static str> {
        if pattern.is_empty() {
            return Err("an event pattern cannot be empty");
        }
        if !pattern.chars().all(|c| c.is_ascii_graphic()) {
            return Err("an event pattern is printable ASCII without spaces");
        }
        let own = ["order.", "delivery.", "channel."].iter().any(|prefix| pattern.starts_with(prefix));
        let pattern = Self(pattern.to_owned());
        if own && !OWN_EVENTS.iter().any(|event| pattern.matches(event)) {
            return Err("no such event");
        }
        Ok(pattern)
    }

    /// Whether an event of that type is meant.
    pub fn matches(&self, kind: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|first| kind.strip_prefix(first)) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = rest.get(at + part.len()..).unwrap_or_default();
        }
        rest.ends_with(last)
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_types() {
        for (pattern, kind, expected) in [
            ("order.completed", "order.completed", true),
            ("order.completed", "order.completed.late", false),
            ("order.*", "order.completed", true),
            ("*", "anything", true),
            ("*.paid", "invoice.paid", true),
            ("*.paid", "invoice.paid.not", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c", false),
            ("invoice.*.v1", "invoice.paid.v1", true),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(EventPattern(pattern.into()).matches(kind), expected, "{pattern} on {kind}");
        }
    }

    #[test]
    fn a_pattern_below_our_own_names_must_match_one_of_them() {
        assert!(EventPattern::new("order.complete").is_err());
        assert!(EventPattern::new("order.*").is_ok());
        assert!(EventPattern::new("order*").is_ok());
        assert!(EventPattern::new("invoice.paid").is_ok());
        assert!(EventPattern::new("").is_err());
    }
}
