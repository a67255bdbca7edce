//! The preset `secutix`, the order webhook: one test for each promise.

use std::time::Duration;

use orderhook::config::{self, Environment};
use serde_json::{Value, json};

use crate::harness::{Service, delivery_to};
use crate::receiver::{Receiver, Reply, Request};

/// The document's URLs, and its filters.
const VALID: [&str; 3] = [
    "http://dev.environment.com/${orderId}",
    "http://dev.environment.com/path/?data=${orderId}",
    "http://dev.environment.com/path/${orderId}?update=true",
];
const INVALID: [&str; 2] =
    ["http://dev.environment.com/?data={orderId}", "http://dev.environment.com/?data=${order id}"];
const ANY: &str = "OrderDetailsData.OperationDatas(*).ProductCode=XXXX";
const SALE: &str = "OrderDetailsData.OperationDatas(ProductCode=XXXX).BasePrice=10000;OrderDetailsData.OrderType=SALE";

const QUARTER: Duration = Duration::from_secs(15 * 60);

fn order(id: &str, kind: &str, operations: &Value) -> Value {
    json!({"id": id, "orderDetailsData": {"orderType": kind, "operationDatas": operations}})
}

fn whole() -> Value {
    order(
        "4711",
        "SALE",
        &json!([{"productCode": "XXXX", "basePrice": 10000, "movementDatas": [{"seat": "A1", "ticketDatas": [{"barcode": "1"}]}]}]),
    )
}

/// A channel of the preset, with further keys.
fn channel(keys: &str) -> String {
    format!("channels:\n  - {{name: sx, preset: secutix, {keys}}}\n")
}

/// The request that an order of that channel makes at the next run.
async fn sent(keys: &str, order: &Value) -> Request {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill(&channel(keys))).await;
    let answer = service.api.order(order).await;
    service.clock.advance(QUARTER);
    let request = receiver.next().await;
    assert_eq!(service.api.settled(&delivery_to(&answer, "sx")).await["status"], "accepted");
    service.stop().await;
    request
}

#[tokio::test]
async fn get_calls_the_url_with_the_order_id_in_it_and_no_body() {
    for (url, target) in VALID.iter().zip(["/4711", "/path/?data=4711", "/path/4711?update=true"]) {
        let url = url.replace("http://dev.environment.com", "RECEIVER");
        let request = sent(&format!("method: GET, url: '{url}'"), &whole()).await;
        assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", target));
        assert_eq!(request.text(), "");
    }
}

#[tokio::test]
async fn an_order_id_that_is_no_number_is_encoded_in_the_url() {
    let request = sent("method: GET, url: 'RECEIVER/${orderId}?update=true'", &json!({"id": "A/1 ?ü"})).await;
    assert_eq!(request.target, "/A%2F1%20%3F%C3%BC?update=true");
}

#[tokio::test]
async fn post_sends_a_payload_with_the_order_id_in_it() {
    let keys = "url: 'RECEIVER/orders', body: '{\"event\": \"closed\", \"order\": \"${orderId}\"}'";
    let request = sent(keys, &json!({"id": "47\"11"})).await;
    assert_eq!(request.method, "POST");
    assert_eq!(request.json(), json!({"event": "closed", "order": "47\"11"}));
    let request = sent("url: 'RECEIVER/path/${orderId}'", &whole()).await;
    assert_eq!((request.target.as_str(), request.json()), ("/path/4711", whole()));
}

#[track_caller]
fn fault(keys: &str) -> String {
    let loaded = config::load_text("orderhook.yaml", &channel(keys), &Environment::default());
    loaded.expect_err(keys).to_string()
}

#[test]
fn urls_whose_placeholder_is_wrong_are_config_errors_that_say_what_is_right() {
    for url in VALID {
        let keys = format!("method: GET, url: '{url}'");
        let loaded = config::load_text("orderhook.yaml", &channel(&keys), &Environment::default());
        assert!(loaded.is_ok(), "{url}: {loaded:?}");
    }
    for url in INVALID {
        for method in ["GET", "POST"] {
            let fault = fault(&format!("method: {method}, url: '{url}'"));
            assert!(fault.contains("channels[0].url") && fault.contains("${orderId}"), "{fault}");
        }
    }
    let fault = fault("method: GET, url: 'http://dev.environment.com/path'");
    assert!(fault.contains("channels[0].url") && fault.contains("${orderId}"), "{fault}");
}

