//! Who may call what.

use serde_json::json;

use crate::harness::{Home, Service, run};
use crate::receiver::Receiver;

const TOKENS: &str = r"
server:
  tokens:
    - {name: order-system, token: ingest-token-0123456789, scopes: [ingest]}
    - {name: support, token: read-token-0123456789, scopes: [read]}
    - {name: operator, token: manage-token-0123456789, scopes: [manage]}
    - {name: all, token: all-token-0123456789, scopes: [ingest, manage]}
channels: [{name: erp, url: RECEIVER/erp}]
";

#[tokio::test]
async fn every_call_needs_its_scope_and_says_which_is_missing() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill(TOKENS)).await;
    let with = |token: &str| service.api.with_token(&format!("{token}-token-0123456789"));
    with("ingest").post("/v1/orders", &json!({"id": "A-1"})).await.expect(201);
    let order = json!({"id": "A-2"});
    let nothing = json!({});
    let dry = json!({"channel": "erp", "dry_run": true});
    for (method, target, body, scope, allowed) in [
        ("POST", "/v1/orders", &order, "ingest", ["ingest", "all"].as_slice()),
        ("POST", "/v1/events", &json!({"type": "a", "data": 1}), "ingest", &["ingest", "all"]),
        ("GET", "/v1/orders", &nothing, "read", &["read", "manage", "all"]),
        ("GET", "/v1/orders/A-1", &nothing, "read", &["read", "manage", "all"]),
        ("GET", "/v1/deliveries", &nothing, "read", &["read", "manage", "all"]),
        ("GET", "/v1/channels", &nothing, "read", &["read", "manage", "all"]),
        ("POST", "/v1/deliveries/retry", &dry, "manage", &["manage", "all"]),
        ("POST", "/v1/deliveries/cancel", &dry, "manage", &["manage", "all"]),
        ("POST", "/v1/channels/erp/pause", &nothing, "manage", &["manage", "all"]),
        ("POST", "/v1/channels/erp/resume", &nothing, "manage", &["manage", "all"]),
    ] {
        for token in ["ingest", "read", "manage", "all"] {
            let api = with(token);
            let answer = if method == "POST" { api.post(target, body).await } else { api.get(target).await };
            if allowed.contains(&token) {
                assert_eq!(answer.status / 100, 2, "{method} {target} with {token}: {answer}");
            } else {
                let problem = answer.problem(403);
                assert!(problem["detail"].to_string().contains(scope), "{method} {target} with {token}: {problem}");
            }
        }
        for api in
            [service.api.clone(), service.api.with_token("wrong"), service.api.with_token("ingest-token-012345678")]
        {
            let answer = if method == "POST" { api.post(target, body).await } else { api.get(target).await };
            let problem = answer.problem(401);
            assert!(problem["detail"].to_string().contains(scope), "{method} {target}: {problem}");
            assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")), "{answer}");
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn other_ways_to_present_a_token_do_not_count() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill(TOKENS)).await;
    for header in [
        ("Authorization", "read-token-0123456789"),
        ("Authorization", "Basic cmVhZC10b2tlbg=="),
        ("Authorization", "Bearer"),
        ("Authorization", "Bearer  "),
    ] {
        service.api.call("GET", "/v1/orders", &[header], b"").await.problem(401);
    }
    service.api.call("GET", "/v1/orders?token=read-token-0123456789", &[], b"").await.problem(401);
    let lower = ("authorization", "bearer read-token-0123456789");
    service.api.call("GET", "/v1/orders", &[lower], b"").await.expect(200);
    service.stop().await;
}

#[tokio::test]
async fn health_and_metrics_need_no_token() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill(TOKENS)).await;
    for target in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(service.api.get(target).await.status, 200, "{target}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_refused_request_is_not_read_into_the_store() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill(TOKENS)).await;
    service.api.post("/v1/orders", &json!({"id": "A-1"})).await.problem(401);
    let reader = service.api.with_token("read-token-0123456789");
    assert_eq!(reader.list("/v1/orders").await.len(), 0);
    assert_eq!(receiver.count(), 0);
    service.stop().await;
}

#[tokio::test]
async fn keys_of_different_callers_do_not_meet() {
    let receiver = Receiver::start().await;
    let service = Service::start(&receiver.fill(TOKENS)).await;
    let (one, other) =
        (service.api.with_token("ingest-token-0123456789"), service.api.with_token("all-token-0123456789"));
    let first = one.post_with_key("/v1/orders", "key-1", &json!({"id": "A-1"})).await.expect(201);
    let second = other.post_with_key("/v1/orders", "key-1", &json!({"id": "B-1"})).await.expect(201);
    assert_ne!(first["id"], second["id"]);
    service.stop().await;
}

#[test]
fn an_address_beyond_loopback_needs_tokens() {
    let home = Home::new();
    let output = run(&mut crate::harness::serve(&home, "server: {listen: '0.0.0.0:0'}"));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("tokens") && stderr.contains("listen"), "{stderr}");
}

#[tokio::test]
async fn a_token_has_its_own_pace_and_is_told_when_there_is_room() {
    let receiver = Receiver::start().await;
    let yaml = TOKENS
        .replace("scopes: [ingest]}", "scopes: [ingest], rate_limit: 3/h}")
        .replace("scopes: [ingest, manage]}", "scopes: [ingest, manage], rate_limit: 1/m}");
    let service = Service::start(&receiver.fill(&yaml)).await;
    let with = |token: &str| service.api.with_token(&format!("{token}-token-0123456789"));
    let (shop, other) = (with("ingest"), with("all"));
    shop.post("/v1/orders", &json!({"id": "A-1"})).await.expect(201);
    shop.post("/v1/events", &json!({"type": "a", "data": 1})).await.expect(202);
    shop.call("POST", "/v1/orders", &[("Content-Type", "application/json")], b"no JSON").await.problem(400);
    for path in ["/v1/orders", "/v1/events"] {
        let refused = shop.post(path, &json!({"id": "A-2", "type": "a", "data": 1})).await;
        let problem = refused.problem(429);
        assert_eq!(problem["type"], "/problems/too-many-requests");
        assert!(problem["detail"].to_string().contains("3/h"), "{problem}");
        let wait: u64 = refused.header("retry-after").expect("Retry-After").parse().expect("seconds");
        assert!((600..=1200).contains(&wait), "{wait}");
    }
    other.post("/v1/orders", &json!({"id": "B-1"})).await.expect(201);
    other.post("/v1/orders", &json!({"id": "B-2"})).await.problem(429);
    for _ in 0..5 {
        other.get("/v1/orders").await.expect(200);
    }
    let kept = other.get("/v1/orders").await.expect(200);
    let ids: Vec<_> = kept["data"].as_array().expect("orders").iter().map(|order| order["order_id"].clone()).collect();
    assert_eq!(ids, ["B-1", "A-1"], "nothing that was refused is kept");
    service.stop().await;
}
