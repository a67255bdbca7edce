//! Signatures of Standard Webhooks: those that receivers check, and those that orders must carry. The official
//! library is on the other side.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde_json::json;
use standardwebhooks::Webhook;

use orderhook::domain::Clock;

use crate::harness::{Process, Service, delivery_to, text};
use crate::receiver::{Receiver, Reply, Request};

const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// A seed of 32 bytes, and the public key that belongs to it (RFC 8032, test 1).
const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn signed(request: &Request) -> HeaderMap {
    let headers = request.headers.iter().filter(|(name, _)| name.to_ascii_lowercase().starts_with("webhook-"));
    headers.map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())).collect()
}

#[tokio::test]
async fn the_official_library_accepts_what_a_channel_signs_by_the_old_and_by_the_new_secret() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::status(503), Reply::status(200)]);
    let yaml = receiver.fill(&format!(
        "channels:\n  - {{name: erp, url: RECEIVER/erp, signing: {{secrets: [{NEW}, {OLD}]}}, retry: {{attempts: 2, interval: 20ms}}}}"
    ));
    let process = Process::start(&yaml).await;
    let answer = process.api.order(&json!({ "id": "A-ü\n1" })).await;
    for request in receiver.wait_for(2).await {
        for secret in [OLD, NEW] {
            let webhook = Webhook::new(secret).unwrap();
            webhook.verify(&request.body, &signed(&request)).unwrap_or_else(|error| panic!("{secret}: {error}"));
            let mut other = request.body.clone();
            other.push(b' ');
            assert!(webhook.verify(&other, &signed(&request)).is_err());
        }
    }
    let delivery = process.api.settled(&delivery_to(&answer, "erp")).await;
    let shown = text(&delivery["attempts"][0]["request"]["headers"], "webhook-signature");
    assert!(shown.starts_with("v1,") && shown.contains(" v1,"), "the signature is on record: {shown}");
    assert!(!delivery.to_string().contains("MfKQ9r8"), "the secret is not");
    let channel = process.api.get("/v1/channels/erp").await.expect(200);
    assert_eq!(channel["config"]["signing"], json!({ "secrets": ["***", "***"] }));
    process.stop().await;
}

#[tokio::test]
async fn a_signing_secret_that_a_receiver_repeats_is_masked_in_every_encoding() {
    let receiver = Receiver::start().await;
    let inner = NEW.strip_prefix("whsec_").expect("a prefix");
    let key = STANDARD.decode(inner).expect("base64");
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let octal: String = NEW.bytes().map(|byte| format!("\\{byte:03o}")).collect();
    let braces: String = NEW.bytes().map(|byte| format!("\\u{{{byte:x}}}")).collect();
    let references: String = NEW.bytes().map(|byte| format!("&#{byte:020};")).collect();
    let percent: String = NEW.bytes().map(|byte| format!("%2525{byte:02x}")).collect();
    let bodies = [
        format!("[{NEW}]"),
        format!("[{inner}]"),
        format!("[{hex}]"),
        format!("[{}]", hex.to_uppercase()),
        format!("[{octal}]"),
        format!("[{braces}]"),
        format!("[{references}]"),
        format!("[{percent}]"),
        format!("[{}]", STANDARD.encode(NEW)),
    ];
    receiver.answer(bodies.iter().map(|body| Reply::body(200, "text/plain", body.as_str())));
    let yaml = receiver.fill(&format!("channels: [{{name: erp, url: RECEIVER/erp, signing: {{secrets: [{NEW}]}}}}]"));
    let process = Process::start(&yaml).await;
    for body in &bodies {
        let answer = process.api.order(&json!({"id": "A-1"})).await;
        let delivery = process.api.settled(&delivery_to(&answer, "erp")).await;
        assert_eq!(delivery["attempts"][0]["response"]["body"], "[***]", "{body}");
    }
    process.stop().await;
}

