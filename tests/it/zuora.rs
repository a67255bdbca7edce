//! The preset `zuora`, callout notifications: one test for each promise.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Home, Service, delivery_to, text};
use crate::receiver::{Gate, Receiver, Reply, Request};

/// The seed's preview of a callout with parameters: what each of them is filled with.
const PREVIEW: &str = r#"{
"AccountId":"DataSource.Account.Id",
"SubscriptionId":"DataSource.Subscription.Id",
"SubscriptionPreviousSubscriptionId":"DataSource.Subscription.PreviousSubscriptionId",
"ParentAccountId":"DataSource.ParentAccount.Id",
"DefaultPaymentMethodId":"DataSource.DefaultPaymentMethod.Id"
}"#;

/// A receiver of the test's speaks plain HTTP on a port of its own.
const PLAIN: &str = "preset: zuora, url_rules: {https: false, port: true}";

fn one(keys: &str) -> String {
    format!("channels: [{{name: billing, {PLAIN}, {keys}}}]")
}

fn account() -> Value {
    json!({
        "id": "A-1",
        "Account": {"Id": "2c92c0f8", "Name": "Ä & Söhne"},
        "Subscription": {"Id": "S-7", "PreviousSubscriptionId": "S-6"},
        "ParentAccount": {"Id": "P-1"},
        "DefaultPaymentMethod": {"Id": 4711},
    })
}

/// The requests for one order, and its delivery at its end.
async fn played(keys: &str, replies: impl IntoIterator<Item = Reply>) -> (Vec<Request>, Value, Duration) {
    let receiver = Receiver::start().await;
    receiver.answer(replies);
    let service = Service::start(&receiver.fill(&one(keys))).await;
    let order = service.api.order(&account()).await;
    let delivery = service.play_out(&delivery_to(&order, "billing")).await;
    let passed = service.clock_passed();
    service.stop().await;
    (receiver.requests(), delivery, passed)
}

fn codes(delivery: &Value) -> Vec<i64> {
    let attempts = delivery["attempts"].as_array().expect("attempts");
    attempts.iter().map(|attempt| attempt["code"].as_i64().expect("a code")).collect()
}

#[track_caller]
fn refused(yaml: &str) -> String {
    let paths = Home::new();
    let loaded = orderhook::config::load(&paths.configure(yaml), &orderhook::config::Environment::default());
    loaded.expect_err("a configuration error").to_string()
}

const MINUTES_30: Duration = Duration::from_secs(30 * 60);

#[tokio::test]
async fn parameters_are_the_json_body_of_post_and_put() {
    let fields: serde_json::Map<String, Value> = serde_json::from_str(PREVIEW).expect("the seed's block");
    let parameters: Vec<String> =
        fields.iter().map(|(name, field)| format!("{name}: <{}>", field.as_str().expect("text"))).collect();
    for method in ["POST", "PUT"] {
        let keys = format!("url: RECEIVER/zuora, method: {method}, parameters: {{{}}}", parameters.join(", "));
        let (requests, _, _) = played(&keys, [Reply::status(200)]).await;
        assert_eq!(requests[0].method, method);
        assert_eq!(requests[0].expect_header("content-type"), "application/json");
        let expected = r#"{"AccountId":"2c92c0f8","SubscriptionId":"S-7","SubscriptionPreviousSubscriptionId":"S-6","ParentAccountId":"P-1","DefaultPaymentMethodId":"4711"}"#;
        assert_eq!(requests[0].text(), expected, "in the order of the block");
    }
}

#[tokio::test]
async fn parameters_are_the_query_of_get_and_delete() {
    for method in ["GET", "DELETE"] {
        let keys = format!(
            "url: RECEIVER/zuora, method: {method}, parameters: {{Id: <DataSource.Account.Id>, Name: <Account.Name>}}"
        );
        let (requests, _, _) = played(&keys, [Reply::status(200)]).await;
        let query = requests[0].query().expect("a query").replace('+', "%20");
        assert_eq!(
            (requests[0].method.as_str(), query.as_str()),
            (method, "Id=2c92c0f8&Name=%C3%84%20%26%20S%C3%B6hne")
        );
        assert!(requests[0].body.is_empty());
    }
}

