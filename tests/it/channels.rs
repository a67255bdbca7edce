//! Which channels get what: subscriptions, conditions, switches, and the product's own events.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Service, delivery_to, eventually, text};
use crate::receiver::{Gate, Receiver, Reply};

/// What the record of an order says about a channel.
fn fate<'a>(order: &'a Value, channel: &str) -> &'a Value {
    let channels = order["channels"].as_array().unwrap_or_else(|| panic!("no channels in {order:#}"));
    channels.iter().find(|entry| entry["channel"] == channel).unwrap_or_else(|| panic!("no {channel} in {order:#}"))
}

/// Types of the events that arrived at a path.
fn types_on(receiver: &Receiver, path: &str) -> Vec<String> {
    receiver.requests_on(path).iter().map(|request| text(&request.json(), "type").to_owned()).collect()
}

#[tokio::test]
async fn the_record_says_of_every_channel_what_it_got_and_why_not() {
    let receiver = Receiver::start().await;
    let yaml = receiver.fill(
        r"
channels:
  - {name: erp, url: RECEIVER/erp}
  - {name: large, url: RECEIVER/large, when: order.total > 1000}
  - {name: off, url: RECEIVER/off, enabled: false}
  - {name: invoices, url: RECEIVER/invoices, events: ['invoice.*']}
",
    );
    let service = Service::start(&yaml).await;
    let answer = service.api.order(&json!({"id": "A-1", "total": 120})).await;
    assert_eq!(answer["deliveries"].as_array().map(Vec::len), Some(1));
    service.api.settled(&delivery_to(&answer, "erp")).await;
    let order = service.api.order_detail("A-1").await;
    assert_eq!(fate(&order, "erp")["status"], "routed");
    for (channel, reason) in [("large", "when"), ("off", "disabled"), ("invoices", "event")] {
        assert_eq!(fate(&order, channel)["status"], "skipped", "{channel}");
        assert_eq!(fate(&order, channel)["reason"], reason, "{channel}");
    }
    assert_eq!(receiver.count(), 1);
    service.stop().await;
}

#[tokio::test]
async fn the_record_names_a_channel_once_however_much_it_got_and_also_where_nobody_got_anything() {
    let receiver = Receiver::start().await;
    let yaml = receiver.fill(
        r"
relationships:
  sender: /sender
  routes: [{sender: ACME, channel: partner}]
channels:
  - {name: both, url: RECEIVER/both, events: [order.received, order.completed]}
  - {name: partner, url: RECEIVER/partner, when: order.total > 1000}
  - {name: off, url: RECEIVER/off, enabled: false}
",
    );
    let service = Service::start(&yaml).await;
    service.api.order(&json!({"id": "A-1"})).await;
    service.api.all_settled().await;
    let order = service.api.order_detail("A-1").await;
    assert_eq!(order["channels"].as_array().map(Vec::len), Some(3), "{order:#}");
    assert_eq!(fate(&order, "both")["status"], "routed");
    assert_eq!(fate(&order, "both")["deliveries"].as_array().map(Vec::len), Some(2));
    for delivery in fate(&order, "both")["deliveries"].as_array().expect("deliveries") {
        assert_eq!((delivery["id"].is_string(), &delivery["status"]), (true, &json!("accepted")), "{order:#}");
    }
    assert_eq!(fate(&order, "partner")["reason"], "when");
    service.api.order(&json!({"id": "A-2", "sender": "ACME", "total": 5})).await;
    let order = service.api.order_detail("A-2").await;
    assert_eq!(order["deliveries"], json!([]));
    for (channel, reason) in [("both", "relationship"), ("partner", "when"), ("off", "disabled")] {
        let fate = fate(&order, channel);
        assert_eq!((&fate["status"], &fate["reason"]), (&json!("skipped"), &json!(reason)), "{channel}");
    }
    assert_eq!(fate(&order, "both")["detail"], "goes to partner");
    service.stop().await;
}

