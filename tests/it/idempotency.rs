//! `Idempotency-Key`: one order for one key, whatever happens in between.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Home, Process, Service, delivery_to, eventually, text};
use crate::receiver::{Gate, Receiver, Reply};

#[tokio::test]
async fn a_repeat_gets_the_first_answer_and_makes_nothing_new() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]")).await;
    let order = json!({"id": "A-1", "total": 1});
    let first = service.api.post_with_key("/v1/orders", "key-1", &order).await;
    let again = service.api.post_with_key("/v1/orders", "key-1", &order).await;
    assert_eq!(first.expect(201), again.expect(201));
    assert_eq!(first.header("idempotency-replayed"), None);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(first.header("location"), again.header("location"));
    assert_eq!(first.header("content-type"), again.header("content-type"));
    let other = service.api.post_with_key("/v1/orders", "key-2", &order).await.expect(201);
    assert_ne!(other["id"], first.json()["id"], "another key, another order");
    service.api.all_settled().await;
    assert_eq!(receiver.count(), 2);
    assert_eq!(service.api.list("/v1/orders").await.len(), 2);
    service.stop().await;
}

#[tokio::test]
async fn the_same_key_with_another_body_is_refused() {
    let service = Service::start("").await;
    service.api.post_with_key("/v1/orders", "key-1", &json!({"id": "A-1"})).await.expect(201);
    let problem = service.api.post_with_key("/v1/orders", "key-1", &json!({"id": "A-2"})).await.problem(422);
    assert!(text(&problem, "detail").contains("Idempotency-Key"), "{problem}");
    assert_eq!(service.api.list("/v1/orders").await.len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn while_the_first_is_under_way_a_repeat_is_a_conflict() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.answer([Reply::status(200).held(&gate)]);
    let yaml = receiver.fill(
        "chains: [{name: all, plugins: [{critical: true, name: calloutPlugin, options: {endpoint: RECEIVER/step, timeoutValue: 600000}}]}]",
    );
    let service = Service::start(&yaml).await;
    let api = service.api.clone();
    let first = tokio::spawn(async move { api.post_with_key("/v1/orders", "key-1", &json!({"id": "A-1"})).await });
    receiver.wait_for(1).await;
    service.api.post_with_key("/v1/orders", "key-1", &json!({"id": "A-1"})).await.problem(409);
    gate.open();
    let first = first.await.expect("an answer");
    let again = service.api.post_with_key("/v1/orders", "key-1", &json!({"id": "A-1"})).await;
    assert_eq!(first.expect(201), again.expect(201));
    assert_eq!(receiver.count(), 1);
    service.stop().await;
}

#[tokio::test]
async fn many_at_once_with_one_key_make_one_order() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]")).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let api = service.api.clone();
        calls.spawn(async move { api.post_with_key("/v1/orders", "key-1", &json!({"id": "A-1"})).await });
    }
    let answers = calls.join_all().await;
    assert!(answers.iter().all(|answer| matches!(answer.status, 201 | 409)), "{:?}", answers[0]);
    let ids: std::collections::HashSet<String> = answers
        .iter()
        .filter(|answer| answer.status == 201)
        .map(|answer| text(&answer.json(), "id").to_owned())
        .collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 201 && answer.header("idempotency-replayed").is_none()).count(),
        1
    );
    service.api.all_settled().await;
    assert_eq!(receiver.count(), 1);
    service.stop().await;
}

#[tokio::test]
async fn an_answer_of_202_is_replayed_as_it_was() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.answer([Reply::status(200).held(&gate)]);
    let yaml = receiver
        .fill("chains: [{name: all, plugins: [{name: calloutPlugin, options: {endpoint: RECEIVER/step, timeoutValue: 600000}}]}]");
    let service = Service::start(&yaml).await;
    let first = service.api.post_with_key("/v1/orders", "key-1", &json!({"id": "A-1"})).await;
    let accepted = first.expect(202);
    gate.open();
    service.api.ended(text(&accepted, "id")).await;
    let again = service.api.post_with_key("/v1/orders", "key-1", &json!({"id": "A-1"})).await;
    assert_eq!(again.expect(202), accepted, "the first answer, though the order has ended since");
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    service.stop().await;
}

