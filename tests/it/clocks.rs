//! A wall clock that is set: back, it delays nothing; forward, it removes no history.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Service, delivery_to, eventually, text};
use crate::receiver::{Receiver, Reply};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

#[tokio::test]
async fn a_clock_that_is_set_back_delays_nothing() {
    let receiver = Receiver::start().await;
    for path in ["/kept", "/stored", "/failing"] {
        receiver.on(path, [Reply::status(503)]);
    }
    let service = Service::start(&receiver.fill(
        "channels:
  - {name: kept, url: RECEIVER/kept, retry: {attempts: 9, interval: 10s, jitter: 0}, breaker: null}
  - {name: stored, url: RECEIVER/stored, retry: {attempts: 9, interval: 40m, jitter: 0}, promise: 30m}
  - {name: run, url: RECEIVER/run, schedule: {every: 15m}}
  - {name: at, url: RECEIVER/at, events: [invoice.paid]}
  - {name: failing, url: RECEIVER/failing, retry: {attempts: 9, interval: 35m, jitter: 0}, disable_after: 30m}
",
    ))
    .await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    let event = json!({"type": "invoice.paid", "data": {}, "deliver_at": "2026-01-31T12:20:00Z"});
    service.api.post("/v1/events", &event).await.expect(202);
    let [kept, stored] = ["kept", "stored"].map(|channel| delivery_to(&order, channel));
    service.at_rest(&kept).await;
    service.at_rest(&delivery_to(&order, "failing")).await;
    assert_eq!(service.wait_of(&stored).await, minutes(40));
    let since = service.api.get("/v1/channels/failing").await.json()["failing_since"].clone();

    service.clock.set(-HOUR);
    service.clock.advance(Duration::from_secs(6));
    eventually("due times that have followed the clock", async || {
        (service.wait_of(&stored).await + Duration::from_secs(6) == minutes(40)).then_some(())
    })
    .await;
    service.clock.advance(Duration::from_secs(4));
    receiver.wait_for_on("/kept", 2).await;
    assert_eq!(since, "2026-01-31T12:00:00.000Z");
    eventually("the row of failures to have followed it", async || {
        let channel = service.api.get("/v1/channels/failing").await.json();
        (channel["failing_since"] == "2026-01-31T11:00:00.000Z").then_some(())
    })
    .await;
    assert_eq!(receiver.count_on("/run"), 0);
    service.clock.advance(minutes(15));
    receiver.wait_for_on("/run", 1).await;
    service.clock.advance(minutes(5));
    receiver.wait_for_on("/at", 1).await;
    assert!(service.api.list("/v1/deliveries?late=true").await.is_empty());
    service.clock.advance(minutes(10));
    eventually("a late delivery", async || {
        let late = service.api.list("/v1/deliveries?late=true").await;
        (!late.is_empty()).then_some(())
    })
    .await;
    service.clock.advance(minutes(5));
    receiver.wait_for_on("/failing", 2).await;
    eventually("the channel to be disabled", async || {
        let channel = service.api.get("/v1/channels/failing").await.json();
        (channel["state"] == "disabled").then_some(())
    })
    .await;
    assert_eq!(receiver.count_on("/stored"), 1);
    service.clock.advance(minutes(5));
    receiver.wait_for_on("/stored", 2).await;
    service.stop().await;
}

/// Orders of two days ago and of today, at 29.5 days after the first of them.
async fn month(receiver: &Receiver) -> Service {
    let yaml = "store: {retention: 30d}\nchannels: [{name: erp, url: RECEIVER/erp}]";
    let service = Service::start(&receiver.fill(yaml)).await;
    for id in ["older", "old"] {
        let order = service.api.order(&json!({"id": id})).await;
        service.api.settled(&delivery_to(&order, "erp")).await;
        service.clock.advance(days(2));
    }
    service.clock.advance(days(25) + days(1) / 2);
    service
}

/// Waits for a removal; the order of two days later is still there then.
async fn removed_in_time(service: &Service) {
    let status = async |id: &str| service.api.get(&format!("/v1/orders/{id}")).await.status;
    assert_eq!((status("older").await, status("old").await), (200, 200));
    service.clock.advance(days(1));
    eventually("the older order's removal", async || (status("older").await == 404).then_some(())).await;
    assert_eq!(status("old").await, 200, "it is not old by the monotonic clock");
    service
        .advance_until("the other removal", Duration::from_secs(3600), async || {
            (status("old").await == 404).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_clock_that_is_set_forward_removes_no_history() {
    let receiver = Receiver::start().await;
    let service = month(&receiver).await;
    service.clock.set(40 * DAY);
    removed_in_time(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_wrong_at_the_start_removes_no_history() {
    let receiver = Receiver::start().await;
    let service = month(&receiver).await;
    let clock = service.clock.clone();
    let service = service.restart_after(|| clock.set(40 * DAY)).await;
    let order: Value = service.api.order(&json!({"id": "new"})).await;
    service.api.settled(text(&order["deliveries"][0], "id")).await;
    removed_in_time(&service).await;
    service.stop().await;
}
