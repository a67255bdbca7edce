//! The request of `calloutPlugin`, and its result for each kind of response.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Home, Service, text};
use crate::receiver::{ClosedPort, Receiver, Reply};

/// The block of the vendor's documentation, as it stands there.
const VENDORS_BLOCK: &str = r#"{
"critical": true,
"name": "calloutPlugin",
"options": {
"endpoint": "https://example.com/endpoint", "timeoutValue": 2000, "shouldRejectOn": { "status": [404] }
}
}"#;

#[tokio::test]
async fn a_callout_whose_path_a_value_would_change_is_not_made() {
    let receiver = Receiver::start().await;
    let yaml = receiver.fill(
        "chains: [{name: all, plugins: [{name: calloutPlugin, critical: true, id: step, options: {endpoint: 'RECEIVER/orders/{{ order.id }}/close'}}]}]",
    );
    let service = Service::start(&yaml).await;
    for (id, said) in [("..", "makes `..` a segment"), ("%2e", "makes `.` a segment")] {
        let answer = service.api.post("/v1/orders", &json!({"id": id})).await;
        assert_eq!(answer.status, 502, "{answer}");
        assert!(answer.to_string().contains(said), "{answer}");
    }
    assert_eq!(receiver.count(), 0);
    service.stop().await;
}

/// One critical callout named `step` with these options.
fn one_step(receiver: &Receiver, options: &str) -> String {
    receiver.fill(&format!(
        "chains: [{{name: all, plugins: [{{critical: true, name: calloutPlugin, id: step, options: {{endpoint: RECEIVER/step{options}}}}}]}}]"
    ))
}

/// Indents a block so that it can stand as an element of a list in YAML.
fn as_element(block: &str) -> String {
    block.replace('\n', "\n        ")
}

fn load(yaml: &str) -> orderhook::config::settings::Settings {
    let home = Home::new();
    let environment = orderhook::config::Environment::default();
    orderhook::config::load(&home.configure(yaml), &environment).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn the_vendors_block_is_taken_unchanged() {
    let yaml = format!("chains:\n  - name: limio\n    plugins:\n      - {}\n", as_element(VENDORS_BLOCK));
    let settings = load(&yaml);
    let step = &settings.chains[0].plugins[0];
    assert_eq!(step.plugin, "calloutPlugin");
    assert_eq!(step.id, "calloutPlugin-1");
    assert!(step.critical);
    let orderhook::config::settings::PluginOptions::Callout(options) = &step.options;
    assert_eq!(options.endpoint.source(), "https://example.com/endpoint");
    assert_eq!(options.timeout, Duration::from_secs(2));
    assert_eq!(options.reject_on, [orderhook::domain::Class::Status(404)]);
}

#[tokio::test]
async fn the_vendors_block_runs_as_its_document_says() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::status(200), Reply::status(404)]);
    let block = VENDORS_BLOCK.replace("https://example.com", &receiver.url(""));
    let yaml = format!("chains:\n  - name: limio\n    plugins:\n      - {}\n", as_element(&block));
    let service = Service::start(&yaml).await;
    service.api.post("/v1/orders", &json!({"id": 1})).await.expect(201);
    let problem = service.api.post("/v1/orders", &json!({"id": 2})).await.problem(422);
    assert_eq!(problem["detail"], "callout plugin failed due to response status: [404]");
    assert_eq!(problem["step"], "calloutPlugin-1");
    assert_eq!(receiver.requests()[0].path(), "/endpoint");
    service.stop().await;
}

#[test]
fn a_callout_without_a_timeout_value_has_two_seconds() {
    let settings =
        load("chains: [{name: all, plugins: [{name: calloutPlugin, options: {endpoint: 'http://localhost/'}}]}]");
    let orderhook::config::settings::PluginOptions::Callout(options) = &settings.chains[0].plugins[0].options;
    assert_eq!(options.timeout, Duration::from_secs(2));
    assert!(!settings.chains[0].plugins[0].critical, "not critical unless it says so");
}

