//! What needs a person: channels that do not deliver, and failures by their causes.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Service, delivery_to, eventually, text};
use crate::receiver::{Receiver, Reply};

fn kinds(problems: &[Value]) -> Vec<(&str, &str)> {
    problems.iter().map(|problem| (text(problem, "kind"), text(problem, "channel"))).collect()
}

#[tokio::test]
async fn failures_are_grouped_by_cause_until_they_are_set_right() {
    let receiver = Receiver::start().await;
    let refused = |order: &str| Reply::json(404, &json!({"error": format!("order {order} not found")}));
    receiver.on(
        "/erp",
        [refused("SO-1"), refused("SO-22"), Reply::body(404, "text/plain", "no such route"), Reply::status(200)],
    );
    let service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]")).await;
    assert_eq!(service.api.list("/v1/problems").await, Vec::<Value>::new());
    let mut last = Value::Null;
    for number in 1..4 {
        service.clock.advance(Duration::from_secs(60));
        last = service.api.order(&json!({"id": number})).await;
        service.api.settled(&delivery_to(&last, "erp")).await;
    }
    let good = service.api.order(&json!({"id": 4})).await;
    service.api.settled(&delivery_to(&good, "erp")).await;

    let problems = service.api.list("/v1/problems").await;
    assert_eq!(kinds(&problems), [("failures", "erp"), ("failures", "erp")], "{problems:#?}");
    let (many, one) = (&problems[0], &problems[1]);
    assert_eq!(
        (&many["count"], &many["code"], text(many, "cause")),
        (&json!(2), &json!(404), "{\"error\":\"order # not found\"}")
    );
    assert_eq!((&text(many, "first_at")[..16], &text(many, "last_at")[..16]), ("2026-01-31T12:01", "2026-01-31T12:02"));
    assert_eq!((&one["count"], text(one, "example")), (&json!(1), delivery_to(&last, "erp").as_str()));
    let since = service.api.list("/v1/problems?since=2026-01-31T12:02:00Z").await;
    assert_eq!(since.iter().map(|problem| problem["count"].clone()).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(service.api.list("/v1/problems?since=2026-01-31T13:00:00Z").await, Vec::<Value>::new());

    let cause = &many["filter"]["cause"];
    let found = service.api.list(&format!("/v1/deliveries?channel=erp&cause={cause}")).await;
    assert_eq!(found.iter().map(|delivery| text(delivery, "order_id")).collect::<Vec<_>>(), ["2", "1"]);
    let retried = service.api.post("/v1/deliveries/retry", &many["filter"]).await.expect(200);
    assert_eq!(retried["count"], 2);
    service.api.all_settled().await;
    let problems = service.api.list("/v1/problems").await;
    assert_eq!(problems.iter().map(|problem| text(problem, "cause")).collect::<Vec<_>>(), ["no such route"]);
    for wrong in ["since=yesterday", "sinse=2026-01-31T12:00:00Z"] {
        service.api.get(&format!("/v1/problems?{wrong}")).await.problem(400);
    }
    service.api.get("/v1/deliveries?cause=x").await.problem(400);
    service.stop().await;
}

#[tokio::test]
async fn channels_that_do_not_deliver_come_first() {
    let receiver = Receiver::start().await;
    receiver.on("/gone", [Reply::status(410)]);
    receiver.on("/down", [Reply::status(503)]);
    let yaml = receiver.fill(
        "channels:
  - {name: gone, url: RECEIVER/gone}
  - {name: down, url: RECEIVER/down, retry: {attempts: 5, interval: 1h, jitter: 0}}
  - {name: night, url: RECEIVER/night}
  - {name: off, url: RECEIVER/off, enabled: false}",
    );
    let service = Service::start(&yaml).await;
    service.api.post("/v1/channels/night/pause", &json!({"reason": "inventory"})).await.expect(200);
    let order = service.api.order(&json!({"id": "A-1"})).await;
    for channel in ["gone", "down"] {
        service.at_rest(&delivery_to(&order, channel)).await;
    }
    eventually("the channel to be disabled", || async {
        let channel = service.api.get("/v1/channels/gone").await.expect(200);
        (channel["state"] == "disabled").then_some(())
    })
    .await;
    let problems = service.api.list("/v1/problems").await;
    assert_eq!(
        kinds(&problems),
        [("disabled", "gone"), ("failing", "down"), ("failures", "gone"), ("paused", "night")]
    );
    assert_eq!((&problems[1]["code"], &problems[1]["count"]), (&json!(503), &json!(1)));
    assert_eq!((text(&problems[3], "reason"), &problems[3]["count"]), ("inventory", &json!(1)));
    let pending = service.api.post("/v1/deliveries/cancel", &problems[3]["filter"]).await.expect(200);
    assert_eq!(pending["count"], 1);
    let service = service.restart_with(&yaml.replace("name: down", "name: renamed")).await;
    let problems = service.api.list("/v1/problems").await;
    assert!(kinds(&problems).contains(&("removed", "down")), "{problems:#?}");
    service.stop().await;
}
