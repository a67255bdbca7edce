//! Channels with a schedule: runs and their batches, over restarts, pauses and receivers that hang.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Service, delivery_to, eventually};
use crate::receiver::{Gate, Receiver, Reply};

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// A channel that runs every quarter of an hour, and one that sends at once.
fn yaml(receiver: &Receiver, keys: &str) -> String {
    receiver.fill(&format!(
        "server: {{shutdown_grace: 100ms}}\nchannels:\n  - {{name: erp, url: RECEIVER/erp, payload: order, when: order.witness is undefined{keys}}}\n  - {{name: witness, url: RECEIVER/witness, when: order.witness is defined}}\n"
    ))
}

/// Posts an order; returns the id of its delivery to `erp`.
async fn post(service: &Service, id: u64) -> String {
    delivery_to(&service.api.order(&json!({ "id": id })).await, "erp")
}

/// Sends an order that only the witness gets, and waits until it has it: time enough for a lane that would act.
async fn nothing_more(service: &Service) {
    let order = service.api.order(&json!({"witness": true})).await;
    service.api.settled(&delivery_to(&order, "witness")).await;
}

/// What `erp` has got so far.
fn sent(receiver: &Receiver) -> Vec<u64> {
    receiver.requests_on("/erp").iter().map(|request| request.json()["id"].as_u64().expect("an id")).collect()
}

/// Moves the clock by a quarter of an hour; then as many attempts at `erp` as `expected` have been made, and no more.
async fn run(service: &Service, receiver: &Receiver, expected: &[u64]) {
    service.clock.advance(minutes(15));
    attempts_are(service, receiver, expected).await;
}

async fn attempts_are(service: &Service, receiver: &Receiver, expected: &[u64]) {
    recorded(service, expected.len() as u64).await;
    nothing_more(service).await;
    assert_eq!(sent(receiver), expected);
}

#[tokio::test]
async fn what_waits_is_sent_at_the_run_and_not_before() {
    let receiver = Receiver::start().await;
    let service = Service::start(&yaml(&receiver, ", concurrency: 1, schedule: {every: 15m}")).await;
    let first = post(&service, 1).await;
    service.clock.advance(minutes(5));
    post(&service, 2).await;
    assert_eq!(service.wait_of(&first).await, minutes(10));
    assert_eq!(service.api.delivery(&first).await["next_attempt_at"], "2026-01-31T12:15:00.000Z");
    service.clock.advance(minutes(9));
    post(&service, 3).await;
    attempts_are(&service, &receiver, &[]).await;
    service.clock.advance(minutes(1));
    attempts_are(&service, &receiver, &[1, 2, 3]).await;
    assert_eq!(service.api.settled(&first).await["status"], "accepted");
    service.stop().await;
}

#[tokio::test]
async fn a_run_sends_its_batch_and_the_oldest_first() {
    let receiver = Receiver::start().await;
    let service = Service::start(&yaml(&receiver, ", concurrency: 1, schedule: {every: 15m, batch: 2}")).await;
    for id in 1..=5 {
        post(&service, id).await;
    }
    run(&service, &receiver, &[1, 2]).await;
    post(&service, 6).await;
    run(&service, &receiver, &[1, 2, 3, 4]).await;
    run(&service, &receiver, &[1, 2, 3, 4, 5, 6]).await;
    service.stop().await;
}

#[tokio::test]
async fn sixty_are_a_batch_where_nothing_else_is_said() {
    let receiver = Receiver::start().await;
    let service = Service::start(&yaml(&receiver, ", schedule: {every: 15m}")).await;
    for id in 0..130 {
        post(&service, id).await;
    }
    for expected in [60, 120, 130] {
        service.clock.advance(minutes(15));
        receiver.wait_for_on("/erp", expected).await;
        nothing_more(&service).await;
        assert_eq!(receiver.count_on("/erp"), expected);
    }
    service.stop().await;
}