#[tokio::test]
async fn an_answer_of_a_chain_that_ends_as_its_time_is_up_is_the_one_that_is_replayed() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.answer([Reply::status(200).held(&gate)]);
    let yaml = receiver.fill(
        "server: {request_timeout: 300ms}
delivery: {chain_concurrency: 1000}
chains: [{name: all, plugins: [{critical: true, name: calloutPlugin, options: {endpoint: RECEIVER/step, timeoutValue: 600000}}]}]
channels: [{name: erp, url: RECEIVER/erp, events: ['order.*'], enabled: true}]",
    );
    let service = Service::start(&yaml).await;
    let mut calls = tokio::task::JoinSet::new();
    for id in 0..150 {
        let api = service.api.clone();
        calls.spawn(async move {
            // Their times are up one after the other, while the chains end.
            tokio::time::sleep(Duration::from_millis(id)).await;
            (id, api.post_with_key("/v1/orders", &format!("key-{id}"), &json!({"id": id})).await)
        });
    }
    receiver.wait_for_on("/step", 150).await;
    tokio::time::sleep(Duration::from_millis(220)).await;
    gate.open();
    let mut statuses = std::collections::BTreeSet::new();
    while let Some(call) = calls.join_next().await {
        let (id, first) = call.expect("an answer");
        let again = service.api.post_with_key("/v1/orders", &format!("key-{id}"), &json!({"id": id})).await;
        assert_eq!((first.status, first.json()), (again.status, again.json()));
        statuses.insert(first.status);
    }
    assert!(statuses.iter().all(|status| matches!(status, 201 | 202)), "{statuses:?}");
    service.stop().await;
}

#[tokio::test]
async fn the_answer_of_a_resumed_order_lists_the_deliveries_made_before() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.on("/soft", [Reply::status(500)]);
    receiver.on("/step", [Reply::status(200).held(&gate), Reply::status(200)]);
    let yaml = receiver.fill(
        "chains:
  - name: all
    plugins:
      - {name: calloutPlugin, id: soft, options: {endpoint: RECEIVER/soft, shouldRejectOn: {status: [5xx]}}}
      - {critical: true, name: calloutPlugin, id: hard, options: {endpoint: RECEIVER/step, timeoutValue: 600000}}
channels: [{name: erp, url: RECEIVER/erp, events: ['order.*']}]",
    );
    let home = std::sync::Arc::new(Home::new());
    let mut process = Process::start_in(&home, &yaml).await;
    let api = process.api.clone();
    let lost = tokio::spawn(async move {
        api.try_call(
            "POST",
            "/v1/orders",
            &[("idempotency-key", "key-1"), ("content-type", "application/json")],
            br#"{"id":"A-1"}"#,
        )
        .await
    });
    receiver.wait_for_on("/step", 1).await;
    process.kill();
    assert!(lost.await.expect("a task").is_err(), "the caller lost its connection");
    gate.open();
    let process = Process::start_in(&home, &yaml).await;
    let answer = eventually("the answer", async || {
        let answer = process.api.post_with_key("/v1/orders", "key-1", &json!({"id": "A-1"})).await;
        (answer.status != 409).then_some(answer)
    })
    .await;
    let answer = answer.expect(201);
    let order = process.api.ended(text(&answer, "id")).await;
    let ids = |value: &serde_json::Value| -> Vec<String> {
        value["deliveries"].as_array().expect("deliveries").iter().map(|made| text(made, "id").to_owned()).collect()
    };
    assert_eq!(ids(&answer).len(), 3, "received, step_failed and completed: {answer:#}");
    assert_eq!(ids(&answer), ids(&order));
    process.stop().await;
}

