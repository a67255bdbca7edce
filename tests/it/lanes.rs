//! Channels side by side: bounded, and none in another's way.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Service, delivery_to, eventually};
use crate::receiver::{Gate, Receiver, Reply};

#[tokio::test]
async fn a_channel_has_no_more_attempts_in_flight_than_its_concurrency() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.answer([Reply::status(200).held(&gate)]);
    let service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp, concurrency: 3}]")).await;
    for number in 0..12 {
        service.api.order(&json!({"id": number})).await;
    }
    receiver.wait_for(3).await;
    for passed in 1..=6 {
        gate.pass();
        receiver.wait_for(3 + passed).await;
    }
    assert_eq!(receiver.most_in_flight(), 3);
    gate.open();
    service.api.all_settled().await;
    assert_eq!(receiver.count(), 12);
    assert_eq!(receiver.most_in_flight(), 3);
    service.stop().await;
}

#[tokio::test]
async fn all_channels_together_have_no_more_attempts_in_flight_than_workers() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.answer([Reply::status(200).held(&gate)]);
    let yaml = receiver.fill(
        "delivery: {workers: 4}\nchannels: [{name: a, url: RECEIVER/a}, {name: b, url: RECEIVER/b}, {name: c, url: RECEIVER/c}]",
    );
    let service = Service::start(&yaml).await;
    for number in 0..5 {
        service.api.order(&json!({"id": number})).await;
    }
    receiver.wait_for(4).await;
    for passed in 1..=8 {
        gate.pass();
        receiver.wait_for(4 + passed).await;
    }
    assert_eq!(receiver.most_in_flight(), 4);
    gate.open();
    service.api.all_settled().await;
    assert_eq!(receiver.count(), 15);
    service.stop().await;
}

#[tokio::test]
async fn each_of_many_channels_has_a_worker_whatever_the_others_do() {
    let receiver = Receiver::start().await;
    receiver.on("/a", [Reply::HangBeforeHead]);
    let channels = ["a", "b", "c", "d", "e"]
        .map(|name| format!("{{name: {name}, url: RECEIVER/{name}, timeout: {{total: 10m}}}}"));
    let yaml =
        format!("server: {{shutdown_grace: 100ms}}\ndelivery: {{workers: 8}}\nchannels: [{}]", channels.join(", "));
    let service = Service::start(&receiver.fill(&yaml)).await;
    for number in 0..40 {
        service.api.order(&json!({"id": number})).await;
    }
    for name in ["/b", "/c", "/d", "/e"] {
        receiver.wait_for_on(name, 40).await;
    }
    assert_eq!(receiver.count_on("/a"), 4, "one worker of its own, and the three that are nobody's");
    service.stop().await;
}

#[tokio::test]
async fn a_channel_that_hangs_slows_no_other() {
    let receiver = Receiver::start().await;
    receiver.on("/hangs", [Reply::HangBeforeHead]);
    let yaml = receiver
        .fill("server: {shutdown_grace: 100ms}\nchannels: [{name: hangs, url: RECEIVER/hangs, timeout: {total: 10m}}, {name: erp, url: RECEIVER/erp}]");
    let service = Service::start(&yaml).await;
    for number in 0..200 {
        let order = service.api.order(&json!({"id": number})).await;
        if number % 20 == 0 {
            service.api.settled(&delivery_to(&order, "erp")).await;
        }
    }
    receiver.wait_for_on("/erp", 200).await;
    assert!(receiver.count_on("/hangs") <= 32, "the hanging channel keeps to its own concurrency");
    let pending = service.api.list("/v1/deliveries?channel=hangs&status=pending").await;
    assert_eq!(pending.len(), 200);
    service.stop().await;
}

#[tokio::test]
async fn first_attempts_do_not_wait_behind_retries() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    let mut replies = vec![Reply::status(503); 50];
    replies.push(Reply::status(200).held(&gate));
    receiver.answer(replies);
    let yaml = receiver
        .fill("channels: [{name: erp, url: RECEIVER/erp, concurrency: 2, breaker: null, timeout: {total: 1h}, retry: {attempts: 3, interval: 10m, jitter: 0}}]");
    let service = Service::start(&yaml).await;
    let mut waiting = Vec::new();
    for number in 0..50 {
        let order = service.api.order(&json!({"id": number})).await;
        waiting.push(delivery_to(&order, "erp"));
    }
    for id in &waiting {
        service.wait_of(id).await;
    }
    // Fifty retries come due at once, and every answer is held back: the lane is full of them.
    service.clock.advance(Duration::from_secs(600));
    receiver.wait_for(51).await;
    let fresh = service.api.order(&json!({"id": "fresh"})).await;
    let fresh = delivery_to(&fresh, "erp");
    let before = receiver.count();
    eventually("the first attempt", || async {
        let arrived = receiver.requests().iter().any(|request| request.header("webhook-id") == Some(&fresh));
        if !arrived {
            gate.pass();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        arrived.then_some(())
    })
    .await;
    let ahead = receiver.count() - before;
    assert!(ahead <= 10, "{ahead} retries went ahead of a first attempt");
    gate.open();
    service.api.all_settled().await;
    service.stop().await;
}