#[tokio::test]
async fn a_retry_waits_for_a_run_and_counts_in_its_batch() {
    let receiver = Receiver::start().await;
    receiver.on("/erp", [Reply::status(503), Reply::status(503), Reply::status(200)]);
    let keys = ", concurrency: 1, schedule: {every: 15m, batch: 2}, retry: {attempts: 3, schedule: null}";
    let service = Service::start(&yaml(&receiver, keys)).await;
    let first = post(&service, 1).await;
    for id in 2..=5 {
        post(&service, id).await;
    }
    run(&service, &receiver, &[1, 2]).await;
    assert_eq!(service.wait_of(&first).await, minutes(15), "its next attempt is at the next run");
    // Those that have waited since before that go first.
    run(&service, &receiver, &[1, 2, 3, 4]).await;
    for (attempts, expected) in [(6, vec![1, 5]), (7, vec![2])] {
        service.clock.advance(minutes(15));
        receiver.wait_for_on("/erp", attempts).await;
        recorded(&service, attempts as u64).await;
        nothing_more(&service).await;
        let mut of_run = sent(&receiver).split_off(attempts - expected.len());
        of_run.sort_unstable();
        assert_eq!(of_run, expected);
    }
    service.stop().await;
}

#[tokio::test]
async fn a_wait_of_the_retries_own_ends_at_the_first_run_behind_it() {
    let receiver = Receiver::start().await;
    receiver.on("/erp", [Reply::status(503)]);
    let keys = ", schedule: {every: 15m}, retry: {attempts: 3, schedule: [16m, 30m], jitter: 0}";
    let service = Service::start(&yaml(&receiver, keys)).await;
    let id = post(&service, 1).await;
    let mut waits = Vec::new();
    for attempts in 0..3 {
        waits.push(service.advance_to_next_attempt(&id).await);
        service.api.attempted(&id, attempts + 1).await;
    }
    assert_eq!(waits, [minutes(15), minutes(30), minutes(30)]);
    assert_eq!(service.at_rest(&id).await["status"], "failed");
    service.stop().await;
}

#[tokio::test]
async fn a_restart_within_a_period_makes_no_run() {
    let receiver = Receiver::start().await;
    let service = Service::start(&yaml(&receiver, ", concurrency: 1, schedule: {every: 15m, batch: 2}")).await;
    for id in 1..=5 {
        post(&service, id).await;
    }
    let service = service.restart().await;
    attempts_are(&service, &receiver, &[]).await;
    run(&service, &receiver, &[1, 2]).await;
    for _ in 0..3 {
        service.clock.advance(minutes(1));
    }
    let service = service.restart().await;
    attempts_are(&service, &receiver, &[1, 2]).await;
    let service = service.restart().await;
    service.clock.advance(minutes(12));
    attempts_are(&service, &receiver, &[1, 2, 3, 4]).await;
    service.stop().await;
}

#[tokio::test]
async fn a_run_missed_while_down_is_made_up_for_once() {
    let receiver = Receiver::start().await;
    let service = Service::start(&yaml(&receiver, ", concurrency: 1, schedule: {every: 15m, batch: 2}")).await;
    for id in 1..=5 {
        post(&service, id).await;
    }
    let clock = service.clock.clone();
    let service = service.restart_after(|| clock.advance(minutes(3 * 60 + 5))).await;
    attempts_are(&service, &receiver, &[1, 2]).await;
    let service = service.restart().await;
    attempts_are(&service, &receiver, &[1, 2]).await;
    service.clock.advance(minutes(10));
    attempts_are(&service, &receiver, &[1, 2, 3, 4]).await;
    service.stop().await;
}

#[tokio::test]
async fn a_run_that_a_restart_cut_off_goes_on_at_the_next_one() {
    let receiver = Receiver::start().await;
    receiver.on("/erp", [Reply::status(200), Reply::HangBeforeHead, Reply::status(200)]);
    let service =
        Service::start(&yaml(&receiver, ", concurrency: 1, timeout: {total: 1h}, schedule: {every: 15m}")).await;
    for id in 1..=4 {
        post(&service, id).await;
    }
    service.clock.advance(minutes(15));
    receiver.wait_for_on("/erp", 2).await;
    // The second hangs, and is cut off with the service; two more were claimed and not started.
    let service = service.restart().await;
    nothing_more(&service).await;
    assert_eq!(sent(&receiver), [1, 2]);
    service.clock.advance(minutes(15));
    receiver.wait_for_on("/erp", 5).await;
    service.api.all_settled().await;
    assert_eq!(sent(&receiver), [1, 2, 2, 3, 4]);
    let requests = receiver.requests_on("/erp");
    assert_eq!(requests[1].header("webhook-id"), requests[2].header("webhook-id"), "the receiver can tell");
    service.stop().await;
}