#[tokio::test]
async fn without_parameters_the_body_is_an_empty_object() {
    let (requests, delivery, _) = played("url: RECEIVER/zuora", [Reply::status(200)]).await;
    assert_eq!((requests[0].method.as_str(), requests[0].text()), ("POST", "{}"));
    assert_eq!(delivery["status"], "accepted");
}

#[tokio::test]
async fn post_get_put_and_delete_are_supported_and_nothing_else() {
    let error = refused("channels: [{name: a, preset: zuora, url: 'https://example.com', method: PATCH}]");
    assert!(
        error.contains(r#"channels[0].method: found "PATCH", allowed: POST, GET, PUT or DELETE (methods)"#),
        "{error}"
    );
}

#[tokio::test]
async fn merge_fields_fill_url_body_and_headers() {
    let keys = r#"url: 'RECEIVER/zuora/<DataSource.Account.Id>/<Account.Name>', headers: {X-Account: <Account.Id>}, body: '{"name": "<DataSource.Account.Name>", "html": "<b>"}'"#;
    let (requests, delivery, _) = played(keys, [Reply::status(200)]).await;
    assert_eq!(requests[0].target, "/zuora/2c92c0f8/%C3%84%20%26%20S%C3%B6hne");
    assert_eq!(requests[0].header("x-account"), Some("2c92c0f8"));
    assert_eq!(requests[0].json(), json!({"name": "Ä & Söhne", "html": "<b>"}));
    assert!(text(&delivery["attempts"][0]["request"], "url").ends_with("/zuora/2c92c0f8/%C3%84%20%26%20S%C3%B6hne"));
}

#[tokio::test]
async fn the_base_url_of_the_seed_is_filled() {
    use orderhook::domain::{Event, EventId, OrderId, Origin, Subject, Timestamp};
    let yaml = "channels: [{name: a, preset: zuora, url: 'https://mywebsite.com/zuora/<DataSource.Account.Id>'}]";
    let home = Home::new();
    let settings = orderhook::config::load(&home.configure(yaml), &orderhook::config::Environment::default());
    let settings = settings.unwrap_or_else(|errors| panic!("{errors}"));
    let subject = Subject {
        origin: Origin::Order(OrderId::from_u128(1)),
        order_id: "A-1".to_owned(),
        kind: "order".to_owned(),
        received_at: Timestamp::default(),
        chain: None,
        body: account().to_string().into(),
        arrival: None,
    };
    let (id, kind, context) = (EventId::from_u128(1), "order.completed".into(), "{}".into());
    let event =
        Event { id, kind, at: Timestamp::default(), subject: subject.into(), context, step: None, steps: [].into() };
    let ids = orderhook::domain::IdSource::new(
        std::sync::Arc::new(orderhook::domain::ManualClock::new(Timestamp::default())),
        1,
    );
    let memory = std::sync::Arc::new(orderhook::routing::LaneMemory::new(std::iter::empty(), 0));
    let scope = orderhook::routing::Router::new(&settings, ids, memory, std::sync::Arc::default())
        .scope(&event, Timestamp::default());
    let url = settings.channels[0].url.render(&scope).expect("a filled URL");
    assert_eq!(url, "https://mywebsite.com/zuora/2c92c0f8");
}

#[tokio::test]
async fn a_url_is_https_without_a_port_and_2048_characters_at_most() {
    let long = format!("https://example.com/{}", "a".repeat(2048));
    for wrong in ["http://example.com/zuora", "https://example.com:8443/zuora", &long] {
        let error = refused(&format!("channels: [{{name: a, preset: zuora, url: '{wrong}'}}]"));
        assert!(error.contains("channels[0].url"), "{wrong}: {error}");
    }
    // What only shows once it is filled is on record, and no request is sent.
    let receiver = Receiver::start().await;
    let yaml = "
channels:
  - {name: plain, preset: zuora, url: '<Order.Url>'}
  - {name: long, preset: zuora, url: 'RECEIVER/<Order.Long>', url_rules: {https: false, port: true}}
";
    let service = Service::start(&receiver.fill(yaml)).await;
    let order = json!({"id": "A-1", "Order": {"Url": receiver.url("/x"), "Long": "a".repeat(2048)}});
    let answer = service.api.order(&order).await;
    for channel in ["plain", "long"] {
        let delivery = service.api.settled(&delivery_to(&answer, channel)).await;
        assert_eq!((delivery["status"].as_str(), codes(&delivery)), (Some("failed"), vec![-2000]), "{delivery:#}");
    }
    assert_eq!(receiver.count(), 0);
    service.stop().await;
}

#[tokio::test]
async fn an_invalid_body_is_not_sent_and_minus_2000_in_the_history() {
    let (requests, delivery, _) =
        played(r#"url: RECEIVER/zuora, body: '{"number": <DataSource.Account.Name>}'"#, [Reply::status(200)]).await;
    assert!(requests.is_empty());
    assert_eq!((delivery["status"].as_str(), codes(&delivery)), (Some("failed"), vec![-2000]));
}

#[tokio::test]
async fn every_request_has_a_request_id_of_its_own_and_all_of_a_delivery_one_notification_id() {
    let keys = "url: RECEIVER/zuora, retry: {attempts: 3}";
    let (requests, delivery, _) = played(keys, [Reply::status(500), Reply::Close, Reply::status(200)]).await;
    assert_eq!(requests.len(), 3);
    let mut seen: Vec<&str> = Vec::new();
    for request in &requests {
        let id = request.expect_header("zuora-request-id");
        assert!(id.len() == 32 && id.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')), "{id}");
        assert!(!seen.contains(&id), "{id} twice");
        seen.push(id);
        let trace = request.expect_header("x-amzn-trace-id");
        assert_eq!(trace, format!("Root=1-{}-{}", &id[..8], &id[8..]));
        assert_eq!(request.header("zuora-notification-id"), Some(text(&delivery, "id")));
        assert_eq!(request.header("webhook-id"), Some(text(&delivery, "id")));
    }
    let recorded: Vec<&str> = delivery["attempts"]
        .as_array()
        .expect("attempts")
        .iter()
        .map(|attempt| text(&attempt["request"]["headers"], "zuora-request-id"))
        .collect();
    assert_eq!(recorded, seen, "the history tells which request was which");
}

#[tokio::test]
async fn the_request_that_answers_a_challenge_has_an_id_of_its_own_too() {
    let challenge = Reply::status(401).with_header("WWW-Authenticate", "Basic realm=\"billing\"");
    let keys = "url: RECEIVER/zuora, auth: {type: basic, username: user, password: pass}";
    let (requests, delivery, _) = played(keys, [challenge, Reply::status(200)]).await;
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].header("authorization"), None);
    assert_eq!(requests[1].header("authorization"), Some("Basic dXNlcjpwYXNz"));
    let [first, second] = [0, 1].map(|at: usize| requests[at].expect_header("zuora-request-id"));
    assert_ne!(first, second);
    assert_eq!(requests[0].header("zuora-notification-id"), requests[1].header("zuora-notification-id"));
    assert_eq!(text(&delivery["attempts"][0]["request"]["headers"], "zuora-request-id"), second);
    assert_eq!((delivery["status"].as_str(), codes(&delivery)), (Some("accepted"), vec![200]));
}

#[tokio::test]
async fn preemptive_credentials_go_out_at_once() {
    let keys = "url: RECEIVER/zuora, auth: {type: basic, username: user, password: pass, preemptive: true}";
    let (requests, _, _) = played(keys, [Reply::status(200)]).await;
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].header("authorization"), Some("Basic dXNlcjpwYXNz"));
}

