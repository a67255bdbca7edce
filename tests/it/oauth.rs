//! Tokens by OAuth 2.0: client credentials and signed assertions, from a provider that nobody here wrote, and from one
//! that gets everything wrong.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Service, delivery_to, text};
use crate::peers::{Peer, ec_key, ed25519_key, rsa_key};
use crate::receiver::{ClosedPort, Gate, Receiver, Reply};

/// What the clock of every test shows, in seconds.
const NOON: u64 = 1_769_860_800;

/// A channel `erp` that sends to `RECEIVER/erp` with tokens of `RECEIVER/token`; further keys of the channel.
fn own(receiver: &Receiver, keys: &str) -> String {
    receiver.fill(&format!(
        "channels: [{{name: erp, url: RECEIVER/erp, auth: {{type: oauth2, token_url: RECEIVER/token, client_id: shop, client_secret: s3cret-of-shop}}{keys}}}]"
    ))
}

/// A token that is good for so many seconds.
fn token(name: &str, seconds: u64) -> Reply {
    Reply::json(200, &json!({"access_token": name, "token_type": "Bearer", "expires_in": seconds}))
}

async fn deliver(service: &Service, id: &str) -> Value {
    let order = service.api.order(&json!({"id": id})).await;
    service.play_out(&delivery_to(&order, "erp")).await
}

/// A channel `erp` to a provider's own receiver, with these keys of `auth`.
async fn at_provider(provider: &Peer, auth: &str) -> Service {
    let yaml = format!("channels: [{{name: erp, url: PEER/orders, auth: {{{auth}}}}}]");
    Service::start(&provider.fill(&yaml)).await
}

const CLIENT: &str =
    "type: oauth2, token_url: PEER/token, client_id: shop, client_secret: s3cret-of-shop, scope: orders";

fn credentials(method: &str) -> Value {
    json!({"method": method, "secret": "s3cret-of-shop", "scope": "orders", "expires_in": 3600})
}

#[tokio::test]
async fn id_and_secret_go_out_in_the_form_and_the_token_with_the_order() {
    let provider = Peer::start("oauth_provider.py", &credentials("client_secret_post"));
    let service = at_provider(&provider, CLIENT).await;
    for id in ["A-1", "A-2"] {
        let delivery = deliver(&service, id).await;
        assert_eq!((&delivery["status"], delivery["attempts"].as_array().unwrap().len()), (&json!("accepted"), 1));
        // The receiver repeats the token, and the scope that it is for.
        assert_eq!(delivery["attempts"][0]["response"]["body"], "{\"scope\": \"orders\", \"token\": \"***\"}");
        assert_eq!(delivery["attempts"][0]["request"]["headers"]["authorization"], "***", "{delivery:#}");
        assert!(!delivery.to_string().contains("token-1") && !delivery.to_string().contains("s3cret"), "{delivery:#}");
    }
    let form = json!({"grant_type": "client_credentials", "client_id": "shop", "client_secret": "s3cret-of-shop", "scope": "orders"});
    assert_eq!(provider.log().await, [json!({"form": form, "authorization": null})]);
    service.stop().await;
}

#[tokio::test]
async fn a_provider_that_wants_http_basic_gets_it_at_once_from_the_second_token_on() {
    let provider = Peer::start("oauth_provider.py", &credentials("client_secret_basic"));
    let service = at_provider(&provider, CLIENT).await;
    assert_eq!(deliver(&service, "A-1").await["status"], "accepted");
    let ways = |log: &[Value]| -> Vec<bool> { log.iter().map(|asked| asked["authorization"].is_string()).collect() };
    let log = provider.log().await;
    assert_eq!(ways(&log), [false, true]);
    // shop:s3cret-of-shop
    assert_eq!(log[1]["authorization"], "Basic c2hvcDpzM2NyZXQtb2Ytc2hvcA==");
    assert_eq!(log[1]["form"], json!({"grant_type": "client_credentials", "scope": "orders"}));
    service.clock.advance(Duration::from_secs(3600));
    assert_eq!(deliver(&service, "A-2").await["status"], "accepted");
    assert_eq!(ways(&provider.log().await), [false, true, true]);
    service.stop().await;
}