#[tokio::test]
async fn the_payload_holds_the_bytes_received_the_context_and_metadata() {
    let receiver = Receiver::start().await;
    receiver.on("/first", [Reply::json(200, &json!({"userId": "u-7"}))]);
    let yaml = receiver.fill(
        r"
chains:
  - name: new-orders
    plugins:
      - {critical: true, name: calloutPlugin, id: first, options: {endpoint: RECEIVER/first}}
      - {critical: true, name: calloutPlugin, id: second, options: {endpoint: RECEIVER/second}}
",
    );
    let service = Service::start(&yaml).await;
    let bytes = br#"{ "type":"new",  "id" : "A-\u0031",
  "total": 1.50e1, "big": 123456789012345678901234567890, "name": "Z\u00fcrich \"x\" " }"#;
    let answer = service.api.post_bytes("/v1/orders", bytes).await.expect(201);
    let id = text(&answer, "id");

    let first = receiver.next().await;
    assert_eq!(first.method, "POST");
    assert!(first.expect_header("content-type").starts_with("application/json"), "{first}");
    assert_eq!(first.header("idempotency-key"), Some(format!("{id}-first").as_str()));
    assert!(first.expect_header("user-agent").starts_with("orderhook/"), "{first}");
    let sent = std::str::from_utf8(bytes).expect("UTF-8");
    assert!(first.text().starts_with(&format!("{{\"order\":{sent},\"context\":{{}},\"metadata\":{{")), "{first}");
    let body = first.json();
    let keys: Vec<_> = body.as_object().expect("an object").keys().cloned().collect();
    assert_eq!(keys, ["order", "context", "metadata"]);
    let metadata = &body["metadata"];
    let keys: Vec<_> = metadata.as_object().expect("an object").keys().cloned().collect();
    assert_eq!(keys, ["id", "order_id", "type", "received_at", "chain", "step", "attempt"]);
    assert_eq!(metadata["id"], id);
    assert_eq!(metadata["order_id"], "A-1");
    assert_eq!(metadata["type"], "new");
    assert_eq!(metadata["received_at"], "2026-01-31T12:00:00.000Z");
    assert_eq!(metadata["chain"], "new-orders");
    assert_eq!(metadata["step"], "first");
    assert_eq!(metadata["attempt"], 1);

    let second = receiver.next().await;
    assert_eq!(second.json()["context"], json!({"first": {"userId": "u-7"}, "userId": "u-7"}));
    assert_eq!(second.header("idempotency-key"), Some(format!("{id}-second").as_str()));
    service.stop().await;
}

#[tokio::test]
async fn a_kept_connection_that_closes_just_then_rejects_no_order() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::status(200), Reply::Close, Reply::status(200)]);
    let service = Service::start(&one_step(&receiver, "")).await;
    service.api.order(&json!({"id": "A-1"})).await;
    let id = text(&service.api.order(&json!({"id": "A-2"})).await, "id").to_owned();
    let requests = receiver.requests();
    assert_eq!(requests.iter().map(|request| request.connection).collect::<Vec<_>>(), [1, 1, 2]);
    assert_eq!(requests[1].header("idempotency-key"), Some(format!("{id}-step").as_str()));
    assert_eq!(requests[1].header("idempotency-key"), requests[2].header("idempotency-key"));
    let steps = &service.api.order_detail("A-2").await["steps"];
    assert_eq!((steps.as_array().map(Vec::len), steps[0]["code"].as_i64()), (Some(1), Some(200)), "{steps:#}");
    service.stop().await;
}

#[tokio::test]
async fn payload_order_sends_the_bare_order() {
    let receiver = Receiver::start().await;
    let service = Service::start(&one_step(&receiver, ", payload: order")).await;
    let bytes = br#"{ "id":"A-1",   "total":1.0 }"#;
    service.api.post_bytes("/v1/orders", bytes).await.expect(201);
    assert_eq!(receiver.next().await.body, bytes);
    service.stop().await;
}

#[tokio::test]
async fn a_body_of_ones_own_is_filled_and_escaped() {
    let receiver = Receiver::start().await;
    receiver.on("/users", [Reply::json(200, &json!({"userId": "a\"b\\c\nd"}))]);
    let yaml = receiver.fill(
        r#"
chains:
  - name: new-orders
    plugins:
      - {critical: true, name: calloutPlugin, id: users, options: {endpoint: RECEIVER/users}}
      - name: calloutPlugin
        id: billing
        critical: true
        options:
          endpoint: RECEIVER/accounts/{{ order.region }}
          method: PUT
          body: '{"accountNumber": "{{ context.userId }}", "total": {{ order.total }}, "email": "{{ customer_email }}"}'
          headers: {X-Tenant: acme, X-Order: "{{ order.id }}"}
          auth: {type: bearer, token: s3cret}
"#,
    );
    let service = Service::start(&yaml).await;
    let order = json!({"id": "A-1", "region": "eu west/1", "total": 12.5, "customer": {"email": "a@example.com"}});
    service.api.post("/v1/orders", &order).await.expect(201);
    let request = receiver.wait_for(2).await.remove(1);
    assert_eq!(request.method, "PUT");
    assert_eq!(request.target, "/accounts/eu%20west%2F1");
    assert_eq!(request.json(), json!({"accountNumber": "a\"b\\c\nd", "total": 12.5, "email": "a@example.com"}));
    assert_eq!(request.header("x-tenant"), Some("acme"));
    assert_eq!(request.header("x-order"), Some("A-1"));
    assert_eq!(request.header("authorization"), Some("Bearer s3cret"));
    service.stop().await;
}