#[tokio::test]
async fn a_channel_that_wants_arrivals_alone_is_recorded_with_what_kept_it_from_the_arrival() {
    let receiver = Receiver::start().await;
    let yaml = receiver.fill(
        r"
chains:
  - {name: long, when: order.chain, plugins: [{name: calloutPlugin, options: {endpoint: RECEIVER/step}}]}
channels:
  - {name: large, url: RECEIVER/large, events: [order.received], when: order.total > 1000}
  - {name: ends, url: RECEIVER/ends, events: [order.completed], when: order.total > 1000}
  - {name: invoices, url: RECEIVER/invoices, events: ['invoice.*'], when: order.total > 1000}
",
    );
    let service = Service::start(&yaml).await;
    for chain in [false, true] {
        for (total, large) in [(5, json!("when")), (5000, Value::Null)] {
            let order = service.api.order(&json!({"total": total, "chain": chain})).await;
            let order = service.api.ended(text(&order, "id")).await;
            assert_eq!(order["steps"].as_array().map(Vec::len), Some(usize::from(chain)));
            for (channel, reason) in [("large", &large), ("ends", &large), ("invoices", &json!("event"))] {
                assert_eq!(&fate(&order, channel)["reason"], reason, "{channel}, total {total}, chain {chain}");
            }
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn a_condition_that_holds_lets_the_order_through() {
    let receiver = Receiver::start().await;
    let yaml = receiver.fill(
        r#"
channels:
  - {name: large, url: RECEIVER/large, when: order.total > 1000}
  - {name: swiss, url: RECEIVER/swiss, when: 'order.country in ["CH", "LI"] and order.total >= 10'}
  - {name: typed, url: RECEIVER/typed, when: 'event.type == "order.completed"'}
"#,
    );
    let service = Service::start(&yaml).await;
    service.api.order(&json!({"id": 1, "total": 1000.01})).await;
    service.api.order(&json!({"id": 2, "total": 10, "country": "LI"})).await;
    service.api.order(&json!({"id": 3, "country": "CH"})).await;
    service.api.order(&json!({"id": 4, "total": "many", "country": "CH"})).await;
    service.api.all_settled().await;
    assert_eq!(receiver.count_on("/large"), 1);
    let swiss = receiver.requests_on("/swiss");
    assert!(swiss.iter().any(|request| request.json()["data"]["order"]["id"] == 2));
    assert!(!swiss.iter().any(|request| matches!(request.json()["data"]["order"]["id"].as_i64(), Some(1 | 3))));
    assert_eq!(receiver.count_on("/typed"), 4);
    service.stop().await;
}

#[tokio::test]
async fn a_pattern_subscribes_to_all_events_that_it_matches() {
    let receiver = Receiver::start().await;
    let yaml = receiver.fill(
        r"
channels:
  - {name: default, url: RECEIVER/default}
  - {name: orders, url: RECEIVER/orders, events: ['order.*']}
  - {name: paid, url: RECEIVER/paid, events: ['*.paid', order.received]}
  - {name: all, url: RECEIVER/all, events: ['*']}
",
    );
    let service = Service::start(&yaml).await;
    service.api.order(&json!({"id": "A-1"})).await;
    service.api.post("/v1/events", &json!({"type": "invoice.paid", "data": {"n": 1}})).await.expect(202);
    service.api.post("/v1/events", &json!({"type": "invoice.paid.late", "data": {"n": 1}})).await.expect(202);
    service.api.all_settled().await;
    let sorted = |path| {
        let mut types = types_on(&receiver, path);
        types.sort();
        types
    };
    assert_eq!(sorted("/default"), ["order.completed"]);
    assert_eq!(sorted("/orders"), ["order.completed", "order.received"]);
    assert_eq!(sorted("/paid"), ["invoice.paid", "order.received"]);
    assert_eq!(sorted("/all"), ["invoice.paid", "invoice.paid.late", "order.completed", "order.received"]);
    service.stop().await;
}

#[tokio::test]
async fn a_failed_delivery_is_an_event_of_its_own() {
    let receiver = Receiver::start().await;
    receiver.on("/erp", [Reply::status(400)]);
    let yaml = receiver.fill(
        r"
channels:
  - {name: erp, url: RECEIVER/erp}
  - {name: alarms, url: RECEIVER/alarms, events: [delivery.failed]}
",
    );
    let service = Service::start(&yaml).await;
    let answer = service.api.order(&json!({"id": "A-1"})).await;
    let failed = delivery_to(&answer, "erp");
    assert_eq!(service.api.settled(&failed).await["status"], "failed");
    let alarm = receiver.wait_for_on("/alarms", 1).await.remove(0);
    assert_eq!(alarm.json()["type"], "delivery.failed");
    assert!(alarm.text().contains(&failed) && alarm.text().contains("erp"), "which delivery, which channel: {alarm}");
    service.api.all_settled().await;
    assert_eq!(receiver.count_on("/alarms"), 1);
    service.stop().await;
}

#[tokio::test]
async fn a_failed_alarm_makes_no_further_alarms() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::status(400)]);
    let service = Service::start(
        &receiver.fill("channels: [{name: all, url: RECEIVER/all, events: [order.completed, delivery.failed]}]"),
    )
    .await;
    service.api.order(&json!({"id": "A-1"})).await;
    eventually("an end", || async {
        service.api.all_settled().await;
        (receiver.in_flight() == 0).then_some(())
    })
    .await;
    let count = receiver.count();
    assert!(count <= 2, "an alarm about an alarm: {:?}", types_on(&receiver, "/all"));
    service.stop().await;
}