#[tokio::test]
async fn a_paused_channel_makes_no_run_and_makes_up_for_it_once() {
    let receiver = Receiver::start().await;
    let service = Service::start(&yaml(&receiver, ", concurrency: 1, schedule: {every: 15m, batch: 2}")).await;
    for id in 1..=3 {
        post(&service, id).await;
    }
    service.api.post("/v1/channels/erp/pause", &json!({})).await.expect(200);
    run(&service, &receiver, &[]).await;
    service.clock.advance(minutes(20));
    service.api.post("/v1/channels/erp/resume", &json!({})).await.expect(200);
    attempts_are(&service, &receiver, &[1, 2]).await;
    service.clock.advance(minutes(10));
    attempts_are(&service, &receiver, &[1, 2, 3]).await;
    service.stop().await;
}

#[tokio::test]
async fn runs_do_not_pile_up_behind_a_receiver_that_hangs() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.on("/erp", [Reply::status(200).held(&gate)]);
    let keys = ", concurrency: 2, timeout: {total: 1h}, schedule: {every: 15m, batch: 3}";
    let service = Service::start(&yaml(&receiver, keys)).await;
    for id in 1..=9 {
        post(&service, id).await;
    }
    for _ in 0..4 {
        service.clock.advance(minutes(15));
        nothing_more(&service).await;
    }
    receiver.wait_for_on("/erp", 2).await;
    assert_eq!(receiver.count_on("/erp"), 2, "concurrency holds over runs");
    gate.pass();
    receiver.wait_for_on("/erp", 3).await;
    // The last of the first run is started: the next one begins, and makes up for all that were due.
    gate.pass();
    receiver.wait_for_on("/erp", 4).await;
    gate.open();
    receiver.wait_for_on("/erp", 6).await;
    nothing_more(&service).await;
    assert_eq!(receiver.count_on("/erp"), 6, "not four batches at once");
    assert!(receiver.most_in_flight() <= 3, "two, and the witness");
    service.clock.advance(minutes(15));
    receiver.wait_for_on("/erp", 9).await;
    service.api.all_settled().await;
    service.stop().await;
}

#[tokio::test]
async fn a_run_larger_than_a_lanes_memory_is_sent_all_the_same() {
    let receiver = Receiver::start().await;
    let yaml = yaml(&receiver, ", concurrency: 2, schedule: {every: 15m, batch: 40}");
    let service = Service::start(&format!("delivery: {{lane_memory: 64KiB}}\n{yaml}")).await;
    let filler = "x".repeat(8000);
    for id in 0..50 {
        service.api.order(&json!({"id": id, "filler": filler})).await;
    }
    service.clock.advance(minutes(15));
    receiver.wait_for_on("/erp", 40).await;
    nothing_more(&service).await;
    let mut got = sent(&receiver);
    got.sort_unstable();
    assert_eq!(got, (0..40).collect::<Vec<_>>());
    service.stop().await;
}

#[tokio::test]
async fn a_cron_expression_runs_at_its_times_in_utc() {
    let receiver = Receiver::start().await;
    let service = Service::start(&yaml(&receiver, ", schedule: {cron: \"0 6 * * *\"}")).await;
    let id = post(&service, 1).await;
    assert_eq!(service.wait_of(&id).await, minutes(18 * 60), "noon to six");
    let service = service.restart().await;
    service.clock.advance(Duration::from_millis(18 * 60 * 60_000 - 1));
    attempts_are(&service, &receiver, &[]).await;
    service.clock.advance(Duration::from_millis(1));
    attempts_are(&service, &receiver, &[1]).await;
    service.stop().await;
}

