//! Every syntax over every target: compiling and filling in never panics, and what has no fields stays as it is.
//!
//! The input is a template, a NUL, and the order that fills it.

#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use orderhook::domain::{Event, EventId, Origin, Subject, Timestamp};
use orderhook::template::{Expression, Places, Scope, Syntax, Target, Template, as_form, as_xml, check_document};

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let source = parts.next().and_then(|part| std::str::from_utf8(part).ok()).unwrap_or_default();
    let order = parts.next().unwrap_or(b"{}");
    let scope = scope(order);
    for syntax in Syntax::ALL {
        for target in [Target::Url, Target::Json, Target::Form, Target::Xml, Target::Text] {
            match Template::compile(*syntax, source, target) {
                Ok(template) => {
                    let filled = template.render(&scope);
                    let _ = (template.skeleton("x"), template.shortest(), template.begins_filled());
                    if template.as_static().is_some() {
                        assert_eq!(filled.as_deref(), Ok(source));
                    }
                    let _ = filled.map(|text| check_document(target, &text));
                }
                Err(error) => assert!(error.line >= 1 && error.column >= 1 && error.excerpt.ends_with('^')),
            }
        }
    }
    if let Ok(expression) = Expression::compile(source) {
        let _ = expression.holds(&scope);
    }
    let _ = as_form(order);
    if let Ok(document) = as_xml(order) {
        assert_eq!(check_document(Target::Xml, &document), Ok(()));
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
