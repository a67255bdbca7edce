//! What the targets have in common.

use std::sync::Arc;

use bytes::Bytes;
use orderhook::domain::{Event, EventId, Origin, Subject, Timestamp};
use orderhook::template::{Places, Scope};

/// The names that templates and filters know of an order of these bytes.
pub fn scope(order: &[u8]) -> Scope {
    let id = EventId::from_u128(1);
    let subject = Subject {
        origin: Origin::Event(id),
        order_id: "4711".to_owned(),
        kind: "new".to_owned(),
        received_at: Timestamp::from_millis(0),
        chain: None,
        body: Bytes::copy_from_slice(order),
    };
    let event = Event {
        id,
        kind: "order.completed".into(),
        at: Timestamp::from_millis(0),
        subject: Arc::new(subject),
        context: "{}".into(),
        step: None,
        steps: Arc::default(),
    };
    let places = Places {
        public_url: "http://localhost".to_owned(),
        customer_email: "/customer/email".to_owned(),
        items: "/items".to_owned(),
        product: vec!["/sku".to_owned()],
        ..Places::default()
    };
    Scope::new(&event, &Arc::new(places), Timestamp::from_millis(0))
}