#[test]
fn other_methods_are_config_errors() {
    let fault = fault("method: PUT, url: 'http://dev.environment.com/'");
    assert!(fault.contains("channels[0].method") && fault.contains("GET or POST"), "{fault}");
}

#[tokio::test]
async fn the_receiver_can_call_back_for_the_order_trimmed_by_granularity() {
    let service = Service::start("").await;
    let posted = service.api.order(&whole()).await;
    let mut expected = whole();
    for (granularity, gone) in [
        ("TICKETS", None),
        ("MOVEMENTS", Some("/operationDatas/0/movementDatas/0")),
        ("OPERATIONS", Some("/operationDatas/0")),
        ("ORDER", Some("")),
    ] {
        if let Some(at) = gone {
            let parent = expected.pointer_mut(&format!("/orderDetailsData{at}")).and_then(Value::as_object_mut);
            parent.expect("a record").retain(|_, value| !value.is_array());
        }
        for id in ["4711", posted["id"].as_str().expect("an id")] {
            let got = service.api.get(&format!("/v1/orders/{id}?granularity={granularity}")).await.expect(200);
            assert_eq!(got["order"], expected, "{granularity}");
            assert_eq!(got["order_id"], "4711");
        }
    }
    assert_eq!(service.api.order_detail("4711").await["order"], whole());
    let wrong = service.api.get("/v1/orders/4711?granularity=OPERATION").await.problem(400);
    assert!(wrong.to_string().contains("OPERATIONS"), "{wrong:#}");
    service.stop().await;
}

/// Which of these orders a channel with that filter gets; the others are skipped by it, on record.
async fn taken(filter: &str, orders: &[Value]) -> Vec<String> {
    let receiver = Receiver::start().await;
    let keys = format!(
        "url: 'RECEIVER/orders', schedule: null, retry: {{interval: 1m}}, granularity: OPERATIONS, filter: '{filter}'"
    );
    let service = Service::start(&receiver.fill(&channel(&keys))).await;
    let mut taken = Vec::new();
    for order in orders {
        let posted = service.api.order(order).await;
        let id = posted["id"].as_str().expect("an id");
        let got = service.api.order_detail(id).await["channels"][0].clone();
        if got["status"] == "routed" {
            service.api.settled(&delivery_to(&posted, "sx")).await;
            taken.push(posted["order_id"].as_str().expect("an id").to_owned());
        } else {
            assert_eq!((&got["status"], &got["reason"]), (&json!("skipped"), &json!("filter")));
        }
    }
    assert_eq!(receiver.count(), taken.len());
    service.stop().await;
    taken
}

#[tokio::test]
async fn a_filter_chooses_orders_of_which_any_operation_has_the_product() {
    let operation = |code: &str| json!({"productCode": code});
    let orders = [
        order("one", "SALE", &json!([operation("YYYY"), operation("XXXX")])),
        order("none", "SALE", &json!([operation("YYYY")])),
        order("empty", "SALE", &json!([])),
        json!({"id": "other"}),
    ];
    assert_eq!(taken(ANY, &orders).await, ["one"]);
}

#[tokio::test]
async fn a_filter_chooses_orders_whose_operation_has_the_price_and_that_are_sales() {
    let operation = |code: &str, price: Value| json!({"productCode": code, "basePrice": price});
    let orders = [
        order("number", "SALE", &json!([operation("YYYY", json!(1)), operation("XXXX", json!(10000))])),
        order("decimal", "SALE", &json!([operation("XXXX", json!(10000.0))])),
        order("text", "SALE", &json!([operation("XXXX", json!("10000"))])),
        order("of another", "SALE", &json!([operation("YYYY", json!(10000)), operation("XXXX", json!(1))])),
        order("no sale", "RENTAL", &json!([operation("XXXX", json!(10000))])),
    ];
    assert_eq!(taken(SALE, &orders).await, ["number", "decimal", "text"]);
}

