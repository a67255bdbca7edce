//! What a channel's requests look like: bodies, headers, templates and their escaping, credentials.

use serde_json::{Value, json};

use crate::harness::{Service, delivery_to, text};
use crate::receiver::{Receiver, Reply, Request};

/// Starts a service with one channel `erp` of these keys, posts an order, and returns its request and delivery.
async fn sent(keys: &str, order: &[u8]) -> (Request, Value) {
    let receiver = Receiver::start().await;
    let yaml = receiver.fill(&format!("channels:\n  - name: erp\n{}", indent(keys)));
    let service = Service::start(&yaml).await;
    let answer = service.api.post_bytes("/v1/orders", order).await.expect(201);
    let request = receiver.next().await;
    let delivery = service.api.settled(&delivery_to(&answer, "erp")).await;
    assert_eq!(delivery["status"], "accepted", "{delivery:#}");
    service.stop().await;
    (request, delivery)
}

/// The same for a request that cannot be built: returns the delivery.
async fn unsent(keys: &str, order: &Value) -> Value {
    let receiver = Receiver::start().await;
    let yaml = receiver.fill(&format!("channels:\n  - name: erp\n{}", indent(keys)));
    let service = Service::start(&yaml).await;
    let answer = service.api.order(order).await;
    let delivery = service.api.settled(&delivery_to(&answer, "erp")).await;
    assert_eq!(delivery["status"], "failed", "{delivery:#}");
    assert_eq!(delivery["attempts"][0]["code"], -2000, "{delivery:#}");
    assert_eq!(delivery["attempts"].as_array().map(Vec::len), Some(1), "another attempt could not go better");
    assert!(!text(&delivery["attempts"][0], "error").is_empty());
    assert_eq!(receiver.count(), 0);
    service.stop().await;
    delivery
}

fn indent(keys: &str) -> String {
    keys.lines().flat_map(|line| ["    ", line, "\n"]).collect()
}

#[tokio::test]
async fn without_a_body_the_order_travels_in_the_standard_envelope_byte_for_byte() {
    let bytes = br#"{ "id" : "A-\u0031",  "total": 1.50e1, "big": 123456789012345678901234567890 }"#;
    let (request, delivery) = sent("url: RECEIVER/erp", bytes).await;
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/erp"));
    assert!(request.text().contains(std::str::from_utf8(bytes).expect("UTF-8")), "{request}");
    let body = request.json();
    let keys: Vec<_> = body.as_object().expect("an object").keys().cloned().collect();
    assert_eq!(keys, ["type", "timestamp", "data"]);
    assert_eq!(body["type"], "order.completed");
    assert_eq!(body["timestamp"], "2026-01-31T12:00:00.000Z");
    let keys: Vec<_> = body["data"].as_object().expect("an object").keys().cloned().collect();
    assert_eq!(keys, ["order", "context", "metadata", "steps"]);
    assert_eq!(body["data"]["context"], json!({}));
    assert_eq!(body["data"]["steps"], json!([]));
    assert_eq!(body["data"]["metadata"]["order_id"], "A-1");
    assert!(text(&body["data"]["metadata"], "id").starts_with("ord_"));
    let recorded = text(&delivery["attempts"][0]["request"], "body");
    assert_eq!(recorded, request.text(), "the history shows what was sent");
}

#[tokio::test]
async fn every_request_says_who_sends_what() {
    let (request, delivery) =
        sent("url: RECEIVER/erp\nheaders: {X-Shop: acme, X-Order: '{{ order.id }}'}", br#"{"id": "A-1"}"#).await;
    assert_eq!(request.expect_header("user-agent"), format!("orderhook/{}", env!("CARGO_PKG_VERSION")));
    assert!(request.expect_header("content-type").starts_with("application/json"));
    assert_eq!(request.header("x-shop"), Some("acme"));
    assert_eq!(request.header("x-order"), Some("A-1"));
    let id = request.expect_header("webhook-id");
    assert_eq!(request.header("idempotency-key"), Some(id));
    assert_eq!(id, text(&delivery, "id"));
    let trace: Vec<&str> = request.expect_header("traceparent").split('-').collect();
    let lengths: Vec<usize> = trace.iter().map(|part| part.len()).collect();
    assert_eq!((trace[0], lengths.as_slice()), ("00", [2, 32, 16, 2].as_slice()), "{request}");
    assert!(trace.iter().all(|part| part.chars().all(|c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase())));
    assert!(trace[1].chars().any(|c| c != '0') && trace[2].chars().any(|c| c != '0'), "{trace:?}");
}

#[tokio::test]
async fn a_retry_carries_the_same_id_and_body() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::status(503), Reply::Close, Reply::status(200)]);
    let service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]")).await;
    let first = service.api.order(&json!({"id": "A-1"})).await;
    let second = service.api.order(&json!({"id": "A-1"})).await;
    service.play_out(&delivery_to(&first, "erp")).await;
    service.play_out(&delivery_to(&second, "erp")).await;
    let requests = receiver.requests();
    assert_eq!(requests.len(), 4, "two failed");
    for order in [&first, &second] {
        let id = delivery_to(order, "erp");
        let of_it: Vec<_> = requests.iter().filter(|request| request.header("webhook-id") == Some(&id)).collect();
        assert!(!of_it.is_empty());
        assert!(
            of_it.iter().all(|request| request.body == of_it[0].body && request.header("idempotency-key") == Some(&id))
        );
    }
    service.stop().await;
}