#[tokio::test]
async fn gone_disables_the_channel_until_it_is_resumed() {
    let receiver = Receiver::start().await;
    receiver.on("/erp", [Reply::status(410), Reply::status(200)]);
    let yaml = receiver.fill(
        r"
channels:
  - {name: erp, url: RECEIVER/erp}
  - {name: witness, url: RECEIVER/witness}
  - {name: alarms, url: RECEIVER/alarms, events: ['channel.*']}
",
    );
    let service = Service::start(&yaml).await;
    let first = service.api.order(&json!({"id": "A-1"})).await;
    assert_eq!(service.api.settled(&delivery_to(&first, "erp")).await["status"], "failed");
    let alarm = receiver.wait_for_on("/alarms", 1).await.remove(0);
    assert_eq!(alarm.json()["type"], "channel.disabled");
    assert!(alarm.text().contains("erp"), "which channel: {alarm}");
    assert_eq!(service.api.get("/v1/channels/erp").await.expect(200)["state"], "disabled");

    let second = service.api.order(&json!({"id": "A-2"})).await;
    let waiting = delivery_to(&second, "erp");
    service.api.settled(&delivery_to(&second, "witness")).await;
    assert_eq!(service.api.delivery(&waiting).await["status"], "pending", "a disabled channel keeps its deliveries");
    assert_eq!(receiver.count_on("/erp"), 1);

    let service = service.restart().await;
    assert_eq!(
        service.api.get("/v1/channels/erp").await.expect(200)["state"],
        "disabled",
        "a restart does not change it"
    );

    service.api.post("/v1/channels/erp/resume", &json!({})).await.expect(200);
    assert_eq!(service.api.settled(&waiting).await["status"], "accepted");
    let alarms = receiver.wait_for_on("/alarms", 2).await;
    assert_eq!(alarms[1].json()["type"], "channel.recovered");
    assert_eq!(service.api.get("/v1/channels/erp").await.expect(200)["state"], "enabled");
    service.api.all_settled().await;
    service.stop().await;
}

#[tokio::test]
async fn a_paused_channel_keeps_its_deliveries() {
    let receiver = Receiver::start().await;
    let yaml = receiver.fill(
        "channels: [{name: erp, url: RECEIVER/erp}, {name: witness, url: RECEIVER/witness}, {name: alarms, url: RECEIVER/alarms, events: ['channel.*']}]",
    );
    let service = Service::start(&yaml).await;
    service.api.post("/v1/channels/erp/pause", &json!({"reason": "maintenance"})).await.expect(200);
    let paused = service.api.get("/v1/channels/erp").await.expect(200);
    assert_eq!((&paused["state"], &paused["reason"]), (&json!("paused"), &json!("maintenance")), "{paused:#}");
    assert_eq!((&paused["changed_at"], &paused["changed_by"]), (&json!("2026-01-31T12:00:00.000Z"), &Value::Null));
    service.api.post("/v1/channels/erp/pause", &json!({"why": "maintenance"})).await.problem(400);
    let order = service.api.order(&json!({"id": "A-1"})).await;
    service.api.settled(&delivery_to(&order, "witness")).await;
    assert_eq!(service.api.delivery(&delivery_to(&order, "erp")).await["status"], "pending");
    assert_eq!(receiver.count_on("/erp"), 0);

    let service = service.restart().await;
    let paused = service.api.get("/v1/channels/erp").await.expect(200);
    assert_eq!((&paused["state"], &paused["reason"]), (&json!("paused"), &json!("maintenance")));
    let resumed = service.api.post("/v1/channels/erp/resume", &json!({})).await.expect(200);
    assert_eq!((&resumed["state"], resumed.get("reason")), (&json!("enabled"), None));
    assert_eq!(service.api.settled(&delivery_to(&order, "erp")).await["status"], "accepted");
    assert_eq!(receiver.count_on("/alarms"), 0, "a person's pause is no failure to recover from");
    service.stop().await;
}

