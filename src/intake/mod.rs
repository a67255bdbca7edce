//! Accepting orders and events: made durable, run through their chain, routed, and answered once.
//!
//! [`Intake::order`] is the whole way of an order up to its answer. What the answer looks like on the wire is the
//! API's business: it gives [`Intake`] an [`Answering`], so that the answer can be kept with the order's idempotency
//! key in the same commit.

use std::sync::Arc;

use bytes::Bytes;

use crate::domain::order::Rejection;
use crate::domain::{DeliveryId, DeliveryStatus, EventId, OrderStatus, StepRecord, Subject, Timestamp};
use crate::store::{Answer, StoreError};

/// A request that brings an order or events.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The body as received.
    pub body: Bytes,
    /// The `Idempotency-Key` header.
    pub key: Option<String>,
    /// The name of the caller's token; empty where none is needed. Keys of different callers do not meet.
    pub caller: Arc<str>,
}

/// An event as posted, taken out of whichever form it came in.
#[derive(Debug, Clone)]
pub struct PostedEvent {
    /// Its type.
    pub kind: String,
    /// The sender's id for it, if any. Events of one id (and caller) count once.
    pub id: Option<String>,
    /// When it happened; now, if it does not say.
    pub at: Option<Timestamp>,
    /// When its deliveries are due; at once, if it does not say.
    pub deliver_at: Option<Timestamp>,
    /// Its data, any JSON value.
    pub data: Bytes,
}

/// An answer, and whether it is the one of an earlier request with the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The answer.
    pub answer: Answer,
    /// Goes out as `Idempotency-Replayed: true`.
    pub replayed: bool,
}

/// Why nothing was accepted. Nothing of the request is kept then.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The body is no JSON.
    #[error("the body is not valid JSON: {0}")]
    NotJson(String),
    /// The body is JSON, but no object.
    #[error("an order is a JSON object, this is {0}")]
    NotAnObject(&'static str),
    /// The body is nested too deeply.
    #[error("the body is nested more than {0} levels deep (server.max_depth)")]
    TooDeep(usize),
    /// A field of the order cannot be used.
    #[error("{path}: {message}")]
    BadField {
        /// The JSON pointer of the field.
        path: String,
        /// What is wrong with it.
        message: String,
    },
    /// The idempotency key was used with another body.
    #[error("this Idempotency-Key was used before with another body")]
    KeyMismatch,
    /// The first request with the key has no answer yet.
    #[error("the first request with this Idempotency-Key is still under way")]
    KeyUnderWay,
    /// More orders are under way than `delivery.chain_concurrency` allows, for longer than the request may wait.
    #[error("too many orders are under way")]
    Busy,
    /// The service is stopping.
    #[error("the service is shutting down")]
    Stopping,
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an answer about an order tells.
#[derive(Debug)]
pub struct OrderView<'a> {
    /// The order.
    pub subject: &'a Subject,
    /// Where it is on its way.
    pub status: OrderStatus,
    /// Its context, a JSON object as text.
    pub context: &'a str,
    /// Its steps so far; one under way is `Running`.
    pub steps: &'a [StepRecord],
    /// Its deliveries.
    pub deliveries: &'a [(DeliveryId, Arc<str>, DeliveryStatus)],
    /// The critical step that rejected it.
    pub rejection: Option<&'a Rejection>,
}

/// Turns results into answers as they go over the wire.
pub trait Answering: Send + Sync {
    /// 201, 202, or the problem of a rejected order.
    fn order(&self, order: &OrderView<'_>) -> Answer;
    /// 202, for one event or (`batch`) several: each with its id and deliveries (id, channel).
    fn events(&self, events: &[(EventId, Vec<(DeliveryId, Arc<str>)>)], batch: bool) -> Answer;
}