#[tokio::test]
async fn a_wrong_secret_is_refused_both_ways_and_the_attempt_says_so() {
    let mut settings = credentials("client_secret_post");
    settings["secret"] = json!("another");
    let provider = Peer::start("oauth_provider.py", &settings);
    let service = at_provider(&provider, CLIENT).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    let delivery = service.at_rest(&delivery_to(&order, "erp")).await;
    let attempt = &delivery["attempts"][0];
    assert_eq!((&attempt["code"], &attempt["outcome"]), (&json!(-9), &json!("retry")));
    let error = text(attempt, "error");
    assert!(error.contains("refuses the client") && error.contains("invalid_client"), "{error}");
    assert!(error.ends_with("check client_id and client_secret"), "{error}");
    service.stop().await;
}

#[tokio::test]
async fn a_token_is_used_until_shortly_before_it_expires() {
    let receiver = Receiver::start().await;
    receiver.on("/token", [token("t-1", 1000), token("t-2", 1000), token("t-3", 1000)]);
    let service = Service::start(&own(&receiver, "")).await;
    for (wait, expected) in [(0, "Bearer t-1"), (969, "Bearer t-1"), (1, "Bearer t-2"), (970, "Bearer t-3")] {
        service.clock.advance(Duration::from_secs(wait));
        assert_eq!(deliver(&service, &format!("A-{wait}")).await["status"], "accepted");
        assert_eq!(receiver.requests_on("/erp").last().unwrap().expect_header("authorization"), expected);
    }
    assert_eq!(receiver.count_on("/token"), 3);
    service.stop().await;
}

#[tokio::test]
async fn a_token_of_untold_lifetime_is_used_for_five_minutes_less_the_margin() {
    let receiver = Receiver::start().await;
    let untold = |name: &str| Reply::json(200, &json!({"access_token": name}));
    receiver.on("/token", [untold("t-1"), untold("t-2")]);
    let service = Service::start(&own(&receiver, "")).await;
    for (wait, tokens) in [(0, 1), (269, 1), (1, 2)] {
        service.clock.advance(Duration::from_secs(wait));
        deliver(&service, &format!("A-{wait}")).await;
        assert_eq!(receiver.count_on("/token"), tokens, "after {wait} s more");
    }
    service.stop().await;
}

#[tokio::test]
async fn however_many_attempts_want_a_token_one_fetches_it() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.on("/token", [token("t-1", 3600).held(&gate)]);
    let service = Service::start(&own(&receiver, "")).await;
    let mut deliveries = Vec::new();
    for number in 0..10 {
        deliveries.push(delivery_to(&service.api.order(&json!({"id": number})).await, "erp"));
    }
    receiver.wait_for_on("/token", 1).await;
    gate.open();
    for delivery in &deliveries {
        assert_eq!(service.api.settled(delivery).await["status"], "accepted");
    }
    assert_eq!((receiver.count_on("/token"), receiver.count_on("/erp")), (1, 10));
    service.stop().await;
}

#[tokio::test]
async fn a_token_that_the_receiver_refuses_is_dropped_and_another_one_tried_in_the_same_attempt() {
    let receiver = Receiver::start().await;
    receiver.on("/token", [token("t-1", 3600), token("t-2", 3600)]);
    receiver.on("/erp", [Reply::status(200), Reply::status(401), Reply::status(200)]);
    let service = Service::start(&own(&receiver, "")).await;
    for id in ["A-1", "A-2", "A-3"] {
        let delivery = deliver(&service, id).await;
        assert_eq!((&delivery["status"], delivery["attempts"].as_array().unwrap().len()), (&json!("accepted"), 1));
    }
    let sent: Vec<_> =
        receiver.requests_on("/erp").iter().map(|request| request.expect_header("authorization").to_owned()).collect();
    assert_eq!(sent, ["Bearer t-1", "Bearer t-1", "Bearer t-2", "Bearer t-2"]);
    service.stop().await;
}