#[tokio::test]
async fn channels_are_listed_with_their_state_and_no_secrets() {
    let receiver = Receiver::start().await;
    let yaml = receiver.fill(
        "channels: [{name: erp, url: RECEIVER/erp, auth: {type: bearer, token: t0ps3cret}}, {name: crm, url: RECEIVER/crm, enabled: false}]",
    );
    let service = Service::start(&yaml).await;
    let answer = service.api.get("/v1/channels").await;
    assert!(!answer.text().contains("t0ps3cret"), "{answer}");
    let channels = answer.expect(200);
    let names: Vec<_> =
        channels["data"].as_array().expect("data").iter().map(|one| text(one, "name").to_owned()).collect();
    assert_eq!(names, ["erp", "crm"]);
    let one = service.api.get("/v1/channels/erp").await;
    assert!(!one.text().contains("t0ps3cret"), "{one}");
    assert_eq!(one.expect(200)["state"], "enabled");
    service.api.get("/v1/channels/nobody").await.problem(404);
    service.api.post("/v1/channels/nobody/pause", &json!({})).await.problem(404);
    service.stop().await;
}

#[tokio::test]
async fn a_channel_tells_how_it_fares() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.answer([Reply::status(200), Reply::status(404), Reply::status(200).held(&gate)]);
    let service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp, concurrency: 1}]")).await;
    for number in 0..2 {
        let order = service.api.order(&json!({"id": number})).await;
        service.api.settled(&delivery_to(&order, "erp")).await;
    }
    for number in 2..5 {
        service.api.order(&json!({"id": number})).await;
    }
    receiver.wait_for(3).await;
    let channel = service.api.get("/v1/channels/erp").await.expect(200);
    assert_eq!((&channel["in_flight"], &channel["waiting"]), (&json!(1), &json!(2)), "{channel:#}");
    assert_eq!(channel["last_hour"]["attempts"], 2);
    assert_eq!(channel["last_hour"]["success_rate"], json!(0.5));
    assert!(channel["last_hour"]["mean_ms"].is_number(), "{channel:#}");
    gate.open();
    service.api.all_settled().await;
    service.clock.advance(Duration::from_secs(2 * 3600));
    let channel = service.api.get("/v1/channels/erp").await.expect(200);
    assert_eq!((&channel["in_flight"], &channel["waiting"]), (&json!(0), &json!(0)), "{channel:#}");
    assert_eq!(channel["last_hour"]["attempts"], 0, "an hour is an hour");
    service.stop().await;
}

