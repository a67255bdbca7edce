//! Reading deliveries back, and what a person does to them: retry, cancel, accept, fail, one and many.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Service, delivery_to, eventually, text};
use crate::receiver::{Gate, Receiver, Reply};

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
        ("order_id=A-1&status=Failed,REJECTED".to_owned(), vec!["bad", "refuses"]),
        ("since=2026-01-31T12:00:30Z".to_owned(), vec!["bad", "good", "later", "refuses", "waits"]),
    ] {
        let found = service.api.list(&format!("/v1/deliveries?{query}")).await;
        assert_eq!(channels(&found), expected, "{query}");
    }
    let unknown = service.api.get("/v1/deliveries?channel=god").await.problem(400);
    assert_eq!(
        unknown["errors"],
        json!([{"path": "channel", "message": "\"god\" is not a known channel; did you mean `good`?"}])
    );
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
        ("retry", vec!["bad", "good", "later", "refuses", "waits"]),
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
    let dry = json!({"channel": "bad", "status": ["failed"], "dry_run": true});
    assert_eq!(retry(dry.clone()).await, 4);
    let dry = service.api.post("/v1/deliveries/retry", &dry).await.expect(200);
    let examples: Vec<_> =
        dry["examples"].as_array().expect("examples").iter().map(|one| text(one, "order_id")).collect();
    assert_eq!(examples, ["A-4", "A-3", "A-2"]);
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
async fn a_bulk_retry_sends_accepted_and_pending_deliveries_only_where_they_are_named() {
    let (receiver, service, _) = every_status().await;
    receiver.answer([Reply::status(200)]);
    for action in ["retry", "cancel"] {
        for body in [json!({}), json!({"dry_run": true})] {
            let problem = service.api.post(&format!("/v1/deliveries/{action}"), &body).await.problem(422);
            assert_eq!(problem["type"], "/problems/missing-filter", "{action} {body}");
        }
    }
    let retry = |body: Value| {
        let api = service.api.clone();
        async move { api.post("/v1/deliveries/retry", &body).await.expect(200)["count"].clone() }
    };
    assert_eq!(retry(json!({"order_id": "A-1", "dry_run": true})).await, 2, "failed and rejected");
    for (channel, count) in [("good", 0), ("waits", 0), ("later", 0)] {
        assert_eq!(retry(json!({"channel": channel})).await, count, "{channel}");
    }
    assert_eq!(retry(json!({"channel": "good", "status": "Accepted"})).await, 1);
    receiver.wait_for_on("/good", 2).await;
    service.stop().await;
}

#[tokio::test]
async fn retry_makes_the_next_attempt_of_a_pending_delivery_due_in_its_round() {
    let receiver = Receiver::start().await;
    // A retry of `waits` is in the store, one of `soon` in memory.
    let yaml = r"
channels:
  - {name: waits, url: RECEIVER/waits, retry: {attempts: 2, interval: 1h, jitter: 0}}
  - {name: soon, url: RECEIVER/soon, retry: {attempts: 2, interval: 9s, jitter: 0}}
";
    receiver.answer([Reply::status(503)]);
    let service = Service::start(&receiver.fill(yaml)).await;
    for bulk in [false, true] {
        for channel in ["waits", "soon"] {
            let order = service.api.order(&json!({"id": format!("{channel}-{bulk}")})).await;
            let id = delivery_to(&order, channel);
            service.api.attempted(&id, 1).await;
            service.wait_of(&id).await;
            if bulk {
                let filter = json!({"channel": channel, "status": "pending"});
                assert!(
                    service.api.post("/v1/deliveries/retry", &filter).await.expect(200)["count"].as_u64() >= Some(1)
                );
            } else {
                let answer = service.api.post(&format!("/v1/deliveries/{id}/retry"), &json!({})).await.expect(200);
                assert_eq!(answer["status"], "pending");
            }
            let ended = service.api.settled(&id).await;
            assert_eq!(ended["status"], "failed", "the round had two attempts: {ended:#}");
            assert_eq!(ended["attempts"].as_array().map(Vec::len), Some(2), "{channel} {bulk}");
        }
    }
    assert_eq!(service.clock_passed(), Duration::ZERO);
    service.stop().await;
}

