//! Orders and events posted, deliveries and channels changed, and everything that can be wrong with that.

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use serde_json::json;

use crate::domain::DeliveryStatus;
use crate::intake::{Answered, Refusal};
use crate::store::{Changed, ChannelState, StoreError};

use super::fakes::*;
use super::records::*;

#[tokio::test]
async fn an_order_goes_to_intake_as_it_came_and_its_answer_out_as_it_is() {
    let world = World::new();
    let body = r#" {"id": 1, "a": 1.0, "a": 2} "#;
    let seen = world
        .post("/v1/orders", &[("content-type", "application/json; charset=utf-8"), ("idempotency-key", "k-1")], body)
        .await;
    assert_eq!(seen.status, 201);
    assert_eq!(seen.header("location"), Some("/v1/orders/x"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("idempotency-replayed"), None);
    assert_eq!(seen.body, r#"{"id":"x"}"#);
    let taken = world.taken();
    assert_eq!(
        (&taken[0].0.body[..], taken[0].0.key.as_deref(), &*taken[0].0.caller),
        (body.as_bytes(), Some("k-1"), "")
    );
}

#[tokio::test]
async fn a_replayed_answer_says_so_and_keeps_its_kind() {
    let world = World::new();
    world.reply(|| {
        Ok(Answered { replayed: true, ..answered(422, r#"{"type":"/problems/order-rejected","status":422}"#, None) })
    });
    let seen = world.post_json("/v1/orders", "{}").await;
    assert_eq!(seen.header("idempotency-replayed"), Some("true"));
    seen.problem(422, "order-rejected");
}

#[tokio::test]
async fn every_refusal_has_its_problem() {
    type Case = (fn() -> Refusal, u16, &'static str);
    let cases: Vec<Case> = vec![
        (|| Refusal::NotJson("it is empty".to_owned()), 400, "invalid-json"),
        (|| Refusal::NotAnObject("an array"), 400, "not-an-object"),
        (|| Refusal::TooDeep(64), 400, "too-deep"),
        (|| Refusal::BadField { path: "/id".to_owned(), message: "too long".to_owned() }, 400, "invalid-fields"),
        (|| Refusal::Condition("x".into()), 422, "condition-failed"),
        (|| Refusal::KeyMismatch, 422, "idempotency-key-reused"),
        (|| Refusal::KeyUnderWay, 409, "idempotency-key-under-way"),
        (|| Refusal::Stopping, 503, "shutting-down"),
        (|| StoreError::Full("disk".to_owned()).into(), 503, "store-full"),
        (|| StoreError::Locked("pid 7".to_owned()).into(), 503, "store-unavailable"),
        (|| StoreError::Closed.into(), 503, "shutting-down"),
    ];
    let world = World::new();
    for (refusal, status, slug) in cases {
        world.reply(move || Err(refusal()));
        let seen = world.post_json("/v1/orders", "{}").await;
        seen.problem(status, slug);
        assert_eq!(seen.header("retry-after").is_some(), status == 503 || status == 409, "{slug}");
    }
}

#[tokio::test]
async fn only_json_is_taken() {
    let world = World::new();
    for headers in [
        &[("content-type", "text/plain")][..],
        &[("content-type", "application/json; charset=utf-16")],
        &[("content-type", "application/json"), ("content-encoding", "gzip")],
        &[],
    ] {
        world.post("/v1/orders", headers, "{}").await.problem(415, "unsupported-media-type");
        world.post("/v1/events", headers, "{}").await.problem(415, "unsupported-media-type");
    }
    assert!(world.taken().is_empty());
}

#[tokio::test]
async fn a_body_larger_than_allowed_is_refused_with_and_without_its_length() {
    let world = World::with(&format!("server: {{max_body: 1KiB}}\n{CHANNELS}"));
    let large = vec![b' '; 1025];
    world.post_json("/v1/orders", large.clone()).await.problem(413, "body-too-large");
    let pieces =
        large.chunks(100).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece))).collect::<Vec<_>>();
    let stream = Body::from_stream(futures_util::stream::iter(pieces));
    world.post_json("/v1/orders", stream).await.problem(413, "body-too-large");
    assert_eq!(world.post_json("/v1/orders", vec![b' '; 1024]).await.status, 201);
}

#[tokio::test]
async fn a_wrong_idempotency_key_is_refused() {
    let world = World::new();
    let json = ("content-type", "application/json");
    for key in ["", "\u{e4}", &"k".repeat(256)] {
        let seen = world.post("/v1/orders", &[json, ("idempotency-key", key)], "{}").await;
        assert_eq!(seen.problem(400, "invalid-header")["errors"][0]["path"], "Idempotency-Key");
    }
}

#[tokio::test]
async fn tokens_open_what_their_scopes_name() {
    let world = World::with(&format!("{TOKENS}{CHANNELS}"));
    let with = |token: &str, method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request =
            if token.is_empty() { request } else { request.header("authorization", format!("Bearer {token}")) };
        request.body(Body::from(if method == "POST" { "{}" } else { "" })).expect("a request")
    };
    for (token, method, path, status) in [
        ("", "POST", "/v1/orders", 401),
        ("wrong", "POST", "/v1/events", 401),
        ("ingest-token", "POST", "/v1/orders", 201),
        ("manage-token", "POST", "/v1/orders", 403),
        ("", "GET", "/v1/orders", 401),
        ("ingest-token", "GET", "/v1/orders", 403),
        ("read-token", "GET", "/v1/orders", 200),
        ("manage-token", "GET", "/v1/channels", 200),
        ("read-token", "POST", "/v1/channels/erp/pause", 403),
        ("manage-token", "POST", "/v1/channels/erp/pause", 200),
        ("read-token", "POST", "/v1/deliveries/retry", 403),
        ("", "GET", "/healthz", 200),
        ("", "GET", "/readyz", 200),
        ("", "GET", "/metrics", 200),
    ] {
        let seen = world.call(with(token, method, path)).await;
        assert_eq!(seen.status, status, "{token} {method} {path}");
        if status == 401 {
            assert!(seen.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer ")));
        }
        if status == 401 || status == 403 {
            let scope = if path.ends_with("/pause") || path.ends_with("/retry") {
                "`manage`"
            } else if method == "GET" {
                "`read`"
            } else {
                "`ingest`"
            };
            assert!(seen.json()["detail"].as_str().is_some_and(|detail| detail.contains(scope)), "{seen:?}");
        }
    }
    assert_eq!(&*world.taken()[0].0.caller, "shop");
}

#[tokio::test]
async fn events_come_in_four_forms() {
    let world = World::new();
    world.reply(|| Ok(answered(202, "{}", None)));
    let event = r#"{"specversion":"1.0","type":"paid","source":"/s","id":"1","data":{"a":1}}"#;
    let plain = r#"{"type":"paid","data":{"a":1}}"#;
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-type", "paid"),
        ("ce-source", "/s"),
        ("ce-id", "1"),
        ("content-type", "application/json"),
    ];
    assert_eq!(world.post_json("/v1/events", plain).await.status, 202);
    assert_eq!(world.post("/v1/events", &[("content-type", "application/cloudevents+json")], event).await.status, 202);
    let batch = format!("[{event},{event}]");
    assert_eq!(
        world.post("/v1/events", &[("content-type", "application/cloudevents-batch+json")], batch).await.status,
        202
    );
    assert_eq!(world.post("/v1/events", &binary, r#"{"a":1}"#).await.status, 202);
    let taken = world.taken();
    let counts: Vec<_> = taken.iter().map(|(_, events, batch)| (events.len(), *batch)).collect();
    assert_eq!(counts, [(1, false), (1, false), (2, true), (1, false)]);
    for (_, events, _) in &taken {
        assert!(events.iter().all(|event| event.kind == "paid" && &event.data[..] == br#"{"a":1}"#));
    }
}

#[tokio::test]
async fn a_wrong_event_is_refused_with_its_fields_and_an_empty_batch_accepted() {
    let world = World::new();
    let seen = world.post_json("/v1/events", r#"{"tpye":"x"}"#).await.problem(400, "invalid-fields");
    assert_eq!(
        seen["errors"][0],
        json!({"path": "tpye", "message": "is unknown; known are type, data, id, deliver_at; did you mean `type`?"})
    );
    let batch = [("content-type", "application/cloudevents-batch+json")];
    assert_eq!(world.post("/v1/events", &batch, "[]").await.body, r#"{"data":[]}"#);
    assert!(world.taken().is_empty());
}

#[tokio::test]
async fn a_delivery_is_changed_by_hand() {
    let world = World::new();
    let delivery = delivery(&ids(), DeliveryStatus::Failed);
    let id = delivery.summary.id;
    for (verb, status) in [
        ("retry", DeliveryStatus::Pending),
        ("cancel", DeliveryStatus::Cancelled),
        ("accept", DeliveryStatus::Accepted),
        ("fail", DeliveryStatus::Failed),
    ] {
        *world.store.changed.lock() = Some(Changed::Done(status, "erp".into(), 2));
        let seen = world.post(&format!("/v1/deliveries/{id}/{verb}"), &[], "").await;
        assert_eq!(seen.json(), json!({"id": id.to_string(), "channel": "erp", "status": status.as_str()}));
        let calls = std::mem::take(&mut *world.lanes.calls.lock());
        assert_eq!(calls, [format!("{verb} {id} of erp")]);
    }
    let changes = world.store.changes.lock().clone();
    assert_eq!(changes[0], format!("Retry {id} at 2026-01-31T12:00:00.000Z"));
    assert!(changes[1].starts_with("Cancel") && changes[2].starts_with("Accept") && changes[3].starts_with("Fail"));
}

#[tokio::test]
async fn a_change_that_the_status_does_not_allow_is_a_conflict_and_of_nothing_not_found() {
    let world = World::new();
    let id = delivery(&ids(), DeliveryStatus::Pending).summary.id;
    *world.store.changed.lock() = Some(Changed::Refused(DeliveryStatus::Pending));
    for verb in ["retry", "accept", "fail", "cancel"] {
        let problem = world.post(&format!("/v1/deliveries/{id}/{verb}"), &[], "").await.problem(409, "conflict");
        assert_eq!(problem["delivery_status"], "pending");
    }
    *world.store.changed.lock() = None;
    world.post(&format!("/v1/deliveries/{id}/retry"), &[], "").await.problem(404, "not-found");
    world.post("/v1/deliveries/dlv_7/retry", &[], "").await.problem(404, "not-found");
    assert!(world.lanes.calls.lock().is_empty());
}

#[tokio::test]
async fn many_deliveries_are_changed_by_their_filters() {
    let world = World::new();
    let seen = world.post_json("/v1/deliveries/retry", r#"{"status":"failed"}"#).await;
    assert_eq!((seen.status.as_u16(), seen.json()), (200, json!({"count": 3})));
    assert_eq!(*world.lanes.calls.lock(), ["retry 3 of erp"]);
    let seen = world.post_json("/v1/deliveries/cancel", r#"{"status":["pending"],"dry_run":true}"#).await;
    let dry = seen.json();
    assert_eq!((&dry["count"], &dry["dry_run"]), (&json!(3), &json!(true)));
    assert_eq!((&dry["examples"][0]["status"], &dry["examples"][1]), (&json!("failed"), &json!(null)));
    assert_eq!(world.lanes.calls.lock().len(), 1);
    world.post_json("/v1/deliveries/retry", r#"{"channel":"erp"}"#).await;
    world.post_json("/v1/deliveries/cancel", r#"{"channel":"gone"}"#).await;
    assert_eq!(
        *world.store.changes.lock(),
        [
            "Retry [Failed] false",
            "Cancel [Pending] true",
            "Retry [Failed, Rejected, Cancelled] false",
            "Cancel [] false"
        ]
    );
    for path in ["/v1/deliveries/retry", "/v1/deliveries/cancel"] {
        for body in ["{}", r#"{"dry_run":true}"#] {
            world.post_json(path, body).await.problem(422, "missing-filter");
        }
        let unknown = world.post_json(path, r#"{"channel":"erpp"}"#).await.problem(400, "invalid-fields");
        assert_eq!(
            unknown["errors"][0],
            json!({"path": "channel", "message": "\"erpp\" is not a known channel; did you mean `erp`?"})
        );
    }
    world.post_json("/v1/deliveries/retry", r#"{"state":"failed"}"#).await.problem(400, "invalid-fields");
    world.post_json("/v1/deliveries/retry", "").await.problem(400, "invalid-json");
    world
        .post("/v1/deliveries/retry", &[("content-type", "text/plain")], "{}")
        .await
        .problem(415, "unsupported-media-type");
}

#[tokio::test]
async fn a_channel_is_paused_and_resumed_but_not_one_that_is_switched_off() {
    let world = World::new();
    assert_eq!(world.post("/v1/channels/erp/pause", &[], "").await.json()["state"], "paused");
    assert_eq!(*world.lanes.state.lock(), ChannelState::Paused);
    assert_eq!(world.post("/v1/channels/erp/resume", &[], "").await.json()["state"], "enabled");
    world.post("/v1/channels/old/resume", &[], "").await.problem(409, "conflict");
    world.post("/v1/channels/none/pause", &[], "").await.problem(404, "not-found");
}