#[tokio::test]
async fn a_channel_that_left_the_configuration_leaves_its_deliveries_readable() {
    let receiver = Receiver::start().await;
    let service =
        Service::start(&receiver.fill("channels: [{name: old, url: RECEIVER/old}, {name: erp, url: RECEIVER/erp}]"))
            .await;
    service.api.post("/v1/channels/old/pause", &json!({})).await.expect(200);
    let order = service.api.order(&json!({"id": "A-1"})).await;
    let service = service.restart_with(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]")).await;
    assert_eq!(service.api.delivery(&delivery_to(&order, "old")).await["status"], "pending");
    let listed = service.api.list("/v1/channels").await;
    let names: Vec<_> = listed.iter().map(|one| (text(one, "name"), text(one, "state"))).collect();
    assert_eq!(names, [("erp", "enabled"), ("old", "removed")]);
    let removed = service.api.get("/v1/channels/old").await.expect(200);
    assert_eq!((&removed["waiting"], &removed["config"]), (&json!(1), &Value::Null), "{removed:#}");
    let page = service.api.get("/metrics").await;
    for line in [
        r#"orderhook_deliveries_pending{channel="old"} 1"#,
        r#"orderhook_channel_state{channel="old",state="removed"} 1"#,
    ] {
        assert!(page.text().lines().any(|found| found == line), "{line} is not in {page}");
    }
    let next = service.api.order(&json!({"id": "A-2"})).await;
    assert_eq!(service.api.settled(&delivery_to(&next, "erp")).await["status"], "accepted");
    let dry = json!({"channel": "old", "dry_run": true});
    assert_eq!(service.api.post("/v1/deliveries/cancel", &dry).await.expect(200)["count"], 1);
    let cancelled =
        service.api.post(&format!("/v1/deliveries/{}/cancel", delivery_to(&order, "old")), &json!({})).await;
    assert_eq!(cancelled.expect(200)["status"], "cancelled");
    service.api.get("/v1/channels/old").await.problem(404);
    assert_eq!(service.api.list("/v1/channels").await.len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn a_channel_says_since_when_it_fails_and_the_store_keeps_it() {
    let receiver = Receiver::start().await;
    receiver.on("/erp", [Reply::status(200), Reply::status(503), Reply::status(301), Reply::status(200)]);
    let yaml = receiver.fill(
        r"
channels:
  - {name: erp, url: RECEIVER/erp, retry: {attempts: 2, interval: 1h, jitter: 0}}
  - {name: alarms, url: RECEIVER/alarms, events: ['channel.*', 'delivery.*']}
",
    );
    let service = Service::start(&yaml).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    service.api.settled(&delivery_to(&order, "erp")).await;
    let fine = service.api.get("/v1/channels/erp").await.expect(200);
    assert_eq!((&fine["failing_since"], &fine["last_error"]), (&Value::Null, &Value::Null));
    assert_eq!(fine["last_success_at"], "2026-01-31T12:00:00.000Z");
    assert_eq!(fine["next_attempt_at"], Value::Null);

    service.clock.advance(Duration::from_secs(60));
    let order = service.api.order(&json!({"id": "A-2"})).await;
    let delivery = delivery_to(&order, "erp");
    service.at_rest(&delivery).await;
    let failing = service.api.get("/v1/channels/erp").await.expect(200);
    assert_eq!(failing["failing_since"], "2026-01-31T12:01:00.000Z");
    assert_eq!(failing["last_success_at"], "2026-01-31T12:00:00.000Z");
    let error = json!({"at": "2026-01-31T12:01:00.000Z", "code": 503, "error": "the receiver answered 503"});
    assert_eq!(failing["last_error"], error);
    assert_eq!(failing["next_attempt_at"], "2026-01-31T13:01:00.000Z");
    assert_eq!(failing["last_hour"]["attempts"], 2);
    let event = receiver.wait_for_on("/alarms", 1).await.remove(0).json();
    assert_eq!(event["type"], "channel.failing");
    let data = &event["data"]["order"];
    assert_eq!((&data["channel"], &data["code"]), (&"erp".into(), &503.into()));
    assert_eq!(data["error"], "the receiver answered 503");
    assert_eq!(data["failing_since"], failing["failing_since"]);

    let service = service.restart().await;
    let kept = service.api.get("/v1/channels/erp").await.expect(200);
    for field in ["failing_since", "last_success_at", "last_error", "last_hour", "next_attempt_at"] {
        assert_eq!(kept[field], failing[field], "{field}");
    }
    let page = service.api.get("/metrics").await.text().to_owned();
    assert!(page.lines().any(|line| line == r#"orderhook_channel_failing_seconds{channel="erp"} 0"#), "{page}");
    service.advance_to_next_attempt(&delivery).await;
    let failed = service.api.settled(&delivery).await;
    assert_eq!(failed["attempts"][1]["error"], "the receiver answered 301, and redirects are not followed");
    let page = service.api.get("/metrics").await.text().to_owned();
    assert!(page.lines().any(|line| line == r#"orderhook_channel_failing_seconds{channel="erp"} 3600"#), "{page}");
    receiver.wait_for_on("/alarms", 2).await;
    let order = service.api.order(&json!({"id": "A-3"})).await;
    service.api.settled(&delivery_to(&order, "erp")).await;
    let recovered = service.api.get("/v1/channels/erp").await.expect(200);
    assert_eq!(recovered["failing_since"], Value::Null);
    assert_eq!(recovered["last_error"]["code"], 301, "the last error stays in sight");
    service.api.all_settled().await;
    let types: Vec<_> = types_on(&receiver, "/alarms");
    assert_eq!(types, ["channel.failing", "delivery.failed"], "one for each row of failures");
    service.stop().await;
}

#[tokio::test]
async fn a_channel_that_fails_on_news_of_itself_makes_no_news() {
    let receiver = Receiver::start().await;
    receiver.on("/erp", [Reply::status(503)]);
    let yaml = receiver.fill(
        "channels: [{name: erp, url: RECEIVER/erp, events: ['order.*', 'channel.*', 'delivery.*'], retry: {attempts: 1, interval: 1s}}]",
    );
    let service = Service::start(&yaml).await;
    service.api.order(&json!({"id": "A-1"})).await;
    service.api.all_settled().await;
    let mut types = types_on(&receiver, "/erp");
    types.sort();
    types.dedup();
    let about_the_order = types.iter().filter(|kind| kind.starts_with("order.")).count();
    assert!(about_the_order > 0, "{types:?}");
    // Of each failed delivery of the order, and of the row of failures, one event; of those none.
    assert!(receiver.requests_on("/erp").len() <= 2 * 2 + 1, "{types:?}");
    assert_eq!(service.api.list("/v1/deliveries?status=pending").await, Vec::<Value>::new());
    service.stop().await;
}