#[tokio::test]
async fn a_step_can_authenticate_in_every_way_a_channel_can() {
    for (auth, header, value) in [
        (
            "{type: basic, username: Aladdin, password: 'open sesame', preemptive: true}",
            "authorization",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        ),
        ("{type: header, name: X-Api-Key, value: k3y}", "x-api-key", "k3y"),
    ] {
        let receiver = Receiver::start().await;
        let service = Service::start(&one_step(&receiver, &format!(", auth: {auth}"))).await;
        service.api.post("/v1/orders", &json!({"id": 1})).await.expect(201);
        assert_eq!(receiver.next().await.header(header), Some(value), "{auth}");
        service.stop().await;
    }
}

#[tokio::test]
async fn a_listed_status_or_class_fails_with_the_status_that_came() {
    for (listed, status, fails) in [
        ("[404]", 404, true),
        ("[404, 409]", 409, true),
        ("[5xx]", 503, true),
        ("[4xx, 5xx]", 418, true),
        ("[404]", 500, false),
        ("[5xx]", 404, false),
        ("[404]", 302, false),
    ] {
        let receiver = Receiver::start().await;
        receiver.answer([Reply::status(status)]);
        let service = Service::start(&one_step(&receiver, &format!(", shouldRejectOn: {{status: {listed}}}"))).await;
        let answer = service.api.post("/v1/orders", &json!({"id": "A-1"})).await;
        let record = service.api.order_detail("A-1").await;
        assert_eq!(record["steps"][0]["code"], status, "{listed}");
        if fails {
            let detail = format!("callout plugin failed due to response status: [{status}]");
            assert_eq!(answer.problem(422)["detail"], detail.as_str(), "{listed}");
            assert_eq!(record["steps"][0]["error"], detail.as_str());
            assert_eq!(record["steps"][0]["status"], "failed");
            assert_eq!(record["status"], "rejected");
        } else {
            assert_eq!(answer.expect(201)["steps"][0]["status"], "passed", "{listed} and {status}");
            assert_eq!(record["status"], "completed");
        }
        assert_eq!(receiver.count(), 1, "a callout is not retried, nor a redirect followed");
        service.stop().await;
    }
}

#[tokio::test]
async fn a_callout_past_its_time_is_aborted() {
    for reply in
        [Reply::HangBeforeHead, Reply::HangInBody, Reply::Drip(Duration::from_millis(20)), Reply::EndlessHeaders]
    {
        let receiver = Receiver::start().await;
        let what = format!("{reply:?}");
        let endless = matches!(reply, Reply::EndlessHeaders);
        receiver.answer([reply]);
        let service = Service::ticking(&one_step(&receiver, ", timeoutValue: 250")).await;
        let begun = Instant::now();
        let answer = service.api.post("/v1/orders", &json!({"id": "A-1"})).await;
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        if endless {
            assert!(matches!(answer.status, 502 | 504), "{what}: {answer}");
        } else {
            let problem = answer.problem(504);
            assert_eq!(problem["detail"], "This operation was aborted", "{what}");
            assert_eq!(problem["step"], "step");
            let record = service.api.order_detail("A-1").await;
            assert_eq!(record["status"], "rejected");
            assert_eq!(record["steps"][0]["code"], -5, "{what}");
            assert_eq!(record["steps"][0]["error"], "This operation was aborted");
        }
        service.stop().await;
    }
}

#[tokio::test]
async fn a_callout_without_a_response_fails_with_its_cause() {
    let closed = ClosedPort::new();
    let endpoint = closed.url("/step");
    let yaml = format!(
        "chains: [{{name: all, plugins: [{{critical: true, name: calloutPlugin, id: step, options: {{endpoint: '{endpoint}'}}}}]}}]"
    );
    let service = Service::start(&yaml).await;
    let problem = service.api.post("/v1/orders", &json!({"id": "A-1"})).await.problem(502);
    assert_eq!(problem["step"], "step");
    let detail = text(&problem, "detail").to_lowercase();
    assert!(detail.contains("refused") || detail.contains("connect"), "the cause, not {detail}");
    assert_eq!(service.api.order_detail("A-1").await["steps"][0]["code"], -1);
    service.stop().await;

    for (reply, code) in [(Reply::Garbage, -6), (Reply::Close, -6), (Reply::Reset, -6), (Reply::ShortBody, -6)] {
        let receiver = Receiver::start().await;
        let what = format!("{reply:?}");
        receiver.answer([reply]);
        let service = Service::start(&one_step(&receiver, "")).await;
        let problem = service.api.post("/v1/orders", &json!({"id": "A-1"})).await.problem(502);
        let record = service.api.order_detail("A-1").await;
        assert_eq!(record["steps"][0]["code"], code, "{what}: {problem}");
        assert_eq!(record["steps"][0]["error"], problem["detail"], "{what}");
        service.stop().await;
    }
}