#[tokio::test]
async fn a_filter_sees_what_the_granularity_shows() {
    let seat = "OrderDetailsData.OperationDatas(*).MovementDatas(*).Seat=A1";
    assert_eq!(taken(seat, &[whole()]).await, [""; 0], "movements are below OPERATIONS");
    assert_eq!(taken("OrderDetailsData.OperationDatas(*).BasePrice=10000", &[whole()]).await, ["4711"]);
}

#[test]
fn a_filter_needs_a_granularity_which_may_stand_alone() {
    let url = "url: 'http://dev.environment.com/'";
    assert!(fault(&format!("{url}, filter: '{ANY}'")).contains("needs granularity"));
    let alone = channel(&format!("{url}, granularity: MOVEMENTS"));
    assert!(config::load_text("orderhook.yaml", &alone, &Environment::default()).is_ok());
}

#[test]
fn a_wrong_filter_is_a_config_error_with_its_column_and_a_caret() {
    let keys = "url: 'http://dev.environment.com/', granularity: OPERATIONS, filter: 'OrderDetailsData.OperationDatas(*.ProductCode=XXXX'";
    assert_eq!(
        fault(keys),
        "orderhook.yaml: channels[0].filter: expected ), at line 1, column 34\n    OrderDetailsData.OperationDatas(*.ProductCode=XXXX\n                                     ^"
    );
}

#[tokio::test]
async fn the_payload_is_the_order_trimmed_to_the_granularity() {
    for (granularity, expected) in [
        ("ORDER", json!({"id": "4711", "orderDetailsData": {"orderType": "SALE"}})),
        ("OPERATIONS", order("4711", "SALE", &json!([{"productCode": "XXXX", "basePrice": 10000}]))),
        ("TICKETS", whole()),
    ] {
        let request = sent(&format!("url: 'RECEIVER/orders', granularity: {granularity}"), &whole()).await;
        assert_eq!(request.json(), expected, "{granularity}");
    }
}

#[tokio::test]
async fn anything_but_200_is_tried_again_at_every_run_twelve_times_at_most() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::status(500), Reply::status(201), Reply::status(404), Reply::Close, Reply::status(302)]);
    let service = Service::start(&receiver.fill(&channel("url: 'RECEIVER/orders'"))).await;
    let id = delivery_to(&service.api.order(&whole()).await, "sx");
    let mut waits = Vec::new();
    let delivery = loop {
        let delivery = service.at_rest(&id).await;
        if delivery["status"] != "pending" {
            break delivery;
        }
        waits.push(service.advance_to_next_attempt(&id).await);
    };
    assert_eq!(waits, [QUARTER; 12]);
    assert_eq!((&delivery["status"], delivery["attempts"].as_array().map(Vec::len)), (&json!("failed"), Some(12)));
    assert_eq!(receiver.count(), 12);
    service.stop().await;
}

#[tokio::test]
async fn each_run_sends_sixty_the_oldest_first() {
    let receiver = Receiver::start().await;
    let service =
        Service::start(&receiver.fill(&channel("url: 'RECEIVER/${orderId}', method: GET, concurrency: 1"))).await;
    for id in 0..61 {
        service.api.order(&json!({ "id": id })).await;
    }
    service.clock.advance(QUARTER);
    let mut requests = receiver.wait_for(60).await;
    service.clock.advance(QUARTER);
    requests = receiver.wait_for(61.max(requests.len())).await;
    let targets: Vec<_> = requests.iter().map(|request| request.target.clone()).collect();
    assert_eq!(targets, (0..61).map(|id| format!("/{id}")).collect::<Vec<_>>());
    service.api.all_settled().await;
    service.stop().await;
}

#[tokio::test]
async fn without_a_schedule_orders_are_sent_at_once() {
    let receiver = Receiver::start().await;
    let keys = "url: 'RECEIVER/orders', schedule: null, retry: {attempts: 3, interval: 1m}";
    let service = Service::start(&receiver.fill(&channel(keys))).await;
    let order = service.api.order(&whole()).await;
    assert_eq!(service.api.settled(&delivery_to(&order, "sx")).await["status"], "accepted");
    service.stop().await;
    assert!(fault("url: 'http://a', schedule: null").contains("needs interval or schedule"));
}
