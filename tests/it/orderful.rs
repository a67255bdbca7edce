//! The preset `orderful`, channels and relationships: one test for each promise.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Service, delivery_to, text};
use crate::receiver::{Gate, Receiver, Reply, Request};

/// A channel as the seed's form makes it: a name and a URL.
const CHANNEL: &str = "channels: [{name: erp, preset: orderful, url: RECEIVER/transactions}]";

const TOKENS: &str = r"
server:
  public_url: https://orders.example.com/hooks
  tokens:
    - {name: shop, token: ingest-token-0123456789, scopes: [ingest]}
    - {name: support, token: read-token-0123456789, scopes: [read]}
    - {name: operator, token: manage-token-0123456789, scopes: [manage]}
channels: [{name: erp, preset: orderful, url: RECEIVER/transactions}]
";

fn transaction(id: &str) -> Value {
    json!({"id": id, "type": {"name": "850_PURCHASE_ORDER"}, "sender": {"isaId": "ACME"}, "receiver": {"isaId": "SHOP"}})
}

/// The delivery of an order to a receiver that answers with these, played to its end, and what passed until then.
async fn delivered(replies: impl IntoIterator<Item = Reply>) -> (Value, Duration, Vec<Request>) {
    let receiver = Receiver::start().await;
    receiver.answer(replies);
    let service = Service::start(&receiver.fill(CHANNEL)).await;
    let order = service.api.order(&transaction("T-1")).await;
    let delivery = service.play_out(&delivery_to(&order, "erp")).await;
    let passed = service.clock_passed();
    service.stop().await;
    (delivery, passed, receiver.requests())
}

fn codes(delivery: &Value) -> Vec<i64> {
    let attempts = delivery["attempts"].as_array().expect("attempts");
    attempts.iter().map(|attempt| attempt["code"].as_i64().expect("a code")).collect()
}

/// The path and query of the accept URL that a request brought.
fn accept_target(request: &Request) -> String {
    let url = request.expect_header("orderhook-accept-url");
    url.strip_prefix("https://orders.example.com/hooks").unwrap_or_else(|| panic!("{url}")).to_owned()
}

/// A service with tokens and a transaction that its receiver answered with 202, and that request.
async fn dispatched(receiver: &Receiver, service: &Service, id: &str) -> (String, Request) {
    let before = receiver.count();
    let order = service.api.with_token("ingest-token-0123456789").order(&transaction(id)).await;
    let request = receiver.wait_for(before + 1).await.pop().expect("a request");
    let delivery = delivery_to(&order, "erp");
    let settled = service.api.with_token("read-token-0123456789").settled(&delivery).await;
    assert_eq!(settled["status"], "dispatched");
    (delivery, request)
}

#[tokio::test]
async fn the_order_goes_out_as_received() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill(CHANNEL)).await;
    let bytes = br#"{ "id" : "T-\u0031", "message": {"total": 1.50e1} }"#;
    let answer = service.api.post_bytes("/v1/orders", bytes).await.expect(201);
    let request = receiver.next().await;
    assert_eq!((request.method.as_str(), request.path()), ("POST", "/transactions"));
    assert_eq!(request.body, bytes);
    assert_eq!(request.expect_header("content-type"), "application/json");
    let delivery = service.api.settled(&delivery_to(&answer, "erp")).await;
    assert_eq!(text(&delivery["attempts"][0]["request"], "body").as_bytes(), bytes, "the history has it too");
    service.stop().await;
}

#[tokio::test]
async fn a_200_is_accepted() {
    let (delivery, _, requests) = delivered([Reply::status(200)]).await;
    assert_eq!((delivery["status"].as_str(), requests.len()), (Some("accepted"), 1));
}