#[tokio::test]
async fn with_retry_on_a_failed_authentication_goes_on_retrying() {
    let challenge = Reply::status(401).with_header("WWW-Authenticate", "Basic realm=\"billing\"");
    let keys = "url: RECEIVER/zuora, auth: {type: basic, username: user, password: wrong}";
    let (requests, delivery, passed) = played(keys, [challenge.clone()]).await;
    assert_eq!((delivery["status"].as_str(), codes(&delivery)), (Some("failed"), vec![401, 401, 401]));
    assert_eq!((requests.len(), passed), (6, 2 * MINUTES_30));
    // Without retry it ends at once, as does a 401 that asks for nothing.
    let (_, delivery, _) = played(&format!("{keys}, retry: {{attempts: 1}}"), [challenge]).await;
    assert_eq!(codes(&delivery), [401]);
    let (requests, delivery, _) = played(keys, [Reply::status(401)]).await;
    assert_eq!((requests.len(), codes(&delivery)), (1, vec![401]));
}

#[tokio::test]
async fn only_200_is_a_success() {
    for status in [201, 202, 204, 206, 299] {
        let (requests, delivery, _) = played("url: RECEIVER/zuora", [Reply::status(status)]).await;
        assert_eq!((delivery["status"].as_str(), requests.len()), (Some("failed"), 1), "{status}");
    }
}

