//! HTTP Basic as the document of callout notifications has it, and what of credentials is kept.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::{Service, delivery_to, text};
use crate::receiver::{Receiver, Reply};

/// `ann:pässwörd-1`, in UTF-8.
const ANN: &str = "Basic YW5uOnDDpHNzd8O2cmQtMQ==";

fn asks(challenge: &str) -> Reply {
    Reply::body(401, "text/plain", "who?").with_header("WWW-Authenticate", challenge)
}

/// A channel `erp` that is tried once, with Basic and these further keys of it.
fn basic(receiver: &Receiver, keys: &str) -> String {
    receiver.fill(&format!(
        "channels: [{{name: erp, url: RECEIVER/erp, retry: {{attempts: 1, interval: 1s}}, auth: {{type: basic, username: ann, password: pässwörd-1{keys}}}}}]"
    ))
}

/// What became of one order, and the `Authorization` of each request.
async fn sent(receiver: &Receiver, yaml: &str) -> (Value, Vec<Option<String>>) {
    let service = Service::start(yaml).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    let delivery = service.play_out(&delivery_to(&order, "erp")).await;
    service.stop().await;
    assert!(!delivery.to_string().contains("YW5u") && !delivery.to_string().contains("wörd"), "{delivery:#}");
    let headers =
        receiver.requests().iter().map(|request| request.header("authorization").map(str::to_owned)).collect();
    (delivery, headers)
}

#[tokio::test]
async fn the_first_request_has_no_credentials_and_a_challenge_is_answered_with_them() {
    for challenge in [
        "Basic realm=\"shop\"",
        "Basic realm=\"shop\", charset=\"UTF-8\"",
        "basic",
        "Digest realm=\"a, b\", nonce=\"x\", Basic realm=\"shop\"",
        "Negotiate, NTLM, Basic realm=\"shop",
    ] {
        let receiver = Receiver::start().await;
        receiver.on("/erp", [asks(challenge), Reply::status(200)]);
        let (delivery, headers) = sent(&receiver, &basic(&receiver, "")).await;
        assert_eq!(headers, [None, Some(ANN.to_owned())], "{challenge}");
        assert_eq!(delivery["status"], "accepted");
        let attempts = delivery["attempts"].as_array().unwrap();
        assert_eq!((attempts.len(), &attempts[0]["code"]), (1, &json!(200)), "both requests are one attempt");
        let requests = receiver.requests();
        assert_eq!(requests[0].body, requests[1].body);
    }
}

#[tokio::test]
async fn preemptive_credentials_are_in_the_first_request() {
    let receiver = Receiver::start().await;
    let (delivery, headers) = sent(&receiver, &basic(&receiver, ", preemptive: true")).await;
    assert_eq!((headers, &delivery["status"]), (vec![Some(ANN.to_owned())], &json!("accepted")));
}

#[tokio::test]
async fn a_401_that_is_no_basic_challenge_ends_the_attempt_and_says_why() {
    for (reply, expected) in [
        (Reply::status(401), "the receiver answers 401 without a WWW-Authenticate header"),
        (asks("Digest realm=\"Basic\", nonce=\"x\""), "the receiver asks for Digest, not for Basic"),
        (asks("Bearer, Negotiate"), "the receiver asks for Bearer, Negotiate, not for Basic"),
        (asks("\"shop\", Basic"), "the receiver's WWW-Authenticate header cannot be read from character 1 on"),
        (
            asks("Digest realm=\"shop, Basic"),
            "the receiver's WWW-Authenticate header cannot be read from character 14 on",
        ),
    ] {
        let receiver = Receiver::start().await;
        receiver.on("/erp", [reply]);
        let (delivery, headers) = sent(&receiver, &basic(&receiver, "")).await;
        assert_eq!(headers, [None], "{expected}");
        let attempt = &delivery["attempts"][0];
        assert_eq!(attempt["code"], 401);
        assert!(text(attempt, "error").starts_with(expected), "{attempt:#}");
    }
}