#[tokio::test]
async fn a_202_is_dispatched_until_the_receiver_accepts_it() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::status(202)]);
    let service = Service::start(&receiver.fill(TOKENS)).await;
    let (delivery, request) = dispatched(&receiver, &service, "T-1").await;
    let url = request.expect_header("orderhook-accept-url");
    assert!(
        url.starts_with(&format!("https://orders.example.com/hooks/v1/deliveries/{delivery}/accept?key=")),
        "{url}"
    );
    let settled = service.api.call("POST", &accept_target(&request), &[], b"").await.expect(200);
    assert_eq!((text(&settled, "id"), text(&settled, "status")), (delivery.as_str(), "accepted"));
    let manager = service.api.with_token("manage-token-0123456789");
    assert_eq!(manager.delivery(&delivery).await["status"], "accepted");
    // Once more: it no longer waits for that.
    let problem = service.api.call("POST", &accept_target(&request), &[], b"").await.problem(409);
    assert_eq!(problem["delivery_status"], "accepted");
    service.stop().await;
}

#[tokio::test]
async fn a_verdict_that_comes_before_the_202_decides_once_the_202_is_recorded() {
    for (act, response, status) in
        [("accept", 202, "accepted"), ("fail", 202, "failed"), ("fail", 200, "accepted"), ("accept", 400, "rejected")]
    {
        let receiver = Receiver::start().await;
        let gate = Gate::new();
        receiver.answer([Reply::status(response).held(&gate)]);
        let service = Service::start(&receiver.fill(TOKENS)).await;
        let posted = service.api.with_token("ingest-token-0123456789").order(&transaction("T-1")).await;
        let request = receiver.next().await;
        let target = accept_target(&request).replace("/accept?", &format!("/{act}?"));
        assert_eq!(service.api.call("POST", &target, &[], b"").await.expect(202)["status"], "pending");
        let reader = service.api.with_token("read-token-0123456789");
        let id = delivery_to(&posted, "erp");
        assert_eq!(reader.delivery(&id).await["status"], "pending", "the response is still to come");
        gate.open();
        let delivery = reader.settled(&id).await;
        assert_eq!(delivery["status"], status, "{act} before {response}");
        assert_eq!(delivery["verdicts"][0]["act"], act);
        service.stop().await;
    }
}

#[tokio::test]
async fn a_202_can_also_be_failed_with_the_same_key() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::status(202)]);
    let service = Service::start(&receiver.fill(TOKENS)).await;
    let (delivery, request) = dispatched(&receiver, &service, "T-1").await;
    let target = accept_target(&request).replace("/accept?", "/fail?");
    let body = br#"{"reason": "unknown item", "partner": 7}"#;
    assert_eq!(service.api.call("POST", &target, &[], body).await.expect(200)["status"], "failed");
    let reader = service.api.with_token("read-token-0123456789");
    let verdict = reader.delivery(&delivery).await["verdicts"][0].clone();
    assert_eq!((text(&verdict, "act"), text(&verdict, "by")), ("fail", "receiver"));
    assert_eq!(verdict["reason"], "unknown item", "a receiver may post whatever else it likes");
    let failed = reader.list("/v1/deliveries?status=failed").await;
    assert_eq!(failed.iter().map(|delivery| text(delivery, "id")).collect::<Vec<_>>(), [delivery]);
    service.stop().await;
}

#[tokio::test]
async fn a_key_is_good_for_its_own_delivery_and_for_settling_it_alone() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::status(202)]);
    let service = Service::start(&receiver.fill(TOKENS)).await;
    let (one, request) = dispatched(&receiver, &service, "T-1").await;
    let (two, _) = dispatched(&receiver, &service, "T-2").await;
    let key = accept_target(&request).split_once("key=").expect("a key").1.to_owned();
    let wrong: String = key.chars().map(|digit| if digit == '0' { '1' } else { '0' }).collect();
    for target in [
        format!("/v1/deliveries/{two}/accept?key={key}"),
        format!("/v1/deliveries/{one}/accept?key={wrong}"),
        format!("/v1/deliveries/{one}/accept?key={}", &key[1..]),
        format!("/v1/deliveries/{one}/accept?key={}", key.to_uppercase()),
        format!("/v1/deliveries/{one}/accept?key="),
        format!("/v1/deliveries/{one}/accept"),
        format!("/v1/deliveries/{one}/fail"),
        format!("/v1/deliveries/{one}/retry?key={key}"),
        format!("/v1/deliveries/{one}/cancel?key={key}"),
        format!("/v1/deliveries/dlv_00000000-0000-7000-8000-000000000000/accept?key={key}"),
    ] {
        service.api.call("POST", &target, &[], b"").await.problem(401);
    }
    // A token without the scope is no help, and one with it needs no key.
    let reader = service.api.with_token("read-token-0123456789");
    reader.call("POST", &format!("/v1/deliveries/{one}/accept"), &[], b"").await.problem(403);
    assert_eq!(reader.delivery(&one).await["status"], "dispatched");
    let manager = service.api.with_token("manage-token-0123456789");
    manager.call("POST", &format!("/v1/deliveries/{two}/accept"), &[], b"").await.expect(200);
    manager.call("POST", &format!("/v1/deliveries/{one}/accept?token={key}"), &[], b"").await.problem(400);
    service.stop().await;
}