#[tokio::test]
async fn more_deliveries_than_a_lane_holds_in_memory_are_all_made() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.answer([Reply::status(200).held(&gate)]);
    let yaml =
        receiver.fill("delivery: {lane_memory: 64KiB}\nchannels: [{name: erp, url: RECEIVER/erp, concurrency: 4}]");
    let service = Service::start(&yaml).await;
    let filler = "x".repeat(8000);
    for number in 0..100 {
        service.api.order(&json!({"id": number, "filler": filler})).await;
    }
    gate.open();
    service
        .advance_until("the end of all deliveries", Duration::from_millis(100), || async {
            let pending = service.api.get("/v1/deliveries?status=pending&limit=1").await.expect(200);
            pending["data"].as_array().expect("data").is_empty().then_some(())
        })
        .await;
    let mut ids: Vec<_> = receiver
        .requests()
        .iter()
        .map(|request| request.json()["data"]["order"]["id"].as_i64().expect("an id"))
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..100).collect::<Vec<_>>(), "each once");
    service.stop().await;
}

/// The orders' own ids as the receiver saw them come.
fn came(receiver: &Receiver) -> Vec<i64> {
    receiver.requests().iter().map(|request| request.json()["data"]["order"]["id"].as_i64().expect("an id")).collect()
}

#[tokio::test]
async fn deliveries_start_in_the_order_of_their_events_also_where_a_lane_has_no_room_for_all_in_memory() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.answer([Reply::status(200).held(&gate)]);
    let yaml =
        receiver.fill("delivery: {lane_memory: 8KiB}\nchannels: [{name: erp, url: RECEIVER/erp, concurrency: 2}]");
    let service = Service::ticking(&yaml).await;
    let mut orders = 0..;
    let mut post = async |count: usize| {
        for id in orders.by_ref().take(count) {
            service.api.order(&json!({"id": id})).await;
        }
    };
    post(20).await;
    receiver.wait_for(2).await;
    // One ends, one starts. New ones come in whenever there is room again, while older ones still wait in the store.
    for next in 2..58 {
        gate.pass();
        post(usize::from(next < 40)).await;
        receiver.wait_for(next + 1).await;
    }
    gate.open();
    service.api.all_settled().await;
    let mut came = came(&receiver);
    came[..2].sort_unstable();
    assert_eq!(came, (0..58).collect::<Vec<_>>(), "but for the first two, which started at once");
    service.stop().await;
}

#[tokio::test]
async fn what_has_waited_for_a_paused_channel_starts_before_what_comes_after_its_resumption() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp, concurrency: 1}]")).await;
    let mut orders = 0..60;
    for action in ["pause", "resume", "pause", "resume"] {
        service.api.post(&format!("/v1/channels/erp/{action}"), &json!({})).await.expect(200);
        for id in orders.by_ref().take(15) {
            service.api.order(&json!({"id": id})).await;
        }
    }
    service.api.all_settled().await;
    assert_eq!(came(&receiver), (0..60).collect::<Vec<_>>());
    service.stop().await;
}

#[tokio::test]
async fn a_receiver_that_drips_costs_its_own_channel_only_its_own_time() {
    let receiver = Receiver::start().await;
    receiver.on("/drips", [Reply::Drip(Duration::from_millis(20))]);
    let yaml = receiver.fill(
        "channels: [{name: drips, url: RECEIVER/drips, timeout: {total: 300ms}, retry: {attempts: 1, interval: 1s}}, {name: erp, url: RECEIVER/erp}]",
    );
    let service = Service::ticking(&yaml).await;
    let begun = Instant::now();
    let order = service.api.order(&json!({"id": "A-1"})).await;
    assert_eq!(service.api.settled(&delivery_to(&order, "erp")).await["status"], "accepted");
    let dripped = service.api.settled(&delivery_to(&order, "drips")).await;
    assert_eq!(dripped["attempts"][0]["code"], -5);
    assert!(begun.elapsed() < Duration::from_secs(15), "a drip of 20 s is cut off");
    service.stop().await;
}