#[tokio::test]
async fn the_official_library_for_python_accepts_it_too() {
    let receiver = Receiver::start().await;
    let yaml = receiver
        .fill(&format!("channels:\n  - {{name: erp, url: RECEIVER/erp, signing: {{secrets: [{NEW}, {OLD}]}}}}"));
    // On the real clock: the library compares times.
    let process = Process::start(&yaml).await;
    process.api.order(&json!({ "id": "A-ü\n1", "quote": "\"" })).await;
    let request = receiver.next().await;
    let verify = |secret: &str, body: &str| {
        let headers: serde_json::Map<_, _> =
            request.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        let asked = json!({"secret": secret, "headers": headers, "body": body}).to_string();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/peers/standard_webhooks.py");
        crate::harness::run(std::process::Command::new(crate::peers::python()).args([script, &asked]))
    };
    for secret in [OLD, NEW] {
        let checked = verify(secret, request.text());
        assert!(checked.status.success(), "{checked:?}");
        let checked = verify(secret, &format!("{} ", request.text()));
        assert!(String::from_utf8_lossy(&checked.stderr).contains("No matching signature"), "{checked:?}");
    }
    process.api.all_settled().await;
    process.stop().await;
}

#[tokio::test]
async fn an_ed25519_key_signs_what_its_public_key_proves() {
    let key = format!("whsk_{}", STANDARD.encode(bytes(SEED)));
    let receiver = Receiver::start().await;
    let yaml =
        receiver.fill(&format!("channels:\n  - {{name: erp, url: RECEIVER/erp, signing: {{secrets: [\"{key}\"]}}}}"));
    let service = Service::start(&yaml).await;
    service.api.order(&json!({ "id": "A-1" })).await;
    let request = receiver.next().await;
    let header = |name: &str| signed(&request)[name].to_str().unwrap().to_owned();
    let signature = STANDARD.decode(header("webhook-signature").strip_prefix("v1a,").unwrap()).unwrap();
    let mut message = format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).into_bytes();
    message.extend_from_slice(&request.body);
    let public = aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, bytes(PUBLIC));
    public.verify(&message, &signature).expect("a signature of that key");
    service.stop().await;
}

