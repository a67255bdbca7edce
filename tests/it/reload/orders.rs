//! Orders and what all of them go by: chains, limits.

use std::time::Duration;

use serde_json::{Value, json};

use super::named;
use crate::harness::{Service, delivery_to, eventually, text};
use crate::receiver::{Gate, Receiver, Reply};

#[tokio::test]
async fn an_order_goes_by_the_configuration_that_it_was_accepted_by() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.on("/first", [Reply::status(200).held(&gate)]);
    let old = receiver.fill(
        "
chains: [{name: new-orders, plugins: [{name: calloutPlugin, options: {endpoint: RECEIVER/first}}, {name: calloutPlugin, options: {endpoint: RECEIVER/second}}]}]
channels: [{name: erp, url: RECEIVER/erp}]
",
    );
    let new = receiver.fill(
        "
chains: [{name: new-orders, plugins: [{name: calloutPlugin, options: {endpoint: RECEIVER/third}}]}]
channels: [{name: erp, url: RECEIVER/erp}, {name: crm, url: RECEIVER/crm}]
",
    );
    let mut service = Service::start(&old).await;
    let begun = text(&service.api.order(&json!({"id": "old"})).await, "id").to_owned();
    receiver.wait_for_on("/first", 1).await;
    let told = service.reload(&new).await;
    assert_eq!((&told["chains"], &told["channels"]), (&named(&[], &["new-orders"], &[]), &named(&["crm"], &[], &[])));
    let fresh = text(&service.api.order(&json!({"id": "new"})).await, "id").to_owned();
    let fresh = service.api.ended(&fresh).await;
    gate.open();
    let begun = service.api.ended(&begun).await;
    let channels = |order: &Value| -> Vec<String> {
        order["deliveries"].as_array().expect("deliveries").iter().map(|it| text(it, "channel").to_owned()).collect()
    };
    assert_eq!((begun["steps"].as_array().map(Vec::len), channels(&begun)), (Some(2), vec!["erp".to_owned()]));
    assert_eq!(
        (fresh["steps"].as_array().map(Vec::len), channels(&fresh)),
        (Some(1), vec!["erp".to_owned(), "crm".to_owned()])
    );
    service.api.all_settled().await;
    assert_eq!((receiver.count_on("/second"), receiver.count_on("/third")), (1, 1));
    service.stop().await;
}

#[tokio::test]
async fn an_order_whose_chain_was_gone_at_the_start_goes_on_once_it_is_back() {
    let receiver = Receiver::start().await;
    receiver.on("/first", [Reply::HangBeforeHead, Reply::status(200)]);
    let with = receiver.fill(
        "
server: {shutdown_grace: 100ms}
chains: [{name: new-orders, plugins: [{name: calloutPlugin, options: {endpoint: RECEIVER/first, timeoutValue: 60000}}]}]
channels: [{name: erp, url: RECEIVER/erp}]
",
    );
    let without = receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]");
    let service = Service::start(&with).await;
    let order = text(&service.api.order(&json!({"id": 1})).await, "id").to_owned();
    receiver.wait_for_on("/first", 1).await;
    let mut service = service.restart_with(&without).await;
    assert_eq!(service.api.order_detail(&order).await["status"], "processing");
    service.reload(&with).await;
    let heartbeat = Duration::from_secs(5);
    let done = service
        .advance_until("the order's end", heartbeat, || async {
            let order = service.api.order_detail(&order).await;
            (order["status"] == "completed").then_some(order)
        })
        .await;
    service.api.settled(&delivery_to(&done, "erp")).await;
    assert_eq!(receiver.count_on("/first"), 2);
    service.stop().await;
}

#[tokio::test]
async fn an_order_goes_on_once_its_chain_is_back_although_the_store_was_locked_at_the_reload() {
    let receiver = Receiver::start().await;
    receiver.on("/first", [Reply::HangBeforeHead, Reply::status(200)]);
    let with = receiver.fill(
        "
server: {shutdown_grace: 100ms}
chains: [{name: new-orders, plugins: [{name: calloutPlugin, options: {endpoint: RECEIVER/first, timeoutValue: 60000}}]}]
",
    );
    let service = Service::start(&with).await;
    let order = text(&service.api.order(&json!({"id": 1})).await, "id").to_owned();
    receiver.wait_for_on("/first", 1).await;
    let mut service = service.restart_with("channels: []").await;
    let other = rusqlite::Connection::open(service.home.store()).expect("the store");
    eventually("the order to be free", || async {
        let free = other.query_row("SELECT count(*) FROM orders WHERE status = 0", [], |row| row.get(0));
        (free == Ok(1)).then_some(())
    })
    .await;
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    assert_eq!(service.reload(&with).await["chains"], named(&["new-orders"], &[], &[]));
    other.execute_batch("ROLLBACK").expect("free");
    let heartbeat = Duration::from_secs(5);
    service
        .advance_until("the order's end", heartbeat, || async {
            let order = service.api.order_detail(&order).await;
            (order["status"] == "completed").then_some(())
        })
        .await;
    service.stop().await;
}

#[tokio::test]
async fn limits_of_the_server_and_of_all_lanes_hold_at_once() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.answer([Reply::status(200).held(&gate)]);
    let yaml = |workers: usize, max_body: &str| {
        receiver.fill(&format!("server: {{max_body: {max_body}, public_url: 'http://{max_body}.example'}}\ndelivery: {{workers: {workers}, lane_memory: {max_body}}}\nchannels: [{{name: a, url: RECEIVER/a}}, {{name: b, url: RECEIVER/b, headers: {{X-Link: '{{{{ order_url }}}}'}}}}]"))
    };
    let mut service = Service::start(&yaml(8, "100KiB")).await;
    let large = json!({"filler": "x".repeat(20_000)});
    service.api.order(&large).await;
    receiver.wait_for(2).await;
    let told = service.reload(&yaml(2, "10KiB")).await;
    assert_eq!(
        told["keys"],
        json!(["server.public_url", "server.max_body", "delivery.workers", "delivery.lane_memory"])
    );
    assert_eq!(told["channels"], named(&[], &[], &[]));
    service.api.post("/v1/orders", &large).await.problem(413);
    for id in 0..4 {
        service.api.order(&json!({ "id": id })).await;
    }
    for passed in 1..=8 {
        gate.pass();
        receiver.wait_for(2 + passed).await;
        assert!(receiver.in_flight() <= 2, "{}", receiver.in_flight());
    }
    gate.open();
    service.api.all_settled().await;
    let links: Vec<_> =
        receiver.requests_on("/b").iter().filter_map(|it| it.header("x-link").map(str::to_owned)).collect();
    assert!(
        links[0].starts_with("http://100KiB.example/") && links[4].starts_with("http://10KiB.example/"),
        "{links:?}"
    );
    service.reload(&yaml(6, "100KiB")).await;
    service.api.order(&large).await;
    service.api.all_settled().await;
    service.stop().await;
}
