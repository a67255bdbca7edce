//! Received and stored values that cannot be read stop what depends on them: nothing is let through, nothing is
//! silently empty.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::{Home, Process, Service, eventually, text};
use crate::receiver::{Gate, Receiver, Reply};

const RELATIONSHIPS: &str = "
channels:
  - {name: acme, url: RECEIVER/acme}
  - {name: others, url: RECEIVER/others}
  - {name: audit, url: RECEIVER/audit, events: ['*']}
relationships:
  sender: /s
  default_channel: others
  routes: [{sender: ACME, channel: acme}]
";

async fn post(service: &Service, target: &str, body: &str) -> crate::client::Answer {
    service.api.post_bytes(target, body.as_bytes()).await
}

fn nested(depth: usize) -> String {
    format!("{}1{}", "[".repeat(depth), "]".repeat(depth))
}

#[tokio::test]
async fn private_names_and_depth_do_not_hide_the_trading_partners_of_an_order() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill(RELATIONSHIPS)).await;
    let bodies = [
        r#"{"s":"ACME","x":{"$serde_json::private::Number":"zz"}}"#.to_owned(),
        r#"{"s":"ACME","x":{"$serde_json::private::RawValue":"{"}}"#.to_owned(),
        r#"{"$serde_json::private::Number":"zz","s":"ACME"}"#.to_owned(),
        format!(r#"{{"s":"ACME","x":{}}}"#, nested(127)),
    ];
    for body in &bodies {
        post(&service, "/v1/orders", body).await.expect(201);
    }
    let requests = receiver.wait_for_on("/acme", bodies.len()).await;
    let mut sent: Vec<_> = requests.iter().map(|request| request.text().to_owned()).collect();
    sent.sort_unstable();
    for body in &bodies {
        assert!(sent.iter().any(|sent| sent.contains(body.as_str())), "sent as received: {body}");
    }
    service.stop().await;
    assert_eq!(receiver.count(), bodies.len(), "nobody else gets them");
}

