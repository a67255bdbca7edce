//! What the caller of an order is told, and when: the chain knows the moment, the API the words.

use std::sync::Arc;

use crate::domain::order::Rejection;
use crate::domain::{DeliveryId, DeliveryStatus, EventId, OrderStatus, StepRecord, Subject};
use crate::store::Answer;

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
    pub deliveries: &'a [(DeliveryId, Arc<str>, DeliveryStatus)],
    /// The critical step that rejected it.
    pub rejection: Option<&'a Rejection>,
}

/// An accepted event and its deliveries, each with its channel.
pub type EventDeliveries = (EventId, Vec<(DeliveryId, Arc<str>)>);

/// Turns results into answers as they go over the wire.
pub trait Answering: Send + Sync {
    /// 201, 202, or the problem of a rejected order.
    fn order(&self, order: &OrderView<'_>) -> Answer;
    /// The problem of an order that is kept, but goes to no channel as its trading partners cannot be read.
    fn unroutable(&self, subject: &Subject, detail: &str) -> Answer;
    /// 202 for an event: its id and deliveries (id, channel).
    fn event(&self, event: &EventDeliveries) -> Answer;
    /// 202 for events that came in one batch, from the answer of each.
    fn batch(&self, events: &[&Answer]) -> Answer;
}