#[tokio::test]
async fn with_verify_an_order_or_event_needs_a_signature_that_holds() {
    let service = Service::start(&format!("server: {{verify: {{secrets: [{OLD}]}}}}")).await;
    let now = service.clock.now().as_secs();
    let (body, other) = (br#"{"id":"A-1"}"#, br#"{"id":"A-2"}"#);
    let webhook = Webhook::new(OLD).unwrap();
    let signature = webhook.sign("msg_1", now, body).unwrap();
    let call = |target: &'static str, at: i64, signature: String, body: &'static [u8]| {
        let api = service.api.clone();
        async move {
            let at = at.to_string();
            let headers = [
                ("Content-Type", "application/json"),
                ("webhook-id", "msg_1"),
                ("webhook-timestamp", &at),
                ("webhook-signature", &signature),
            ];
            api.call("POST", target, &headers, body).await
        }
    };
    call("/v1/orders", now, signature.clone(), body).await.expect(201);
    for (at, signature, body, told) in [
        (now, signature.clone(), &other[..], "matches a secret"),
        (now - 3600, webhook.sign("msg_1", now - 3600, body).unwrap(), body, "5 minutes"),
        (now, "v1,AAAA".to_owned(), body, "matches a secret"),
    ] {
        let problem = call("/v1/orders", at, signature, body).await.problem(401);
        assert!(text(&problem, "detail").contains(told), "{problem:#}");
    }
    let problem = service.api.post("/v1/events", &json!({ "type": "a.b", "data": 1 })).await.problem(401);
    assert!(text(&problem, "detail").contains("webhook-signature"), "{problem:#}");
    assert_eq!(service.api.list("/v1/orders").await.len(), 1, "nothing else was taken in");
    service.stop().await;
}

#[tokio::test]
async fn with_verify_attributes_of_an_event_cannot_come_in_headers() {
    let service = Service::start(&format!("server: {{verify: {{secrets: [{OLD}]}}}}")).await;
    let now = service.clock.now().as_secs();
    let body = br#"{"type":"a.b","data":1}"#;
    let (at, signature) = (now.to_string(), Webhook::new(OLD).unwrap().sign("msg_1", now, body).unwrap());
    let signed = [
        ("Content-Type", "application/json"),
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", &at),
        ("webhook-signature", &signature),
    ];
    let binary = [("ce-specversion", "1.0"), ("ce-type", "paid"), ("ce-source", "/b"), ("ce-id", "1")];
    for headers in
        [[&signed[..], &binary].concat(), [&signed[..], &binary[1..2]].concat(), [&signed[..], &binary[3..]].concat()]
    {
        let problem = service.api.call("POST", "/v1/events", &headers, body).await.problem(400);
        assert!(text(&problem, "detail").contains("server.verify"), "{problem}");
    }
    service.api.call("POST", "/v1/events", &signed, body).await.expect(202);
    service.stop().await;
}

/// Posts a body that is signed now.
async fn post_signed(
    service: &Service,
    id: &str,
    target: &str,
    key: Option<&str>,
    body: &[u8],
) -> crate::client::Answer {
    let now = service.clock.now().as_secs();
    let (at, signature) = (now.to_string(), Webhook::new(OLD).unwrap().sign(id, now, body).unwrap());
    let mut headers = vec![
        ("Content-Type", "application/json"),
        ("webhook-id", id),
        ("webhook-timestamp", &at),
        ("webhook-signature", &signature),
    ];
    headers.extend(key.map(|key| ("Idempotency-Key", key)));
    service.api.call("POST", target, &headers, body).await
}

#[tokio::test]
async fn a_signed_request_is_taken_once_whatever_its_key_and_over_a_restart() {
    let service = Service::start(&format!("server: {{verify: {{secrets: [{OLD}]}}}}")).await;
    let (order, event) = (br#"{"id":"A-1","type":"a.b","data":1}"#, br#"{"type":"a.b","data":1}"#);
    let first = post_signed(&service, "msg_1", "/v1/orders", Some("key-1"), order).await;
    post_signed(&service, "msg_2", "/v1/events", None, event).await.expect(202);
    let service = service.restart().await;
    for (id, target, key, body) in [
        ("msg_1", "/v1/orders", Some("key-2"), &order[..]),
        ("msg_1", "/v1/orders", None, order),
        ("msg_1", "/v1/events", Some("key-1"), event),
        ("msg_2", "/v1/events", Some("key-2"), event),
        ("msg_2", "/v1/events", None, event),
    ] {
        let problem = post_signed(&service, id, target, key, body).await.problem(409);
        assert!(text(&problem, "type").ends_with("/webhook-id-reused"), "{problem}");
    }
    let again = post_signed(&service, "msg_1", "/v1/orders", Some("key-1"), order).await;
    assert_eq!(again.expect(201), first.expect(201), "a repeat with its key gets the first answer");
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    // A key that was refused is free for another request.
    post_signed(&service, "msg_3", "/v1/orders", Some("key-2"), order).await.expect(201);
    service.clock.advance(std::time::Duration::from_secs(302));
    post_signed(&service, "msg_2", "/v1/events", None, event).await.expect(202);
    assert_eq!(service.api.list("/v1/orders").await.len(), 2);
    service.stop().await;
}

#[test]
fn secrets_of_the_wrong_form_are_told_by_their_place_and_never_shown() {
    let home = crate::harness::Home::new();
    std::fs::write(home.path("secrets"), format!("{OLD}\n\nwhsec_dG9vIHNob3J0\n")).unwrap();
    let yaml = "server: {verify: {secrets_file: secrets}}\n\
                channels:\n  - {name: erp, url: 'https://a.example.com', signing: {secrets: [nonsense-Xy12]}}\n\
                \x20 - {name: crm, url: 'https://a.example.com', signing: {secrets: []}}\n";
    std::fs::write(home.path("mine.yaml"), yaml).unwrap();
    let output = crate::harness::run(
        crate::harness::binary().args(["check", "--config", "mine.yaml"]).current_dir(home.path("")),
    );
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    for expected in [
        "server.verify.secrets_file[1]",
        "24 to 64 bytes",
        "channels[0].signing.secrets[0]",
        "whsec_",
        "channels[1].signing.secrets",
    ] {
        assert!(told.contains(expected), "{expected} in {told}");
    }
    assert!(!told.contains("Xy12") && !told.contains("dG9vIH"), "{told}");
}
