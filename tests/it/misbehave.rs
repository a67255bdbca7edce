//! Receivers that misbehave: the attempt gets its code, a callout its error, and a healthy channel beside goes on.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Service, delivery_to, text};
use crate::receiver::{Accept, ClosedPort, Receiver, Reply};

/// Every way of misbehaving on a connection that was accepted, and the codes that may be recorded for it.
fn misbehaviours() -> Vec<(Reply, &'static [i64])> {
    vec![
        (Reply::Close, &[-6]),
        (Reply::Reset, &[-6]),
        (Reply::ResetInHead, &[-6]),
        (Reply::ResetInBody, &[-6]),
        (Reply::HangBeforeHead, &[-5]),
        (Reply::HangInBody, &[-5]),
        (Reply::Drip(Duration::from_millis(5)), &[-5]),
        (Reply::EndlessHeaders, &[-6, -7]),
        (Reply::EndlessBody, &[200, -7]),
        (Reply::BadChunks, &[-6]),
        (Reply::ShortBody, &[-6]),
        (Reply::Garbage, &[-6]),
        (Reply::Informational, &[-5, -6]),
    ]
}

#[tokio::test]
async fn a_channel_records_what_its_receiver_did_and_another_goes_on() {
    let receiver = Receiver::start().await;
    let mut yaml = String::from("channels:\n  - {name: healthy, url: RECEIVER/healthy}\n");
    for (number, (reply, _)) in misbehaviours().into_iter().enumerate() {
        receiver.on(&format!("/bad-{number}"), [reply]);
        yaml.push_str(&format!(
            "  - {{name: bad-{number}, url: RECEIVER/bad-{number}, timeout: {{total: 1s}}, retry: {{attempts: 1, interval: 1s}}}}\n"
        ));
    }
    let service = Service::ticking(&receiver.fill(&yaml)).await;
    let begun = Instant::now();
    let order = service.api.order(&json!({"id": "A-1"})).await;
    for number in 2..=10 {
        let next = service.api.order(&json!({"id": format!("A-{number}")})).await;
        assert_eq!(service.api.settled(&delivery_to(&next, "healthy")).await["status"], "accepted");
    }
    for (number, (reply, codes)) in misbehaviours().into_iter().enumerate() {
        let delivery = service.api.settled(&delivery_to(&order, &format!("bad-{number}"))).await;
        let attempt = &delivery["attempts"][0];
        let code = attempt["code"].as_i64().expect("a code");
        assert!(codes.contains(&code), "{reply:?} is recorded as {code}, not one of {codes:?}: {}", attempt["error"]);
        if code == 200 {
            // The status came, and as much of the body as is kept: the rest does not matter.
            assert_eq!(delivery["status"], "accepted", "{reply:?}");
        } else {
            assert_eq!(delivery["status"], "failed", "{reply:?}");
            assert_eq!(attempt["outcome"], "failed", "{reply:?}: there is no second attempt");
            assert!(!text(attempt, "error").is_empty(), "{reply:?}");
        }
        let shown = delivery.to_string();
        assert!(shown.len() < 300_000, "{reply:?} fills the history with {} bytes", shown.len());
    }
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    service.stop().await;
}

