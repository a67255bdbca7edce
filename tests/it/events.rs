//! Events without an order: plain ones and CloudEvents in all three forms.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Service, delivery_to, text};
use crate::receiver::Receiver;

async fn start(receiver: &Receiver) -> Service {
    Service::start(&receiver.fill("channels: [{name: all, url: RECEIVER/all, events: ['*']}]")).await
}

#[tokio::test]
async fn a_plain_event_goes_to_its_channels() {
    let receiver = Receiver::start().await;
    let service = start(&receiver).await;
    let data = r#"{ "number": "I-1",  "total": 1.50e1 }"#;
    let body = format!(r#"{{"type": "invoice.paid", "data": {data}}}"#);
    let answer = service.api.post_bytes("/v1/events", body.as_bytes()).await.expect(202);
    assert!(text(&answer, "id").starts_with("evt_"), "{answer}");
    let delivery = delivery_to(&answer, "all");
    let request = receiver.next().await;
    assert_eq!(request.json()["type"], "invoice.paid");
    assert!(request.text().contains(data), "the data byte for byte: {request}");
    assert_eq!(service.api.settled(&delivery).await["status"], "accepted");
    service.stop().await;
}

#[tokio::test]
async fn an_event_that_nobody_subscribes_to_is_taken_all_the_same() {
    let service = Service::start("").await;
    let answer = service.api.post("/v1/events", &json!({"type": "invoice.paid", "data": null})).await.expect(202);
    assert_eq!(answer["deliveries"], json!([]));
    service.stop().await;
}

#[tokio::test]
async fn an_event_of_one_id_counts_once() {
    let receiver = Receiver::start().await;
    let service = start(&receiver).await;
    let event = json!({"type": "invoice.paid", "id": "inv-1", "data": {"n": 1}});
    let first = service.api.post("/v1/events", &event).await.expect(202);
    let again = service.api.post("/v1/events", &event).await.expect(202);
    assert_eq!(first["id"], again["id"]);
    service.api.all_settled().await;
    assert_eq!(receiver.count(), 1);
    service.stop().await;
}

#[tokio::test]
async fn an_event_can_wait_for_its_time() {
    let receiver = Receiver::start().await;
    let service = start(&receiver).await;
    let event = json!({"type": "reminder", "data": {}, "deliver_at": "2026-01-31T14:00:00+01:00"});
    let answer = service.api.post("/v1/events", &event).await.expect(202);
    let id = delivery_to(&answer, "all");
    assert_eq!(service.wait_of(&id).await, Duration::from_secs(3600));
    assert_eq!(receiver.count(), 0);
    let service = service.restart().await;
    assert_eq!(service.wait_of(&id).await, Duration::from_secs(3600), "a restart does not hurry it");
    assert_eq!(service.play_out(&id).await["status"], "accepted");
    let past = json!({"type": "reminder", "data": {}, "deliver_at": "2020-01-01T00:00:00Z"});
    let answer = service.api.post("/v1/events", &past).await.expect(202);
    assert_eq!(service.api.settled(&delivery_to(&answer, "all")).await["status"], "accepted", "a time past is now");
    service.stop().await;
}

#[tokio::test]
async fn a_structured_cloud_event_is_taken() {
    let receiver = Receiver::start().await;
    let service = start(&receiver).await;
    let event = json!({
        "specversion": "1.0", "type": "com.example.invoice", "source": "/billing", "id": "ce-1",
        "time": "2026-01-31T11:59:00Z", "datacontenttype": "application/json", "data": {"n": 7}, "extension": "kept or not"
    });
    let headers = [("Content-Type", "application/cloudevents+json; charset=utf-8")];
    let body = event.to_string();
    let answer = service.api.call("POST", "/v1/events", &headers, body.as_bytes()).await.expect(202);
    delivery_to(&answer, "all");
    let request = receiver.next().await;
    assert_eq!(request.json()["type"], "com.example.invoice");
    assert!(request.text().contains(r#"{"n":7}"#), "{request}");
    service.api.all_settled().await;
    let again = service.api.call("POST", "/v1/events", &headers, body.as_bytes()).await.expect(202);
    assert_eq!(again["id"], answer["id"], "source and id tell an event");
    assert_eq!(receiver.count(), 1);
    service.stop().await;
}

#[tokio::test]
async fn a_batch_of_cloud_events_is_taken_whole_or_not_at_all() {
    let receiver = Receiver::start().await;
    let service = start(&receiver).await;
    let event = |id: &str| json!({"specversion": "1.0", "type": "com.example.batch", "source": "/b", "id": id, "data": {"id": id}});
    let headers = [("Content-Type", "application/cloudevents-batch+json")];
    let post = |events: Value| {
        let api = service.api.clone();
        async move { api.call("POST", "/v1/events", &headers, events.to_string().as_bytes()).await }
    };
    let answer = post(json!([event("1"), event("2"), event("3")])).await;
    assert_eq!(answer.status, 202, "{answer}");
    assert_eq!(answer.text().matches("\"evt_").count(), 3, "an id for each: {answer}");
    receiver.wait_for(3).await;
    service.api.all_settled().await;

    let broken = post(json!([event("4"), {"specversion": "1.0", "source": "/b", "id": "5"}])).await;
    assert!(matches!(broken.status, 400 | 422), "{broken}");
    let problem = broken.problem(broken.status);
    assert!(problem.to_string().contains('1') && problem.to_string().contains("type"), "which and what: {problem}");
    assert_eq!(post(json!([])).await.status / 100, 2, "an empty batch is a batch");
    service.api.all_settled().await;
    assert_eq!(receiver.count(), 3);
    service.stop().await;
}

#[tokio::test]
async fn a_binary_cloud_event_is_taken_from_its_headers() {
    let receiver = Receiver::start().await;
    let service = start(&receiver).await;
    let headers = [
        ("Content-Type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-type", "com.example.binary"),
        ("ce-source", "/b"),
        ("ce-id", "bin-1"),
    ];
    let answer = service.api.call("POST", "/v1/events", &headers, br#"{ "n" : 9 }"#).await.expect(202);
    delivery_to(&answer, "all");
    let request = receiver.next().await;
    assert_eq!(request.json()["type"], "com.example.binary");
    assert!(request.text().contains(r#"{ "n" : 9 }"#), "{request}");
    service.api.all_settled().await;
    service.stop().await;
}

#[tokio::test]
async fn an_event_that_is_none_is_refused_and_named() {
    let receiver = Receiver::start().await;
    let service = start(&receiver).await;
    for (body, named) in [
        (json!({"data": {}}), "type"),
        (json!({"type": 7, "data": {}}), "type"),
        (json!({"type": "", "data": {}}), "type"),
        (json!({"type": "x y", "data": {}}), "type"),
        (json!({"type": "a", "data": {}, "deliver_at": "tomorrow"}), "deliver_at"),
        (json!({"type": "a", "data": {}, "id": 7}), "id"),
        (json!({"type": "a"}), "data"),
        (json!([]), "object"),
        (json!("x"), "object"),
    ] {
        let answer = service.api.post("/v1/events", &body).await;
        assert!(matches!(answer.status, 400 | 422), "{body}: {answer}");
        let problem = answer.problem(answer.status);
        assert!(problem.to_string().contains(named), "{body}: {problem}");
    }
    let headers = [("Content-Type", "application/cloudevents+json")];
    for (body, named) in [
        (json!({"type": "a", "source": "/b", "id": "1"}), "specversion"),
        (json!({"specversion": "0.3", "type": "a", "source": "/b", "id": "1"}), "specversion"),
        (json!({"specversion": "1.0", "type": "a", "source": "/b"}), "id"),
        (json!({"specversion": "1.0", "type": "a", "id": "1"}), "source"),
        (json!({"specversion": "1.0", "type": "a", "source": "/b", "id": "1", "time": "noon"}), "time"),
    ] {
        let answer = service.api.call("POST", "/v1/events", &headers, body.to_string().as_bytes()).await;
        assert!(matches!(answer.status, 400 | 422), "{body}: {answer}");
        assert!(answer.problem(answer.status).to_string().contains(named), "{body}: {answer}");
    }
    let headers =
        [("Content-Type", "application/json"), ("ce-type", "a"), ("ce-source", "/b"), ("ce-specversion", "1.0")];
    let answer = service.api.call("POST", "/v1/events", &headers, b"{}").await;
    assert!(matches!(answer.status, 400 | 422), "{answer}");
    assert!(answer.problem(answer.status).to_string().contains("id"), "{answer}");
    service.api.all_settled().await;
    assert_eq!(receiver.count(), 0);
    service.stop().await;
}

#[tokio::test]
async fn types_of_the_services_own_events_are_reserved() {
    let receiver = Receiver::start().await;
    let service = start(&receiver).await;
    let cloud = |kind: &str| json!({"specversion": "1.0", "type": kind, "source": "/b", "id": "1", "data": {}});
    for kind in ["order.completed", "order.foo", "delivery.failed", "channel.disabled", "channel."] {
        let binary = [
            ("Content-Type", "application/json"),
            ("ce-specversion", "1.0"),
            ("ce-type", kind),
            ("ce-source", "/b"),
            ("ce-id", "1"),
        ];
        let structured = [("Content-Type", "application/cloudevents+json")];
        let batch = [("Content-Type", "application/cloudevents-batch+json")];
        let events = json!([cloud("fine"), cloud(kind)]).to_string();
        for answer in [
            service.api.post("/v1/events", &json!({"type": kind, "data": {}})).await,
            service.api.call("POST", "/v1/events", &binary, b"{}").await,
            service.api.call("POST", "/v1/events", &structured, cloud(kind).to_string().as_bytes()).await,
            service.api.call("POST", "/v1/events", &batch, events.as_bytes()).await,
        ] {
            let problem = answer.problem(422);
            assert!(text(&problem, "type").ends_with("/reserved-type"), "{problem}");
            assert!(text(&problem, "detail").contains(kind), "{problem}");
        }
    }
    for kind in ["order", "orders.paid", "com.shop.order.paid", "Order.completed"] {
        service.api.post("/v1/events", &json!({"type": kind, "data": {}})).await.expect(202);
    }
    receiver.wait_for(4).await;
    service.api.all_settled().await;
    assert_eq!(receiver.count(), 4);
    service.stop().await;
}

#[tokio::test]
async fn an_id_that_comes_again_with_other_content_is_an_error_about_the_id() {
    let service = Service::start("").await;
    let event = |n: u32| json!({"type": "invoice.paid", "id": "inv-1", "data": {"n": n}});
    service.api.post("/v1/events", &event(1)).await.expect(202);
    let problem = service.api.post("/v1/events", &event(2)).await.problem(422);
    assert!(text(&problem, "type").ends_with("/event-id-reused"), "{problem}");
    assert!(text(&problem, "detail").contains("inv-1"), "{problem}");
    assert!(!problem.to_string().contains("Idempotency-Key"), "{problem}");
    service.stop().await;
}
