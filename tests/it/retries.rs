//! When a delivery is tried again: schedules, jitter, what the receiver asks for, and the end of it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Service, delivery_to};
use crate::receiver::{Receiver, Reply};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Waits between the attempts of one delivery that always fails, and the delivery at its end.
async fn waits(retry: &str, reply: Reply) -> (Vec<Duration>, Value) {
    let receiver = Receiver::start().await;
    receiver.answer([reply]);
    let yaml = receiver.fill(&format!("channels: [{{name: erp, url: RECEIVER/erp{retry}}}]"));
    let service = Service::start(&yaml).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    let id = delivery_to(&order, "erp");
    let mut waits = Vec::new();
    let delivery = loop {
        let delivery = service.at_rest(&id).await;
        if delivery["status"] != "pending" {
            break delivery;
        }
        assert_eq!(receiver.count(), waits.len() + 1, "one request for each attempt");
        waits.push(service.advance_to_next_attempt(&id).await);
    };
    service.stop().await;
    (waits, delivery)
}

fn assert_within(waits: &[Duration], expected: &[u64], jitter: f64) {
    assert_eq!(waits.len(), expected.len(), "{waits:?}");
    for (wait, expected) in waits.iter().zip(expected) {
        let share = wait.as_secs_f64() / *expected as f64;
        assert!(
            (1.0 - jitter - 0.001..=1.0 + jitter + 0.001).contains(&share),
            "{waits:?}, not {expected}s ± {jitter}"
        );
    }
}

#[tokio::test]
async fn the_standard_schedule_has_eight_attempts_over_28_hours() {
    let (waits, delivery) = waits("", Reply::status(503)).await;
    assert_within(&waits, &[5, 300, 1800, 7200, 18_000, 36_000, 36_000], 0.1);
    assert_eq!(delivery["status"], "failed");
    let attempts = delivery["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.len(), 8);
    for (at, attempt) in attempts.iter().enumerate() {
        assert_eq!(attempt["number"], at + 1);
        assert_eq!(attempt["code"], 503);
    }
    assert_eq!(delivery["next_attempt_at"], Value::Null);
}

#[tokio::test]
async fn jitter_spreads_the_waits() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::status(503)]);
    let yaml = receiver.fill(
        "channels: [{name: erp, url: RECEIVER/erp, breaker: null, retry: {attempts: 2, interval: 1000s, jitter: 0.5}}]",
    );
    let service = Service::start(&yaml).await;
    let mut all = Vec::new();
    for number in 0..20 {
        let order = service.api.order(&json!({"id": number})).await;
        all.push(service.wait_of(&delivery_to(&order, "erp")).await);
    }
    assert!(all.iter().all(|wait| (seconds(500)..=seconds(1500)).contains(wait)), "{all:?}");
    assert!(all.iter().max().expect("waits") > &seconds(1100), "spread upwards: {all:?}");
    assert!(all.iter().min().expect("waits") < &seconds(900), "spread downwards: {all:?}");
    service.stop().await;
}

#[tokio::test]
async fn an_interval_is_always_the_same_without_jitter() {
    let (waits, delivery) = waits(", retry: {attempts: 3, interval: 30m, jitter: 0}", Reply::Close).await;
    assert_eq!(waits, [seconds(1800), seconds(1800)]);
    assert_eq!(delivery["status"], "failed");
    assert_eq!(delivery["attempts"][2]["code"], -6);
}

#[tokio::test]
async fn one_attempt_means_no_retry() {
    let (waits, delivery) = waits(", retry: {attempts: 1, interval: 1s}", Reply::status(500)).await;
    assert!(waits.is_empty());
    assert_eq!(delivery["status"], "failed");
    assert_eq!(delivery["attempts"][0]["outcome"], "failed", "what became of it, as no retry was left");
}

#[tokio::test]
async fn retry_after_in_seconds_makes_the_wait_longer() {
    let retry = ", retry: {attempts: 2, schedule: [5s], jitter: 0}";
    let busy = |seconds: &str| Reply::status(503).with_header("Retry-After", seconds);
    assert_eq!(waits(retry, busy("120")).await.0, [seconds(120)]);
    assert_eq!(waits(retry, busy("1")).await.0, [seconds(5)], "never earlier than the channel's own wait");
    assert_eq!(waits(retry, busy("soon")).await.0, [seconds(5)]);
    assert_eq!(waits(retry, busy("-3")).await.0, [seconds(5)]);
    assert_eq!(waits(retry, busy("99999999999999999999")).await.0.len(), 1);
}

