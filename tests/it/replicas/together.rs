//! Replicas that live: what one accepts, the other sees; what holds on one, holds on all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Load, replicas};
use crate::client::Api;
use crate::harness::{delivery_to, eventually, text};
use crate::receiver::{Receiver, Reply};

/// How long an act on one replica may take to hold on another, with room for a busy machine.
const SOON: Duration = Duration::from_secs(3);

const YAML: &str = "channels: [{name: erp, url: RECEIVER/erp, retry: {attempts: 20, interval: 100ms, jitter: 0}}]";

#[tokio::test]
async fn orders_posted_to_any_replica_are_delivered_once_and_seen_on_all() {
    let receiver = Receiver::start().await;
    let processes = replicas(2, &receiver, YAML).await;
    let load = Load::start(&[&processes[0].api, &processes[1].api]);
    load.wait_for_more(200).await;
    assert_eq!(load.refused(), 0);
    let posted = load.stop().await;
    for process in &processes {
        assert_eq!(posted.assert_delivered(&process.api, &receiver, "/erp").await, 0, "nothing is sent twice");
    }
    for process in processes {
        process.stop().await;
    }
}

/// Waits until a channel has that state on a replica.
async fn has_state(api: &Api, state: &str) {
    let begun = Instant::now();
    eventually(&format!("the state {state}"), || async {
        let channel = api.get("/v1/channels/erp").await.expect(200);
        (channel["state"] == state).then_some(())
    })
    .await;
    assert!(begun.elapsed() < SOON, "{state} took {:?}", begun.elapsed());
}

#[tokio::test]
async fn acts_on_one_replica_hold_on_the_others() {
    let receiver = Receiver::start().await;
    let processes = replicas(2, &receiver, YAML).await;
    let (one, other) = (&processes[0].api, &processes[1].api);
    one.post("/v1/channels/erp/pause", &json!({})).await.expect(200);
    has_state(other, "paused").await;
    let mut held = Vec::new();
    for number in 0..10 {
        let order = other.order(&json!({"id": format!("A-{number}")})).await;
        held.push(delivery_to(&order, "erp"));
    }
    one.post(&format!("/v1/deliveries/{}/cancel", held[0]), &json!({})).await.expect(200);
    assert_eq!(other.delivery(&held[0]).await["status"], "cancelled");
    assert_eq!(receiver.count(), 0, "a paused channel sends nothing");
    one.post("/v1/channels/erp/resume", &json!({})).await.expect(200);
    has_state(other, "enabled").await;
    one.all_settled().await;
    let mut sent: Vec<_> = receiver.requests().iter().map(|request| super::load::own_id(&request.json())).collect();
    sent.sort();
    let expected: Vec<_> = (1..10).map(|number| format!("A-{number}")).collect();
    assert_eq!(sent, expected);
    for process in processes {
        process.stop().await;
    }
}

#[tokio::test]
async fn the_deliveries_of_a_key_keep_their_order_over_replicas() {
    const KEYS: usize = 6;
    const ORDERS: usize = 25;
    let receiver = Receiver::start().await;
    // Every third attempt fails, and is repeated before the next of its key.
    receiver.answer((0..600_u32).map(|number| Reply::status(if number.is_multiple_of(3) { 503 } else { 200 })));
    let yaml = "channels: [{name: erp, url: RECEIVER/erp, ordering: {by: /key}, retry: {attempts: 20, interval: 50ms, jitter: 0.5}}]";
    let processes = replicas(3, &receiver, yaml).await;
    let mut callers = tokio::task::JoinSet::new();
    for key in 0..KEYS {
        let apis: Vec<_> = processes.iter().map(|process| process.api.clone()).collect();
        callers.spawn(async move {
            for number in 0..ORDERS {
                let order = json!({"id": format!("K{key}-{number:03}"), "key": format!("K{key}")});
                apis[(key + number) % apis.len()].order(&order).await;
            }
        });
    }
    callers.join_all().await;
    processes[0].api.all_settled().await;
    let mut by_key: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for request in receiver.requests() {
        let event = request.json();
        by_key.entry(text(&event["data"]["order"], "key").to_owned()).or_default().push(super::load::own_id(&event));
    }
    for (key, mut sent) in by_key {
        sent.dedup();
        let expected: Vec<_> = (0..ORDERS).map(|number| format!("{key}-{number:03}")).collect();
        assert_eq!(sent, expected, "the deliveries of {key}");
    }
    for process in processes {
        process.stop().await;
    }
}
