//! Reading orders back: lists, filters, cursors, one order with all that is known of it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Service, delivery_to, text};
use crate::receiver::{Receiver, Reply};

fn own_ids(orders: &[Value]) -> Vec<&str> {
    orders.iter().map(|order| text(order, "order_id")).collect()
}

#[tokio::test]
async fn orders_are_listed_newest_first_and_filtered() {
    let receiver = Receiver::start().await;
    receiver.on("/step", [Reply::status(200), Reply::status(404), Reply::status(200)]);
    let yaml = receiver.fill(
        "chains: [{name: all, when: 'order.type == \"new\"', plugins: [{critical: true, name: calloutPlugin, options: {endpoint: RECEIVER/step, shouldRejectOn: {status: [404]}}}]}]",
    );
    let service = Service::start(&yaml).await;
    let minute = Duration::from_secs(60);
    for (id, kind) in [("A", "new"), ("B", "new"), ("C", "renew"), ("A", "renew")] {
        service.api.post("/v1/orders", &json!({"id": id, "type": kind})).await;
        service.clock.advance(minute);
    }
    let all = service.api.list("/v1/orders").await;
    assert_eq!(own_ids(&all), ["A", "C", "B", "A"]);
    assert_eq!(text(&all[3], "received_at"), "2026-01-31T12:00:00.000Z");
    let newest = text(&all[0], "id").to_owned();
    for (query, expected) in [
        ("status=completed".to_owned(), vec!["A", "C", "A"]),
        ("status=rejected".to_owned(), vec!["B"]),
        ("status=processing".to_owned(), vec![]),
        ("type=renew".to_owned(), vec!["A", "C"]),
        ("type=renew&order_id=A".to_owned(), vec!["A"]),
        ("order_id=A".to_owned(), vec!["A", "A"]),
        (format!("order_id={newest}"), vec!["A"]),
        ("order_id=nobody".to_owned(), vec![]),
        ("since=2026-01-31T12:01:00Z".to_owned(), vec!["A", "C", "B"]),
        ("until=2026-01-31T12:01:00Z".to_owned(), vec!["A"]),
        ("since=2026-01-31T12:01:00Z&until=2026-01-31T12:03:00Z".to_owned(), vec!["C", "B"]),
        ("since=2026-01-31T13:01:00%2B01:00&until=2026-01-31T12:02:00Z".to_owned(), vec!["B"]),
    ] {
        let found = service.api.list(&format!("/v1/orders?{query}")).await;
        assert_eq!(own_ids(&found), expected, "{query}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_cursor_walks_through_all_entries_once_while_new_ones_come() {
    let service = Service::start("").await;
    for number in 0..7 {
        service.api.order(&json!({"id": number})).await;
    }
    let first = service.api.get("/v1/orders?limit=3").await.expect(200);
    let data = first["data"].as_array().expect("data").clone();
    assert_eq!(own_ids(&data), ["6", "5", "4"]);
    service.api.order(&json!({"id": "late"})).await;
    let cursor = text(&first, "next_cursor").to_owned();
    let second = service.api.get(&format!("/v1/orders?limit=3&cursor={cursor}")).await.expect(200);
    assert_eq!(own_ids(second["data"].as_array().expect("data")), ["3", "2", "1"]);
    let cursor = text(&second, "next_cursor").to_owned();
    let third = service.api.get(&format!("/v1/orders?limit=3&cursor={cursor}")).await.expect(200);
    assert_eq!(own_ids(third["data"].as_array().expect("data")), ["0"]);
    assert_eq!(third["next_cursor"], Value::Null);
    service.stop().await;
}

#[tokio::test]
async fn a_page_has_fifty_entries_unless_asked_and_250_at_most() {
    let service = Service::start("").await;
    for number in 0..55 {
        service.api.order(&json!({"id": number})).await;
    }
    let page = service.api.get("/v1/orders").await.expect(200);
    assert_eq!(page["data"].as_array().map(Vec::len), Some(50));
    assert!(page["next_cursor"].is_string());
    let page = service.api.get("/v1/orders?limit=250").await.expect(200);
    assert_eq!(page["data"].as_array().map(Vec::len), Some(55));
    assert_eq!(page["next_cursor"], Value::Null);
    for wrong in ["limit=251", "limit=0", "limit=-1", "limit=many"] {
        let problem = service.api.get(&format!("/v1/orders?{wrong}")).await.problem(400);
        assert!(problem.to_string().contains("limit"), "{wrong}: {problem}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_filter_that_makes_no_sense_is_an_error_that_names_it() {
    let service = Service::start("").await;
    for list in ["orders", "deliveries"] {
        for (query, named) in [
            ("status=done", "status"),
            ("since=yesterday", "since"),
            ("until=2026-13-01T00:00:00Z", "until"),
            ("cursor=garbage", "cursor"),
            ("colour=red", "colour"),
        ] {
            let problem = service.api.get(&format!("/v1/{list}?{query}")).await.problem(400);
            assert!(problem.to_string().contains(named), "{list}?{query}: {problem}");
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn an_order_is_found_by_either_of_its_ids_the_newest_by_its_own() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]")).await;
    let first = service.api.order(&json!({"id": "A/1 x", "version": 1})).await;
    let second = service.api.order(&json!({"id": "A/1 x", "version": 2})).await;
    let by_id = service.api.order_detail(text(&first, "id")).await;
    assert_eq!(by_id["order"]["version"], 1);
    let by_own = service.api.order_detail("A%2F1%20x").await;
    assert_eq!(by_own["id"], second["id"]);
    assert_eq!(by_own["order"]["version"], 2);
    assert_eq!(by_own["same_id"], json!([first["id"]]));
    assert_eq!(by_id.get("same_id"), None, "the first has nothing before it");
    assert_eq!(by_own["order_id"], "A/1 x");
    assert_eq!(by_own["type"], "order");
    assert_eq!(by_own["status"], "completed");
    assert_eq!(by_own["context"], json!({}));
    assert_eq!(by_own["steps"], json!([]));
    assert_eq!(delivery_to(&by_own, "erp"), delivery_to(&second, "erp"));
    assert_eq!(by_own["channels"][0]["channel"], "erp");
    assert_eq!(by_own["channels"][0]["status"], "routed");
    for unknown in ["nobody", "ord_00000000-0000-7000-8000-000000000000", "ord_", "dlv_x", "%00", "..%2F..%2Fetc"] {
        service.api.get(&format!("/v1/orders/{unknown}")).await.problem(404);
    }
    service.api.all_settled().await;
    service.stop().await;
}

#[tokio::test]
async fn the_order_comes_back_as_it_was_received() {
    let service = Service::start("").await;
    let bytes = br#"{ "id":"A-1", "total" : 1.50e1, "big": 123456789012345678901234567890, "z":1, "a":2 }"#;
    service.api.post_bytes("/v1/orders", bytes).await.expect(201);
    let answer = service.api.get("/v1/orders/A-1").await;
    let order = &answer.expect(200)["order"];
    assert_eq!(order, &serde_json::from_slice::<Value>(bytes).expect("JSON"));
    assert!(answer.text().contains("1.50e1") && answer.text().contains("123456789012345678901234567890"), "{answer}");
    service.stop().await;
}

#[tokio::test]
async fn pointers_of_the_configuration_say_where_an_order_keeps_its_id_and_type() {
    let service = Service::start("orders: {id: /header/number, type: /header/kind}").await;
    let answer = service.api.order(&json!({"id": "wrong", "header": {"number": "N-1", "kind": "sale"}})).await;
    assert_eq!((&answer["order_id"], &answer["type"]), (&json!("N-1"), &json!("sale")));
    service.stop().await;
}

#[tokio::test]
async fn an_order_without_an_id_or_type_gets_the_servers() {
    let service = Service::start("").await;
    for order in [json!({}), json!({"id": null, "type": null}), json!({"id": {"a": 1}, "type": [1]})] {
        let answer = service.api.order(&order).await;
        assert_eq!(answer["order_id"], answer["id"], "{order}");
        assert_eq!(answer["type"], "order", "{order}");
    }
    for (order, id) in [(json!({"id": 12345}), "12345"), (json!({"id": 0}), "0")] {
        let answer = service.api.order(&order).await;
        assert_eq!(answer["order_id"], id);
        assert_eq!(service.api.list(&format!("/v1/orders?order_id={id}")).await.len(), 1);
    }
    service.stop().await;
}

#[tokio::test]
async fn finished_orders_are_removed_after_the_retention() {
    let receiver = Receiver::start().await;
    receiver.on("/slow", [Reply::status(503)]);
    let yaml = receiver.fill(
        "store: {retention: 1d}\nchannels: [{name: erp, url: RECEIVER/erp}, {name: slow, url: RECEIVER/slow, when: order.slow, retry: {attempts: 20, interval: 24h}}]",
    );
    let service = Service::start(&yaml).await;
    let old = service.api.order(&json!({"id": "old"})).await;
    let open = service.api.order(&json!({"id": "open", "slow": true})).await;
    service.api.settled(&delivery_to(&old, "erp")).await;
    service.api.settled(&delivery_to(&open, "erp")).await;
    service.wait_of(&delivery_to(&open, "slow")).await;
    service
        .advance_until("the removal", Duration::from_secs(3600), || async {
            (service.api.get("/v1/orders/old").await.status == 404).then_some(())
        })
        .await;
    assert!(service.clock_passed() >= Duration::from_secs(86_400), "not before its time");
    service.api.get(&format!("/v1/deliveries/{}", delivery_to(&old, "erp"))).await.problem(404);
    assert_eq!(service.api.order_detail("open").await["status"], "completed", "kept while a delivery is open");
    service.stop().await;
}