#[tokio::test]
async fn a_key_outlives_a_restart_and_a_kill() {
    let receiver = Receiver::start().await;
    let yaml = receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]");
    let home = std::sync::Arc::new(Home::new());
    let mut process = Process::start_in(&home, &yaml).await;
    let order = json!({"id": "A-1"});
    let first = process.api.post_with_key("/v1/orders", "key-1", &order).await.expect(201);
    process.kill();
    let process = Process::start_in(&home, &yaml).await;
    let again = process.api.post_with_key("/v1/orders", "key-1", &order).await;
    assert_eq!(again.expect(201), first);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    process.api.post_with_key("/v1/orders", "key-1", &json!({"id": "A-2"})).await.problem(422);
    process.api.settled(&delivery_to(&first, "erp")).await;
    assert_eq!(process.api.list("/v1/orders").await.len(), 1);
    process.stop().await;
}

#[tokio::test]
async fn events_have_keys_too_apart_from_those_of_orders() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill("channels: [{name: all, url: RECEIVER/all, events: ['*']}]")).await;
    let event = json!({"type": "invoice.paid", "data": {"n": 1}});
    let first = service.api.post_with_key("/v1/events", "key-1", &event).await;
    let again = service.api.post_with_key("/v1/events", "key-1", &event).await;
    assert_eq!(first.expect(202), again.expect(202));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let other = json!({"type": "invoice.paid", "data": {"n": 2}});
    service.api.post_with_key("/v1/events", "key-1", &other).await.problem(422);
    service.api.post_with_key("/v1/orders", "key-1", &json!({"id": "A-1"})).await.expect(201);
    service.api.all_settled().await;
    assert_eq!(receiver.requests().iter().filter(|request| request.json()["type"] == "invoice.paid").count(), 1);
    service.stop().await;
}

#[tokio::test]
async fn a_request_that_was_refused_leaves_its_key_free() {
    let service = Service::start("").await;
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "key-1")];
    service.api.call("POST", "/v1/orders", &headers, b"not JSON").await.problem(400);
    service.api.post_with_key("/v1/orders", "key-1", &json!({"id": "A-1"})).await.expect(201);
    service.stop().await;
}

#[tokio::test]
async fn a_key_that_is_no_key_is_refused() {
    let service = Service::start("").await;
    let long = "k".repeat(2000);
    for key in ["", long.as_str()] {
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
        service.api.call("POST", "/v1/orders", &headers, b"{}").await.problem(400);
    }
    assert_eq!(service.api.list("/v1/orders").await.len(), 0);
    service.stop().await;
}

#[tokio::test]
async fn the_headers_of_a_cloud_event_belong_to_the_request() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill("channels: [{name: all, url: RECEIVER/all, events: ['*']}]")).await;
    let post = |id: &'static str, kind: &'static str, trace: &'static str| {
        let api = service.api.clone();
        async move {
            let headers = [
                ("Content-Type", "application/json"),
                ("Idempotency-Key", "key-1"),
                ("ce-specversion", "1.0"),
                ("ce-id", id),
                ("ce-source", "/b"),
                ("ce-type", kind),
                ("ce-traceparent", trace),
            ];
            api.call("POST", "/v1/events", &headers, b"{}").await
        }
    };
    post("1", "paid", "a").await.expect(202);
    for (id, kind) in [("2", "paid"), ("1", "refunded")] {
        let problem = post(id, kind, "a").await.problem(422);
        assert!(text(&problem, "type").ends_with("/idempotency-key-reused"), "{problem}");
    }
    let again = post("1", "paid", "b").await;
    again.expect(202);
    assert_eq!(again.header("idempotency-replayed"), Some("true"), "a trace is new each time");
    service.api.all_settled().await;
    assert_eq!(receiver.count(), 1);
    service.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_an_error_is_replayed_and_says_so() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::status(404)]);
    let yaml = receiver.fill(
        "chains: [{name: all, plugins: [{critical: true, name: calloutPlugin, options: {endpoint: RECEIVER/step, shouldRejectOn: {status: [404]}}}]}]",
    );
    let service = Service::start(&yaml).await;
    let first = service.api.post_with_key("/v1/orders", "key-1", &json!({"id": "A-1"})).await;
    let again = service.api.post_with_key("/v1/orders", "key-1", &json!({"id": "A-1"})).await;
    assert_eq!(first.problem(422), again.problem(422));
    assert_eq!(first.header("idempotency-replayed"), None);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(receiver.count(), 1);
    service.stop().await;
}