#[tokio::test]
async fn retries_are_3_attempts_30_minutes_apart_on_403_408_5xx_and_1xx() {
    for status in [403u16, 408, 500, 502, 503, 599] {
        let (requests, delivery, passed) = played("url: RECEIVER/zuora", [Reply::status(status)]).await;
        assert_eq!((delivery["status"].as_str(), requests.len()), (Some("failed"), 3), "{status}");
        assert_eq!((codes(&delivery), passed), (vec![i64::from(status); 3], 2 * MINUTES_30), "{status}");
    }
    // The one interim status that can end an exchange.
    let (requests, delivery, _) = played("url: RECEIVER/zuora", [Reply::status(101)]).await;
    assert_eq!((delivery["status"].as_str(), requests.len()), (Some("failed"), 3), "{delivery:#}");
}

#[tokio::test]
async fn no_response_is_a_negative_code_and_retried() {
    for (reply, code) in [(Reply::Close, -6), (Reply::ResetInHead, -6), (Reply::Garbage, -6)] {
        let (_, delivery, passed) = played("url: RECEIVER/zuora", [reply.clone()]).await;
        assert_eq!((codes(&delivery), passed), (vec![code; 3], 2 * MINUTES_30), "{reply:?}");
        assert_eq!(delivery["attempts"][0]["response"], Value::Null);
        assert!(!text(&delivery["attempts"][0], "error").is_empty());
    }
    let (requests, delivery, _) = played("url: 'http://127.0.0.1:1/zuora'", [Reply::status(200)]).await;
    assert_eq!((codes(&delivery), requests.len()), (vec![-1; 3], 0), "nobody listens there");
}

#[tokio::test]
async fn any_other_status_fails_at_once() {
    for status in [400, 402, 404, 409, 410, 418, 425, 429] {
        let (requests, delivery, _) = played("url: RECEIVER/zuora", [Reply::status(status)]).await;
        assert_eq!((delivery["status"].as_str(), requests.len()), (Some("failed"), 1), "{status}");
    }
}

#[tokio::test]
async fn redirects_are_never_followed() {
    for status in [301, 302, 303, 307, 308] {
        let receiver = Receiver::start().await;
        receiver.on("/zuora", [Reply::status(status).with_header("Location", &receiver.url("/elsewhere"))]);
        let service = Service::start(&receiver.fill(&one("url: RECEIVER/zuora"))).await;
        let order = service.api.order(&account()).await;
        let delivery = service.api.settled(&delivery_to(&order, "billing")).await;
        assert_eq!((delivery["status"].as_str(), codes(&delivery)), (Some("failed"), vec![i64::from(status)]));
        assert_eq!((receiver.count(), receiver.count_on("/elsewhere")), (1, 0));
        service.stop().await;
    }
}

#[tokio::test]
async fn a_call_has_10_seconds_to_connect_and_15_for_the_transfer() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill(&one("url: RECEIVER/zuora"))).await;
    let channel = service.api.get("/v1/channels/billing").await.expect(200);
    assert_eq!(channel["config"]["timeout"], json!({"connect": "10s", "transfer": "15s"}));
    service.stop().await;
    for reply in
        [Reply::HangBeforeHead, Reply::HangInBody, Reply::Drip(Duration::from_millis(50)), Reply::Informational]
    {
        let keys = "url: RECEIVER/zuora, timeout: {connect: 10s, transfer: 150ms}, retry: {attempts: 2}";
        let (_, delivery, _) = played(keys, [reply.clone()]).await;
        assert_eq!(codes(&delivery), [-5, -5], "{reply:?}: retried");
    }
}

