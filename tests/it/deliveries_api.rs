//! Reading deliveries back, and what a person does to them: retry, cancel, accept, fail, one and many.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Service, delivery_to, text};
use crate::receiver::{Receiver, Reply};

/// A channel for each end that a delivery can have.
const EVERY_STATUS: &str = r"
channels:
  - {name: good, url: RECEIVER/good}
  - {name: bad, url: RECEIVER/bad}
  - {name: waits, url: RECEIVER/waits, retry: {attempts: 5, interval: 1h, jitter: 0}}
  - {name: later, url: RECEIVER/later, outcomes: [{on: [202], then: dispatched}]}
  - {name: refuses, url: RECEIVER/refuses, outcomes: [{on: [400], then: rejected}]}
";

/// A service with one order delivered to all of those, and the order's answer.
async fn every_status() -> (Receiver, Service, Value) {
    let receiver = Receiver::start().await;
    receiver.on("/bad", [Reply::status(404)]);
    receiver.on("/waits", [Reply::status(503)]);
    receiver.on("/later", [Reply::status(202)]);
    receiver.on("/refuses", [Reply::status(400)]);
    let service = Service::start(&receiver.fill(EVERY_STATUS)).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    for (channel, status) in [
        ("good", "accepted"),
        ("bad", "failed"),
        ("waits", "pending"),
        ("later", "dispatched"),
        ("refuses", "rejected"),
    ] {
        assert_eq!(service.at_rest(&delivery_to(&order, channel)).await["status"], status, "{channel}");
    }
    (receiver, service, order)
}

fn channels(deliveries: &[Value]) -> Vec<&str> {
    let mut channels: Vec<_> = deliveries.iter().map(|delivery| text(delivery, "channel")).collect();
    channels.sort_unstable();
    channels
}

#[tokio::test]
async fn deliveries_are_listed_and_filtered() {
    let (_receiver, service, order) = every_status().await;
    service.clock.advance(Duration::from_secs(60));
    let later = service.api.order(&json!({"id": "A-2"})).await;
    service.api.settled(&delivery_to(&later, "good")).await;
    let ord = text(&order, "id");
    for (query, expected) in [
        ("order_id=A-1".to_owned(), vec!["bad", "good", "later", "refuses", "waits"]),
        (format!("order_id={ord}"), vec!["bad", "good", "later", "refuses", "waits"]),
        ("order_id=A-1&status=failed".to_owned(), vec!["bad"]),
        ("order_id=A-1&status=failed&status=rejected&status=pending".to_owned(), vec!["bad", "refuses", "waits"]),
        ("order_id=A-1&status=cancelled".to_owned(), vec![]),
        ("channel=good".to_owned(), vec!["good", "good"]),
        ("channel=good&until=2026-01-31T12:00:30Z".to_owned(), vec!["good"]),
        ("channel=nobody".to_owned(), vec![]),
        ("since=2026-01-31T12:00:30Z".to_owned(), vec!["bad", "good", "later", "refuses", "waits"]),
    ] {
        let found = service.api.list(&format!("/v1/deliveries?{query}")).await;
        assert_eq!(channels(&found), expected, "{query}");
    }
    let all = service.api.list("/v1/deliveries?channel=good").await;
    assert_eq!(text(&all[0], "id"), delivery_to(&later, "good"), "newest first");
    service.stop().await;
}

#[tokio::test]
async fn a_delivery_tells_all_about_itself() {
    let (_receiver, service, order) = every_status().await;
    let delivery = service.api.delivery(&delivery_to(&order, "waits")).await;
    assert_eq!(delivery["channel"], "waits");
    assert_eq!(delivery["status"], "pending");
    assert_eq!(delivery["order_id"], "A-1");
    assert_eq!(delivery["next_attempt_at"], "2026-01-31T13:00:00.000Z");
    assert_eq!(delivery["attempts"].as_array().map(Vec::len), Some(1));
    for unknown in ["dlv_00000000-0000-7000-8000-000000000000", "nobody", "ord_x"] {
        service.api.get(&format!("/v1/deliveries/{unknown}")).await.problem(404);
        service.api.post(&format!("/v1/deliveries/{unknown}/retry"), &json!({})).await.problem(404);
    }
    service.stop().await;
}

#[tokio::test]
async fn what_a_status_does_not_allow_is_a_conflict() {
    for (action, allowed) in [
        ("accept", vec!["later"]),
        ("fail", vec!["later"]),
        ("cancel", vec!["later", "waits"]),
        ("retry", vec!["bad", "good", "later", "refuses"]),
    ] {
        let (_receiver, service, order) = every_status().await;
        for channel in ["good", "bad", "waits", "later", "refuses"] {
            let id = delivery_to(&order, channel);
            let before = service.api.delivery(&id).await;
            let answer = service.api.post(&format!("/v1/deliveries/{id}/{action}"), &json!({})).await;
            if allowed.contains(&channel) {
                answer.expect(200);
            } else {
                let problem = answer.problem(409);
                let status = text(&before, "status");
                assert!(text(&problem, "detail").contains(status), "{action} of {channel}: {problem}");
                assert_eq!(service.api.delivery(&id).await["status"], before["status"]);
            }
        }
        service.stop().await;
    }
}

