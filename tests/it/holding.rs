//! What holds a channel's deliveries back: ordering, pace, breaker, slow start, failure in a row; and what is late.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Service, delivery_to, eventually, text};
use crate::receiver::{Gate, Receiver, Reply};

/// The ids of the orders in the requests that have come, in their order.
fn orders(receiver: &Receiver) -> Vec<String> {
    let id = |request: &crate::receiver::Request| request.json()["data"]["order"]["id"].as_str().map(str::to_owned);
    receiver.requests().iter().filter_map(id).collect()
}

async fn channel(service: &Service) -> Value {
    service.api.get("/v1/channels/erp").await.expect(200)
}

/// The problem of that kind.
async fn problem(service: &Service, kind: &str) -> Value {
    let problems = service.api.list("/v1/problems").await;
    problems.into_iter().find(|problem| problem["kind"] == kind).expect("a problem of that kind")
}

async fn post(service: &Service, id: &str, key: &Value) -> String {
    let order = service.api.order(&json!({"id": id, "key": key})).await;
    delivery_to(&order, "erp")
}

#[tokio::test]
async fn deliveries_with_the_same_key_are_sent_one_after_the_other() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.answer([Reply::status(200).held(&gate)]);
    let service =
        Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp, ordering: {by: /key}}]")).await;
    let mut last = String::new();
    for (id, key) in [("a1", json!("a")), ("a2", json!("a")), ("b1", json!(7)), ("a3", json!("a")), ("b2", json!(7))] {
        last = post(&service, id, &key).await;
    }
    // Without a key of its own, a delivery waits for none.
    for (id, key) in [("n1", json!(null)), ("n2", json!({"an": "object"}))] {
        post(&service, id, &key).await;
    }
    receiver.wait_for(4).await;
    let mut first = orders(&receiver);
    first.sort();
    assert_eq!(first, ["a1", "b1", "n1", "n2"]);
    assert_eq!(service.api.delivery(&last).await["ordering_key"], "7");
    assert_eq!(channel(&service).await["held"]["deliveries"], 3);
    gate.open();
    service.api.all_settled().await;
    let all = orders(&receiver);
    let of = |key: &str| all.iter().filter(|id| id.starts_with(key)).cloned().collect::<Vec<_>>();
    assert_eq!((of("a"), of("b")), (vec!["a1".into(), "a2".into(), "a3".into()], vec!["b1".into(), "b2".into()]));
    assert_eq!(channel(&service).await["held"], json!({"deliveries": 0, "keys": 0, "behind": []}));
    service.stop().await;
}

#[tokio::test]
async fn an_ordered_channel_sends_in_sequence_across_retries_and_restarts() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::status(503), Reply::status(200), Reply::status(503), Reply::status(200)]);
    let yaml = receiver.fill(
        "channels: [{name: erp, url: RECEIVER/erp, ordering: channel, retry: {attempts: 5, interval: 10m, jitter: 0}}]",
    );
    let service = Service::start(&yaml).await;
    let mut ids = Vec::new();
    for id in ["1", "2", "3"] {
        ids.push(post(&service, id, &json!(null)).await);
    }
    service.at_rest(&ids[0]).await;
    let service = service.restart().await;
    assert_eq!(receiver.count(), 1, "the others wait for the first");
    for id in &ids {
        service.play_out(id).await;
    }
    assert_eq!(orders(&receiver), ["1", "1", "2", "2", "3"]);
    service.stop().await;
}

