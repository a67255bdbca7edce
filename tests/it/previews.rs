//! Preview and test of channels: `POST /v1/channels/{name}/preview` and `/test`, `orderhook preview` and `test`.

use serde_json::{Value, json};

use crate::harness::{Home, Service, binary, delivery_to, run, text};
use crate::receiver::{Receiver, Reply};

/// A channel of every preset, as somebody would write it down first.
const CHANNELS: &str = "\
channels:
  - {name: a-standard, url: 'RECEIVER/standard/{{ order.id }}', auth: {type: bearer, token: s3cr3t-Tok}, headers: {X-Api-Key: s3cr3t-Key}}
  - {name: a-zuora, preset: zuora, url: 'RECEIVER/zuora/<DataSource.Account.Id>', url_rules: {https: false, port: true},
     parameters: {AccountId: <DataSource.Account.Id>, SubscriptionId: <DataSource.Subscription.Id>}}
  - {name: an-orderful, preset: orderful, url: RECEIVER/orderful}
  - {name: a-secutix, preset: secutix, method: GET, url: 'RECEIVER/secutix/${orderId}'}
  - {name: a-fulfillment, preset: fulfillment, url: RECEIVER/fulfillment, products: [OTHER-PRODUCT], multibuy: separate}
";

const NAMES: [&str; 5] = ["a-standard", "a-zuora", "an-orderful", "a-secutix", "a-fulfillment"];

async fn nothing_is_stored(service: &Service) {
    for list in ["/v1/orders", "/v1/deliveries"] {
        assert_eq!(service.api.list(list).await, Vec::<Value>::new(), "{list}");
    }
}

#[tokio::test]
async fn every_preset_can_be_previewed_with_its_sample_order_and_nothing_goes_out() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill(CHANNELS)).await;
    for name in NAMES {
        let shown = service.api.call("POST", &format!("/v1/channels/{name}/preview"), &[], b"").await.expect(200);
        assert!(text(&shown, "url").starts_with(&receiver.url("")), "{shown:#}");
        assert!(matches!(text(&shown, "method"), "GET" | "POST"), "{shown:#}");
        assert!(text(&shown["headers"], "webhook-id").starts_with("dlv_"), "{shown:#}");
        assert!(text(&shown["headers"], "user-agent").starts_with("orderhook/"), "{shown:#}");
        assert!(!shown.to_string().contains("s3cr3t"), "secrets are masked: {shown:#}");
        assert_eq!(shown.get("skipped"), None, "the sample suits the channel: {shown:#}");
    }
    let zuora = service.api.call("POST", "/v1/channels/a-zuora/preview", &[], b"").await.expect(200);
    let body: Value = serde_json::from_str(text(&zuora, "body")).unwrap();
    assert_eq!(body, json!({ "AccountId": "A-42", "SubscriptionId": "S-77" }));
    let fulfillment = service.api.call("POST", "/v1/channels/a-fulfillment/preview", &[], b"").await.expect(200);
    assert!(text(&fulfillment, "body").contains("product_id=OTHER-PRODUCT"), "{fulfillment:#}");
    assert_eq!(fulfillment["deliveries"], 2, "one for each unit: {fulfillment:#}");
    nothing_is_stored(&service).await;
    assert_eq!(receiver.count(), 0);
    service.stop().await;
}