#[tokio::test]
async fn a_second_401_ends_the_attempt() {
    let receiver = Receiver::start().await;
    receiver.on("/erp", [asks("Basic realm=\"shop\"")]);
    let (delivery, headers) = sent(&receiver, &basic(&receiver, "")).await;
    assert_eq!(headers, [None, Some(ANN.to_owned())]);
    assert_eq!((&delivery["attempts"][0]["code"], &delivery["status"]), (&json!(401), &json!("failed")));
}

#[tokio::test]
async fn with_retry_on_an_auth_failure_is_retried() {
    let receiver = Receiver::start().await;
    receiver.on("/erp", [asks("Basic"), asks("Basic"), asks("Basic"), Reply::status(200)]);
    let yaml = receiver.fill("channels: [{name: erp, url: RECEIVER/erp, outcomes: [{on: [2xx], then: accepted}, {on: [auth], then: retry}], retry: {attempts: 3, interval: 30m}, auth: {type: basic, username: ann, password: pässwörd-1}}]");
    let (delivery, headers) = sent(&receiver, &yaml).await;
    assert_eq!(headers.len(), 4);
    let codes: Vec<_> =
        delivery["attempts"].as_array().unwrap().iter().map(|attempt| attempt["code"].clone()).collect();
    assert_eq!(codes, [401, 200]);
}

#[tokio::test]
async fn a_callout_answers_a_challenge_too() {
    let receiver = Receiver::start().await;
    receiver.on("/step", [asks("Basic realm=\"shop\""), Reply::json(200, &json!({"you": ANN}))]);
    let yaml = receiver.fill("chains: [{name: all, plugins: [{critical: true, name: calloutPlugin, id: step, options: {endpoint: RECEIVER/step, shouldRejectOn: {status: [401]}, auth: {type: basic, username: ann, password: pässwörd-1}}}]}]");
    let service = Service::start(&yaml).await;
    service.api.post("/v1/orders", &json!({"id": 1})).await.expect(201);
    let requests = receiver.wait_for(2).await;
    assert_eq!((requests[0].header("authorization"), requests[1].header("authorization")), (None, Some(ANN)));
    let order = service.api.order_detail("1").await;
    assert!(!order.to_string().contains("YW5u"), "{order:#}");
    receiver.on("/step", [asks("Basic")]);
    let problem = service.api.post("/v1/orders", &json!({"id": 2})).await.problem(422);
    assert_eq!(problem["detail"], "callout plugin failed due to response status: [401]");
    service.stop().await;
}

#[tokio::test]
async fn a_receiver_that_repeats_credentials_is_recorded_without_them() {
    for (auth, secrets) in [
        ("type: bearer, token: tok/en-of-erp", ["Bearer tok/en-of-erp", "tok\\/en-of-erp"]),
        ("type: header, name: X-Key, value: key-of-erp", ["x-key: key-of-erp", "key-of-erp"]),
        ("type: basic, username: ann, password: pässwörd-1, preemptive: true", [ANN, "pässwörd-1"]),
    ] {
        let receiver = Receiver::start().await;
        let body = format!("you sent {} and {}.", secrets[0], secrets[1]);
        receiver
            .on("/erp", [Reply::body(400, "text/plain", body).with_header("X-Echo", &secrets[1].replace('\\', ""))]);
        let yaml = receiver.fill(&format!("channels: [{{name: erp, url: RECEIVER/erp, auth: {{{auth}}}}}]"));
        let service = Service::start(&yaml).await;
        let order = service.api.order(&json!({"id": "A-1"})).await;
        let delivery = service.play_out(&delivery_to(&order, "erp")).await;
        let response = &delivery["attempts"][0]["response"];
        let shown = text(response, "body");
        assert!(shown.starts_with("you sent ") && shown.ends_with("*** and ***."), "{shown}");
        assert_eq!(response["headers"]["x-echo"], "***", "{response:#}");
        let home = Arc::clone(&service.home);
        service.stop().await;
        let store = String::from_utf8_lossy(&std::fs::read(home.store()).unwrap()).into_owned();
        assert!(!store.contains("of-erp") && !store.contains("YW5u"));
    }
}
