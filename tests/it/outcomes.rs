//! What a channel makes of a response: its rules, its limits, its times.

use serde_json::{Value, json};

use crate::harness::{Service, delivery_to, eventually};
use crate::receiver::{Receiver, Reply};

/// Posts an order to a channel of these keys, and returns the delivery at rest after its first attempt.
async fn after_first_attempt(keys: &str, reply: Reply) -> Value {
    let receiver = Receiver::start().await;
    receiver.answer([reply]);
    let service = Service::start(&receiver.fill(&format!("channels: [{{name: erp, url: RECEIVER/erp{keys}}}]"))).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    let delivery = service.at_rest(&delivery_to(&order, "erp")).await;
    assert_eq!(receiver.count(), 1);
    service.stop().await;
    delivery
}

#[tokio::test]
async fn the_standard_rules_decide_by_status() {
    for (status, then, outcome) in [
        (200, "accepted", "accepted"),
        (201, "accepted", "accepted"),
        (204, "accepted", "accepted"),
        (299, "accepted", "accepted"),
        (302, "failed", "failed"),
        (304, "failed", "failed"),
        (400, "failed", "failed"),
        (401, "failed", "failed"),
        (404, "failed", "failed"),
        (410, "failed", "disable"),
        (408, "pending", "retry"),
        (409, "pending", "retry"),
        (425, "pending", "retry"),
        (429, "pending", "retry"),
        (500, "pending", "retry"),
        (503, "pending", "retry"),
    ] {
        let delivery = after_first_attempt("", Reply::status(status)).await;
        assert_eq!(delivery["status"], then, "{status}");
        let attempt = &delivery["attempts"][0];
        assert_eq!(attempt["code"], status);
        assert_eq!(attempt["outcome"], outcome, "{status}");
        assert_eq!(delivery["next_attempt_at"].is_string(), then == "pending", "{delivery:#}");
    }
}

#[tokio::test]
async fn the_first_rule_that_matches_decides() {
    const RULES: &str = ", outcomes: [{on: [200], then: accepted}, {on: [202], then: dispatched}, {on: [400], then: rejected}, \
                         {on: [420-430], then: retry}, {on: [4xx], then: failed}, {on: [any], then: retry}]";
    for (status, then) in [
        (200, "accepted"),
        (202, "dispatched"),
        (400, "rejected"),
        (425, "pending"),
        (431, "failed"),
        (204, "pending"),
        (302, "pending"),
    ] {
        let delivery = after_first_attempt(RULES, Reply::status(status)).await;
        assert_eq!(delivery["status"], then, "{status}");
    }
}

#[tokio::test]
async fn no_response_and_a_timeout_are_told_apart() {
    const RULES: &str =
        ", outcomes: [{on: [timeout], then: rejected}, {on: [error], then: failed}, {on: [any], then: accepted}]";
    assert_eq!(after_first_attempt(RULES, Reply::Close).await["status"], "failed");
    let receiver = Receiver::start().await;
    receiver.answer([Reply::HangBeforeHead]);
    let yaml =
        receiver.fill(&format!("channels: [{{name: erp, url: RECEIVER/erp, timeout: {{total: 200ms}}{RULES}}}]"));
    let service = Service::ticking(&yaml).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    let delivery = service.api.settled(&delivery_to(&order, "erp")).await;
    assert_eq!(delivery["status"], "rejected");
    assert_eq!(delivery["attempts"][0]["code"], -5);
    service.stop().await;
}

#[tokio::test]
async fn a_rule_can_disable_the_channel() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::status(403)]);
    let yaml = receiver
        .fill("channels: [{name: erp, url: RECEIVER/erp, outcomes: [{on: [403], then: disable}, {on: [any], then: accepted}]}]");
    let service = Service::start(&yaml).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    assert_eq!(service.api.settled(&delivery_to(&order, "erp")).await["status"], "failed");
    // The channel follows its delivery's record.
    eventually("the channel to be disabled", || async {
        (service.api.get("/v1/channels/erp").await.expect(200)["state"] == "disabled").then_some(())
    })
    .await;
    service.stop().await;
}

#[tokio::test]
async fn a_response_that_max_response_cuts_within_a_character_stays_text() {
    for (before, kept) in [(0, 1000), (1, 999), (2, 1000), (3, 999)] {
        let body = "x".repeat(before) + &*"é".repeat(2000);
        let delivery = after_first_attempt(", max_response: 1KB", Reply::body(200, "text/plain", body.clone())).await;
        let response = &delivery["attempts"][0]["response"];
        assert_eq!(response["encoding"], Value::Null, "{response}");
        assert_eq!(response["body"], body[..kept], "{before}");
        assert_eq!(response["truncated"], true);
    }
}

#[tokio::test]
async fn a_response_is_kept_up_to_max_response_and_the_rest_is_dropped() {
    let long = "0123456789".repeat(500);
    let delivery = after_first_attempt(", max_response: 1KB", Reply::body(200, "text/plain", long.clone())).await;
    assert_eq!(delivery["status"], "accepted");
    let kept = delivery["attempts"][0]["response"]["body"].as_str().expect("a body").to_owned();
    assert_eq!(kept, &long[..1000], "1KB is 1000 bytes");

    let megabytes = Reply::body(200, "text/plain", vec![b'x'; 8_000_000]);
    let delivery = after_first_attempt("", megabytes).await;
    assert_eq!(delivery["status"], "accepted");
    assert_eq!(delivery["attempts"][0]["response"]["body"].as_str().map(str::len), Some(60_000));
}

#[tokio::test]
async fn a_response_that_is_no_text_is_on_record_all_the_same() {
    let delivery =
        after_first_attempt("", Reply::body(200, "application/octet-stream", vec![0xff, 0x00, 0xc3, 0x28])).await;
    assert_eq!(delivery["status"], "accepted");
    assert!(delivery["attempts"][0]["response"]["body"].is_string(), "{delivery:#}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let receiver = Receiver::start().await;
    let reply = Reply::status(307).with_header("Location", &receiver.url("/elsewhere"));
    receiver.on("/erp", [reply]);
    let service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]")).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    let delivery = service.api.settled(&delivery_to(&order, "erp")).await;
    assert_eq!((&delivery["status"], &delivery["attempts"][0]["code"]), (&json!("failed"), &json!(307)));
    assert_eq!(receiver.count(), 1);
    service.stop().await;
}

#[tokio::test]
async fn an_attempt_is_on_record_with_its_exchange() {
    let reply = Reply::json(503, &json!({"sorry": true})).with_header("X-Why", "maintenance");
    let delivery = after_first_attempt("", reply).await;
    let attempt = &delivery["attempts"][0];
    assert_eq!(attempt["number"], 1);
    assert_eq!(attempt["started_at"], "2026-01-31T12:00:00.000Z");
    assert!(attempt["duration_ms"].is_u64());
    assert_eq!(attempt["request"]["method"], "POST");
    assert!(attempt["request"]["url"].as_str().is_some_and(|url| url.ends_with("/erp")));
    assert!(attempt["request"]["headers"].to_string().contains("orderhook/"), "{attempt:#}");
    assert!(attempt["request"]["body"].as_str().is_some_and(|body| body.contains("\"A-1\"")), "{attempt:#}");
    assert!(attempt["response"]["headers"].to_string().contains("maintenance"), "{attempt:#}");
    assert_eq!(attempt["response"]["body"], "{\"sorry\":true}");
}
