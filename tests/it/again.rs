//! Something of an order once more: its last event to one channel, the rest of its chain; and the audit of it all.

use serde_json::{Value, json};

use crate::harness::{Service, delivery_to, text};
use crate::receiver::{Receiver, Reply};

const CHANNELS: &str = r#"
channels:
  - {name: erp, url: RECEIVER/erp}
  - {name: crm, url: RECEIVER/crm, when: "order.kind == 'big'"}
  - {name: products, preset: fulfillment, url: RECEIVER/products, products: [P-1]}
  - {name: off, url: RECEIVER/off, enabled: false}
"#;

#[tokio::test]
async fn an_orders_last_event_is_delivered_once_more_to_one_channel() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill(CHANNELS)).await;
    let order = service.api.order(&json!({"id": "A-1", "kind": "small", "items": [{"product_id": "P-2"}]})).await;
    service.api.settled(&delivery_to(&order, "erp")).await;
    let (id, path) = (text(&order, "id").to_owned(), "/v1/orders/A-1/deliver");
    let first = service.api.delivery(&delivery_to(&order, "erp")).await;

    let made = service.api.post(path, &json!({"channel": "crm", "reason": "asked for by phone"})).await.expect(201);
    assert_eq!((text(&made, "id"), text(&made, "order_id")), (id.as_str(), "A-1"));
    let made = delivery_to(&made, "crm");
    let delivery = service.api.settled(&made).await;
    assert_eq!((text(&delivery, "status"), text(&delivery, "channel")), ("accepted", "crm"));
    assert_eq!(delivery["event"], first["event"], "the same event");
    let sent = receiver.requests().into_iter().find(|request| request.path() == "/crm").expect("a request");
    let sent: Value = serde_json::from_slice(&sent.body).expect("JSON");
    assert_eq!((text(&sent, "type"), &sent["data"]["order"]["id"]), ("order.completed", &json!("A-1")));

    let again = service.api.post(&format!("/v1/orders/{id}/deliver"), &json!({"channel": "erp"})).await.expect(201);
    let again = delivery_to(&again, "erp");
    assert_ne!(again, text(&first, "id"), "a delivery of its own");
    service.api.settled(&again).await;
    assert_eq!(service.api.order_detail(&id).await["deliveries"].as_array().map(Vec::len), Some(3));

    assert_eq!(
        service.api.post(path, &json!({"channel": "nope"})).await.problem(422)["type"],
        "/problems/unknown-channel"
    );
    let nothing = service.api.post(path, &json!({"channel": "products"})).await.problem(422);
    assert!(text(&nothing, "detail").starts_with("this order makes no delivery for products: "), "{nothing}");
    service.api.post(path, &json!({"channel": "off"})).await.problem(409);
    service.api.post("/v1/orders/nobody/deliver", &json!({"channel": "erp"})).await.problem(404);
    for wrong in [json!({}), json!({"channel": 7}), json!({"chanel": "erp"})] {
        service.api.post(path, &wrong).await.problem(400);
    }
    service.stop().await;
}

const CHAIN: &str = "
chains:
  - name: checks
    plugins:
      - {name: calloutPlugin, id: stock, critical: true, options: {endpoint: RECEIVER/stock, shouldRejectOn: {status: [409]}}}
      - {name: calloutPlugin, id: credit, critical: true, options: {endpoint: RECEIVER/credit, shouldRejectOn: {status: [409]}}}
channels: [{name: erp, url: RECEIVER/erp, events: ['order.*']}]
";