#[tokio::test]
async fn a_second_401_is_an_auth_failure_and_goes_on_being_retried_where_the_rules_say_so() {
    let receiver = Receiver::start().await;
    receiver.on("/token", [token("t-1", 3600), token("t-2", 3600), token("t-3", 3600)]);
    receiver.on("/erp", [Reply::status(401)]);
    let rules =
        ", outcomes: [{on: [auth], then: retry}, {on: [any], then: failed}], retry: {attempts: 2, interval: 30m}";
    let service = Service::start(&own(&receiver, rules)).await;
    let delivery = deliver(&service, "A-1").await;
    let attempts = delivery["attempts"].as_array().unwrap();
    let ends: Vec<_> = attempts.iter().map(|attempt| (attempt["code"].clone(), attempt["outcome"].clone())).collect();
    assert_eq!(ends, [(json!(401), json!("retry")), (json!(401), json!("failed"))]);
    assert_eq!((receiver.count_on("/erp"), receiver.count_on("/token")), (4, 3));
    service.stop().await;
}

#[tokio::test]
async fn a_channel_asks_the_provider_that_it_names_for_a_token_of_its_own() {
    let receiver = Receiver::start().await;
    receiver.on("/token", [token("t-1", 3600), token("t-2", 3600)]);
    let yaml = receiver.fill(
        "oauth_providers: [{name: corp, token_url: RECEIVER/token, client_id: shop, client_secret: s3cret-of-shop, scope: a b, audience: all}]
channels:
  - {name: one, url: RECEIVER/one, auth: {type: oauth2, provider: corp}}
  - {name: two, url: RECEIVER/two, auth: {type: oauth2, provider: corp, scope: c}}
",
    );
    let service = Service::start(&yaml).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    for channel in ["one", "two"] {
        assert_eq!(service.play_out(&delivery_to(&order, channel)).await["status"], "accepted");
    }
    let mut forms: Vec<_> = receiver.requests_on("/token").iter().map(|request| request.text().to_owned()).collect();
    forms.sort();
    let form = |scope| {
        format!("grant_type=client_credentials&scope={scope}&audience=all&client_id=shop&client_secret=s3cret-of-shop")
    };
    assert_eq!(forms, [form("a+b"), form("c")]);
    let bearer = |path| receiver.requests_on(path)[0].expect_header("authorization").to_owned();
    assert_ne!(bearer("/one"), bearer("/two"));
    service.stop().await;
}

/// Everything that a token endpoint may do, and what the attempt's error says of it.
fn failures() -> Vec<(Reply, &'static str)> {
    let large = format!("{{\"access_token\": \"{}\"}}", "t".repeat(70_000));
    vec![
        (Reply::body(200, "text/html", "<h1>Please log in</h1>"), "answers 200 with text/html, not with a JSON object"),
        (Reply::status(500), "answers 500; the next attempt asks again"),
        (Reply::status(404), "answers 404; check token_url"),
        (Reply::status(302).with_header("Location", "/login"), "a redirect; token_url must name its target"),
        (Reply::json(200, &json!({"token": "t"})), "its response has no access_token"),
        (Reply::json(200, &json!({"access_token": "t", "token_type": "mac"})), "its token is of type mac"),
        (Reply::json(200, &json!({"access_token": "a\nb"})), "characters that a header cannot contain"),
        (Reply::body(200, "application/json", large), "more than 65536 bytes"),
        (Reply::json(400, &json!({"error": "invalid_scope"})), "answers 400 invalid_scope; check scope"),
        (Reply::json(400, &json!({"error": "invalid_client", "error_description": "no s3cret-of-shop"})), "no ***"),
        (Reply::Close, "closed before the response was complete"),
        (Reply::Garbage, "not valid HTTP"),
        (Reply::HangInBody, "no response within the time of the attempt"),
        (Reply::EndlessBody, "more than 65536 bytes"),
    ]
}