#[tokio::test]
async fn a_wrong_key_is_refused_where_no_token_is_needed_too() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::status(202)]);
    let service = Service::start(&receiver.fill(CHANNEL)).await;
    let order = service.api.order(&transaction("T-1")).await;
    let id = delivery_to(&order, "erp");
    assert_eq!(service.api.settled(&id).await["status"], "dispatched");
    service.api.call("POST", &format!("/v1/deliveries/{id}/accept?key=0123"), &[], b"").await.problem(401);
    service.api.call("POST", &format!("/v1/deliveries/{id}/accept"), &[], b"").await.expect(200);
    service.stop().await;
}

#[tokio::test]
async fn a_key_holds_across_a_restart_and_for_every_attempt() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::status(503), Reply::status(202)]);
    let service = Service::start(&receiver.fill(TOKENS)).await;
    let ingest = service.api.with_token("ingest-token-0123456789");
    let order = ingest.order(&transaction("T-1")).await;
    let id = delivery_to(&order, "erp");
    receiver.wait_for(1).await;
    service.api.with_token("read-token-0123456789").attempted(&id, 1).await;
    service.clock.advance(Duration::from_secs(30));
    let requests = receiver.wait_for(2).await;
    service.api.with_token("read-token-0123456789").settled(&id).await;
    assert_eq!(accept_target(&requests[0]), accept_target(&requests[1]));
    let service = service.restart().await;
    service.api.call("POST", &accept_target(&requests[0]), &[], b"").await.expect(200);
    service.stop().await;
}

#[tokio::test]
async fn the_history_does_not_show_the_key() {
    let receiver = Receiver::start().await;
    let keys = r"
    method: POST
    url: RECEIVER/hook?back={{ accept_url }}
    headers: {X-Back: '{{ accept_url }}'}
    body: '{{ [accept_url] | tojson }}'";
    let yaml = TOKENS.replace("channels: [{name: erp, preset: orderful, url: RECEIVER/transactions}]", "");
    let yaml = format!("{yaml}\nchannels:\n  - name: erp\n    preset: orderful{keys}\n");
    let service = Service::start(&receiver.fill(&yaml)).await;
    // A receiver may say again what it was told.
    receiver.answer([Reply::status(202)]);
    let (delivery, request) = dispatched(&receiver, &service, "T-1").await;
    let key = accept_target(&request).split_once("key=").expect("a key").1.to_owned();
    assert!(request.target.contains(&key) && request.text().contains(&key), "{request}");
    let shown = service.api.with_token("read-token-0123456789").delivery(&delivery).await.to_string();
    assert!(!shown.contains(&key), "{shown}");
    assert!(shown.contains("accept?key=***"), "{shown}");
    service.stop().await;
}

#[tokio::test]
async fn a_400_is_rejected_at_once() {
    let (delivery, _, requests) = delivered([Reply::status(400)]).await;
    assert_eq!((delivery["status"].as_str(), requests.len()), (Some("rejected"), 1));
}

#[tokio::test]
async fn other_statuses_of_the_400_series_fail_at_once() {
    for status in [401, 403, 404, 408, 409, 410, 422, 451, 499] {
        let (delivery, _, requests) = delivered([Reply::status(status)]).await;
        assert_eq!((delivery["status"].as_str(), requests.len()), (Some("failed"), 1), "{status}");
    }
}

