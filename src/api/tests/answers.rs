//! What intake's results look like on the wire.

use std::sync::Arc;

use crate::domain::order::{RejectedBy, Rejection};
use crate::domain::{Code, DeliveryStatus, EventId, OrderStatus, StepRecord, StepStatus};
use crate::intake::{Answering, OrderView};

use super::super::JsonAnswers;
use super::fakes::{ids, now};
use super::records::subject;

fn step(status: StepStatus) -> StepRecord {
    StepRecord {
        step: "billing".to_owned(),
        plugin: "calloutPlugin".to_owned(),
        critical: true,
        status,
        code: Some(Code::status(404)),
        error: Some("callout plugin failed due to response status: [404]".to_owned()),
        duration_ms: 7,
        started_at: now(),
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[test]
fn a_completed_order_is_answered_201_with_steps_and_deliveries() {
    let ids = ids();
    let subject = subject(&ids);
    let deliveries = [(ids.next(), Arc::from("erp"), DeliveryStatus::Pending)];
    let answer = JsonAnswers.order(&OrderView {
        subject: &subject,
        status: OrderStatus::Completed,
        context: r#"{"userId":"u-1","price":1.50}"#,
        steps: &[step(StepStatus::Failed)],
        deliveries: &deliveries,
        rejection: None,
    });
    assert_eq!(answer.status, 201);
    assert_eq!(answer.location, Some(format!("/v1/orders/{}", subject.id())));
    let expected = format!(
        concat!(
            r#"{{"id":"{}","order_id":"A/1","type":"new","status":"completed","context":{{"userId":"u-1","price":1.50}},"#,
            r#""steps":[{{"step":"billing","plugin":"calloutPlugin","critical":true,"status":"failed","code":404,"#,
            r#""error":"callout plugin failed due to response status: [404]","duration_ms":7}}],"#,
            r#""deliveries":[{{"id":"{}","channel":"erp","status":"pending"}}]}}"#
        ),
        subject.id(),
        deliveries[0].0
    );
    assert_eq!(text(&answer.body), expected);
}

#[test]
fn an_order_under_way_is_answered_202() {
    let subject = subject(&ids());
    let answer = JsonAnswers.order(&OrderView {
        subject: &subject,
        status: OrderStatus::Processing,
        context: "{}",
        steps: &[StepRecord { code: None, error: None, ..step(StepStatus::Running) }],
        deliveries: &[],
        rejection: None,
    });
    assert_eq!(answer.status, 202);
    let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(body["status"], "processing");
    assert_eq!(body["steps"][0]["status"], "running");
    assert!(body["steps"][0]["code"].is_null() && body["deliveries"].as_array().is_some_and(Vec::is_empty));
}

#[test]
fn a_rejected_order_is_a_problem_by_what_the_step_failed_by() {
    let subject = subject(&ids());
    for (by, status, slug) in [
        (RejectedBy::Status, 422, "order-rejected"),
        (RejectedBy::Timeout, 504, "step-timeout"),
        (RejectedBy::NoResponse, 502, "step-no-response"),
    ] {
        let rejection = Rejection {
            step: "billing".to_owned(),
            plugin: "calloutPlugin".to_owned(),
            by,
            detail: "This operation was aborted".to_owned(),
        };
        let answer = JsonAnswers.order(&OrderView {
            subject: &subject,
            status: OrderStatus::Rejected,
            context: "{}",
            steps: &[step(StepStatus::Failed)],
            deliveries: &[],
            rejection: Some(&rejection),
        });
        assert_eq!(answer.status, status);
        let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(body["type"], format!("/problems/{slug}"));
        assert_eq!(body["status"], status);
        assert_eq!(body["detail"], "This operation was aborted");
        assert_eq!((&body["step"], &body["plugin"]), (&"billing".into(), &"calloutPlugin".into()));
        assert_eq!((&body["id"], &body["order_id"]), (&subject.id().into(), &"A/1".into()));
        assert_eq!((&body["order_status"], &body["steps"][0]["code"]), (&"rejected".into(), &404.into()));
    }
}

#[test]
fn events_are_answered_in_the_form_in_which_they_came() {
    let ids = ids();
    let event: (EventId, Vec<_>) = (ids.next(), vec![(ids.next(), Arc::from("erp"))]);
    let one = format!(
        r#"{{"id":"{}","deliveries":[{{"id":"{}","channel":"erp","status":"pending"}}]}}"#,
        event.0, event.1[0].0
    );
    let answer = JsonAnswers.event(&event);
    assert_eq!((answer.status, text(&answer.body)), (202, one.as_str()));
    let answer = JsonAnswers.batch(&[&answer, &answer]);
    assert_eq!(text(&answer.body), format!(r#"{{"data":[{one},{one}]}}"#));
}