#[tokio::test]
async fn events_of_one_order_are_sent_in_sequence() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.answer([Reply::status(200).held(&gate)]);
    let yaml = "channels: [{name: erp, url: RECEIVER/erp, events: ['order.*'], ordering: order}]";
    let service = Service::start(&receiver.fill(yaml)).await;
    for _ in 0..2 {
        service.api.order(&json!({"id": "same"})).await;
    }
    service.api.order(&json!({"id": "other"})).await;
    receiver.wait_for(2).await;
    let mut first = orders(&receiver);
    first.sort();
    assert_eq!(first, ["other", "same"], "one of each order");
    gate.open();
    service.api.all_settled().await;
    let types: Vec<_> = receiver
        .requests()
        .iter()
        .filter(|request| request.json()["data"]["order"]["id"] == "same")
        .map(|request| request.json()["type"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(types, ["order.received", "order.completed", "order.received", "order.completed"]);
    service.stop().await;
}

#[tokio::test]
async fn a_failure_holds_its_key_until_a_person_settles_it() {
    let receiver = Receiver::start().await;
    let yaml = "channels: [{name: erp, url: RECEIVER/erp, ordering: {by: /key, after_failure: hold}, retry: {attempts: 1, interval: 1s}}]";
    let service = Service::start(&receiver.fill(yaml)).await;
    for (act, status) in [("retry", "accepted"), ("accept", "accepted"), ("cancel", "cancelled")] {
        receiver.answer([Reply::status(404), Reply::status(200)]);
        let failed = post(&service, &format!("{act}-1"), &json!(act)).await;
        assert_eq!(service.api.settled(&failed).await["status"], "failed");
        let next = post(&service, &format!("{act}-2"), &json!(act)).await;
        let held = channel(&service).await["held"].clone();
        assert_eq!(
            held,
            json!({"deliveries": 1, "keys": 1, "behind": [{"key": act, "delivery_id": failed, "waiting": 1}]})
        );
        assert_eq!(service.api.delivery(&next).await["status"], "pending");
        let problem = problem(&service, "held").await;
        assert_eq!((&problem["count"], &problem["example"]), (&json!(1), &json!(failed)));
        service.api.post(&format!("/v1/deliveries/{failed}/{act}"), &json!({})).await.expect(200);
        assert_eq!(service.api.settled(&next).await["status"], "accepted", "{act}");
        assert_eq!(service.api.settled(&failed).await["status"], status, "{act}");
    }
    assert_eq!(orders(&receiver), ["retry-1", "retry-1", "retry-2", "accept-1", "accept-2", "cancel-1", "cancel-2"]);
    let metrics = String::from_utf8(service.api.get("/metrics").await.body).expect("text");
    let counted = "orderhook_deliveries_total{channel=\"erp\",status=\"cancelled\"} 1";
    assert!(metrics.contains(counted), "what a person settles is counted: {metrics}");
    service.stop().await;
}

#[tokio::test]
async fn a_reload_without_ordering_lets_everything_go() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::status(404), Reply::status(200)]);
    let yaml = |ordering: &str| {
        receiver.fill(&format!(
            "channels: [{{name: erp, url: RECEIVER/erp, retry: {{attempts: 1, interval: 1s}}{ordering}}}]"
        ))
    };
    let mut service = Service::start(&yaml(", ordering: {by: channel, after_failure: hold}")).await;
    let failed = post(&service, "1", &json!(null)).await;
    service.api.settled(&failed).await;
    let mut held = Vec::new();
    for id in ["2", "3"] {
        held.push(post(&service, id, &json!(null)).await);
    }
    assert_eq!(channel(&service).await["held"]["deliveries"], 2);
    service.reload(&yaml("")).await;
    for id in &held {
        assert_eq!(service.api.settled(id).await["status"], "accepted");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_rate_limit_spaces_attempts_out() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp, rate_limit: 4/s}]")).await;
    for id in 0..5 {
        post(&service, &id.to_string(), &json!(null)).await;
    }
    for sent in 1..=5 {
        receiver.wait_for(sent).await;
        let limits = eventually("the slot", || async {
            let limits = channel(&service).await["limits"].clone();
            (limits["rate_limit"]["left"] == 0 && limits["concurrency"]["in_use"] == 0).then_some(limits)
        })
        .await;
        assert_eq!(limits["rate_limit"]["rate"], "4/s");
        assert_eq!(receiver.count(), sent, "one in a quarter of a second");
        service.clock.advance(Duration::from_millis(250));
    }
    service.api.all_settled().await;
    service.stop().await;
}

