//! The preset `fulfillment`: one test for each promise. What is mailed
//! has a file of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Service, delivery_to, text};
use crate::receiver::{Receiver, Reply, Request};

/// A channel to a license server, with more keys.
fn channel(more: &str) -> String {
    format!("channels: [{{name: keys, preset: fulfillment, url: RECEIVER/keys{more}}}]")
}

fn key() -> Reply {
    Reply::body(200, "text/plain", "KEY-1")
}

/// The fields of a query or form.
fn fields(text: &str) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

fn bought(id: &str, items: &Value) -> Value {
    json!({"id": id, "customer": {"email": "ann@example.com"}, "items": items})
}

/// A service with one channel, and a receiver that answers with keys.
async fn shop(more: &str) -> (Service, Receiver) {
    let receiver = Receiver::start().await;
    receiver.answer([key()]);
    let service = Service::start(&receiver.fill(&channel(more))).await;
    (service, receiver)
}

/// All of an order's deliveries, ended, in the order in which they were made.
async fn ended(service: &Service, order: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    for delivery in order["deliveries"].as_array().expect("deliveries") {
        all.push(service.api.settled(text(delivery, "id")).await);
    }
    all
}

/// What the order's record says of the channel.
async fn of_channel(service: &Service, order: &Value) -> Value {
    let order = service.api.order_detail(text(order, "id")).await;
    order["channels"].as_array().expect("channels")[0].clone()
}

