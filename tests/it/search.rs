//! Finding orders and deliveries by a text, and deliveries by the code of their last attempt.

use serde_json::{Value, json};

use crate::harness::{Service, delivery_to, text};
use crate::receiver::{Receiver, Reply};

fn own_ids(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| text(entry, "order_id")).collect()
}

#[tokio::test]
async fn a_text_is_found_in_the_id_the_email_and_the_body() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]")).await;
    for order in [
        json!({"id": "A-1", "customer": {"email": "Anna@Example.com"}, "note": "leave at the door"}),
        json!({"id": "A-2", "customer": {"email": "bo@example.com"}, "note": "as A-1, for Müller/Söhne"}),
        json!({"id": 77, "note": "ask anna@example.com"}),
    ] {
        service.api.order(&order).await;
    }
    service.api.all_settled().await;
    let orders = service.api.list("/v1/orders").await;
    let (first, delivery) = (text(&orders[2], "id"), service.api.list("/v1/deliveries?order_id=77").await);
    let delivery = text(&delivery[0], "id");
    for (q, expected) in [
        ("A-1", vec!["A-2", "A-1"]),
        ("a-1", vec!["A-2", "A-1"]),
        ("anna@example.com", vec!["77", "A-1"]),
        ("ANNA@EXAMPLE.COM", vec!["77", "A-1"]),
        ("door", vec!["A-1"]),
        ("m%C3%BCller/s%C3%B6hne", vec!["A-2"]),
        ("77", vec!["77"]),
        (first, vec!["A-1"]),
        ("nobody", vec![]),
    ] {
        let found = service.api.list(&format!("/v1/orders?q={q}")).await;
        assert_eq!(own_ids(&found), expected, "orders with {q}");
        let found = service.api.list(&format!("/v1/deliveries?q={q}")).await;
        assert_eq!(own_ids(&found), expected, "deliveries with {q}");
        let mut one_by_one = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = service.api.get(&format!("/v1/orders?q={q}&limit=1{cursor}")).await.expect(200);
            one_by_one
                .extend(page["data"].as_array().expect("data").iter().map(|one| text(one, "order_id").to_owned()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        one_by_one.sort_unstable();
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(one_by_one, expected, "pages of one with {q}");
    }
    assert_eq!(own_ids(&service.api.list(&format!("/v1/deliveries?q={delivery}")).await), ["77"]);
    assert_eq!(own_ids(&service.api.list("/v1/orders?q=anna&order_id=77").await), ["77"]);
    assert_eq!(own_ids(&service.api.list("/v1/orders?q=anna&status=rejected").await), Vec::<&str>::new());
    let page = service.api.get("/v1/orders?q=door").await.expect(200);
    assert_eq!(page["searched_back_to"], Value::Null, "all bodies were searched");
    for wrong in ["q=", "q=%20", "q=a&q=b", &format!("q={}", "x".repeat(201))] {
        assert_eq!(service.api.get(&format!("/v1/orders?{wrong}")).await.problem(400)["errors"][0]["path"], "q");
        service.api.get(&format!("/v1/deliveries?{wrong}")).await.problem(400);
    }
    service.api.post("/v1/events", &json!({"type": "a.b", "data": {"note": "posted"}})).await.expect(202);
    service.stop().await;
}

#[tokio::test]
async fn a_page_of_a_search_says_how_far_back_it_looked() {
    let service = Service::start("server: {max_body: 4MiB}").await;
    service.api.order(&json!({"id": "oldest", "note": "needle"})).await;
    for number in 0..9 {
        service.api.order(&json!({"id": number, "pad": "x".repeat(2 << 20)})).await;
    }
    let first = service.api.get("/v1/orders?q=needle").await.expect(200);
    assert_eq!(first["data"], json!([]));
    assert_eq!(first["searched_back_to"], "2026-01-31T12:00:00.000Z");
    assert_eq!(own_ids(&service.api.list("/v1/orders?q=needle").await), ["oldest"]);
    let by_id = service.api.get("/v1/orders?q=oldest").await.expect(200);
    assert_eq!(own_ids(by_id["data"].as_array().expect("data")), ["oldest"], "an id is found by index");
    service.stop().await;
}

#[tokio::test]
async fn deliveries_are_found_by_the_code_of_the_last_attempt() {
    let receiver = Receiver::start().await;
    for (path, status) in [("/good", 200), ("/bad", 404), ("/waits", 503), ("/late", 502)] {
        receiver.on(path, [Reply::status(status)]);
    }
    let yaml = receiver.fill(
        "channels:
  - {name: good, url: RECEIVER/good}
  - {name: bad, url: RECEIVER/bad}
  - {name: waits, url: RECEIVER/waits, retry: {attempts: 5, interval: 1h, jitter: 0}}
  - {name: late, url: RECEIVER/late, retry: {attempts: 5, interval: 1h, jitter: 0}}
  - {name: gone, url: 'http://127.0.0.1:1/', retry: {attempts: 5, interval: 1h, jitter: 0}}",
    );
    let service = Service::start(&yaml).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    for channel in ["good", "bad", "waits", "late", "gone"] {
        service.at_rest(&delivery_to(&order, channel)).await;
    }
    for (query, expected) in [
        ("code=503", vec!["waits"]),
        ("code=5xx", vec!["late", "waits"]),
        ("code=4XX,-1", vec!["bad", "gone"]),
        ("code=404&code=200", vec!["bad", "good"]),
        ("code=2xx", vec!["good"]),
        ("code=-1", vec!["gone"]),
        ("code=-2", vec![]),
        ("code=5xx&status=failed", vec![]),
        ("code=5xx&channel=waits", vec!["waits"]),
        ("code=5xx&q=A-1", vec!["late", "waits"]),
        ("code=5xx&order_id=A-1", vec!["late", "waits"]),
    ] {
        let found = service.api.list(&format!("/v1/deliveries?{query}")).await;
        let mut channels: Vec<_> = found.iter().map(|delivery| text(delivery, "channel")).collect();
        channels.sort_unstable();
        assert_eq!(channels, expected, "{query}");
    }
    for wrong in ["code=abc", "code=6xx", "code=0", "code="] {
        let problem = service.api.get(&format!("/v1/deliveries?{wrong}")).await.problem(400);
        assert_eq!(problem["errors"][0]["path"], "code", "{wrong}");
    }
    let dry = json!({"code": ["5xx", -1], "q": "a-1", "dry_run": true, "status": "pending"});
    assert_eq!(service.api.post("/v1/deliveries/cancel", &dry).await.expect(200)["count"], 3);
    let cancelled = service.api.post("/v1/deliveries/cancel", &json!({"code": 503})).await.expect(200);
    assert_eq!(cancelled["count"], 1);
    assert_eq!(service.api.delivery(&delivery_to(&order, "waits")).await["status"], "cancelled");
    service.stop().await;
}
