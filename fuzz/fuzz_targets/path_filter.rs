//! Any filter on any order, of whatever granularity: never a panic, and what a filter says of an order it says of the
//! same order written anew.
//!
//! The input is a filter, a NUL, and an order.

#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use orderhook::domain::{Event, EventId, Granularity, Origin, Subject, Timestamp};
use orderhook::template::{PathFilter, Places, Scope};

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let source = parts.next().and_then(|part| std::str::from_utf8(part).ok()).unwrap_or_default();
    let order = parts.next().unwrap_or(b"{}");
    match PathFilter::compile(source) {
        Err(error) => assert!(error.line >= 1 && error.column >= 1 && error.excerpt.ends_with('^')),
        Ok(filter) => {
            for granularity in Granularity::ALL {
                let _ = filter.holds(&scope(order), *granularity);
                let _ = granularity.trim(order);
            }
            // The two readers of JSON differ in what they take, not in what they find.
            let whole = filter.holds(&scope(order), Granularity::Tickets);
            if let (Ok(holds), Ok(written)) = (whole, Granularity::Tickets.trim(order)) {
                assert_eq!(filter.holds(&scope(&written), Granularity::Tickets), Ok(holds));
            }
        }
    }
});

fn scope(order: &[u8]) -> Scope {
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
    };
    let places = Places {
        public_url: "http://localhost".to_owned(),
        customer_email: "/customer/email".to_owned(),
        items: "/items".to_owned(),
        product: vec!["/sku".to_owned()],
    };
    Scope::new(&event, &Arc::new(places), Timestamp::from_millis(0))
}