#[tokio::test]
async fn a_breaker_opens_after_failures_in_a_row_and_one_probe_closes_it() {
    let receiver = Receiver::start().await;
    let yaml = "channels: [{name: erp, url: RECEIVER/erp, concurrency: 8, breaker: {failures: 3, cooldown: 1m}, retry: {attempts: 9, interval: 1s, jitter: 0}}]";
    let service = Service::start(&receiver.fill(yaml)).await;
    receiver.answer([
        Reply::status(503),
        Reply::status(503),
        Reply::status(429),
        Reply::status(500),
        Reply::status(200),
    ]);
    let mut ids = Vec::new();
    for id in 0..3 {
        let id = post(&service, &id.to_string(), &json!(null)).await;
        service.at_rest(&id).await;
        ids.push(id);
    }
    let open = channel(&service).await;
    assert_eq!(open["state"], "breaker_open");
    let breaker = &open["limits"]["breaker"];
    assert_eq!((&breaker["state"], &breaker["failures"], &breaker["code"]), (&json!("open"), &json!(3), &json!(429)));
    assert!(breaker["open_until"].is_string());
    let metrics = String::from_utf8(service.api.get("/metrics").await.body).expect("text");
    assert!(metrics.contains("orderhook_channel_state{channel=\"erp\",state=\"breaker_open\"} 1"), "{metrics}");
    // Retries are due, and one more order has come: nothing is sent, and no attempt is used up.
    ids.push(post(&service, "late", &json!(null)).await);
    service.clock.advance(Duration::from_secs(59));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(receiver.count(), 3);
    // The probe fails: the wait doubles.
    service.clock.advance(Duration::from_secs(1));
    receiver.wait_for(4).await;
    eventually("the probe's end", || async {
        (channel(&service).await["limits"]["breaker"]["state"] == "open").then_some(())
    })
    .await;
    service.clock.advance(Duration::from_secs(119));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(receiver.count(), 4);
    service.clock.advance(Duration::from_secs(1));
    for id in &ids {
        service.play_out(id).await;
    }
    let closed = channel(&service).await;
    assert_eq!((&closed["state"], &closed["limits"]["breaker"]["failures"]), (&json!("enabled"), &json!(0)));
    service.stop().await;
}

#[tokio::test]
async fn a_channel_that_is_resumed_starts_slowly() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp, concurrency: 4}]")).await;
    service.api.post("/v1/channels/erp/pause", &json!({})).await.expect(200);
    for id in 0..20 {
        post(&service, &id.to_string(), &json!(null)).await;
    }
    let gate = Gate::new();
    receiver.answer([Reply::status(200).held(&gate)]);
    service.api.post("/v1/channels/erp/resume", &json!({})).await.expect(200);
    let mut sent = 1;
    for (allowed, passes) in [(1, 1), (2, 1), (4, 0)] {
        sent = eventually("the requests allowed", || async {
            let limits = channel(&service).await["limits"]["concurrency"].clone();
            (limits["allowed"] == allowed && limits["in_use"] == allowed).then_some(receiver.count())
        })
        .await
        .max(sent);
        (0..passes).for_each(|_| gate.pass());
    }
    gate.open();
    service.api.all_settled().await;
    assert_eq!(receiver.count(), 20);
    service.stop().await;
}

#[tokio::test]
async fn nothing_but_failure_disables_a_channel_after_its_time() {
    let receiver = Receiver::start().await;
    receiver.on("/erp", [Reply::status(503)]);
    let yaml = "channels: [{name: erp, url: RECEIVER/erp, breaker: null, disable_after: 1h, retry: {attempts: 9, interval: 25m, jitter: 0}}, {name: ops, url: RECEIVER/ops, events: [channel.disabled]}]";
    let service = Service::start(&receiver.fill(yaml)).await;
    let id = post(&service, "1", &json!(null)).await;
    service.at_rest(&id).await;
    assert!(channel(&service).await["limits"]["disables_at"].is_string());
    let service = service.restart().await;
    for _ in 0..3 {
        service.advance_to_next_attempt(&id).await;
        service.at_rest(&id).await;
    }
    let disabled = eventually("the channel to be disabled", || async {
        let channel = channel(&service).await;
        (channel["state"] == "disabled").then_some(channel)
    })
    .await;
    assert!(text(&disabled, "reason").contains("disable_after"), "{disabled}");
    let event = receiver.wait_for_on("/ops", 1).await.remove(0).json();
    assert_eq!((&event["type"], &event["data"]["order"]["channel"]), (&json!("channel.disabled"), &json!("erp")));
    assert_eq!(service.api.delivery(&id).await["status"], "pending", "it waits for a resume");
    service.stop().await;
}