#[tokio::test]
async fn accept_fail_and_cancel_end_a_delivery() {
    for (channel, action, status) in [
        ("later", "accept", "accepted"),
        ("later", "fail", "failed"),
        ("later", "cancel", "cancelled"),
        ("waits", "cancel", "cancelled"),
    ] {
        let (receiver, service, order) = every_status().await;
        let id = delivery_to(&order, channel);
        let answer = service.api.post(&format!("/v1/deliveries/{id}/{action}"), &json!({})).await.expect(200);
        assert_eq!((&answer["id"], &answer["status"]), (&json!(id), &json!(status)));
        let count = receiver.count();
        service.clock.advance(Duration::from_secs(7200));
        let witness = service.api.order(&json!({"id": "A-2"})).await;
        service.api.settled(&delivery_to(&witness, "good")).await;
        let delivery = service.api.delivery(&id).await;
        assert_eq!(delivery["status"], status);
        assert_eq!(delivery["next_attempt_at"], Value::Null);
        let again = receiver.requests()[count..].iter().any(|request| request.header("webhook-id") == Some(&id));
        assert!(!again, "{action} ends the attempts");
        service.stop().await;
    }
}

#[tokio::test]
async fn retry_sends_a_delivery_that_has_ended_again_under_the_same_id() {
    let (receiver, service, order) = every_status().await;
    receiver.answer([Reply::status(200)]);
    for channel in ["bad", "good", "refuses"] {
        let id = delivery_to(&order, channel);
        receiver.on(&format!("/{channel}"), [Reply::status(200)]);
        service.api.post(&format!("/v1/deliveries/{id}/retry"), &json!({})).await.expect(200);
        let delivery = service.api.attempted(&id, 2).await;
        assert_eq!(delivery["attempts"][1]["number"], 2);
        let requests = receiver.wait_for_on(&format!("/{channel}"), 2).await;
        assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
    }
    service.stop().await;
}

#[tokio::test]
async fn a_delivery_under_way_is_cancelled_and_its_result_changes_nothing() {
    let receiver = Receiver::start().await;
    let gate = crate::receiver::Gate::new();
    receiver.answer([Reply::status(200).held(&gate)]);
    let service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]")).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    let id = delivery_to(&order, "erp");
    receiver.wait_for(1).await;
    service.api.post(&format!("/v1/deliveries/{id}/cancel"), &json!({})).await.expect(200);
    gate.open();
    let next = service.api.order(&json!({"id": "A-2"})).await;
    service.api.settled(&delivery_to(&next, "erp")).await;
    assert_eq!(service.api.delivery(&id).await["status"], "cancelled");
    service.stop().await;
}

#[tokio::test]
async fn bulk_calls_take_the_filters_of_the_list_and_count() {
    let (receiver, service, _) = every_status().await;
    for number in 2..=4 {
        let order = service.api.order(&json!({"id": format!("A-{number}")})).await;
        service.api.settled(&delivery_to(&order, "bad")).await;
    }
    receiver.on("/bad", [Reply::status(200)]);
    let retry = |body: Value| {
        let api = service.api.clone();
        async move { api.post("/v1/deliveries/retry", &body).await.expect(200)["count"].clone() }
    };
    let filter = json!({"channel": "bad", "status": ["failed"]});
    assert_eq!(retry(json!({"channel": "bad", "status": ["failed"], "dry_run": true})).await, 4);
    assert_eq!(
        service.api.list("/v1/deliveries?channel=bad&status=failed").await.len(),
        4,
        "a dry run changes nothing"
    );
    assert_eq!(retry(json!({"channel": "bad", "status": ["failed"], "order_id": "A-3"})).await, 1);
    receiver.wait_for_on("/bad", 5).await;
    service.api.settled(text(&service.api.list("/v1/deliveries?channel=bad&order_id=A-3").await[0], "id")).await;
    assert_eq!(retry(filter.clone()).await, 3);
    receiver.wait_for_on("/bad", 8).await;
    for delivery in service.api.list("/v1/deliveries?channel=bad").await {
        assert_eq!(service.api.settled(text(&delivery, "id")).await["status"], "accepted");
    }
    assert_eq!(retry(filter).await, 0);

    let cancelled = service.api.post("/v1/deliveries/cancel", &json!({"channel": "waits"})).await.expect(200);
    assert_eq!(cancelled["count"], 4);
    assert_eq!(service.api.list("/v1/deliveries?channel=waits&status=cancelled").await.len(), 4);
    service.stop().await;
}

#[tokio::test]
async fn a_bulk_call_that_makes_no_sense_changes_nothing() {
    let (_receiver, service, _) = every_status().await;
    for body in [
        json!({"status": ["done"]}),
        json!({"colour": "red"}),
        json!({"since": "yesterday"}),
        json!({"dry_run": "maybe"}),
        json!([]),
        json!("all"),
    ] {
        for action in ["retry", "cancel"] {
            let answer = service.api.post(&format!("/v1/deliveries/{action}"), &body).await;
            assert!(matches!(answer.status, 400 | 422), "{body}: {answer}");
            answer.problem(answer.status);
        }
    }
    assert_eq!(service.api.list("/v1/deliveries?status=cancelled").await.len(), 0);
    service.stop().await;
}