#[tokio::test]
async fn a_callout_fails_by_what_its_endpoint_did_and_the_next_order_goes_on() {
    let receiver = Receiver::start().await;
    let mut yaml = String::from("chains:\n");
    for (number, (reply, _)) in misbehaviours().into_iter().enumerate() {
        receiver.on(&format!("/bad-{number}"), [reply]);
        yaml.push_str(&format!(
            "  - {{name: chain-{number}, when: 'order.type == \"bad-{number}\"', plugins: [{{critical: true, name: calloutPlugin, id: step, options: {{endpoint: RECEIVER/bad-{number}, timeoutValue: 500}}}}]}}\n"
        ));
    }
    let service = Service::ticking(&receiver.fill(&yaml)).await;
    let mut calls = tokio::task::JoinSet::new();
    for (number, (reply, _)) in misbehaviours().into_iter().enumerate() {
        let api = service.api.clone();
        calls.spawn(async move {
            let answer = api.post("/v1/orders", &json!({"id": number, "type": format!("bad-{number}")})).await;
            (number, reply, answer)
        });
    }
    service.api.post("/v1/orders", &json!({"id": "good"})).await.expect(201);
    for (number, reply, answer) in calls.join_all().await {
        assert!(matches!(answer.status, 502 | 504), "{reply:?}: {answer}");
        let problem = answer.problem(answer.status);
        assert_eq!(problem["step"], "step");
        let order = service.api.order_detail(&number.to_string()).await;
        assert_eq!(order["status"], "rejected", "{reply:?}");
        let code = order["steps"][0]["code"].as_i64().expect("a code");
        assert_eq!(answer.status == 504, matches!(code, -4 | -5), "{reply:?}: {code} and {answer}");
        if answer.status == 504 {
            assert_eq!(problem["detail"], "This operation was aborted", "{reply:?}");
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn connections_that_come_to_nothing_have_their_codes() {
    let closed = ClosedPort::new();
    let (closing, resetting) = (Receiver::start().await, Receiver::start().await);
    let (ignoring, plain) = (Receiver::start().await, Receiver::start().await);
    plain.accept(Accept::Plain);
    closing.accept(Accept::Close);
    resetting.accept(Accept::Reset);
    ignoring.accept(Accept::Ignore);
    let yaml = format!(
        r"
channels:
  - {{name: refused, url: '{}', retry: {{attempts: 1, interval: 1s}}}}
  - {{name: closes, url: '{}', retry: {{attempts: 1, interval: 1s}}}}
  - {{name: resets, url: '{}', retry: {{attempts: 1, interval: 1s}}}}
  - {{name: ignores, url: '{}', timeout: {{total: 300ms}}, retry: {{attempts: 1, interval: 1s}}}}
  - {{name: no-tls, url: '{}', retry: {{attempts: 1, interval: 1s}}}}
  - {{name: no-name, url: 'http://no-such-host.invalid/', retry: {{attempts: 1, interval: 1s}}}}
",
        closed.url("/"),
        closing.url("/"),
        resetting.url("/"),
        ignoring.url("/"),
        plain.url("/").replace("http:", "https:"),
    );
    let service = Service::ticking(&yaml).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    for (channel, codes) in [
        ("refused", [-1, -1]),
        ("closes", [-6, -1]),
        ("resets", [-6, -1]),
        ("ignores", [-5, -5]),
        ("no-tls", [-3, -3]),
        ("no-name", [-2, -2]),
    ] {
        let delivery = service.api.settled(&delivery_to(&order, channel)).await;
        let attempt = &delivery["attempts"][0];
        let code = attempt["code"].as_i64().expect("a code");
        assert!(codes.contains(&code), "{channel}: {code}, {}", attempt["error"]);
        assert!(!text(attempt, "error").is_empty());
    }
    service.stop().await;
}

#[tokio::test]
async fn a_redirect_loop_is_one_request() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::status(302).with_header("Location", &receiver.url("/erp"))]);
    let service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]")).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    let delivery = service.api.settled(&delivery_to(&order, "erp")).await;
    assert_eq!(delivery["attempts"][0]["code"], 302);
    assert_eq!(receiver.count(), 1);
    service.stop().await;
}

#[tokio::test]
async fn gigabytes_are_not_read_to_their_end() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::EndlessBody]);
    let yaml = receiver
        .fill("channels: [{name: erp, url: RECEIVER/erp, timeout: {total: 1s}, retry: {attempts: 1, interval: 1s}}]");
    let service = Service::ticking(&yaml).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    service.api.settled(&delivery_to(&order, "erp")).await;
    let sent = receiver.bytes_sent();
    assert!(sent < 64_000_000, "{sent} bytes were read");
    service.stop().await;
}

#[tokio::test]
async fn a_response_of_many_headers_is_a_response() {
    let receiver = Receiver::start().await;
    let mut reply = Reply::status(200);
    for number in 0..60 {
        reply = reply.with_header(&format!("X-Header-{number}"), &"v".repeat(400));
    }
    receiver.answer([reply]);
    let service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]")).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    let delivery = service.api.settled(&delivery_to(&order, "erp")).await;
    assert_eq!(delivery["status"], "accepted");
    service.stop().await;
}

#[tokio::test]
async fn the_bytes_of_a_dead_connection_are_not_taken_for_the_next_answer() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::body(200, "text/plain", "first"), Reply::Close, Reply::body(201, "text/plain", "second")]);
    let yaml = receiver.fill(
        "channels: [{name: erp, url: RECEIVER/erp, concurrency: 1, retry: {attempts: 2, interval: 1s, jitter: 0}}]",
    );
    let service = Service::start(&yaml).await;
    let first = service.api.order(&json!({"id": 1})).await;
    assert_eq!(service.play_out(&delivery_to(&first, "erp")).await["attempts"][0]["response"]["body"], "first");
    let second = service.api.order(&json!({"id": 2})).await;
    let delivery = service.play_out(&delivery_to(&second, "erp")).await;
    assert_eq!(delivery["status"], "accepted", "{delivery:#}");
    let last = delivery["attempts"].as_array().and_then(|attempts| attempts.last()).expect("attempts").clone();
    assert_eq!(last["response"]["body"], "second");
    service.stop().await;
}
