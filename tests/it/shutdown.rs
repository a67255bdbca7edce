//! Stopping: attempts in flight finish, the rest waits for the next start, and a second signal means now.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Process, delivery_to, eventually};
use crate::receiver::{Gate, Receiver, Reply};

#[tokio::test]
async fn sigterm_finishes_attempts_in_flight_and_ends_with_0() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.answer([Reply::status(200).held(&gate)]);
    let yaml = receiver.fill("channels: [{name: erp, url: RECEIVER/erp, concurrency: 1}]");
    let mut process = Process::start(&yaml).await;
    let first = process.api.order(&json!({"id": 1})).await;
    let second = process.api.order(&json!({"id": 2})).await;
    receiver.wait_for(1).await;
    process.terminate();
    eventually("the end of listening", || async {
        tokio::net::TcpStream::connect(process.api.address).await.is_err().then_some(())
    })
    .await;
    gate.open();
    let status = process.end().await;
    assert_eq!(status.code(), Some(0), "{}", process.log);

    let home = Arc::clone(&process.home);
    let process = Process::start_in(&home, &yaml).await;
    let done = process.api.settled(&delivery_to(&first, "erp")).await;
    assert_eq!(done["attempts"].as_array().map(Vec::len), Some(1), "the attempt in flight was recorded");
    assert_eq!(process.api.settled(&delivery_to(&second, "erp")).await["status"], "accepted");
    let of_first = delivery_to(&first, "erp");
    assert_eq!(receiver.requests().iter().filter(|request| request.header("webhook-id") == Some(&of_first)).count(), 1);
    process.stop().await;
}

#[tokio::test]
async fn what_does_not_finish_within_the_grace_is_tried_again_after_the_restart() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::HangBeforeHead, Reply::status(200)]);
    let yaml = receiver
        .fill("server: {shutdown_grace: 300ms}\nchannels: [{name: erp, url: RECEIVER/erp, timeout: {total: 10m}}]");
    let mut process = Process::start(&yaml).await;
    let order = process.api.order(&json!({"id": 1})).await;
    receiver.wait_for(1).await;
    let begun = Instant::now();
    process.terminate();
    assert_eq!(process.end().await.code(), Some(0), "{}", process.log);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let home = Arc::clone(&process.home);
    let process = Process::start_in(&home, &yaml).await;
    let delivery = process.api.settled(&delivery_to(&order, "erp")).await;
    assert_eq!(delivery["status"], "accepted");
    let requests = receiver.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
    process.stop().await;
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::HangBeforeHead]);
    let yaml = receiver
        .fill("server: {shutdown_grace: 10m}\nchannels: [{name: erp, url: RECEIVER/erp, timeout: {total: 10m}}]");
    let mut process = Process::start(&yaml).await;
    process.api.order(&json!({"id": 1})).await;
    receiver.wait_for(1).await;
    let begun = Instant::now();
    process.terminate();
    eventually("the end of listening", || async {
        tokio::net::TcpStream::connect(process.api.address).await.is_err().then_some(())
    })
    .await;
    process.signal(Signal::INT);
    process.end().await;
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_end() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.answer([Reply::status(200).held(&gate)]);
    let yaml = receiver.fill(
        "chains: [{name: all, plugins: [{critical: true, name: calloutPlugin, options: {endpoint: RECEIVER/step, timeoutValue: 600000}}]}]",
    );
    let mut process = Process::start(&yaml).await;
    let api = process.api.clone();
    let posted = tokio::spawn(async move { api.post("/v1/orders", &json!({"id": 1})).await });
    receiver.wait_for(1).await;
    process.terminate();
    gate.open();
    let answer = posted.await.expect("an answer");
    assert!(matches!(answer.status, 201 | 202 | 503), "{answer}");
    assert_eq!(process.end().await.code(), Some(0), "{}", process.log);
    let home = Arc::clone(&process.home);
    let process = Process::start_in(&home, &yaml).await;
    assert_eq!(process.api.ended("1").await["status"], "completed");
    process.stop().await;
}

#[tokio::test]
async fn an_interrupt_is_a_stop_as_well() {
    let mut process = Process::start("").await;
    process.signal(Signal::INT);
    assert_eq!(process.end().await.code(), Some(0), "{}", process.log);
}

#[tokio::test]
async fn after_sigterm_the_service_answers_for_the_drain_delay_but_is_not_ready() {
    let receiver = Receiver::start().await;
    let yaml = receiver.fill("server: {drain_delay: 10m}\nchannels: [{name: erp, url: RECEIVER/erp}]");
    let mut process = Process::start(&yaml).await;
    process.api.get("/readyz").await.expect(200);
    process.terminate();
    eventually("the end of readiness", || async { (process.api.get("/readyz").await.status == 503).then_some(()) })
        .await;
    let order = process.api.order(&json!({"id": 1})).await;
    assert_eq!(process.api.settled(&delivery_to(&order, "erp")).await["status"], "accepted");
    process.api.get("/healthz").await.expect(200);
    // A second signal means now.
    process.terminate();
    assert_eq!(process.end().await.code(), Some(0), "{}", process.log);

    let mut process = Process::start("server: {drain_delay: 300ms}").await;
    let begun = Instant::now();
    process.terminate();
    assert_eq!(process.end().await.code(), Some(0), "{}", process.log);
    assert!(begun.elapsed() >= Duration::from_millis(300));
}