#[tokio::test]
async fn whatever_a_token_endpoint_does_wrong_is_told_apart_from_the_receiver_and_retried() {
    let receiver = Receiver::start().await;
    let mut yaml = String::from("channels:\n");
    for (number, (reply, _)) in failures().into_iter().enumerate() {
        // A refusal is asked about twice, in both ways.
        let refused = matches!(&reply, Reply::Response { status: 400, body, .. } if !body.ends_with(b"scope\"}"));
        let mut script = vec![reply; if refused { 2 } else { 1 }];
        script.push(token("good", 3600));
        receiver.on(&format!("/token-{number}"), script);
        yaml.push_str(&format!(
            "  - {{name: c-{number}, url: RECEIVER/erp, timeout: {{total: 1s}}, auth: {{type: oauth2, token_url: RECEIVER/token-{number}, client_id: shop, client_secret: s3cret-of-shop}}}}\n"
        ));
    }
    let service = Service::start(&receiver.fill(&yaml)).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    for (number, (reply, expected)) in failures().into_iter().enumerate() {
        let delivery = service.play_out(&delivery_to(&order, &format!("c-{number}"))).await;
        let attempts = delivery["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 2, "{reply:?}: {delivery:#}");
        assert_eq!((&attempts[0]["code"], &attempts[0]["outcome"]), (&json!(-9), &json!("retry")), "{reply:?}");
        let error = text(&attempts[0], "error");
        assert!(error.starts_with("no token from 127.0.0.1:") && error.contains(expected), "{reply:?}: {error}");
        assert_eq!(delivery["status"], "accepted", "{reply:?}");
        assert!(!delivery.to_string().contains("s3cret"), "{delivery:#}");
    }
    assert_eq!(receiver.count_on("/erp"), failures().len());
    service.stop().await;
}

#[tokio::test]
async fn a_token_endpoint_out_of_reach_is_no_failure_of_the_receiver() {
    let (receiver, closed) = (Receiver::start().await, ClosedPort::new());
    let yaml =
        own(&receiver, ", retry: {attempts: 1, interval: 1s}").replace(&receiver.url("/token"), &closed.url("/token"));
    let service = Service::start(&yaml).await;
    let delivery = deliver(&service, "A-1").await;
    let attempt = &delivery["attempts"][0];
    assert_eq!(attempt["code"], -9);
    assert!(text(attempt, "error").contains("no connection to 127.0.0.1:"), "{attempt:#}");
    assert_eq!(receiver.count(), 0);
    service.stop().await;
}

#[tokio::test]
async fn token_requests_pass_the_egress_guard_like_any_other() {
    let receiver = Receiver::start().await;
    let url = receiver.url("/token");
    let yaml = format!(
        "egress: {{deny: [localhost]}}\n{}",
        own(&receiver, "").replace(&url, &url.replace("127.0.0.1", "localhost"))
    );
    let service = Service::start(&yaml).await;
    let delivery = deliver(&service, "A-1").await;
    let attempt = &delivery["attempts"][0];
    assert_eq!((&attempt["code"], &delivery["status"]), (&json!(-8), &json!("failed")), "{delivery:#}");
    assert!(text(attempt, "error").contains("the egress guard refuses localhost"), "{attempt:#}");
    assert_eq!(receiver.count(), 0);
    service.stop().await;
}

#[tokio::test]
async fn a_callout_has_tokens_too() {
    let receiver = Receiver::start().await;
    receiver.on("/token", [Reply::status(503), token("t-1", 3600), token("t-2", 3600)]);
    receiver.on("/step", [Reply::status(200), Reply::status(401), Reply::json(200, &json!({"you": "Bearer t-2"}))]);
    let yaml = receiver.fill("chains: [{name: all, plugins: [{critical: true, name: calloutPlugin, id: step, options: {endpoint: RECEIVER/step, auth: {type: oauth2, token_url: RECEIVER/token, client_id: shop, client_secret: s3cret-of-shop}}}]}]");
    let service = Service::start(&yaml).await;
    let problem = service.api.post("/v1/orders", &json!({"id": 1})).await.problem(502);
    assert!(text(&problem, "detail").contains("answers 503; the next attempt asks again"), "{problem:#}");
    for id in [2, 3] {
        service.api.post("/v1/orders", &json!({"id": id})).await.expect(201);
    }
    let sent: Vec<_> =
        receiver.requests_on("/step").iter().map(|request| request.expect_header("authorization").to_owned()).collect();
    assert_eq!(sent, ["Bearer t-1", "Bearer t-1", "Bearer t-2"]);
    let order = service.api.order_detail("3").await;
    assert!(!order.to_string().contains("t-2"), "{order:#}");
    service.stop().await;
}

#[tokio::test]
async fn an_assertion_is_taken_as_a_grant_and_in_place_of_a_secret_whatever_signs_it() {
    let secret = "a secret of more than thirty-two bytes".to_owned();
    let folder = tempfile::tempdir().unwrap();
    for (algorithm, key) in [("RS256", rsa_key(2048)), ("ES256", ec_key()), ("EdDSA", ed25519_key()), ("HS256", secret)]
    {
        let provider = Peer::start(
            "oauth_provider.py",
            &json!({"method": "client_assertion_jwt", "key": key, "algorithm": algorithm, "audience": "the provider",
                    "scope": "orders", "now": NOON}),
        );
        let file = folder.path().join(algorithm);
        std::fs::write(&file, format!("{key}\n")).unwrap();
        for usage in ["grant", "client_assertion"] {
            let service = at_provider(&provider, &format!(
                "type: jwt_bearer, token_url: PEER/token, issuer: shop, audience: the provider, scope: orders, key_file: '{}', algorithm: {algorithm}, key_id: key-7, use: {usage}",
                file.display()
            ))
            .await;
            let order = service.api.order(&json!({"id": "A-1"})).await;
            let delivery = service.at_rest(&delivery_to(&order, "erp")).await;
            assert_eq!(delivery["status"], "accepted", "{algorithm} as {usage}: {delivery:#}");
            service.stop().await;
        }
        let log = provider.log().await;
        assert_eq!(log.len(), 2, "{algorithm}");
        assert_eq!(log[0]["form"]["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
        assert_eq!(log[1]["form"]["grant_type"], "client_credentials");
        assert_eq!(log[1]["form"]["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    }
}

#[tokio::test]
async fn clocks_may_differ_by_some_minutes() {
    let secret = "a secret of more than thirty-two bytes";
    for (skew, status) in [(-100, "accepted"), (200, "accepted"), (-1000, "pending"), (1000, "pending")] {
        let provider = Peer::start(
            "oauth_provider.py",
            &json!({"method": "client_assertion_jwt", "key": secret, "algorithm": "HS256", "audience": "the provider",
                    "now": NOON.saturating_add_signed(skew)}),
        );
        let auth = format!(
            "type: jwt_bearer, token_url: PEER/token, issuer: shop, audience: the provider, key: {secret}, algorithm: HS256, use: client_assertion"
        );
        let service = at_provider(&provider, &auth).await;
        let order = service.api.order(&json!({"id": "A-1"})).await;
        let delivery = service.at_rest(&delivery_to(&order, "erp")).await;
        assert_eq!(delivery["status"], status, "{skew} s: {delivery:#}");
        if status == "pending" {
            let error = text(&delivery["attempts"][0], "error");
            assert!(error.contains("refuses the assertion (400 invalid_client") && error.contains("clock"), "{error}");
        }
        service.stop().await;
    }
}