#[tokio::test]
async fn retry_after_as_a_date_counts_from_now() {
    let reply = Reply::status(429).with_header("Retry-After", "Sat, 31 Jan 2026 12:10:00 GMT");
    let (got, _) = waits(", retry: {attempts: 2, schedule: [5s], jitter: 0}", reply).await;
    assert_eq!(got, [seconds(600)], "the clock shows noon");
}

#[tokio::test]
async fn retry_after_is_capped_by_the_limits() {
    let reply = Reply::status(503).with_header("Retry-After", "864000");
    let receiver = Receiver::start().await;
    receiver.answer([reply.clone()]);
    let yaml = receiver.fill(
        "limits: {max_interval: 1h}\nchannels: [{name: erp, url: RECEIVER/erp, retry: {attempts: 2, interval: 10s}}]",
    );
    let service = Service::start(&yaml).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    assert_eq!(service.wait_of(&delivery_to(&order, "erp")).await, seconds(3600));
    service.stop().await;
    let (day, _) = waits(", retry: {attempts: 2, interval: 10s}", reply).await;
    assert_eq!(day, [seconds(86_400)], "24h unless the limits say otherwise");
}

#[tokio::test]
async fn retry_after_counts_for_nothing_where_it_is_not_respected() {
    let retry = ", retry: {attempts: 2, interval: 10s, jitter: 0, respect_retry_after: false}";
    let (got, _) = waits(retry, Reply::status(503).with_header("Retry-After", "500")).await;
    assert_eq!(got, [seconds(10)]);
}

#[tokio::test]
async fn a_waiting_retry_outlives_a_restart() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::status(503), Reply::status(200)]);
    let yaml =
        receiver.fill("channels: [{name: erp, url: RECEIVER/erp, retry: {attempts: 2, interval: 30m, jitter: 0}}]");
    let service = Service::start(&yaml).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    let id = delivery_to(&order, "erp");
    assert_eq!(service.wait_of(&id).await, seconds(1800));
    let service = service.restart().await;
    assert_eq!(service.wait_of(&id).await, seconds(1800), "the restart neither forgets nor hurries it");
    let delivery = service.play_out(&id).await;
    assert_eq!(delivery["status"], "accepted");
    assert_eq!(delivery["attempts"].as_array().map(Vec::len), Some(2));
    assert_eq!(receiver.count(), 2);
    service.stop().await;
}

#[tokio::test]
async fn a_retry_by_hand_begins_a_new_round_of_attempts() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::status(503)]);
    let yaml =
        receiver.fill("channels: [{name: erp, url: RECEIVER/erp, retry: {attempts: 2, interval: 10s, jitter: 0}}]");
    let service = Service::start(&yaml).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    let id = delivery_to(&order, "erp");
    assert_eq!(service.play_out(&id).await["attempts"].as_array().map(Vec::len), Some(2));
    service.api.post(&format!("/v1/deliveries/{id}/retry"), &json!({})).await.expect(200);
    let third = service.api.attempted(&id, 3).await;
    assert_eq!(third["status"], "pending", "the new round has a second attempt: {third:#}");
    let ended = service.play_out(&id).await;
    assert_eq!(ended["status"], "failed");
    assert_eq!(ended["attempts"].as_array().map(Vec::len), Some(4));
    service.stop().await;
}

#[tokio::test]
async fn nothing_is_sent_before_its_time() {
    let receiver = Receiver::start().await;
    receiver.on("/erp", [Reply::status(503)]);
    let yaml = receiver.fill(
        "channels: [{name: erp, url: RECEIVER/erp, retry: {attempts: 2, interval: 100s, jitter: 0}}, {name: witness, url: RECEIVER/witness}]",
    );
    let service = Service::start(&yaml).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    let id = delivery_to(&order, "erp");
    service.wait_of(&id).await;
    service.clock.advance(seconds(99));
    let witness = service.api.order(&json!({"id": "A-2"})).await;
    service.api.settled(&delivery_to(&witness, "witness")).await;
    assert_eq!(service.api.delivery(&id).await["attempts"].as_array().map(Vec::len), Some(1));
    service.clock.advance(seconds(1));
    assert_eq!(service.api.settled(&id).await["attempts"].as_array().map(Vec::len), Some(2));
    service.stop().await;
}