#[tokio::test]
async fn a_rejected_order_goes_on_at_the_step_that_failed() {
    let receiver = Receiver::start().await;
    receiver.on("/credit", [Reply::status(409), Reply::status(409), Reply::status(200)]);
    let mut service = Service::start(&receiver.fill(CHAIN)).await;
    let rejected = service.api.post("/v1/orders", &json!({"id": "A-1"})).await.problem(422);
    let id = text(&rejected, "id").to_owned();
    let path = format!("/v1/orders/{id}/rerun");

    let answer = service.api.post(&path, &Value::Null).await.expect(202);
    assert_eq!((text(&answer, "id"), text(&answer, "status")), (id.as_str(), "processing"));
    let steps = answer["steps"].as_array().expect("steps");
    let steps: Vec<_> = steps.iter().map(|step| (text(step, "step"), text(step, "status"))).collect();
    assert_eq!(steps, [("stock", "passed"), ("credit", "running")]);
    assert_eq!(service.api.ended(&id).await["status"], "rejected", "it failed once more");

    let yaml = receiver.fill(CHAIN);
    service.reload(&yaml.replace("id: credit", "id: balance")).await;
    let gone = service.api.post(&path, &Value::Null).await.problem(422);
    assert_eq!(gone["type"], "/problems/step-not-configured");
    service.reload(&yaml).await;

    service.api.post(&path, &json!({"reason": "limit raised"})).await.expect(202);
    let order = service.api.ended(&id).await;
    assert_eq!(order["status"], "completed");
    let steps = order["steps"].as_array().expect("steps");
    let steps: Vec<_> = steps.iter().map(|step| (text(step, "step"), text(step, "status"))).collect();
    assert_eq!(steps, [("stock", "passed"), ("credit", "passed")]);
    let count = |path: &str| receiver.requests().iter().filter(|request| request.path() == path).count();
    assert_eq!((count("/stock"), count("/credit")), (1, 3), "what had passed is not run again");
    service.api.all_settled().await;
    let kinds = service.api.list(&format!("/v1/deliveries?order_id={id}")).await;
    let completed = kinds.iter().filter(|delivery| delivery["event"]["type"] == "order.completed").count();
    assert_eq!(completed, 1);

    assert_eq!(service.api.post(&path, &Value::Null).await.problem(409)["order_status"], "completed");
    service.api.post("/v1/orders/nobody/rerun", &Value::Null).await.problem(404);
    service.stop().await;
}

#[tokio::test]
async fn every_change_is_in_the_audit_with_its_author() {
    let receiver = Receiver::start().await;
    receiver.on("/erp", [Reply::status(404)]);
    let yaml = receiver.fill(
        "server: {tokens: [{name: shop, token: s3cret-shop, scopes: [ingest]}, {name: boss, token: s3cret-boss, scopes: [manage]}]}
channels: [{name: erp, url: RECEIVER/erp}]",
    );
    let service = Service::start(&yaml).await;
    let (shop, boss) = (service.api.with_token("s3cret-shop"), service.api.with_token("s3cret-boss"));
    let order = shop.order(&json!({"id": "A-1"})).await;
    let delivery = delivery_to(&order, "erp");
    boss.settled(&delivery).await;
    boss.post(&format!("/v1/deliveries/{delivery}/retry"), &json!({"reason": "fixed"})).await.expect(200);
    boss.settled(&delivery).await;
    let filter = json!({"channel": "erp", "code": "4xx", "reason": "all of them"});
    boss.post("/v1/deliveries/retry", &filter).await.expect(200);
    boss.post("/v1/deliveries/retry", &json!({"channel": "erp", "dry_run": true})).await.expect(200);
    boss.post("/v1/channels/erp/pause", &json!({"reason": "night"})).await.expect(200);
    boss.post("/v1/channels/erp/resume", &Value::Null).await.expect(200);
    boss.call("POST", "/v1/channels/erp/test", &[], b"").await.expect(200);
    boss.post("/v1/config/reload", &Value::Null).await.expect(200);
    boss.post("/v1/orders/A-1/deliver", &json!({"channel": "erp"})).await.expect(201);
    boss.post("/v1/orders/A-1/rerun", &Value::Null).await.problem(409);

    let audit = boss.list("/v1/audit").await;
    let acts: Vec<_> = audit.iter().map(|entry| text(entry, "act")).collect();
    assert_eq!(acts, ["deliver", "reload", "test", "resume", "pause", "retry", "retry"], "newest first");
    assert!(audit.iter().all(|entry| entry["by"] == "boss" && entry["at"] == "2026-01-31T12:00:00.000Z"), "{audit:#?}");
    let (one, many, pause, deliver) = (&audit[6], &audit[5], &audit[4], &audit[0]);
    assert_eq!(
        (&one["delivery"], &one["channel"], &one["reason"], &one["count"]),
        (&json!(delivery), &json!("erp"), &json!("fixed"), &json!(1))
    );
    assert_eq!((&many["filter"], &many["count"]), (&json!({"channel": "erp", "code": "4xx"}), &json!(1)));
    assert_eq!((&pause["channel"], &pause["reason"]), (&json!("erp"), &json!("night")));
    assert_eq!((&deliver["order"], &deliver["channel"]), (&order["id"], &json!("erp")));
    assert_eq!(boss.list("/v1/audit?since=2026-01-31T12:00:01Z").await, Vec::<Value>::new());
    assert_eq!(boss.list("/v1/audit?until=2026-01-31T12:00:00Z").await, Vec::<Value>::new());
    let first = boss.get("/v1/audit?limit=2").await.expect(200);
    let cursor = text(&first, "next_cursor");
    let second = boss.get(&format!("/v1/audit?limit=2&cursor={cursor}")).await.expect(200);
    assert_eq!(second["data"][0]["act"], "test");
    boss.get("/v1/audit?since=yesterday").await.problem(400);
    shop.get("/v1/audit").await.problem(403);

    let service = service.restart().await;
    assert_eq!(service.api.with_token("s3cret-boss").list("/v1/audit").await.len(), 7, "kept over a restart");
    service.stop().await;
}