#[tokio::test]
async fn a_name_without_an_address_fails_the_callout() {
    let yaml = "chains: [{name: all, plugins: [{critical: true, name: calloutPlugin, id: step, options: {endpoint: 'http://no-such-host.invalid/', timeoutValue: 20000}}]}]";
    let service = Service::start(yaml).await;
    service.api.post("/v1/orders", &json!({"id": "A-1"})).await.problem(502);
    assert_eq!(service.api.order_detail("A-1").await["steps"][0]["code"], -2);
    service.stop().await;
}

#[tokio::test]
async fn responses_become_context_by_step_by_name_and_by_pointer() {
    let receiver = Receiver::start().await;
    let first =
        json!({"userId": "u-7", "score": 12, "vip": true, "tags": ["a"], "account": {"id": "acc-1", "level": 3}});
    receiver.on("/first", [Reply::json(200, &first)]);
    receiver.on("/second", [Reply::json(200, &json!({"userId": "other", "extra": "e"}))]);
    receiver.on("/third", [Reply::body(200, "text/plain", "not JSON")]);
    let yaml = receiver.fill(
        r"
chains:
  - name: new-orders
    plugins:
      - {critical: true, name: calloutPlugin, id: first, options: {endpoint: RECEIVER/first, capture: {accountId: /account/id, level: /account/level, absent: /no/where}}}
      - {critical: true, name: calloutPlugin, id: second, options: {endpoint: RECEIVER/second}}
      - {critical: true, name: calloutPlugin, id: third, options: {endpoint: RECEIVER/third}}
channels: [{name: erp, url: RECEIVER/erp}]
",
    );
    let service = Service::start(&yaml).await;
    let answer = service.api.post("/v1/orders", &json!({"id": "A-1"})).await.expect(201);
    let context = &answer["context"];
    assert_eq!(context["first"], first, "the whole response under the step's id");
    assert_eq!(context["userId"], "u-7", "a name that is taken stays");
    assert_eq!(context["second"]["userId"], "other");
    assert_eq!(context["score"], 12);
    assert_eq!(context["extra"], "e");
    assert_eq!(context["accountId"], "acc-1");
    assert_eq!(context["level"], 3);
    for absent in ["vip", "tags", "account", "absent", "third"] {
        assert_eq!(context.get(absent), None, "{absent} in {context:#}");
    }
    let delivered = receiver.wait_for_on("/erp", 1).await.remove(0);
    assert_eq!(delivered.json()["data"]["context"], *context);
    service.api.all_settled().await;
    assert_eq!(service.api.order_detail("A-1").await["context"], *context);
    service.stop().await;
}

#[tokio::test]
async fn a_field_that_the_callout_needs_and_the_order_lacks_fails_it_unsent() {
    let receiver = Receiver::start().await;
    let yaml = receiver.fill(
        "chains: [{name: all, plugins: [{critical: true, name: calloutPlugin, id: step, options: {endpoint: 'RECEIVER/{{ order.region }}'}}]}]",
    );
    let service = Service::start(&yaml).await;
    let answer = service.api.post("/v1/orders", &json!({"id": "A-1"})).await;
    assert!(answer.status >= 400, "{answer}");
    let record = service.api.order_detail("A-1").await;
    assert_eq!(record["steps"][0]["code"], -2000);
    assert_eq!(record["status"], "rejected");
    assert_eq!(receiver.count(), 0);
    service.stop().await;
}

#[tokio::test]
async fn a_critical_failure_is_the_same_problem_for_whoever_asks_again() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::status(404)]);
    let service = Service::start(&one_step(&receiver, ", shouldRejectOn: {status: [404]}")).await;
    let first = service.api.post_with_key("/v1/orders", "key-1", &json!({"id": "A-1"})).await;
    let again = service.api.post_with_key("/v1/orders", "key-1", &json!({"id": "A-1"})).await;
    assert_eq!(first.problem(422), again.problem(422));
    assert_eq!(first.header("idempotency-replayed"), None);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(receiver.count(), 1);
    let all: Vec<Value> = service.api.list("/v1/orders").await;
    assert_eq!(all.len(), 1);
    service.stop().await;
}