#[tokio::test]
async fn what_a_person_retries_or_cancels_keeps_to_the_runs() {
    let receiver = Receiver::start().await;
    receiver.on("/erp", [Reply::status(400), Reply::status(200)]);
    let service = Service::start(&yaml(&receiver, ", concurrency: 1, schedule: {every: 15m}")).await;
    let (failed, cancelled) = (post(&service, 1).await, post(&service, 2).await);
    service.api.post(&format!("/v1/deliveries/{cancelled}/cancel"), &json!({})).await.expect(200);
    run(&service, &receiver, &[1]).await;
    assert_eq!(service.api.delivery(&failed).await["status"], "failed");
    service.api.post(&format!("/v1/deliveries/{failed}/retry"), &json!({})).await.expect(200);
    attempts_are(&service, &receiver, &[1]).await;
    run(&service, &receiver, &[1, 1]).await;
    assert_eq!(service.api.settled(&failed).await["status"], "accepted");
    service.stop().await;
}

#[tokio::test]
async fn an_event_for_later_waits_for_the_run_behind_its_time() {
    let receiver = Receiver::start().await;
    let yaml = receiver.fill("channels: [{name: erp, events: [shop.note], url: RECEIVER/erp, schedule: {every: 15m}}]");
    let service = Service::start(&yaml).await;
    let note = json!({"type": "shop.note", "data": {}, "deliver_at": "2026-01-31T12:16:00Z"});
    let event = service.api.post("/v1/events", &note).await.expect(202);
    let id = event["deliveries"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(service.wait_of(&id).await, minutes(30));
    service.clock.advance(minutes(30));
    assert_eq!(service.api.settled(&id).await["status"], "accepted");
    service.stop().await;
}

#[tokio::test]
async fn what_waits_for_a_schedule_that_is_gone_is_sent_when_it_was_due() {
    let receiver = Receiver::start().await;
    let service = Service::start(&yaml(&receiver, ", schedule: {every: 15m}")).await;
    post(&service, 1).await;
    let service = service.restart_with(&yaml(&receiver, "")).await;
    service.clock.advance(minutes(15));
    attempts_are(&service, &receiver, &[1]).await;
    let id = post(&service, 2).await;
    assert_eq!(service.api.settled(&id).await["status"], "accepted");
    service.stop().await;
}

/// Each request's ids of orders, and its `webhook-id`.
fn buckets(receiver: &Receiver) -> Vec<(Vec<u64>, String)> {
    let bucket = |request: &crate::receiver::Request| {
        let json = request.json();
        let orders = json.as_array().expect("an array").iter();
        (
            orders.map(|order| order["id"].as_u64().expect("an id")).collect(),
            request.header("webhook-id").expect("an id").to_owned(),
        )
    };
    receiver.requests_on("/erp").iter().map(bucket).collect()
}

#[tokio::test]
async fn a_bucket_is_one_request_with_an_array_of_orders() {
    let receiver = Receiver::start().await;
    receiver.on("/erp", [Reply::body(200, "text/plain", "thanks")]);
    let keys = ", concurrency: 1, schedule: {every: 15m, batch: 7, bucket: 3}";
    let service = Service::start(&yaml(&receiver, keys)).await;
    let mut ids = Vec::new();
    for id in 1..=8 {
        ids.push(post(&service, id).await);
    }
    service.clock.advance(minutes(15));
    receiver.wait_for_on("/erp", 3).await;
    for id in &ids[..7] {
        let delivery = service.api.settled(id).await;
        assert_eq!(delivery["status"], "accepted");
        let attempt = &delivery["attempts"][0];
        assert_eq!((&attempt["code"], &attempt["response"]["body"]), (&json!(200), &json!("thanks")));
    }
    nothing_more(&service).await;
    let got: Vec<_> = buckets(&receiver).into_iter().map(|(orders, _)| orders).collect();
    assert_eq!(got, [vec![1, 2, 3], vec![4, 5, 6], vec![7]], "the eighth waits for the next run");
    let first = &receiver.requests_on("/erp")[0];
    assert_eq!(first.header("orderhook-deliveries"), Some(ids[..3].join(", ").as_str()));
    assert_eq!(first.header("webhook-id"), first.header("idempotency-key"));
    let second = service.api.delivery(&ids[1]).await;
    assert_eq!(second["attempts"][0]["request"]["body"], "{\"id\":2}", "its own part of the array");
    service.stop().await;
}

#[tokio::test]
async fn a_channel_shows_when_it_runs_next() {
    let receiver = Receiver::start().await;
    let service = Service::start(&yaml(&receiver, ", schedule: {cron: '30 6 13 * */5'}")).await;
    let next = async || service.api.get("/v1/channels/erp").await.json()["next_run_at"].clone();
    // The clock is at noon of 31 January 2026. A day of the week with a star is no alternative to the day of the month: the
    // first 13th that is a Sunday or a Friday.
    assert_eq!(next().await, "2026-02-13T06:30:00.000Z");
    service.clock.advance(minutes(60 * 24 * 13));
    assert_eq!(next().await, "2026-03-13T06:30:00.000Z");
    assert_eq!(service.api.get("/v1/channels/witness").await.json()["next_run_at"], Value::Null);
    service.stop().await;
}

#[tokio::test]
async fn a_bucket_is_sent_again_as_it_was_with_the_same_id() {
    let receiver = Receiver::start().await;
    receiver.on("/erp", [Reply::status(503), Reply::status(200), Reply::status(503), Reply::status(200)]);
    let keys = ", concurrency: 1, schedule: {every: 15m, bucket: 2}, retry: {attempts: 4, schedule: null}";
    let service = Service::start(&yaml(&receiver, keys)).await;
    for id in 1..=4 {
        post(&service, id).await;
    }
    service.clock.advance(minutes(15));
    receiver.wait_for_on("/erp", 2).await;
    recorded(&service, 4).await;
    let service = service.restart().await;
    post(&service, 5).await;
    service.clock.advance(minutes(15));
    receiver.wait_for_on("/erp", 4).await;
    recorded(&service, 7).await;
    service.clock.advance(minutes(15));
    receiver.wait_for_on("/erp", 5).await;
    service.api.all_settled().await;
    let got = buckets(&receiver);
    let orders: Vec<_> = got.iter().map(|(orders, _)| orders.clone()).collect();
    assert_eq!(orders, [vec![1, 2], vec![3, 4], vec![5], vec![1, 2], vec![5]]);
    assert_eq!(got[0].1, got[3].1);
    assert_eq!(got[2].1, got[4].1);
    assert_ne!(got[0].1, got[1].1);
    service.stop().await;
}

/// Waits until so many attempts at `erp` are on record.
async fn recorded(service: &Service, attempts: u64) {
    eventually("attempts on record", || async {
        let all = service.api.list("/v1/deliveries?channel=erp").await;
        let made: u64 = all.iter().map(|delivery| delivery["attempt_count"].as_u64().expect("a number")).sum();
        (made >= attempts).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_built_fails_alone_in_its_bucket() {
    let receiver = Receiver::start().await;
    let keys = ", schedule: {every: 15m, bucket: 3}, body: '{\"id\": {{ order.number }}}'";
    let service = Service::start(&yaml(&receiver, keys)).await;
    let mut ids = Vec::new();
    for order in [json!({"number": 1}), json!({"number": {"odd": "\u{0}"}}), json!({}), json!({"number": 3})] {
        ids.push(delivery_to(&service.api.order(&order).await, "erp"));
    }
    service.clock.advance(minutes(15));
    let mut statuses = Vec::new();
    for id in &ids {
        let delivery: Value = service.api.settled(id).await;
        statuses.push((delivery["status"].clone(), delivery["attempts"][0]["code"].clone()));
    }
    assert_eq!(statuses[2], (json!("failed"), json!(-2000)));
    for at in [0, 1, 3] {
        assert_eq!(statuses[at].0, "accepted", "{statuses:?}");
    }
    service.stop().await;
}
