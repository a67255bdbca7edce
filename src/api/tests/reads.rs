//! Lists and single things read, and what watches the service.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::domain::order::SkipReason;
use crate::domain::{DeliveryStatus, Skip};
use crate::intake::Refusal;
use crate::store::{Page, StoreError};

use super::fakes::*;
use super::records::*;

#[tokio::test]
async fn a_list_of_orders_has_a_cursor_that_leads_on() {
    let world = World::new();
    let order = order(&ids());
    world.store.orders.lock().push(order.clone());
    let seen = world.get("/v1/orders?status=completed,rejected&limit=1").await.json();
    assert_eq!(seen["data"][0]["id"], order.summary.id.to_string());
    assert_eq!(seen["data"][0]["order_id"], "A/1");
    let cursor = seen["next_cursor"].as_str().expect("a cursor").to_owned();
    world.get(&format!("/v1/orders?cursor={cursor}")).await;
    let pages = world.store.pages.lock().clone();
    assert_eq!(pages, [Page { limit: 1, before: None }, Page { limit: 50, before: Some(order.summary.id.sequence()) }]);
    assert_eq!(world.get("/v1/orders?status=processing").await.json(), json!({"data": [], "next_cursor": null}));
}

#[tokio::test]
async fn an_order_is_found_by_our_id_and_by_its_own() {
    let world = World::new();
    let ids = ids();
    let mut order = order(&ids);
    let delivered = delivery(&ids, DeliveryStatus::Accepted).summary;
    order.deliveries.push(delivered.clone());
    order.skipped = vec![
        Skip { channel: "erp".into(), reason: SkipReason::Event, detail: None },
        Skip { channel: "old".into(), reason: SkipReason::When, detail: Some("total is no number".to_owned()) },
    ];
    world.store.orders.lock().push(order.clone());
    for path in [format!("/v1/orders/{}", order.summary.id), "/v1/orders/A%2F1".to_owned()] {
        let seen = world.get(&path).await;
        assert!(
            seen.body.windows(29).any(|part| part == br#"{"id": "A/1", "total": 10.00}"#),
            "the order is as received"
        );
        let json = seen.json();
        assert_eq!(json["context"], json!({"userId": "u-1"}));
        assert_eq!(json["deliveries"][0]["status"], "accepted");
        assert_eq!(
            json["channels"],
            json!([
                {"channel": "erp", "status": "routed", "reason": null, "deliveries": [{"id": delivered.id.to_string(), "status": "accepted"}]},
                {"channel": "old", "status": "skipped", "reason": "when", "detail": "total is no number", "deliveries": []},
            ])
        );
    }
    world.get("/v1/orders/A-2").await.problem(404, "not-found");
    world.get("/v1/orders/%ff").await.problem(400, "invalid-parameters");
}

#[tokio::test]
async fn a_delivery_is_shown_with_its_attempts() {
    let world = World::new();
    let delivery = delivery(&ids(), DeliveryStatus::Failed);
    world.store.deliveries.lock().push(delivery.clone());
    let seen = world.get(&format!("/v1/deliveries/{}", delivery.summary.id)).await.json();
    assert_eq!(seen["attempt_count"], 1);
    assert_eq!(seen["event"]["type"], "order.completed");
    let attempt = &seen["attempts"][0];
    assert_eq!((&attempt["number"], &attempt["code"], &attempt["outcome"]), (&1.into(), &503.into(), &"retry".into()));
    assert_eq!(
        attempt["request"],
        json!({"method": "POST", "url": "http://127.0.0.1:9/hook", "headers": {"x-shop": "a", "authorization": "***"}, "body": "{\"a\":1}"})
    );
    assert_eq!(
        attempt["response"],
        json!({"headers": {"set-cookie": "***, b"}, "body": "/wA=", "encoding": "base64", "truncated": true})
    );
    let list = world.get("/v1/deliveries?status=failed").await.json();
    assert_eq!(list["data"][0]["id"], delivery.summary.id.to_string());
    assert_eq!(list["next_cursor"], json!(null));
    world.get("/v1/deliveries/nonsense").await.problem(404, "not-found");
}

#[tokio::test]
async fn an_attempt_without_request_or_response_shows_none() {
    let world = World::new();
    let mut delivery = delivery(&ids(), DeliveryStatus::Failed);
    let attempt = &mut delivery.attempts[0];
    attempt.code = crate::domain::Code::NOT_BUILT;
    attempt.exchange = crate::domain::Exchange::default();
    world.store.deliveries.lock().push(delivery.clone());
    let seen = world.get(&format!("/v1/deliveries/{}", delivery.summary.id)).await.json();
    assert_eq!((&seen["attempts"][0]["request"], &seen["attempts"][0]["response"]), (&json!(null), &json!(null)));
    assert_eq!(seen["attempts"][0]["code"], -2000);
}

#[tokio::test]
async fn channels_show_their_configuration_masked_and_how_they_fare() {
    let world = World::new();
    let seen = world.get("/v1/channels").await;
    assert!(!String::from_utf8_lossy(&seen.body).contains("hush-hush"));
    let json = seen.json();
    let erp = &json["data"][0];
    assert_eq!((&erp["name"], &erp["state"]), (&"erp".into(), &"enabled".into()));
    assert_eq!((&erp["waiting"], &erp["in_flight"]), (&3.into(), &2.into()));
    assert_eq!(
        erp["last_hour"],
        json!({"attempts": 8, "success_rate": 0.75, "mean_ms": 12.5, "p95_ms": null, "per_minute": null})
    );
    assert_eq!(erp["config"]["url"], "http://127.0.0.1:9/hook");
    assert_eq!((&json["data"][1]["name"], &json["data"][1]["state"]), (&"old".into(), &"disabled".into()));
    assert_eq!(world.get("/v1/channels/erp").await.json(), *erp);
    world.get("/v1/channels/none").await.problem(404, "not-found");
    let first = world.get("/v1/channels?limit=1").await.json();
    assert_eq!(first["next_cursor"], "erp");
    let second = world.get("/v1/channels?limit=1&cursor=erp").await.json();
    assert_eq!((&second["data"][0]["name"], &second["next_cursor"]), (&"old".into(), &json!(null)));
    world.get("/v1/channels?cursor=nowhere").await.problem(400, "invalid-parameters");
}

#[tokio::test]
async fn unknown_parameters_are_refused() {
    let world = World::new();
    for path in [
        "/v1/orders?stats=x",
        "/v1/orders/A?granularity=order",
        "/v1/orders/A?granularty=ORDER",
        "/v1/orders/A?granularity=ORDER&granularity=ORDER",
        "/v1/deliveries?limit=0",
        "/v1/channels?x=1",
        "/v1/channels/erp?x=1",
    ] {
        world.get(path).await.problem(400, "invalid-parameters");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let world = World::new();
    world.get("/v1/nothing").await.problem(404, "unknown-route");
    world.get("/nothing").await.problem(404, "unknown-route");
    let call =
        |method: &str, path: &str| Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
    for (method, path, allow) in [
        ("DELETE", "/v1/orders", &["GET", "POST"][..]),
        ("PUT", "/v1/events", &["POST"]),
        ("POST", "/healthz", &["GET"]),
        ("GET", "/v1/channels/erp/pause", &["POST"]),
    ] {
        let seen = world.call(call(method, path)).await;
        seen.problem(405, "method-not-allowed");
        let allowed = seen.header("allow").unwrap_or_default();
        assert!(allow.iter().all(|method| allowed.contains(method)), "{path} allows {allowed}");
    }
    let head = world.call(call("HEAD", "/healthz")).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
}

#[tokio::test]
async fn readiness_is_of_the_store_and_of_the_workers() {
    let world = World::new();
    assert_eq!(world.get("/readyz").await.status, 200);
    *world.lanes.moving.lock() = false;
    world.get("/readyz").await.problem(503, "not-ready");
    *world.lanes.moving.lock() = true;
    *world.store.fails.lock() = Some(StoreError::Unavailable("host db-7".to_owned()));
    assert_eq!(world.get("/readyz").await.status, 200, "the store is checked once a second");
    world.clock.advance(Duration::from_secs(1));
    let seen = world.get("/readyz").await;
    seen.problem(503, "not-ready");
    assert!(!String::from_utf8_lossy(&seen.body).contains("db-7"));
    assert_eq!(world.get("/healthz").await.status, 200);
    world.get("/v1/orders").await.problem(503, "store-unavailable");
}

#[tokio::test]
async fn a_store_that_has_no_room_for_orders_is_not_ready() {
    let world = World::new();
    assert_eq!(world.get("/readyz").await.status, 200);
    world.reply(|| Err(Refusal::Store(StoreError::Full("disk".to_owned()))));
    world.post_json("/v1/orders", "{}").await.problem(503, "store-full");
    let problem = world.get("/readyz").await.problem(503, "not-ready");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("full")), "{problem}");
    world.reply(|| Ok(answered(201, "{}", None)));
    world.post_json("/v1/orders", "{}").await;
    assert_eq!(world.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn metrics_are_there_even_without_the_store() {
    let world = World::new();
    let seen = world.get("/metrics").await;
    assert!(seen.header("content-type").is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4")));
    let page = String::from_utf8(seen.body.to_vec()).expect("text");
    for line in [
        r#"orderhook_deliveries_pending{channel="erp"} 5"#,
        r#"orderhook_delivery_lag_seconds{channel="erp"} 90"#,
        r#"orderhook_channel_state{channel="erp",state="enabled"} 1"#,
        r#"orderhook_channel_state{channel="old",state="disabled"} 1"#,
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    *world.store.fails.lock() = Some(StoreError::Closed);
    let seen = world.get("/metrics").await;
    assert_eq!(seen.status, 200);
    assert!(String::from_utf8_lossy(&seen.body).contains("orderhook_orders_total"));
}