#[tokio::test]
async fn parameters_are_the_body_of_a_post_in_their_order() {
    let keys = "url: RECEIVER/erp\nparameters: {Zeta: '{{ order.account.id }}', alpha: fixed, count: 3, flag: true, none: null}";
    let (request, _) = sent(keys, br#"{"id": "A-1", "account": {"id": "a\"c\\c\n1"}}"#).await;
    let expected = json!({"Zeta": "a\"c\\c\n1", "alpha": "fixed", "count": 3, "flag": true, "none": null});
    assert_eq!(request.json(), expected);
    let names: Vec<_> = request.json().as_object().expect("an object").keys().cloned().collect();
    assert_eq!(names, ["Zeta", "alpha", "count", "flag", "none"]);
}

#[tokio::test]
async fn numbers_in_parameters_keep_the_digits_of_the_file() {
    let fields = "parameters: {order_no: 20261129000000000001, price: 1.10, n: -3}";
    let order = br#"{"id": "A-1"}"#;
    let (request, _) = sent(&format!("url: RECEIVER/erp\n{fields}"), order).await;
    assert_eq!(request.text(), r#"{"order_no":20261129000000000001,"price":1.10,"n":-3}"#);
    let (request, _) = sent(&format!("url: RECEIVER/erp\nformat: form\n{fields}"), order).await;
    assert_eq!(request.text(), "order_no=20261129000000000001&price=1.10&n=-3");
    let (request, _) = sent(&format!("url: RECEIVER/erp\nmethod: GET\n{fields}"), order).await;
    assert_eq!(request.query(), Some("order_no=20261129000000000001&price=1.10&n=-3"));
    let (request, _) = sent(&format!("url: RECEIVER/erp\nformat: xml\n{fields}"), order).await;
    assert!(request.text().contains("<price>1.10</price>"), "{}", request.text());
}

#[tokio::test]
async fn a_payload_says_what_is_sent_without_a_body() {
    let bytes = br#"{ "id" : "A-\u0031",  "total": 1.50e1 }"#;
    let (request, delivery) = sent("url: RECEIVER/erp\npayload: order", bytes).await;
    assert_eq!(request.body, bytes, "the order, byte for byte");
    assert_eq!(request.expect_header("content-type"), "application/json");
    assert_eq!(text(&delivery["attempts"][0]["request"], "body").as_bytes(), bytes);
    let (request, delivery) = sent("url: RECEIVER/erp\npayload: parameters", bytes).await;
    assert_eq!(request.text(), "{}");
    assert_eq!(delivery["attempts"][0]["request"]["body"], "{}");
    let (request, _) = sent("url: RECEIVER/erp\npayload: order\nparameters: {a: 1}", bytes).await;
    assert_eq!(request.json(), json!({"a": 1}), "parameters are the body wherever there are any");
    let (request, _) = sent("url: RECEIVER/erp\npayload: order\nmethod: GET", bytes).await;
    assert!(request.body.is_empty());
}

#[tokio::test]
async fn parameters_are_the_query_of_a_get() {
    let keys = "url: RECEIVER/erp?fixed=1\nmethod: GET\nparameters: {id: '{{ order.id }}', q: 'a b&c=d/é'}";
    let (request, _) = sent(keys, br#"{"id": "A 1&x=y"}"#).await;
    assert_eq!(request.method, "GET");
    assert_eq!(request.path(), "/erp");
    let query = request.query().expect("a query").replace('+', "%20");
    assert_eq!(query, "fixed=1&id=A%201%26x%3Dy&q=a%20b%26c%3Dd%2F%C3%A9");
    assert!(request.body.is_empty());
}

#[tokio::test]
async fn every_method_goes_out_as_configured() {
    for method in ["PUT", "PATCH", "DELETE"] {
        let (request, _) = sent(&format!("url: RECEIVER/erp\nmethod: {method}"), br#"{"id": "A-1"}"#).await;
        assert_eq!(request.method, method);
    }
}

#[tokio::test]
async fn a_body_of_ones_own_cannot_be_broken_out_of() {
    let keys = concat!(
        "url: RECEIVER/erp\n",
        r#"body: '{"id": "{{ order.id }}", "total": {{ order.total }}, "items": {{ order.items }}, "missing": "{{ order.none }}", "event": "{{ event.type }}"}'"#
    );
    let order = json!({"id": "x\", \"admin\": \"true\n\u{1}", "total": 12.50, "items": [{"a": "\"b\""}]});
    let (request, _) = sent(keys, order.to_string().as_bytes()).await;
    let body = request.json();
    assert_eq!(body["id"], order["id"]);
    assert_eq!(body["total"], order["total"]);
    assert_eq!(body["items"], order["items"]);
    assert_eq!(body["event"], "order.completed");
    assert_eq!(body.get("admin"), None, "{request}");
}

#[tokio::test]
async fn what_is_filled_into_a_url_is_percent_encoded() {
    let keys = "url: RECEIVER/hooks/{{ order.id }}/x?name={{ order.name }}";
    let (request, _) = sent(keys, r#"{"id": "../a b/c?d#e%2F", "name": "x&y=z é"}"#.as_bytes()).await;
    assert_eq!(request.target, "/hooks/..%2Fa%20b%2Fc%3Fd%23e%252F/x?name=x%26y%3Dz%20%C3%A9");
}

#[tokio::test]
async fn templates_know_the_order_the_event_the_delivery_and_the_time() {
    let keys = concat!(
        "url: RECEIVER/erp\n",
        "parameters:\n",
        "  order: '{{ order.id }}'\n",
        "  event: '{{ event.id }}'\n",
        "  type: '{{ event.type }}'\n",
        "  delivery: '{{ delivery.id }}'\n",
        "  email: '{{ customer_email }}'\n",
        "  link: '{{ order_url }}'\n",
        "  now: '{{ now }}'\n",
    );
    let (request, delivery) = sent(keys, br#"{"id": "A-1", "customer": {"email": "a@example.com"}}"#).await;
    let body = request.json();
    assert_eq!(body["order"], "A-1");
    assert!(!text(&body, "event").is_empty());
    assert_eq!(body["type"], "order.completed");
    assert_eq!(body["delivery"], delivery["id"]);
    assert_eq!(body["email"], "a@example.com");
    assert!(text(&body, "link").contains("/v1/orders/ord_"), "{body}");
    assert!(text(&body, "now").starts_with("2026-01-31T12:00:00"), "{body}");
}

#[tokio::test]
async fn a_header_value_cannot_bring_in_a_second_header() {
    let receiver = Receiver::start().await;
    let yaml = receiver.fill("channels: [{name: erp, url: RECEIVER/erp, headers: {X-Name: '{{ order.name }}'}}]");
    let service = Service::start(&yaml).await;
    let answer = service.api.order(&json!({"id": "A-1", "name": "a\r\nX-Evil: 1"})).await;
    let delivery = service.api.settled(&delivery_to(&answer, "erp")).await;
    for request in receiver.requests() {
        assert_eq!(request.header("x-evil"), None, "{request}");
    }
    if receiver.count() == 0 {
        assert_eq!(delivery["attempts"][0]["code"], -2000);
    }
    service.stop().await;
}

#[tokio::test]
async fn a_url_with_a_field_that_the_order_lacks_is_never_sent() {
    unsent("url: RECEIVER/hooks/{{ order.none }}", &json!({"id": "A-1"})).await;
}

#[tokio::test]
async fn a_body_that_is_no_json_after_filling_is_never_sent() {
    unsent("url: RECEIVER/erp\nbody: '{\"total\": {{ order.total }} }'", &json!({"id": "A-1"})).await;
}

#[tokio::test]
async fn credentials_go_out_and_are_masked_in_the_history() {
    for (auth, header, value) in [
        ("{type: bearer, token: t0ps3cret}", "authorization", "Bearer t0ps3cret"),
        (
            "{type: basic, username: Aladdin, password: 'open sesame', preemptive: true}",
            "authorization",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        ),
        (
            "{type: basic, username: jürgen, password: 'pä:ss', preemptive: true}",
            "authorization",
            "Basic asO8cmdlbjpww6Q6c3M=",
        ),
        ("{type: header, name: X-Api-Key, value: t0ps3cret}", "x-api-key", "t0ps3cret"),
    ] {
        let (request, delivery) = sent(&format!("url: RECEIVER/erp\nauth: {auth}"), br#"{"id": "A-1"}"#).await;
        assert_eq!(request.header(header), Some(value), "{auth}");
        let record = delivery.to_string();
        for secret in ["t0ps3cret", "open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "asO8cmdlbjpww6Q6c3M="] {
            assert!(!record.contains(secret), "{secret} in {delivery:#}");
        }
        assert!(record.to_lowercase().contains(header), "the header itself is on record: {delivery:#}");
    }
}

#[tokio::test]
async fn without_auth_no_credentials_go_out() {
    let (request, _) = sent("url: RECEIVER/erp\nauth: {type: none}", br#"{"id": "A-1"}"#).await;
    assert_eq!(request.header("authorization"), None);
}

#[tokio::test]
async fn connections_are_used_again() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp, concurrency: 1}]")).await;
    for number in 0..20 {
        let order = service.api.order(&json!({"id": number})).await;
        service.api.settled(&delivery_to(&order, "erp")).await;
    }
    assert_eq!(receiver.count(), 20);
    assert!(receiver.connections() <= 4, "{} connections for 20 requests", receiver.connections());
    service.stop().await;
}