#[tokio::test]
async fn attempts_go_up_to_5_and_waits_to_1440_minutes() {
    let (requests, delivery, passed) =
        played("url: RECEIVER/zuora, retry: {attempts: 5, interval: 1440m}", [Reply::status(500)]).await;
    assert_eq!((delivery["status"].as_str(), requests.len()), (Some("failed"), 5));
    assert_eq!(passed, Duration::from_secs(4 * 24 * 3600));
    let (requests, _, passed) = played("url: RECEIVER/zuora, retry: {interval: 1s}", [Reply::status(500)]).await;
    assert_eq!((requests.len(), passed), (3, Duration::from_secs(2)), "there is no lower bound");
    let (requests, _, _) = played("url: RECEIVER/zuora, retry: {attempts: 1}", [Reply::status(500)]).await;
    assert_eq!(requests.len(), 1, "no retry");
    let error = refused(
        "channels: [{name: a, preset: zuora, url: 'https://example.com', retry: {attempts: 6, interval: 1441m}}]",
    );
    assert!(
        error.contains("channels[0].retry.attempts: found 6, allowed: 5 at most (the channel's limits.max_attempts)"),
        "{error}"
    );
    assert!(error.contains("channels[0].retry.interval: found \"1441m\", allowed: 1d at most ("), "{error}");
    // The tenant's own limits hold too.
    let error = refused(
        "limits: {max_attempts: 4, max_interval: 1h}\nchannels: [{name: a, preset: zuora, url: 'https://example.com', retry: {attempts: 5, interval: 2h}}]",
    );
    assert!(error.contains("channels[0].retry.attempts: found 5, allowed: 4 at most (limits.max_attempts)"), "{error}");
    assert!(error.contains("allowed: 1h at most (limits.max_interval)"), "{error}");
}

#[tokio::test]
async fn confirm_body_retries_a_200_that_says_success_false() {
    let no = json!({"success": false, "reasons": ["busy"]});
    let keys = "url: RECEIVER/zuora, confirm_body: true";
    let (requests, delivery, passed) =
        played(keys, [Reply::json(200, &no), Reply::json(200, &json!({"success": true}))]).await;
    assert_eq!((delivery["status"].as_str(), codes(&delivery)), (Some("accepted"), vec![200, 200]));
    assert_eq!((requests.len(), passed), (2, MINUTES_30));
    assert_eq!(delivery["attempts"][0]["outcome"], "retry");
    assert_eq!(delivery["attempts"][0]["error"], "the response says \"success\": false");
    let charset = Reply::body(200, "application/json; charset=utf-8", no.to_string());
    let (_, delivery, _) = played(keys, [charset]).await;
    assert_eq!((delivery["status"].as_str(), codes(&delivery)), (Some("failed"), vec![200, 200, 200]));
    for (keys, reply) in [
        ("url: RECEIVER/zuora", Reply::json(200, &no)),
        (keys, Reply::body(200, "text/plain", no.to_string())),
        (keys, Reply::json(200, &json!({}))),
        (keys, Reply::body(200, "application/json", "{not json")),
        (keys, Reply::status(200)),
    ] {
        let (_, delivery, _) = played(keys, [reply.clone()]).await;
        assert_eq!((delivery["status"].as_str(), codes(&delivery)), (Some("accepted"), vec![200]), "{reply:?}");
    }
}

#[tokio::test]
async fn empty_strings_go_out_as_null_where_the_channel_says_so() {
    let keys = "url: RECEIVER/zuora, parameters: {Id: <Account.Id>, Nothing: <Account.Nothing>}";
    let (requests, _, _) = played(keys, [Reply::status(200)]).await;
    assert_eq!(requests[0].json(), json!({"Id": "2c92c0f8", "Nothing": ""}));
    let (requests, _, _) = played(&format!("{keys}, empty_as_null: true"), [Reply::status(200)]).await;
    assert_eq!(requests[0].json(), json!({"Id": "2c92c0f8", "Nothing": "null"}));
}