#[tokio::test]
async fn a_preview_is_the_request_that_the_order_makes() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill(CHANNELS)).await;
    let order = json!({ "id": "A 1", "note": "ü", "Account": { "Id": "x/y" } });
    for name in ["a-standard", "a-zuora", "an-orderful"] {
        let shown = service.api.post(&format!("/v1/channels/{name}/preview"), &order).await.expect(200);
        let tested = service.api.post(&format!("/v1/channels/{name}/test"), &order).await.expect(200);
        let sent = receiver.next().await;
        assert_eq!(text(&shown, "method"), sent.method);
        assert!(text(&shown, "url").ends_with(&sent.target), "{shown:#}\n{sent}");
        let names = |shown: &Value| -> Vec<String> {
            shown["headers"].as_object().unwrap().keys().map(|name| name.to_ascii_lowercase()).collect()
        };
        for header in names(&shown) {
            assert!(sent.header(&header).is_some(), "{name}: {header} is not in\n{sent}");
        }
        assert_eq!(names(&shown), names(&tested["request"]), "{name}");
        let plain = |text: &str| text.split("ord_").next().unwrap().to_owned();
        assert_eq!(plain(text(&shown, "body")), plain(sent.text()), "{name}");
    }
    nothing_is_stored(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn a_test_sends_once_and_shows_what_came_back() {
    let receiver = Receiver::start().await;
    receiver.on("/standard/SO-1001", [Reply::body(503, "text/plain", "come back later").with_header("X-Why", "tea")]);
    let service = Service::start(&receiver.fill(CHANNELS)).await;
    let tested = service.api.call("POST", "/v1/channels/a-standard/test", &[], b"").await.expect(200);
    assert_eq!((&tested["code"], &tested["outcome"]), (&json!(503), &json!("retry")), "{tested:#}");
    assert_eq!(tested["response"]["body"], "come back later");
    assert_eq!(
        tested["response"]["headers"]["x-why"].as_str().or(tested["response"]["headers"]["X-Why"].as_str()),
        Some("tea")
    );
    assert!(text(&tested["request"], "url").ends_with("/standard/SO-1001"));
    assert!(!tested.to_string().contains("s3cr3t"), "{tested:#}");
    assert_eq!(receiver.next().await.header("authorization"), Some("Bearer s3cr3t-Tok"));
    nothing_is_stored(&service).await;
    // Nor is anything tried again, or counted.
    service.clock.advance(std::time::Duration::from_secs(86_400));
    let answer = service.api.order(&json!({ "id": "A-1" })).await;
    service.api.settled(&delivery_to(&answer, "a-standard")).await;
    assert_eq!(receiver.count_on("/standard/SO-1001"), 1);
    service.stop().await;
}

#[tokio::test]
async fn what_cannot_be_tried_is_told() {
    let service = Service::start(
        "channels:\n  - {name: strict, url: 'http://127.0.0.1:9/{{ order.tenant.id }}', when: order.total > 5}\n\
         \x20 - {name: closed, url: 'http://127.0.0.1:9/', events: [invoice.*]}",
    )
    .await;
    let call = |target: &'static str, body: &'static str| {
        let api = service.api.clone();
        async move { api.call("POST", target, &[("Content-Type", "application/json")], body.as_bytes()).await }
    };
    let problem = call("/v1/channels/nobody/preview", "{}").await.problem(404);
    assert!(text(&problem, "detail").contains("nobody"), "{problem:#}");
    call("/v1/channels/strict/preview", "[1]").await.problem(400);
    call("/v1/channels/strict/test", "{").await.problem(400);
    let problem = call("/v1/channels/strict/preview", "{}").await.problem(422);
    assert!(text(&problem, "detail").contains("url"), "{problem:#}");
    // A test that cannot be built is an attempt that says so.
    let tested = call("/v1/channels/strict/test", "{}").await.expect(200);
    assert_eq!((&tested["code"], &tested["outcome"]), (&json!(-2000), &json!("failed")), "{tested:#}");
    let tested = call("/v1/channels/closed/test", "{}").await.expect(200);
    assert!(tested["code"].as_i64().unwrap() < 0 && tested["response"].is_null(), "{tested:#}");
    // An order that the channel would not get is tried all the same, and the reason is told.
    let shown = call("/v1/channels/strict/preview", r#"{"total": 1, "tenant": {"id": 7}}"#).await.expect(200);
    assert_eq!(shown["skipped"]["reason"], "when", "{shown:#}");
    assert!(text(&shown, "url").ends_with("/7"), "{shown:#}");
    service.stop().await;
}

#[tokio::test]
async fn trials_need_the_scope_manage() {
    let service = Service::start(
        "server: {tokens: [{name: viewer, token: v1ew, scopes: [read]}, {name: boss, token: b0ss, scopes: [manage]}]}\n\
         channels: [{name: erp, url: 'http://127.0.0.1:9/'}]",
    )
    .await;
    for target in ["/v1/channels/erp/preview", "/v1/channels/erp/test"] {
        service.api.post(target, &json!({})).await.problem(401);
        service.api.with_token("v1ew").post(target, &json!({})).await.problem(403);
        service.api.with_token("b0ss").post(target, &json!({})).await.expect(200);
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_previews_and_tests_without_a_service() {
    let receiver = Receiver::start().await;
    receiver.on("/fulfillment", [Reply::body(200, "text/plain", "KEY-1"), Reply::status(500)]);
    let home = Home::new();
    let paths = home.configure(&receiver.fill(CHANNELS));
    std::fs::write(home.path("order.json"), r#"{"id": "mine-7"}"#).unwrap();
    let orderhook = |arguments: &[&str]| {
        let mut command = binary();
        command.args(arguments).current_dir(home.path(""));
        for path in &paths {
            command.arg("--config").arg(path);
        }
        let output = tokio::task::block_in_place(|| run(&mut command));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, shown, _) = orderhook(&["preview", "a-standard", "--order", "order.json"]);
    assert_eq!(code, Some(0), "{shown}");
    for part in ["POST ", "/standard/mine-7", "authorization: ***", r#""id": "mine-7""#] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert!(!shown.contains("s3cr3t"), "{shown}");
    let (code, shown, _) = orderhook(&["test", "a-fulfillment"]);
    assert_eq!(code, Some(0), "{shown}");
    for part in ["POST ", "product_id=", "200 in ", "KEY-1", "outcome: accepted"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let (code, shown, _) = orderhook(&["test", "a-fulfillment"]);
    assert_eq!(code, Some(1), "a test that is not accepted has failed: {shown}");
    let (code, _, told) = orderhook(&["preview", "nobody"]);
    assert_eq!((code, told.contains("nobody")), (Some(1), true), "{told}");
    let (code, _, told) = orderhook(&["preview", "a-standard", "--order", "none.json"]);
    assert_eq!((code, told.contains("none.json")), (Some(1), true), "{told}");
    assert!(!home.store().exists(), "no store is made");
}
