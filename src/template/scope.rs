//! The names that templates and expressions can use.

use crate::domain::{DeliveryId, Event, Timestamp};

/// What is known when a template is filled in: `order`, `context`, `event`, `delivery`, `customer_email`,
/// `order_url`, `now`. Built once for an event; the order's JSON is parsed at the first use.
#[derive(Clone)]
pub struct Scope {}

impl Scope {
    /// The names of an event. `public_url` is `server.public_url`, `customer_email` the pointer of `orders`.
    pub fn new(_event: &Event, _public_url: &str, _customer_email: &str, _now: Timestamp) -> Self {
        Self {}
    }
    /// The same, with `delivery.id`.
    #[must_use]
    pub fn with_delivery(&self, _delivery: DeliveryId) -> Self {
        Self {}
    }
    /// For the chain: `order`, `context` (a JSON object), no event.
    #[must_use]
    pub fn with_context(&self, _context: &serde_json::Map<String, serde_json::Value>) -> Self {
        Self {}
    }
}