#[tokio::test]
async fn any_other_status_fails_at_once() {
    for status in [300, 301, 302, 304] {
        let (delivery, _, requests) = delivered([Reply::status(status)]).await;
        assert_eq!((delivery["status"].as_str(), requests.len()), (Some("failed"), 1), "{status}");
        let redirect = if matches!(status, 301 | 302) { ", and redirects are not followed" } else { "" };
        let error = format!("the receiver answered {status}{redirect}");
        assert_eq!(delivery["attempts"][0]["error"], error);
    }
}

#[tokio::test]
async fn every_other_status_of_the_200_series_is_accepted() {
    for status in [200, 201, 203, 204, 206] {
        let (delivery, _, requests) = delivered([Reply::status(status)]).await;
        assert_eq!((delivery["status"].as_str(), requests.len()), (Some("accepted"), 1), "{status}");
        assert_eq!(delivery["attempts"][0]["error"], serde_json::Value::Null);
    }
}

#[tokio::test]
async fn the_30_seconds_count_from_the_start_of_an_attempt() {
    for (took, left) in [(0, 30), (12, 18), (30, 0), (45, 0)] {
        let receiver = Receiver::start().await;
        let gate = Gate::new();
        receiver.answer([Reply::status(500).held(&gate), Reply::status(200)]);
        let service = Service::start(&receiver.fill(CHANNEL)).await;
        let order = service.api.order(&transaction("T-1")).await;
        let delivery = delivery_to(&order, "erp");
        receiver.wait_for(1).await;
        service.clock.advance(Duration::from_secs(took));
        gate.open();
        if left > 0 {
            assert_eq!(service.wait_of(&delivery).await, Duration::from_secs(left), "after {took} s");
            service.clock.advance(Duration::from_secs(left));
        }
        let ended = service.api.settled(&delivery).await;
        assert_eq!(ended["status"], "accepted", "after {took} s without a further wait");
        assert_eq!(ended["attempts"][0]["error"], "the receiver answered 500");
        service.stop().await;
    }
}

#[tokio::test]
async fn a_429_or_500_is_retried_three_times_30_seconds_apart_and_then_failed() {
    for status in [429u16, 500, 503, 599] {
        let (delivery, passed, requests) = delivered([Reply::status(status)]).await;
        assert_eq!((delivery["status"].as_str(), requests.len()), (Some("failed"), 4), "{status}");
        assert_eq!(codes(&delivery), [i64::from(status); 4]);
        assert_eq!(passed, Duration::from_secs(90), "{status}");
    }
}

#[tokio::test]
async fn a_retry_that_succeeds_ends_them() {
    let (delivery, passed, requests) =
        delivered([Reply::status(500), Reply::Close, Reply::status(429), Reply::status(200)]).await;
    assert_eq!((delivery["status"].as_str(), requests.len()), (Some("accepted"), 4));
    assert_eq!(codes(&delivery), [500, -6, 429, 200]);
    assert_eq!(passed, Duration::from_secs(90));
}

#[tokio::test]
async fn no_answer_in_time_is_retried() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::HangBeforeHead]);
    let shorter = CHANNEL.replace("preset: orderful,", "preset: orderful, timeout: {total: 200ms},");
    let service = Service::start(&receiver.fill(&shorter)).await;
    let order = service.api.order(&transaction("T-1")).await;
    let delivery = service.play_out(&delivery_to(&order, "erp")).await;
    assert_eq!(delivery["status"], "failed");
    assert_eq!(codes(&delivery), [-5, -5, -5, -5]);
    assert_eq!(service.clock_passed(), Duration::from_secs(90));
    service.stop().await;
    let service = Service::start(&receiver.fill(CHANNEL)).await;
    let channel = service.api.get("/v1/channels/erp").await.expect(200);
    assert_eq!(channel["config"]["timeout"], json!({"total": "30s"}), "{channel:#}");
    service.stop().await;
}