#[tokio::test]
async fn verdicts_say_who_did_what_when_and_why() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::status(202)]);
    let yaml = "server: {tokens: [{name: operator, token: operator-token-0123456789, scopes: [ingest, manage]}]}\nchannels: [{name: later, url: RECEIVER/later, outcomes: [{on: [202], then: dispatched}]}]";
    let service = Service::start(&receiver.fill(yaml)).await;
    let api = service.api.with_token("operator-token-0123456789");
    let order = api.order(&json!({"id": "A-1"})).await;
    let id = delivery_to(&order, "later");
    api.settled(&id).await;
    assert_eq!(api.delivery(&id).await["verdicts"], json!([]));
    let act = async |act: &str, body: Value| api.post(&format!("/v1/deliveries/{id}/{act}"), &body).await;
    act("fail", json!({"reason": "the parcel came back"})).await.expect(200);
    service.clock.advance(Duration::from_secs(60));
    act("retry", json!({})).await.expect(200);
    api.attempted(&id, 2).await;
    eventually("the second 202", || async { (api.delivery(&id).await["status"] == "dispatched").then_some(()) }).await;
    let cancel = json!({"order_id": "A-1", "reason": "no longer wanted"});
    api.post("/v1/deliveries/cancel", &cancel).await.expect(200);
    let verdict =
        |at: &str, act: &str, reason: Value| json!({"at": at, "act": act, "by": "operator", "reason": reason});
    let expected = json!([
        verdict("2026-01-31T12:00:00.000Z", "fail", json!("the parcel came back")),
        verdict("2026-01-31T12:01:00.000Z", "retry", Value::Null),
        verdict("2026-01-31T12:01:00.000Z", "cancel", json!("no longer wanted")),
    ]);
    assert_eq!(api.delivery(&id).await["verdicts"], expected);
    act("fail", json!({"reason": "again"})).await.problem(409);
    act("retry", json!({"reason": "x".repeat(1001)})).await.problem(400);
    act("retry", json!({"because": "x"})).await.problem(400);
    assert_eq!(api.delivery(&id).await["verdicts"], expected, "what was refused leaves no verdict");
    let dry = json!({"order_id": "A-1", "dry_run": true, "reason": "only looking"});
    api.post("/v1/deliveries/retry", &dry).await.expect(200);
    for _ in 0..60 {
        act("retry", json!({})).await.expect(200);
        act("cancel", json!({})).await.expect(200);
    }
    let kept = api.delivery(&id).await["verdicts"].as_array().expect("verdicts").clone();
    assert_eq!((kept.len(), &kept[99]["act"]), (100, &json!("cancel")), "the newest hundred");
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

#[tokio::test]
async fn what_a_bulk_retry_starts_again_goes_behind_new_orders() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    let replies = (0..30).map(|_| Reply::status(500)).chain([Reply::status(200).held(&gate)]);
    receiver.answer(replies);
    let yaml =
        "channels: [{name: erp, url: RECEIVER/erp, concurrency: 1, breaker: null, retry: {attempts: 1, interval: 1s}}]";
    let service = Service::start(&receiver.fill(yaml)).await;
    for number in 0..30 {
        service.api.order(&json!({"id": format!("old-{number}")})).await;
    }
    service.api.all_settled().await;
    let answer = service.api.post("/v1/deliveries/retry", &json!({"channel": "erp"})).await.expect(200);
    assert_eq!(answer["count"], 30);
    receiver.wait_for(31).await;
    service.api.order(&json!({"id": "new"})).await;
    // The lane has looked at the store by then.
    tokio::time::sleep(Duration::from_millis(300)).await;
    gate.open();
    service.api.all_settled().await;
    let ids: Vec<String> =
        receiver.requests().iter().skip(30).map(|request| request.json()["data"]["order"]["id"].to_string()).collect();
    let at = ids.iter().position(|id| id.contains("new")).expect("delivered");
    assert!(at <= 2, "the new order came {at} behind {ids:?}");
    service.stop().await;
}

#[tokio::test]
async fn an_attempt_says_where_its_time_went() {
    let receiver = Receiver::start().await;
    let yaml = "channels: [{name: erp, url: RECEIVER/erp}, {name: gone, url: 'http://127.0.0.1:9/', retry: {attempts: 1, interval: 1s}}]";
    let service = Service::start(&receiver.fill(yaml)).await;
    let mut times = Vec::new();
    for id in ["A-1", "A-2"] {
        let order = service.api.order(&json!({"id": id})).await;
        let settled = service.api.settled(&delivery_to(&order, "erp")).await;
        times.push(settled["attempts"][0]["times"].clone());
        let settled = service.api.settled(&delivery_to(&order, "gone")).await;
        assert_eq!(settled["attempts"][0].get("times"), None, "no response began");
    }
    assert!(
        times[0]["connect_ms"].is_u64() && times[0]["first_byte_ms"].is_u64() && times[0]["body_ms"].is_u64(),
        "{times:?}"
    );
    assert!(
        times[1]["connect_ms"].is_null() && times[1]["first_byte_ms"].is_u64(),
        "the connection was kept: {times:?}"
    );
    service.stop().await;
}
