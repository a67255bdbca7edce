//! What receivers get of a CloudEvent's attributes, and that an event counts once.

use serde_json::{Value, json};

use crate::client::Answer;
use crate::harness::{Service, delivery_to, text};
use crate::receiver::{Receiver, Reply};

const STRUCTURED: (&str, &str) = ("Content-Type", "application/cloudevents+json");
const BATCH: (&str, &str) = ("Content-Type", "application/cloudevents-batch+json");

fn event(id: &str, data: &Value) -> Value {
    json!({"specversion": "1.0", "type": "com.shop.paid", "source": "/shop", "id": id, "data": data})
}

async fn post(service: &Service, header: (&str, &str), body: &Value) -> Answer {
    service.api.call("POST", "/v1/events", &[header], body.to_string().as_bytes()).await
}

#[tokio::test]
async fn attributes_reach_body_templates_and_conditions_also_after_a_restart() {
    let receiver = Receiver::start().await;
    receiver.on("/std", [Reply::status(503), Reply::status(200)]);
    let yaml = r#"
channels:
  - {name: std, url: RECEIVER/std, events: [com.shop.*], when: 'event.source == "/shop" and event.priority > 2',
     headers: {X-Subject: '{{ event.subject }}', X-Region: '{{ event.region }}', X-Own: '{{ event.cloudevent.id }}'}, retry: {attempts: 2, interval: 1h}}
  - {name: merge, url: RECEIVER/merge, events: [com.shop.*], syntax: merge_fields,
     parameters: {source: <Event.source>, region: <Event.region>, schema: <Event.dataschema>, id: <Event.id>}}
  - {name: place, url: RECEIVER/place, events: [com.shop.*], syntax: placeholder, body: '{"from": "${eventSource}", "about": "${eventSubject}"}'}
  - {name: other, url: RECEIVER/other, events: [com.shop.*], when: event.source == "/elsewhere"}
"#;
    let service = Service::start(&receiver.fill(yaml)).await;
    let mut sent = event("7", &json!({"n": 1}));
    let more = json!({"subject": "I-7", "dataschema": "https://x/y", "region": "north", "priority": 3, "flag": true});
    sent.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = post(&service, STRUCTURED, &sent).await.expect(202);
    assert_eq!(answer["deliveries"].as_array().unwrap().len(), 3, "{answer}");
    sent.as_object_mut().unwrap().remove("data");
    let first = receiver.wait_for_on("/std", 1).await.remove(0);
    assert_eq!(first.json()["data"]["metadata"]["cloudevent"], sent);
    let merged = receiver.wait_for_on("/merge", 1).await.remove(0).json();
    assert_eq!(merged["source"], "/shop");
    assert_eq!((&merged["region"], &merged["schema"]), (&json!("north"), &json!("https://x/y")));
    assert!(text(&merged, "id").starts_with("evt_"), "{merged}");

    let placed = receiver.wait_for_on("/place", 1).await.remove(0).json();
    assert_eq!(placed, json!({"from": "/shop", "about": "I-7"}));

    let service = service.restart().await;
    service.advance_to_next_attempt(&delivery_to(&answer, "std")).await;
    let second = receiver.wait_for_on("/std", 2).await.remove(1);
    assert_eq!(second.body, first.body, "a retry after a restart has the same body");
    for (name, value) in [("x-subject", "I-7"), ("x-region", "north"), ("x-own", "7")] {
        assert_eq!((first.expect_header(name), second.expect_header(name)), (value, value));
    }
    service.stop().await;
}

#[tokio::test]
async fn binary_mode_needs_no_content_type_where_the_body_is_json() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill("channels: [{name: a, url: RECEIVER/a, events: ['*']}]")).await;
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-type", "paid"),
        ("ce-source", "/sh%C3%B6p"),
        ("ce-id", "1"),
        ("ce-region", "n"),
    ];
    service.api.call("POST", "/v1/events", &headers, br#"{"n": 1}"#).await.expect(202);
    let body = receiver.next().await.json();
    let expected = json!({"specversion": "1.0", "type": "paid", "source": "/shöp", "id": "1", "region": "n"});
    assert_eq!(body["data"]["metadata"]["cloudevent"], expected);
    service.api.call("POST", "/v1/events", &headers, b"plain text").await.problem(415);
    service.api.call("POST", "/v1/events", &[], br#"{"type": "x", "data": 1}"#).await.problem(415);
    service.stop().await;
}

#[tokio::test]
async fn a_batch_counts_each_source_and_id_once() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill("channels: [{name: a, url: RECEIVER/a, events: ['*']}]")).await;
    let (one, two) = (event("1", &json!({"n": 1})), event("2", &json!({"n": 2})));
    let answer = post(&service, BATCH, &json!([one, two, one])).await.expect(202);
    assert_eq!(answer["data"].as_array().unwrap().len(), 3, "{answer}");
    assert_eq!(answer["data"][0], answer["data"][2], "the same event");
    assert_ne!(answer["data"][0]["id"], answer["data"][1]["id"]);

    let three = event("3", &json!({"n": 3}));
    let again = post(&service, BATCH, &json!([three, two])).await;
    assert_eq!(again.header("idempotency-replayed"), None, "one of them is new");
    assert_eq!(again.expect(202)["data"][1], answer["data"][1]);
    let all = post(&service, BATCH, &json!([two, one])).await;
    assert_eq!(all.header("idempotency-replayed"), Some("true"));
    assert_eq!(all.expect(202)["data"][1], answer["data"][0]);

    // The same event in the other modes.
    let single = post(&service, STRUCTURED, &one).await.expect(202);
    assert_eq!(single, answer["data"][0]);
    let binary = [("ce-specversion", "1.0"), ("ce-type", "com.shop.paid"), ("ce-source", "/shop"), ("ce-id", "1")];
    let single = service.api.call("POST", "/v1/events", &binary, br#"{"n":1}"#).await.expect(202);
    assert_eq!(single, answer["data"][0]);
    let keyed = [STRUCTURED, ("Idempotency-Key", "k-1")];
    let single = service.api.call("POST", "/v1/events", &keyed, one.to_string().as_bytes()).await.expect(202);
    assert_eq!(single, answer["data"][0]);
    receiver.wait_for(3).await;
    service.api.all_settled().await;
    assert_eq!(receiver.count(), 3);
    service.stop().await;
}

#[tokio::test]
async fn a_batch_with_an_id_of_another_event_is_refused_whole() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill("channels: [{name: a, url: RECEIVER/a, events: ['*']}]")).await;
    let (one, other) = (event("1", &json!({"n": 1})), event("1", &json!({"n": 2})));
    let new = event("9", &json!({}));
    post(&service, STRUCTURED, &one).await.expect(202);
    for batch in [json!([new, other]), json!([event("8", &json!(1)), event("8", &json!(2)), new])] {
        let problem = post(&service, BATCH, &batch).await.problem(422);
        assert_eq!(problem["type"], "/problems/event-id-reused");
        assert!(!problem.to_string().contains("Idempotency-Key"), "{problem}");
    }
    assert_eq!(post(&service, BATCH, &json!([new])).await.header("idempotency-replayed"), None, "it was not kept");
    receiver.wait_for(2).await;
    service.stop().await;
}

#[tokio::test]
async fn attributes_are_bounded() {
    let service = Service::start("").await;
    let mut sent = event("1", &json!({}));
    sent["region"] = json!("x".repeat(70_000));
    let problem = post(&service, STRUCTURED, &sent).await.problem(400);
    assert!(problem.to_string().contains("65536"), "{problem}");
    service.stop().await;
}