#[tokio::test]
async fn an_order_whose_trading_partners_cannot_be_read_is_rejected_on_record_and_goes_nowhere() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill(RELATIONSHIPS)).await;
    for (id, partner) in
        [("A-1", r#"{"$serde_json::private::RawValue":"\"ACME\""}"#), ("A-2", r#"["ACME"]"#), ("A-3", "true")]
    {
        let body = format!(r#"{{"id":"{id}","s":{partner}}}"#);
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", id)];
        let problem = service.api.call("POST", "/v1/orders", &headers, body.as_bytes()).await.problem(422);
        assert_eq!(problem["type"], "/problems/partners-unreadable");
        assert!(text(&problem, "detail").starts_with("/s is "), "{problem}");
        let order = service.api.get(&format!("/v1/orders/{}", text(&problem, "id"))).await.expect(200);
        assert_eq!((text(&order, "status"), text(&order, "order_id")), ("rejected", id));
        let channels = order["channels"].as_array().expect("channels");
        assert_eq!(channels.len(), 3);
        for channel in channels {
            assert_eq!((text(channel, "status"), text(channel, "reason")), ("skipped", "relationship"), "{channel}");
            assert!(text(channel, "detail").starts_with("/s is "), "{channel}");
        }
        let again = service.api.call("POST", "/v1/orders", &headers, body.as_bytes()).await;
        assert_eq!((again.status, again.header("Idempotency-Replayed")), (422, Some("true")));
    }
    let event = post(&service, "/v1/events", r#"{"type":"invoice.paid","data":{"s":{"id":"ACME"}}}"#).await;
    assert_eq!(event.problem(422)["type"], "/problems/partners-unreadable");
    service.stop().await;
    assert_eq!(receiver.count(), 0);
}

const CHAIN: &str = "
chains:
  - name: checks
    plugins:
      - {critical: true, name: calloutPlugin, id: first, options: {endpoint: RECEIVER/first}}
      - {critical: true, name: calloutPlugin, id: second, options: {endpoint: RECEIVER/second, timeoutValue: 60000}}
channels: [{name: erp, url: RECEIVER/erp}]
";

#[tokio::test]
async fn a_response_nested_too_deeply_fails_the_step() {
    let receiver = Receiver::start().await;
    receiver.on("/first", [Reply::body(200, "application/json", nested(65))]);
    let service = Service::start(&receiver.fill(CHAIN)).await;
    let problem = service.api.post("/v1/orders", &json!({"id": "A-1"})).await.problem(502);
    assert_eq!(text(&problem, "detail"), "the response is nested deeper than 64 levels");
    service.stop().await;
    assert_eq!((receiver.count_on("/second"), receiver.count_on("/erp")), (0, 0));
}

/// Orders that wait for their second step when the process is killed, with what their first step found out.
async fn interrupted(receiver: &Receiver, home: &Arc<Home>, ids: &[&str]) -> Vec<Value> {
    let mut process = Process::start_in(home, &receiver.fill(CHAIN)).await;
    for id in ids {
        let (api, order) = (process.api.clone(), json!({"id": id}).to_string());
        let headers = [("Content-Type", "application/json")];
        tokio::spawn(async move { api.try_call("POST", "/v1/orders", &headers, order.as_bytes()).await });
    }
    receiver.wait_for_on("/second", ids.len()).await;
    let mut orders = Vec::new();
    for id in ids {
        orders.push(process.api.get(&format!("/v1/orders/{id}")).await.expect(200));
    }
    process.kill();
    orders
}

#[tokio::test]
async fn a_deep_context_is_the_same_after_a_crash() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    let answer = format!(r#"{{"userId":"u-1","deep":{}}}"#, nested(63));
    receiver.on("/first", [Reply::body(200, "application/json", answer)]);
    receiver.on("/second", [Reply::status(200).held(&gate)]);
    let home = Arc::new(Home::new());
    let before = interrupted(&receiver, &home, &["A-1"]).await;
    gate.open();
    let process = Process::start_in(&home, &receiver.fill(CHAIN)).await;
    let request = receiver.wait_for_on("/erp", 1).await.remove(0);
    let context = before[0]["context"].to_string();
    assert!(context.contains(&nested(63)), "{context}");
    assert!(request.text().contains(&format!(r#""context":{context}"#)), "{}", request.text());
    process.stop().await;
}

#[tokio::test]
async fn an_order_that_the_store_cannot_give_back_stays_visible_and_the_others_go_on() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.on("/first", [Reply::json(200, &json!({"user": "u-1"}))]);
    receiver.on("/second", [Reply::status(200).held(&gate)]);
    let home = Arc::new(Home::new());
    let orders = interrupted(&receiver, &home, &["context", "step", "fine"]).await;
    let store = rusqlite::Connection::open(home.store()).expect("the store");
    store.execute("UPDATE orders SET context = '{\"first\":' WHERE order_id = 'context'", []).expect("a context");
    let of_step = "UPDATE steps SET record = '{' WHERE order_seq = (SELECT seq FROM orders WHERE order_id = 'step')";
    store.execute(of_step, []).expect("a record");
    drop(store);
    gate.open();
    let process = Process::start_in(&home, &receiver.fill(CHAIN)).await;
    let sent = receiver.wait_for_on("/erp", 1).await.remove(0).json();
    assert_eq!(sent["data"]["order"]["id"], "fine");
    let problems = || async {
        let lines = process.log.lines();
        let told = |line: &&Value| line.to_string().contains("its chain does not resume");
        (lines.iter().filter(told).count() == 2).then_some(())
    };
    eventually("both orders in the log", problems).await;
    let order = process.api.get(&format!("/v1/orders/{}", text(&orders[0], "id"))).await.expect(200);
    assert_eq!(text(&order, "status"), "processing");
    assert_eq!((&order["context"], &order["unreadable"]), (&Value::Null, &json!(["context"])));
    process.stop().await;
    assert_eq!(receiver.count_on("/erp"), 1);
}