#[tokio::test]
async fn a_delivery_that_misses_its_promise_is_late_once() {
    let receiver = Receiver::start().await;
    receiver.on("/erp", [Reply::status(503), Reply::status(503), Reply::status(200)]);
    let yaml = "channels: [{name: erp, url: RECEIVER/erp, promise: 15m, retry: {attempts: 9, interval: 10m, jitter: 0}}, {name: ops, url: RECEIVER/ops, events: [delivery.late]}]";
    let service = Service::start(&receiver.fill(yaml)).await;
    let id = post(&service, "1", &json!(null)).await;
    service.at_rest(&id).await;
    assert_eq!(service.api.delivery(&id).await["late"], false);
    service.advance_to_next_attempt(&id).await;
    service.at_rest(&id).await;
    service.clock.advance(Duration::from_secs(301));
    let event = receiver.wait_for_on("/ops", 1).await.remove(0).json();
    let data = &event["data"]["order"];
    assert_eq!(
        (&event["type"], &data["channel"], &data["delivery_id"]),
        (&json!("delivery.late"), &json!("erp"), &json!(id))
    );
    let late = service.api.list("/v1/deliveries?late=true").await;
    assert_eq!(late.iter().map(|delivery| &delivery["id"]).collect::<Vec<_>>(), [&json!(id)]);
    let metrics = String::from_utf8(service.api.get("/metrics").await.body).expect("text");
    assert!(metrics.contains("orderhook_deliveries_late_total{channel=\"erp\"} 1"), "{metrics}");
    let problem = problem(&service, "late").await;
    assert_eq!((&problem["count"], &problem["example"], &problem["channel"]), (&json!(1), &json!(id), &json!("erp")));
    // It stays late, and is told once.
    service.play_out(&id).await;
    let service = service.restart().await;
    service.clock.advance(Duration::from_secs(60));
    let settled = service.api.settled(&id).await;
    assert_eq!((&settled["status"], &settled["late"]), (&json!("accepted"), &json!(true)));
    assert_eq!(receiver.count_on("/ops"), 1);
    assert!(service.api.list("/v1/deliveries?late=false&channel=erp").await.is_empty());
    service.stop().await;
}

#[tokio::test]
async fn a_late_result_of_a_cancelled_round_decides_nothing() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.answer([Reply::status(400).held(&gate), Reply::status(200)]);
    let service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp, concurrency: 2}]")).await;
    let id = post(&service, "1", &json!(null)).await;
    receiver.wait_for(1).await;
    for act in ["cancel", "retry"] {
        service.api.post(&format!("/v1/deliveries/{id}/{act}"), &json!({})).await.expect(200);
    }
    assert_eq!(service.api.settled(&id).await["status"], "accepted");
    gate.open();
    let delivery = service.api.attempted(&id, 2).await;
    assert_eq!(delivery["status"], "accepted");
    let mut codes: Vec<_> =
        delivery["attempts"].as_array().expect("attempts").iter().map(|it| it["code"].as_i64()).collect();
    codes.sort();
    assert_eq!(codes, [Some(200), Some(400)]);
    service.stop().await;
}

#[tokio::test]
async fn buckets_are_filled_before_they_are_sent() {
    let receiver = Receiver::start().await;
    let yaml = "channels: [{name: erp, url: RECEIVER/erp, payload: order, schedule: {every: 15m, bucket: 2}}]";
    let service = Service::start(&receiver.fill(yaml)).await;
    for id in ["S0", "S1", "S2"] {
        post(&service, id, &json!(null)).await;
    }
    service.clock.advance(Duration::from_secs(900));
    service.api.all_settled().await;
    let mut sizes: Vec<_> = receiver.requests().iter().map(|it| it.json().as_array().map_or(0, Vec::len)).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 2]);
    service.stop().await;
}
