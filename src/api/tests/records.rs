//! Orders and deliveries as a store would show them.

use std::sync::Arc;

use bytes::Bytes;

use crate::domain::{
    Attempt, AttemptId, Code, DeliveryStatus, Event, EventId, Exchange, IdSource, OrderId, OrderStatus, Origin,
    Outcome, Subject,
};
use crate::store::*;

use super::fakes::now;

pub(super) fn subject(ids: &IdSource) -> Arc<Subject> {
    let id: OrderId = ids.next();
    Arc::new(Subject {
        origin: Origin::Order(id),
        order_id: "A/1".to_owned(),
        kind: "new".to_owned(),
        received_at: now(),
        chain: Some("new-orders".to_owned()),
        body: Bytes::from_static(br#"{"id": "A/1", "total": 10.00}"#),
        arrival: None,
    })
}

pub(super) fn order(ids: &IdSource) -> OrderDetail {
    let subject = subject(ids);
    OrderDetail {
        summary: OrderSummary {
            id: subject.order().expect("an order"),
            order_id: subject.order_id.clone(),
            kind: subject.kind.clone(),
            status: OrderStatus::Completed,
            chain: subject.chain.clone(),
            received_at: now(),
            ended_at: Some(now()),
        },
        body: subject.body.clone(),
        arrival: subject.arrival.clone(),
        context: r#"{"userId":"u-1"}"#.into(),
        steps: Vec::new(),
        deliveries: Vec::new(),
        skipped: Vec::new(),
        same_id: Vec::new(),
    }
}

pub(super) fn delivery(ids: &IdSource, status: DeliveryStatus) -> DeliveryDetail {
    let subject = subject(ids);
    let event = Event {
        id: ids.next::<crate::domain::ids::EventKind>(),
        kind: "order.completed".into(),
        at: now(),
        context: "{}".into(),
        step: None,
        steps: Arc::default(),
        subject: Arc::clone(&subject),
    };
    let event: (EventId, Arc<str>) = (event.id, event.kind);
    let attempt: AttemptId = ids.next();
    DeliveryDetail {
        summary: DeliverySummary {
            id: ids.next(),
            channel: "erp".into(),
            status,
            event,
            order: subject.order(),
            order_id: Some(subject.order_id.clone()),
            created_at: now(),
            updated_at: now(),
            attempts: 1,
            next_attempt_at: None,
            last_code: Some(Code::status(503)),
            ordering_key: None,
            late: false,
            prepared: None,
        },
        verdicts: Vec::new(),
        attempts: vec![Attempt {
            id: attempt,
            number: 1,
            started_at: now(),
            duration_ms: 12,
            code: Code::status(503),
            outcome: Outcome::Retry,
            error: Some("the receiver answered 503".to_owned()),
            exchange: Exchange {
                method: "POST".to_owned(),
                url: "http://127.0.0.1:9/hook".to_owned(),
                request_headers: [("x-shop", "a"), ("authorization", "***")].into_iter().collect(),
                request_body: crate::domain::Body::whole(&br#"{"a":1}"#[..]),
                response_headers: [("set-cookie", "***"), ("Set-Cookie", "b")].into_iter().collect(),
                response_body: Bytes::from_static(b"\xff\x00"),
                truncated: true,
                times: None,
            },
        }],
    }
}
