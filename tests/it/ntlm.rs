//! NTLM, with an acceptor that nobody here wrote.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use crate::harness::{Service, delivery_to, text};
use crate::peers::Peer;
use crate::receiver::{Receiver, Reply};

/// Channels `erp` and `crm` to one acceptor, as two users of it.
const TWO: &str = "channels:
  - {name: erp, url: PEER/erp, auth: {type: ntlm, username: ann, password: pässwörd-of-ann, domain: SHOP}}
  - {name: crm, url: PEER/crm, auth: {type: ntlm, username: bob, password: password-of-bob, domain: SHOP}}
";

fn users() -> Value {
    json!([["SHOP", "ann", "pässwörd-of-ann"], ["SHOP", "bob", "password-of-bob"]])
}

async fn delivered(service: &Service, id: &str, channel: &str) -> Value {
    let order = service.api.order(&json!({"id": id})).await;
    service.play_out(&delivery_to(&order, channel)).await
}

/// The types of messages that came to a path, in order; 0 for a request without one.
fn types(log: &[Value], path: &str) -> Vec<u64> {
    let on_path = log.iter().filter(|asked| asked["path"] == path);
    on_path.map(|asked| asked["type"].as_u64().unwrap_or(0)).collect()
}

/// The connections that requests to a path came on.
fn connections(log: &[Value], path: &str) -> HashSet<u64> {
    let on_path = log.iter().filter(|asked| asked["path"] == path);
    on_path.map(|asked| asked["connection"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_connection_is_vouched_for_once_and_kept() {
    let acceptor = Peer::start("ntlm_acceptor.py", &json!({"users": users()}));
    let service = Service::start(&acceptor.fill(TWO)).await;
    for id in ["A-1", "A-2", "A-3"] {
        let delivery = delivered(&service, id, "erp").await;
        assert_eq!(delivery["status"], "accepted", "{delivery:#}");
        assert_eq!(delivery["attempts"][0]["response"]["body"], "{\"user\": \"SHOP\\\\ann\"}");
        if id == "A-1" {
            assert_eq!(delivery["attempts"][0]["request"]["headers"]["authorization"], "***");
        }
    }
    service.api.all_settled().await;
    let log = acceptor.log().await;
    assert_eq!(types(&log, "/erp"), [1, 3, 0, 0]);
    assert_eq!(connections(&log, "/erp").len(), 1, "{log:#?}");
    assert!(log.iter().all(|asked| text(asked, "body").contains("A-")), "each message goes with the whole request");
    service.stop().await;
}

#[tokio::test]
async fn two_identities_never_share_a_connection_and_a_handshake_never_leaves_its_own() {
    let acceptor = Peer::start("ntlm_acceptor.py", &json!({"users": users()}));
    let service = Service::start(&acceptor.fill(TWO)).await;
    for number in 0..40 {
        service.api.order(&json!({"id": format!("A-{number}")})).await;
    }
    service.api.all_settled().await;
    let log = acceptor.log().await;
    assert!(connections(&log, "/erp").is_disjoint(&connections(&log, "/crm")));
    let mut users: HashMap<&str, HashSet<&str>> = HashMap::new();
    for asked in log.iter().filter(|asked| asked["user"].is_string()) {
        users.entry(text(asked, "path")).or_default().insert(text(asked, "user"));
    }
    assert_eq!(users, HashMap::from([("/erp", HashSet::from(["SHOP\\ann"])), ("/crm", HashSet::from(["SHOP\\bob"]))]));
    let every: HashSet<u64> = log.iter().map(|asked| asked["connection"].as_u64().unwrap()).collect();
    for connection in every {
        let on_it: Vec<u64> = log
            .iter()
            .filter(|asked| asked["connection"] == connection)
            .map(|asked| asked["type"].as_u64().unwrap_or(0))
            .collect();
        assert_eq!(on_it[..2], [1, 3], "connection {connection}");
        assert!(on_it[2..].iter().all(|kind| *kind == 0), "connection {connection}: {on_it:?}");
    }
    let deliveries = service.api.list("/v1/deliveries").await;
    assert!(deliveries.iter().all(|delivery| delivery["status"] == "accepted"));
    service.stop().await;
}

#[tokio::test]
async fn a_receiver_that_asks_each_time_is_answered_each_time() {
    let acceptor = Peer::start("ntlm_acceptor.py", &json!({"users": users(), "each": true}));
    let service = Service::start(&acceptor.fill(TWO)).await;
    for id in ["A-1", "A-2"] {
        assert_eq!(delivered(&service, id, "erp").await["status"], "accepted");
    }
    let log = acceptor.log().await;
    assert_eq!(types(&log, "/erp"), [1, 3, 0, 1, 3]);
    assert_eq!(connections(&log, "/erp").len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn a_wrong_password_is_a_401_of_class_auth() {
    let acceptor = Peer::start("ntlm_acceptor.py", &json!({"users": [["SHOP", "ann", "another"]]}));
    let rules = "outcomes: [{on: [auth], then: rejected}, {on: [any], then: failed}]";
    let yaml = format!(
        "channels: [{{name: erp, url: PEER/erp, {rules}, auth: {{type: ntlm, username: ann, password: p4ssword, domain: SHOP}}}}]"
    );
    let service = Service::start(&acceptor.fill(&yaml)).await;
    let delivery = delivered(&service, "A-1", "erp").await;
    assert_eq!((&delivery["status"], &delivery["attempts"][0]["code"]), (&json!("rejected"), &json!(401)));
    assert_eq!(types(&acceptor.log().await, "/erp"), [1, 3]);
    assert!(!delivery.to_string().contains("p4ssword"));
    service.stop().await;
}

#[tokio::test]
async fn a_receiver_that_offers_only_kerberos_is_told_of_with_a_code_of_its_own() {
    let acceptor = Peer::start("ntlm_acceptor.py", &json!({"users": users(), "offer": ["Negotiate"]}));
    let service = Service::start(&acceptor.fill(TWO)).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    let delivery = service.at_rest(&delivery_to(&order, "erp")).await;
    let attempt = &delivery["attempts"][0];
    assert_eq!((&attempt["code"], &attempt["outcome"]), (&json!(-9), &json!("retry")));
    let error = text(attempt, "error");
    assert!(
        error.ends_with(
            "the receiver offers Negotiate only, and Kerberos is not supported; configure it to offer NTLM too"
        ),
        "{error}"
    );
    service.stop().await;
}

#[tokio::test]
async fn what_goes_wrong_in_a_handshake_is_told() {
    let receiver = Receiver::start().await;
    let challenge =
        "NTLM TlRMTVNTUAACAAAABAAEADgAAAA1goriY6qGiqoJhwegAAAAAAAAADoAOgA8AAAAAAwEAAAAAA9WAE0AAQAEAFYATQACABYA";
    let asks = |value: &str| Reply::status(401).with_header("WWW-Authenticate", value);
    let cases = [
        (Reply::status(401), "the receiver answers 401 without naming a scheme; check whether NTLM is enabled there"),
        (asks("Basic realm=\"x\""), "the receiver asks for Basic; choose another kind of auth"),
        (asks("NTLM"), "first message; look for a balancer in between that spreads one connection's requests"),
        (
            asks("NTLM AAAA"),
            "its challenge is not an NTLM message of type 2; look for a proxy in between that changes it",
        ),
        (asks("NTLM A"), "its challenge is not valid base64; look for a proxy in between that changes it"),
        (asks(challenge), "its challenge is cut off; look for a proxy in between that changes it"),
    ];
    let mut yaml = String::from("channels:\n");
    for (number, (reply, _)) in cases.iter().enumerate() {
        receiver.on(&format!("/{number}"), [reply.clone()]);
        yaml.push_str(&format!("  - {{name: c-{number}, url: RECEIVER/{number}, retry: {{attempts: 1, interval: 1s}}, auth: {{type: ntlm, username: ann, password: p4ssword}}}}\n"));
    }
    let service = Service::start(&receiver.fill(&yaml)).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    for (number, (reply, expected)) in cases.iter().enumerate() {
        let delivery = service.play_out(&delivery_to(&order, &format!("c-{number}"))).await;
        let attempt = &delivery["attempts"][0];
        assert_eq!(attempt["code"], -9, "{reply:?}");
        assert!(text(attempt, "error").ends_with(expected), "{reply:?}: {attempt:#}");
    }
    service.stop().await;
}

/// A critical callout to the acceptor's `/step`.
const CALLOUT: &str = "chains: [{name: all, plugins: [{critical: true, name: calloutPlugin, id: step, options: {endpoint: PEER/step, auth: {type: ntlm, username: bob, password: password-of-bob, domain: SHOP}}}]}]";

#[tokio::test]
async fn a_callout_is_vouched_for_too() {
    let acceptor = Peer::start("ntlm_acceptor.py", &json!({"users": users()}));
    let service = Service::start(&acceptor.fill(CALLOUT)).await;
    for id in [1, 2] {
        service.api.post("/v1/orders", &json!({"id": id})).await.expect(201);
    }
    let log = acceptor.log().await;
    assert_eq!(types(&log, "/step"), [1, 3, 0]);
    assert_eq!(log.last().unwrap()["user"], "SHOP\\bob");
    service.stop().await;
}

#[tokio::test]
async fn a_callout_whose_kept_connection_closes_just_then_is_vouched_for_anew() {
    let acceptor = Peer::start("ntlm_acceptor.py", &json!({"users": users(), "tired": true}));
    let service = Service::start(&acceptor.fill(CALLOUT)).await;
    for id in [1, 2] {
        service.api.post("/v1/orders", &json!({"id": id})).await.expect(201);
    }
    assert_eq!(types(&acceptor.log().await, "/step"), [1, 3, 0, 1, 3]);
    service.stop().await;
}
