//! What a channel keeps over a reload: its state, its runs, its places, what waits for it.

use std::time::Duration;

use serde_json::{Value, json};

use super::{delivered, named};
use crate::harness::{Service, delivery_to, eventually, text};
use crate::receiver::{Gate, Receiver, Reply};

#[tokio::test]
async fn a_channel_stays_paused_and_one_that_is_switched_on_is_as_it_was_left() {
    let receiver = Receiver::start().await;
    let yaml = |keys: &str| receiver.fill(&format!("channels: [{{name: erp, url: RECEIVER/erp{keys}}}]"));
    let mut service = Service::start(&yaml("")).await;
    service.api.post("/v1/channels/erp/pause", &Value::Null).await.expect(200);
    let waiting = delivery_to(&service.api.order(&json!({"id": 1})).await, "erp");
    let state =
        async |service: &Service| text(&service.api.get("/v1/channels/erp").await.expect(200), "state").to_owned();
    service.reload(&yaml(", concurrency: 3")).await;
    assert_eq!(state(&service).await, "paused");
    service.reload(&yaml(", enabled: false")).await;
    let skipped = service.api.order(&json!({"id": 2})).await;
    assert_eq!(service.api.order_detail(text(&skipped, "id")).await["channels"][0]["reason"], "disabled");
    service.api.post("/v1/channels/erp/resume", &Value::Null).await.problem(409);
    service.reload(&yaml("")).await;
    assert_eq!(state(&service).await, "paused");
    assert_eq!(receiver.count(), 0);
    service.api.post("/v1/channels/erp/resume", &Value::Null).await.expect(200);
    service.api.settled(&waiting).await;
    // Switched off by the file alone, it comes back on.
    service.reload(&yaml(", enabled: false")).await;
    assert_eq!(state(&service).await, "disabled");
    service.reload(&yaml("")).await;
    assert_eq!(state(&service).await, "enabled");
    delivered(&service, &receiver, "erp", "A-3").await;
    service.stop().await;
}

#[tokio::test]
async fn what_an_old_receiver_said_does_not_disable_the_channel_of_a_new_one() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.on("/old", [Reply::status(410).held(&gate)]);
    let yaml = |path: &str| receiver.fill(&format!("channels: [{{name: erp, url: RECEIVER/{path}}}]"));
    let mut service = Service::start(&yaml("old")).await;
    let gone = delivery_to(&service.api.order(&json!({"id": 1})).await, "erp");
    receiver.wait_for(1).await;
    service.reload(&yaml("new")).await;
    gate.open();
    assert_eq!(service.api.settled(&gone).await["status"], "failed");
    delivered(&service, &receiver, "erp", "A-2").await;
    assert_eq!(service.api.get("/v1/channels/erp").await.expect(200)["state"], "enabled");
    service.stop().await;
}

#[tokio::test]
async fn a_schedule_keeps_its_runs_and_one_that_is_new_holds_back_what_waits() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.on("/first", [Reply::status(200).held(&gate)]);
    let yaml = |path: &str, keys: &str| {
        receiver.fill(&format!("channels: [{{name: erp, url: RECEIVER/{path}, concurrency: 1{keys}}}]"))
    };
    let mut service = Service::start(&yaml("first", "")).await;
    for id in 0..3 {
        service.api.order(&json!({ "id": id })).await;
    }
    receiver.wait_for(1).await;
    service.reload(&yaml("run", ", schedule: {every: 15m}")).await;
    gate.open();
    let pending = async |service: &Service, count: usize| {
        let what = format!("{count} pending");
        eventually(&what, || async {
            let found = service.api.list("/v1/deliveries?status=pending").await;
            (found.len() == count).then_some(())
        })
        .await;
    };
    pending(&service, 2).await;
    service.clock.advance(Duration::from_secs(14 * 60));
    let later = delivery_to(&service.api.order(&json!({"id": 3})).await, "erp");
    assert_eq!(service.wait_of(&later).await, Duration::from_secs(60));
    // What says nothing about the schedule leaves its runs alone.
    service.reload(&yaml("run2", ", schedule: {every: 15m}")).await;
    assert_eq!(receiver.count(), 1, "two wait for their run");
    service.clock.advance(Duration::from_secs(60));
    pending(&service, 0).await;
    assert_eq!((receiver.count_on("/run2"), receiver.count()), (3, 4));
    // Without a schedule, at once again.
    service.reload(&yaml("last", "")).await;
    delivered(&service, &receiver, "erp", "A-9").await;
    assert_eq!(receiver.count_on("/last"), 1);
    service.stop().await;
}

#[tokio::test]
async fn a_channel_that_is_taken_away_and_put_back_during_an_attempt_has_no_second_set_of_places() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.answer([Reply::status(200).held(&gate)]);
    let with = receiver.fill("server: {max_depth: 9}\nchannels: [{name: erp, url: RECEIVER/erp, concurrency: 1}]");
    let mut service = Service::start(&with).await;
    for id in 0..3 {
        service.api.order(&json!({ "id": id })).await;
    }
    receiver.wait_for(1).await;
    service.reload("server: {max_depth: 9}").await;
    service.reload(&with).await;
    let channel = service.api.get("/v1/channels/erp").await.expect(200);
    assert_eq!((&channel["state"], &channel["in_flight"]), (&json!("enabled"), &json!(1)));
    gate.open();
    service.api.all_settled().await;
    assert_eq!((receiver.count(), receiver.most_in_flight()), (3, 1));
    service.stop().await;
}