#[tokio::test]
async fn the_history_keeps_every_attempt_with_60_kb_of_its_response() {
    let large = Reply::body(500, "text/plain", "x".repeat(100_000));
    let (_, delivery, _) =
        played("url: RECEIVER/zuora, parameters: {Id: <Account.Id>}", [large, Reply::Close, Reply::status(200)]).await;
    let attempts = delivery["attempts"].as_array().expect("attempts");
    assert_eq!(codes(&delivery), [500, -6, 200]);
    let response = &attempts[0]["response"];
    assert_eq!((text(response, "body").len(), &response["truncated"]), (60_000, &json!(true)));
    for (at, time) in ["12:00", "12:30", "13:00"].iter().enumerate() {
        assert_eq!(attempts[at]["started_at"], format!("2026-01-31T{time}:00.000Z"));
        assert_eq!(attempts[at]["request"]["body"], r#"{"Id":"2c92c0f8"}"#);
        assert_eq!(attempts[at]["request"]["method"], "POST");
    }
}

#[tokio::test]
async fn the_history_is_found_by_status_time_and_order() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::status(404), Reply::status(200), Reply::status(404)]);
    let service = Service::start(&receiver.fill(&one("url: RECEIVER/zuora"))).await;
    for id in ["A-1", "A-2", "A-3"] {
        let order = service.api.order(&json!({"id": id})).await;
        service.api.settled(&delivery_to(&order, "billing")).await;
        service.clock.advance(Duration::from_secs(3600));
    }
    for (query, expected) in [
        ("status=failed", vec!["A-3", "A-1"]),
        ("status=failed&since=2026-01-31T12:30:00Z", vec!["A-3"]),
        ("status=failed&until=2026-01-31T12:30:00Z", vec!["A-1"]),
        ("since=2026-01-31T12:30:00Z&until=2026-01-31T13:30:00Z", vec!["A-2"]),
        ("status=failed&order_id=A-2", vec![]),
        ("order_id=A-3", vec!["A-3"]),
    ] {
        let found = service.api.list(&format!("/v1/deliveries?{query}")).await;
        let found: Vec<_> = found.iter().map(|delivery| text(delivery, "order_id")).collect();
        assert_eq!(found, expected, "{query}");
    }
    service.stop().await;
}

#[tokio::test]
async fn deliveries_start_in_the_order_in_which_their_events_came() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.answer([Reply::status(200).held(&gate)]);
    let keys = "url: RECEIVER/zuora, concurrency: 4, parameters: {Id: <DataSource.id>}";
    let service = Service::start(&receiver.fill(&one(keys))).await;
    for id in 0..40 {
        service.api.order(&json!({"id": id})).await;
    }
    let id = |request: &Request| text(&request.json(), "Id").parse::<usize>().expect("a number");
    let mut first: Vec<usize> = receiver.wait_for(4).await.iter().map(id).collect();
    first.sort_unstable();
    assert_eq!(first, [0, 1, 2, 3], "four places, four at once");
    for next in 4..40 {
        gate.pass();
        assert_eq!(receiver.wait_for(next + 1).await.last().map(id), Some(next));
    }
    gate.open();
    service.api.all_settled().await;
    service.stop().await;
}

#[tokio::test]
async fn the_deliveries_of_a_scheduled_event_wait_for_their_time_also_across_a_restart() {
    let receiver = Receiver::start().await;
    let keys = "url: RECEIVER/zuora, events: [payment.due], parameters: {Id: <DataSource.Account.Id>}";
    let service = Service::start(&receiver.fill(&one(keys))).await;
    let event = json!({"type": "payment.due", "deliver_at": "2026-02-01T06:00:00Z", "data": account()});
    let answer = service.api.post("/v1/events", &event).await.expect(202);
    let id = delivery_to(&answer, "billing");
    let delivery = service.api.delivery(&id).await;
    assert_eq!(
        (&delivery["status"], &delivery["next_attempt_at"]),
        (&json!("pending"), &json!("2026-02-01T06:00:00.000Z"))
    );
    service.clock.advance(Duration::from_secs(17 * 3600));
    let service = service.restart().await;
    // What is due at once goes past it.
    let now = service.api.post("/v1/events", &json!({"type": "payment.due", "data": account()})).await.expect(202);
    service.api.settled(&delivery_to(&now, "billing")).await;
    assert_eq!(service.api.delivery(&id).await["attempts"], json!([]));
    service.clock.advance(Duration::from_secs(3600));
    let delivery = service.api.settled(&id).await;
    assert_eq!(delivery["status"], "accepted");
    assert_eq!(delivery["attempts"][0]["started_at"], "2026-02-01T06:00:00.000Z");
    assert_eq!(receiver.requests().last().map(Request::json), Some(json!({"Id": "2c92c0f8"})));
    service.stop().await;
}