#[tokio::test]
async fn failed_transactions_are_listed_and_sent_again_in_bulk() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::status(404), Reply::status(404), Reply::status(200)]);
    let service = Service::start(&receiver.fill(CHANNEL)).await;
    for id in ["T-1", "T-2", "T-3"] {
        let order = service.api.order(&transaction(id)).await;
        service.api.settled(&delivery_to(&order, "erp")).await;
    }
    let failed = service.api.list("/v1/deliveries?status=failed").await;
    assert_eq!(failed.iter().map(|delivery| text(delivery, "order_id")).collect::<Vec<_>>(), ["T-2", "T-1"]);
    let filter = json!({"status": "failed", "channel": "erp"});
    assert_eq!(service.api.post("/v1/deliveries/retry", &filter).await.expect(200)["count"], 2);
    service.api.all_settled().await;
    assert!(service.api.list("/v1/deliveries?status=failed").await.is_empty());
    assert_eq!(receiver.count(), 5);
    service.stop().await;
}

#[tokio::test]
async fn transactions_are_posted_and_by_no_other_method() {
    let yaml = "channels: [{name: erp, preset: orderful, url: 'https://example.com', method: GET}]";
    let home = crate::harness::Home::new();
    let error = orderhook::config::load(&home.configure(yaml), &orderhook::config::Environment::default());
    let error = error.expect_err("a configuration error").to_string();
    assert!(error.contains(r#"channels[0].method: found "GET", allowed: POST (methods)"#), "{error}");
}

/// Three partners' channels, a default, one for nobody in particular, and one that audits all.
const RELATIONSHIPS: &str = r"
relationships:
  sender: /sender/isaId
  receiver: /receiver/isaId
  type: /type/name
  default_channel: erp
  routes:
    - {receiver: SHOP, channel: shop}
    - {sender: ACME, channel: acme}
    - {sender: ACME, receiver: SHOP, type: 850_PURCHASE_ORDER, channel: acme-po}
    - {sender: OFF, channel: off}
    - {sender: LATE, channel: late}
channels:
  - {name: erp, preset: orderful, url: RECEIVER/erp}
  - {name: acme, preset: orderful, url: RECEIVER/acme}
  - {name: acme-po, preset: orderful, url: RECEIVER/acme-po}
  - {name: shop, preset: orderful, url: RECEIVER/shop}
  - {name: off, preset: orderful, url: RECEIVER/off, enabled: false}
  - {name: late, preset: orderful, url: RECEIVER/late, events: [order.received], when: order.total > 10}
  - {name: audit, url: RECEIVER/audit, events: ['*']}
";

/// The channels that got something of an order, and those that did not with their reason.
fn fates(order: &Value) -> (Vec<&str>, Vec<(&str, &str)>) {
    let channels = order["channels"].as_array().expect("channels");
    let (got, not): (Vec<_>, Vec<_>) = channels.iter().partition(|channel| channel["status"] == "routed");
    (
        got.iter().map(|channel| text(channel, "channel")).collect(),
        not.iter().map(|channel| (text(channel, "channel"), text(channel, "reason"))).collect(),
    )
}

#[tokio::test]
async fn the_most_specific_route_names_the_channel_and_else_the_default() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill(RELATIONSHIPS)).await;
    let parties = |sender: &str, to: &str, kind: &str| json!({"sender": {"isaId": sender}, "receiver": {"isaId": to}, "type": {"name": kind}});
    for (id, order, channel) in [
        ("1", parties("ACME", "SHOP", "850_PURCHASE_ORDER"), "acme-po"),
        ("2", parties("ACME", "OTHER", "850_PURCHASE_ORDER"), "acme"),
        // Two routes fit and name as many: the first counts.
        ("3", parties("ACME", "SHOP", "810_INVOICE"), "shop"),
        ("4", parties("NOBODY", "SHOP", "810_INVOICE"), "shop"),
        ("5", parties("NOBODY", "OTHER", "810_INVOICE"), "erp"),
        ("6", json!({"type": {"name": "810_INVOICE"}}), "erp"),
        ("7", json!({"sender": {"isaId": "ACME"}}), "acme"),
    ] {
        let mut order = order;
        order["id"] = id.into();
        let answer = service.api.order(&order).await;
        service.api.settled(&delivery_to(&answer, channel)).await;
        let detail = service.api.order_detail(id).await;
        let (got, not) = fates(&detail);
        assert_eq!(got, [channel], "{order}");
        assert_eq!(not.len(), 6, "{detail:#}");
        for (other, reason) in not {
            assert_eq!(reason, if other == "off" { "disabled" } else { "relationship" }, "{other} of {order}");
        }
        assert_eq!(receiver.count_on(&format!("/{channel}")), receiver.requests_on(&format!("/{channel}")).len());
    }
    assert_eq!(receiver.count(), 7);
    assert_eq!(receiver.count_on("/audit"), 0, "its events go to that channel alone");
    service.stop().await;
}