#[tokio::test]
async fn the_deliveries_of_a_channel_that_is_gone_stay_pending_until_it_is_back() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.on("/erp", [Reply::status(503).held(&gate), Reply::status(200)]);
    let with = receiver.fill("channels: [{name: erp, url: RECEIVER/erp, concurrency: 1, retry: {attempts: 3, interval: 5s, jitter: 0}}, {name: crm, url: RECEIVER/crm}]");
    let without = receiver.fill("channels: [{name: crm, url: RECEIVER/crm}]");
    let mut service = Service::start(&with).await;
    let mut waiting = Vec::new();
    for id in 0..3 {
        waiting.push(delivery_to(&service.api.order(&json!({ "id": id })).await, "erp"));
    }
    receiver.wait_for_on("/erp", 1).await;
    assert_eq!(service.reload(&without).await["channels"], named(&[], &[], &["erp"]));
    gate.open();
    // The attempt under way is on record, and nothing follows it.
    service.api.attempted(&waiting[0], 1).await;
    service.clock.advance(Duration::from_secs(60));
    delivered(&service, &receiver, "crm", "later").await;
    assert_eq!(receiver.count_on("/erp"), 1);
    for delivery in &waiting {
        assert_eq!(service.api.delivery(delivery).await["status"], "pending");
    }
    let detail = service.api.order_detail("later").await;
    assert!(detail["deliveries"].as_array().expect("deliveries").iter().all(|delivery| delivery["channel"] == "crm"));
    // As after a start without it.
    service = service.restart().await;
    for delivery in &waiting {
        assert_eq!(service.api.delivery(delivery).await["status"], "pending");
    }
    assert_eq!(service.reload(&with).await["channels"], named(&["erp"], &[], &[]));
    for (at, delivery) in waiting.iter().enumerate() {
        let done = service.api.settled(delivery).await;
        let attempts = done["attempts"].as_array().map(Vec::len);
        assert_eq!((&done["status"], attempts), (&json!("accepted"), Some(if at == 0 { 2 } else { 1 })), "{done:#}");
    }
    assert_eq!(receiver.count_on("/erp"), 4);
    service.stop().await;
}

#[tokio::test]
async fn what_waits_for_a_new_schedule_waits_also_where_the_store_was_locked_at_the_reload() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.answer([Reply::status(200).held(&gate)]);
    let yaml = |keys: &str| {
        receiver.fill(&format!(
            "channels: [{{name: erp, url: RECEIVER/erp, concurrency: 1, timeout: {{total: 1h}}{keys}}}]"
        ))
    };
    let mut service = Service::start(&yaml("")).await;
    for id in 0..3 {
        service.api.order(&json!({ "id": id })).await;
    }
    receiver.wait_for(1).await;
    let other = rusqlite::Connection::open(service.home.store()).expect("the store");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    service.reload(&yaml(", schedule: {every: 15m}")).await;
    // Written behind what the reload writes: both waited for the lock, and gave up.
    service.api.post("/v1/orders", &json!({"id": 3})).await.expect(503);
    gate.open();
    tokio::time::sleep(Duration::from_millis(500)).await;
    other.execute_batch("ROLLBACK").expect("free");
    eventually("one recorded", || async {
        (service.api.list("/v1/deliveries?status=pending").await.len() == 2).then_some(())
    })
    .await;
    assert_eq!(receiver.count(), 1, "the others wait for their run");
    service.clock.advance(Duration::from_secs(15 * 60));
    service.api.all_settled().await;
    assert_eq!(receiver.count(), 3);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_is_taken_away_as_a_worker_comes_free_for_it_does_not_keep_it() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.answer([Reply::status(200).held(&gate)]);
    let one = "{name: a, url: RECEIVER/a, when: order.to == 'a'}";
    let both = receiver.fill(&format!(
        "delivery: {{workers: 2}}\nchannels: [{one}, {{name: b, url: RECEIVER/b, when: order.to == 'b'}}]"
    ));
    let alone = receiver.fill(&format!("delivery: {{workers: 2}}\nchannels: [{one}]"));
    let mut service = Service::start(&both).await;
    for round in 0..40 {
        // `b` has one worker, and waits for another.
        service.api.order(&json!({"to": "b"})).await;
        receiver.wait_for(4 * round + 1).await;
        service.api.order(&json!({"to": "b"})).await;
        service.configure(&alone);
        let pass = async {
            tokio::time::sleep(Duration::from_micros(100 * (round as u64 % 20))).await;
            gate.pass();
        };
        tokio::join!(pass, service.api.post(super::RELOAD, &Value::Null));
        // Two of these three are next.
        service.api.order(&json!({"to": "a"})).await;
        service.api.order(&json!({"to": "a"})).await;
        receiver.wait_for(4 * round + 3).await;
        service.reload(&both).await;
        gate.pass();
        gate.pass();
        receiver.wait_for(4 * round + 4).await;
        gate.pass();
        service.api.all_settled().await;
    }
    service.stop().await;
}