#[tokio::test]
async fn pending_deliveries_of_a_removed_channel_move_to_another() {
    let receiver = Receiver::start().await;
    receiver.on("/old", [Reply::status(503)]);
    let yaml = receiver.fill(
        "channels:
  - {name: old, url: RECEIVER/old, retry: {attempts: 2, interval: 1h, jitter: 0}}
  - {name: other, url: RECEIVER/other, events: [none.at.all]}",
    );
    let service = Service::start(&yaml).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    let delivery = delivery_to(&order, "old");
    service.at_rest(&delivery).await;
    let service = service.restart_with(&yaml.replace("name: old", "name: new").replace("/old", "/new")).await;
    assert_eq!(service.api.get("/v1/channels/old").await.expect(200)["state"], "removed");

    let path = "/v1/channels/old/move";
    assert_eq!(service.api.post(path, &json!({"to": "nope"})).await.problem(422)["type"], "/problems/unknown-channel");
    service.api.post("/v1/channels/never/move", &json!({"to": "new"})).await.problem(404);
    service.api.post("/v1/channels/new/move", &json!({"to": "new"})).await.problem(409);
    service.api.post(path, &json!({})).await.problem(400);
    let moved = service.api.post(path, &json!({"to": "new", "reason": "renamed"})).await.expect(200);
    assert_eq!(moved, json!({"count": 1, "left": 0}));
    let moved = service.api.settled(&delivery).await;
    assert_eq!((text(&moved, "channel"), text(&moved, "status")), ("new", "accepted"));
    let sent = receiver.requests_on("/new");
    assert_eq!(sent[0].header("webhook-id"), Some(delivery.as_str()), "the same delivery");
    service.api.get("/v1/channels/old").await.problem(404);
    let audit = service.api.list("/v1/audit").await;
    assert_eq!(
        (text(&audit[0], "act"), &audit[0]["detail"], &audit[0]["count"]),
        ("move", &json!({"to": "new"}), &json!(1))
    );
    service.stop().await;
}

#[tokio::test]
async fn pending_deliveries_of_a_channel_that_delivers_move_too() {
    let receiver = Receiver::start().await;
    receiver.on("/slow", [Reply::status(503)]);
    let yaml = receiver.fill(
        "channels:
  - {name: slow, url: RECEIVER/slow, retry: {attempts: 2, interval: 3s, jitter: 0}}
  - {name: other, url: RECEIVER/other, events: [none.at.all]}",
    );
    let service = Service::start(&yaml).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    let delivery = delivery_to(&order, "slow");
    service.at_rest(&delivery).await;
    let moved = service.api.post("/v1/channels/slow/move", &json!({"to": "other"})).await.expect(200);
    assert_eq!(moved, json!({"count": 1, "left": 0}));
    let moved = service.api.settled(&delivery).await;
    assert_eq!((text(&moved, "channel"), text(&moved, "status")), ("other", "accepted"));
    service.stop().await;
}