#[tokio::test]
async fn an_order_without_a_relationship_goes_by_the_subscriptions() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill(RELATIONSHIPS)).await;
    service.api.order(&json!({"id": "A-1", "total": 5, "sender": {"isaId": ""}, "type": "850"})).await;
    service.api.all_settled().await;
    let detail = service.api.order_detail("A-1").await;
    let (got, not) = fates(&detail);
    assert_eq!(got, ["acme", "acme-po", "audit", "erp", "shop"]);
    assert_eq!(not, [("late", "when"), ("off", "disabled")]);
    service.stop().await;
}

#[tokio::test]
async fn a_relationship_that_no_route_fits_goes_by_the_subscriptions_where_there_is_no_default() {
    let receiver = Receiver::start().await;
    let yaml = RELATIONSHIPS.replace("  default_channel: erp\n", "");
    let service = Service::start(&receiver.fill(&yaml)).await;
    service.api.order(&json!({"id": "A-1", "sender": {"isaId": "NOBODY"}})).await;
    service.api.all_settled().await;
    assert_eq!(fates(&service.api.order_detail("A-1").await).0, ["acme", "acme-po", "audit", "erp", "shop"]);
    service.stop().await;
}

#[tokio::test]
async fn the_channel_of_a_relationship_still_chooses_its_events_and_can_be_switched_off() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill(RELATIONSHIPS)).await;
    service.api.order(&json!({"id": "A-1", "sender": {"isaId": "OFF"}})).await;
    let detail = service.api.order_detail("A-1").await;
    let (got, not) = fates(&detail);
    assert!(got.is_empty(), "{detail:#}");
    assert!(not.contains(&("off", "disabled")) && not.contains(&("erp", "relationship")), "{not:?}");
    assert_eq!(detail["deliveries"], json!([]));
    service.api.order(&json!({"id": "A-2", "sender": {"isaId": "LATE"}, "total": 11})).await;
    service.api.all_settled().await;
    assert_eq!(fates(&service.api.order_detail("A-2").await).0, ["late"]);
    assert_eq!(receiver.count(), 1, "of the reception alone");
    service.stop().await;
}

#[tokio::test]
async fn what_relationships_say_wrong_is_told_with_its_place() {
    let yaml = "
relationships:
  sender: /s
  default_channel: epr
  routes:
    - {sender: A, channel: erp}
    - {sender: A, channel: crm}
    - {receiver: B, channel: erp}
    - {sender: C, channel: erq}
    - {channel: erp}
channels:
  - {name: erp, url: 'https://erp.example.com'}
  - {name: crm, url: 'https://crm.example.com'}
";
    let home = crate::harness::Home::new();
    let error = orderhook::config::load(&home.configure(yaml), &orderhook::config::Environment::default());
    let error = error.expect_err("a configuration error").to_string();
    for expected in [
        r#"relationships.default_channel: found "epr", but no channel has this name; did you mean erp?"#,
        "relationships.routes[1]: fits the same relationships as relationships.routes[0]; name each once",
        "relationships.routes[2]: names a receiver, but relationships.receiver does not say where an order has it",
        r#"relationships.routes[3].channel: found "erq", but no channel has this name; did you mean erp?"#,
        "relationships.routes[4]: needs sender, receiver or type; default_channel is for all the rest",
    ] {
        assert!(error.contains(expected), "{expected}\nnot in\n{error}");
    }
}