fn error_of(delivery: &Value) -> (i64, String) {
    let attempts = delivery["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.len(), 1, "{delivery:#}");
    (attempts[0]["code"].as_i64().expect("a code"), text(&attempts[0], "error").to_owned())
}

#[tokio::test]
async fn products_pick_the_orders_and_their_items_by_product_or_plan() {
    let parameters = "{sku: '{{ item.product_id }}{{ item.plan_id }}', all: '{{ items | length }}', product: '{{ product_id }}', quantity: '{{ quantity }}'}";
    let (service, receiver) = shop(&format!(", products: [LICENSE-PRO, 42], parameters: {parameters}")).await;
    let order = bought(
        "A-1",
        &json!([{"product_id": "MUG"}, {"plan_id": 42, "quantity": 2}, {"product_id": "LICENSE-PRO", "plan_id": "x"}]),
    );
    let order = service.api.order(&order).await;
    let delivery = &ended(&service, &order).await[0];
    assert_eq!((&delivery["items"], &delivery["quantity"]), (&json!([1, 2]), &json!(3)));
    assert_eq!(fields(receiver.requests()[0].text())["sku"], "42");
    assert_eq!(fields(receiver.requests()[0].text())["all"], "2");
    assert_eq!(fields(receiver.requests()[0].text())["product"], "42");
    let other = service.api.order(&bought("A-2", &json!([{"product_id": "MUG"}]))).await;
    assert_eq!(other["deliveries"], json!([]));
    assert_eq!(
        of_channel(&service, &other).await,
        json!({"channel": "keys", "status": "skipped", "reason": "product", "deliveries": []})
    );
    let plain = service.api.order(&json!({"id": "A-3", "product_id": "LICENSE-PRO", "quantity": 5})).await;
    let delivery = &ended(&service, &plain).await[0];
    assert_eq!((&delivery["items"], &delivery["quantity"]), (&json!([]), &json!(5)), "the order is the item");
    assert_eq!(receiver.count(), 2);
    service.stop().await;
}

#[tokio::test]
async fn where_products_and_quantities_stand_is_configured() {
    let receiver = Receiver::start().await;
    receiver.answer([key()]);
    let yaml =
        format!("orders: {{items: /cart/lines, quantity: /count, product: [/sku]}}\n{}", channel(", products: [PRO]"));
    let service = Service::start(&receiver.fill(&yaml)).await;
    let order = json!({"id": "A-1", "cart": {"lines": [{"sku": "MUG", "count": 9}, {"sku": "PRO", "count": 2}]}});
    let order = service.api.order(&order).await;
    ended(&service, &order).await;
    let sent = fields(receiver.requests()[0].text());
    assert_eq!((sent["product_id"].as_str(), sent["quantity"].as_str()), ("PRO", "2"));
    service.stop().await;
}

#[tokio::test]
async fn multibuy_single_is_one_request_with_the_quantity() {
    let (service, receiver) = shop("").await;
    let order = service.api.order(&bought("A-1", &json!([{"quantity": 2}, {}, {"quantity": 3}]))).await;
    let all = ended(&service, &order).await;
    assert_eq!((all.len(), &all[0]["status"], &all[0]["quantity"]), (1, &json!("accepted"), &json!(6)));
    assert_eq!(fields(receiver.requests()[0].text())["quantity"], "6");
    assert_eq!(all[0].get("unit"), None);
    service.stop().await;
}

#[tokio::test]
async fn multibuy_separate_is_a_delivery_of_its_own_for_each_unit() {
    let more = ", multibuy: separate, parameters: {sku: '{{ item.product_id }}', quantity: '{{ quantity }}', unit: '{{ unit }}'}";
    let (service, receiver) = shop(more).await;
    // The second request fails once: that delivery alone is tried again.
    receiver.answer([key(), Reply::status(500), key()]);
    let items = json!([{"product_id": "A", "quantity": 2}, {"product_id": "B"}]);
    let order = service.api.order(&bought("A-1", &items)).await;
    let deliveries = order["deliveries"].as_array().expect("deliveries");
    assert_eq!(deliveries.len(), 3);
    let mut attempts = 0;
    let mut units = Vec::new();
    for delivery in deliveries {
        let delivery = service.play_out(text(delivery, "id")).await;
        assert_eq!((&delivery["status"], &delivery["quantity"]), (&json!("accepted"), &json!(1)));
        units.push((delivery["unit"].clone(), delivery["items"].clone()));
        attempts += delivery["attempts"].as_array().expect("attempts").len();
    }
    assert_eq!(units, [(json!(1), json!([0])), (json!(2), json!([0])), (json!(3), json!([1]))]);
    assert_eq!(attempts, 4);
    let ids: std::collections::BTreeSet<_> =
        receiver.requests().iter().map(|request| request.expect_header("idempotency-key").to_owned()).collect();
    assert_eq!(ids.len(), 3, "each with an id of its own, the same on its retry");
    let sent: std::collections::BTreeSet<_> = receiver.requests().iter().map(|r| r.text().to_owned()).collect();
    let expected = ["sku=A&quantity=1&unit=1", "sku=A&quantity=1&unit=2", "sku=B&quantity=1&unit=3"];
    assert_eq!(sent, expected.map(str::to_owned).into());
    service.stop().await;
}

#[tokio::test]
async fn once_per_makes_a_product_a_one_off_for_a_subscription_across_restarts() {
    let (service, receiver) = shop(", once_per: /subscription_id").await;
    let order = |id: &str, subscription: &str| json!({"id": id, "subscription_id": subscription});
    let first = service.api.order(&order("A-1", "sub_1")).await;
    assert_eq!(ended(&service, &first).await[0]["status"], "accepted");
    let service = service.restart().await;
    let again = service.api.post_with_key("/v1/orders", "k-1", &order("A-2", "sub_1")).await.expect(201);
    assert_eq!(again["deliveries"], json!([]));
    let replayed = service.api.post_with_key("/v1/orders", "k-1", &order("A-2", "sub_1")).await.expect(201);
    assert_eq!(replayed, again);
    let skipped = json!({"channel": "keys", "status": "skipped", "deliveries": [], "reason": "once_per",
        "detail": "/subscription_id \"sub_1\" had its delivery before"});
    assert_eq!(of_channel(&service, &again).await, skipped);
    let other = service.api.order(&order("A-3", "sub_2")).await;
    assert_eq!(ended(&service, &other).await.len(), 1);
    let none = service.api.order(&json!({"id": "A-4"})).await;
    assert_eq!(ended(&service, &none).await.len(), 1, "not a one-off of anything");
    let event = json!({"type": "order-like", "data": {"subscription_id": "sub_1"}});
    let event = service.api.post("/v1/events", &event).await.expect(202);
    assert_eq!(event["deliveries"], json!([]), "not subscribed");
    assert_eq!(receiver.count(), 3);
    service.stop().await;
}

#[tokio::test]
async fn of_orders_at_once_one_has_the_one_off_and_the_others_say_so() {
    let (service, receiver) = shop(", once_per: /subscription_id, multibuy: separate").await;
    let order = json!({"subscription_id": 7, "quantity": 3});
    let orders = (0..40).map(|_| service.api.order(&order));
    let orders = futures_util::future::join_all(orders).await;
    let with =
        |count: usize| orders.iter().filter(move |o| o["deliveries"].as_array().is_some_and(|d| d.len() == count));
    assert_eq!((with(3).count(), with(0).count()), (1, 39), "the whole set, or nothing");
    for order in with(0) {
        assert_eq!(of_channel(&service, order).await["reason"], "once_per");
    }
    for order in with(3) {
        ended(&service, order).await;
    }
    assert_eq!(receiver.count(), 3);
    service.stop().await;
}

#[tokio::test]
async fn a_chain_and_its_end_respect_the_one_off() {
    let receiver = Receiver::start().await;
    receiver.answer([key()]);
    let yaml = format!(
        "chains: [{{name: all, plugins: [{{name: calloutPlugin, critical: true, options: {{endpoint: RECEIVER/step}}}}]}}]\n{}",
        channel(", once_per: /subscription_id, events: [order.received, order.completed]")
    );
    let service = Service::start(&receiver.fill(&yaml)).await;
    let order = json!({"subscription_id": "s"});
    let first = service.api.order(&order).await;
    assert_eq!(first["deliveries"].as_array().expect("deliveries").len(), 1, "order.received came first");
    assert_eq!(of_channel(&service, &first).await["reason"], Value::Null, "delivered");
    let second = service.api.order(&order).await;
    assert_eq!((&second["status"], &second["deliveries"]), (&json!("completed"), &json!([])));
    assert_eq!(of_channel(&service, &second).await["reason"], "once_per");
    service.api.all_settled().await;
    assert_eq!(receiver.count_on("/keys"), 1);
    service.stop().await;
}

#[tokio::test]
async fn the_fields_are_a_form_in_a_post_and_a_query_in_a_get() {
    for method in ["POST", "GET"] {
        let more = format!(
            ", method: {method}, parameters: {{order: '{{{{ order.id }}}}', note: 'static & ünï', count: 3, gift: true, mail: '{{{{ customer_email }}}}'}}"
        );
        let (service, receiver) = shop(&more).await;
        let order = service.api.order(&bought("A/1 x", &json!([{}]))).await;
        assert_eq!(ended(&service, &order).await[0]["status"], "accepted");
        let request = receiver.requests().pop().expect("a request");
        let expected =
            "order=A%2F1%20x&note=static%20%26%20%C3%BCn%C3%AF&count=3&gift=true&mail=ann%40example.com".to_owned();
        assert_eq!(request.method, method);
        if method == "GET" {
            assert_eq!((request.query(), request.text()), (Some(expected.as_str()), ""));
        } else {
            assert_eq!((request.query(), request.text()), (None, expected.as_str()));
            assert!(request.expect_header("content-type").starts_with("application/x-www-form-urlencoded"));
        }
        service.stop().await;
    }
}

#[tokio::test]
async fn without_parameters_five_fields_are_sent() {
    for method in ["POST", "GET"] {
        let (service, receiver) = shop(&format!(", method: {method}")).await;
        let order = service.api.order(&bought("A-1", &json!([{"product_id": "PRO", "quantity": 2}]))).await;
        ended(&service, &order).await;
        let request = receiver.requests().pop().expect("a request");
        let sent = if method == "GET" { request.query().expect("a query") } else { request.text() };
        let expected = "event_time=2026-01-31T12%3A00%3A00.000Z&order_id=A-1&product_id=PRO&quantity=2\
                        &customer_email=ann%40example.com";
        assert_eq!(sent, expected);
        service.stop().await;
    }
}

/// A delivery to a receiver that answers with these, played to its end, and what passed until then.
async fn fulfilled(replies: impl IntoIterator<Item = Reply>) -> (Value, Duration, Vec<Request>) {
    let (service, receiver) = shop("").await;
    receiver.answer(replies);
    let order = service.api.order(&json!({"id": "A-1"})).await;
    let delivery = service.play_out(&delivery_to(&order, "keys")).await;
    let passed = service.clock_passed();
    service.stop().await;
    (delivery, passed, receiver.requests())
}

#[tokio::test]
async fn a_text_of_600_000_bytes_is_a_success() {
    for reply in [
        key(),
        Reply::body(200, "text/plain", "x".repeat(600_000)),
        Reply::body(200, "application/json", r#"{"key": 1}"#),
        Reply::body(200, "text/plain; charset=iso-8859-1", &b"cl\xe9"[..]),
    ] {
        let (delivery, passed, requests) = fulfilled([reply]).await;
        assert_eq!((&delivery["status"], requests.len(), passed), (&json!("accepted"), 1, Duration::ZERO));
    }
}

#[tokio::test]
async fn anything_else_is_retried_four_times_ten_minutes_apart() {
    for (reply, code, error) in [
        (Reply::status(200), 200, Some("the response is empty")),
        (Reply::body(200, "text/plain", " \n"), 200, Some("the response contains only white space")),
        (
            Reply::body(200, "text/plain", &b"\xff\xfe\xfa"[..]),
            200,
            Some("the response is not text: it has bytes that are not UTF-8"),
        ),
        (Reply::body(200, "text/plain", "a\0b"), 200, Some("the response is not text: it contains a NUL character")),
        (Reply::body(200, "text/plain", "x".repeat(600_001)), -7, Some("the response is larger than 600000 bytes")),
        (Reply::body(201, "text/plain", "KEY-1"), 201, Some("the receiver answered 201")),
        (Reply::status(204), 204, Some("the receiver answered 204")),
        (Reply::status(302).with_header("Location", "/elsewhere"), 302, Some("the receiver answered 302")),
        (Reply::status(400), 400, Some("the receiver answered 400")),
        (Reply::status(404), 404, Some("the receiver answered 404")),
        (Reply::status(503), 503, Some("the receiver answered 503")),
        (Reply::Close, -6, Some("the connection closed before the response was complete")),
    ] {
        let (delivery, passed, requests) = fulfilled([reply]).await;
        assert_eq!((&delivery["status"], requests.len()), (&json!("failed"), 5), "{code}");
        assert_eq!(passed, Duration::from_secs(4 * 600), "{code}");
        let first = &delivery["attempts"][0];
        assert_eq!((&first["code"], &first["outcome"]), (&json!(code), &json!("retry")));
        match (first["error"].as_str(), error) {
            (Some(found), Some(error)) => assert!(found.starts_with(error), "{found}"),
            (found, error) => assert_eq!(found, error, "{code}"),
        }
    }
    let (delivery, passed, _) = fulfilled([Reply::status(500), Reply::status(200), key()]).await;
    assert_eq!((&delivery["status"], passed), (&json!("accepted"), Duration::from_secs(1200)));
}

#[tokio::test]
async fn quantities_that_are_none_are_recorded_failures_and_the_rest_goes_out() {
    for multibuy in ["single", "separate"] {
        for (quantity, sentence) in [
            (json!(-3), "/items/1/quantity is -3: a quantity is a whole number, 0 or more"),
            (json!(1.5), "/items/1/quantity is 1.5: a quantity is a whole number, 0 or more"),
            (json!("lots"), "/items/1/quantity is \"lots\": a quantity is a whole number, 0 or more"),
            (json!(1e300), "/items/1/quantity is 1e+300: a quantity is no larger than 9007199254740991"),
        ] {
            let (service, receiver) = shop(&format!(", multibuy: {multibuy}")).await;
            let order = service.api.order(&bought("A-1", &json!([{}, {"quantity": quantity}]))).await;
            let all = ended(&service, &order).await;
            assert_eq!(all.len(), 2, "{quantity}");
            assert_eq!((&all[0]["status"], &all[0]["items"]), (&json!("accepted"), &json!([0])));
            assert_eq!((&all[1]["status"], &all[1]["items"]), (&json!("failed"), &json!([1])));
            assert_eq!(error_of(&all[1]), (-2000, sentence.to_owned()));
            assert_eq!(receiver.count(), 1);
            service.stop().await;
        }
    }
}

#[tokio::test]
async fn units_above_the_limit_are_a_recorded_failure() {
    let (service, receiver) = shop(", multibuy: separate").await;
    let order = service.api.order(&bought("A-1", &json!([{"quantity": 1_000_000_000}]))).await;
    let all = ended(&service, &order).await;
    assert_eq!((all.len(), receiver.count()), (1001, 1000));
    let error = "item 0 is about 1000000000 units, and a channel takes 1000 of an order (multibuy_limit); 999999000 units are not sent";
    assert_eq!(error_of(&all[1000]), (-2000, error.to_owned()));
    assert_eq!(all[1000]["quantity"], 999_999_000);
    service.stop().await;
    let (service, receiver) = shop(", multibuy_limit: 2").await;
    let order = service.api.order(&bought("A-1", &json!([{"quantity": 3}]))).await;
    let all = ended(&service, &order).await;
    assert_eq!((&all[0]["quantity"], &all[1]["quantity"]), (&json!(2), &json!(1)));
    assert_eq!((&all[0]["status"], &all[1]["status"]), (&json!("accepted"), &json!("failed")));
    assert_eq!(receiver.count(), 1);
    service.stop().await;
}

#[tokio::test]
async fn items_that_are_no_list_are_a_recorded_failure_and_no_items_a_skip() {
    let (service, receiver) = shop("").await;
    for (items, sentence) in [
        (json!({"sku": "A"}), "/items is an object: the items of an order are a list"),
        (json!("A"), "/items is \"A\": the items of an order are a list"),
        (json!([7]), "/items/0 is 7: an item is an object"),
    ] {
        let order = service.api.order(&bought("A-1", &items)).await;
        let all = ended(&service, &order).await;
        assert_eq!((all.len(), error_of(&all[0])), (1, (-2000, sentence.to_owned())));
    }
    for (items, detail) in
        [(json!([]), "the order has no items"), (json!([{"quantity": 0}]), "the quantity of each of its items is 0")]
    {
        let order = service.api.order(&bought("A-2", &items)).await;
        assert_eq!(order["deliveries"], json!([]));
        let skipped =
            json!({"channel": "keys", "status": "skipped", "reason": "product", "detail": detail, "deliveries": []});
        assert_eq!(of_channel(&service, &order).await, skipped);
    }
    assert_eq!(receiver.count(), 0);
    service.stop().await;
}

#[tokio::test]
async fn a_one_off_that_cannot_be_sent_is_left_to_the_next_order() {
    let (service, receiver) = shop(", once_per: /subscription_id").await;
    let order = |quantity: i64| json!({"subscription_id": "s", "quantity": quantity});
    let wrong = service.api.order(&order(-1)).await;
    assert_eq!(ended(&service, &wrong).await[0]["status"], "failed");
    let right = service.api.order(&order(1)).await;
    assert_eq!(ended(&service, &right).await[0]["status"], "accepted");
    let late = service.api.order(&order(-1)).await;
    assert_eq!(late["deliveries"], json!([]));
    assert_eq!(receiver.count(), 1);
    service.stop().await;
}

#[tokio::test]
async fn a_delivery_of_a_unit_survives_a_restart() {
    let (service, receiver) =
        shop(", multibuy: separate, parameters: {unit: '{{ unit }}', sku: '{{ item.sku }}'}").await;
    receiver.answer([Reply::status(500)]);
    let order = service.api.order(&bought("A-1", &json!([{"sku": "A"}, {"sku": "B"}]))).await;
    for delivery in order["deliveries"].as_array().expect("deliveries") {
        service.at_rest(text(delivery, "id")).await;
    }
    let service = service.restart().await;
    receiver.answer([key()]);
    let second = text(&order["deliveries"][1], "id");
    let delivery = service.play_out(second).await;
    assert_eq!((&delivery["status"], &delivery["unit"]), (&json!("accepted"), &json!(2)));
    assert!(receiver.requests().iter().any(|request| request.number > 2 && request.text() == "unit=2&sku=B"));
    service.stop().await;
}
