//! The configuration read anew while the service runs: what changes holds from then on, what does not change notices
//! nothing, and no attempt is lost or made twice.

mod load;
mod orders;
mod refused;
mod states;

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tempfile::TempDir;

use crate::harness::{Service, delivery_to, eventually, text};
use crate::receiver::{Gate, Receiver, Reply, Request};

const RELOAD: &str = "/v1/config/reload";

/// A file with a secret, which lives as long as its directory.
pub(crate) struct SecretFile {
    directory: TempDir,
}

impl SecretFile {
    pub(crate) fn new(secret: &str) -> Self {
        let file = Self { directory: tempfile::tempdir().expect("a directory") };
        file.rotate(secret);
        file
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("secret")
    }

    pub(crate) fn rotate(&self, secret: &str) {
        std::fs::write(self.path(), format!("{secret}\n")).expect("a file");
    }

    /// The text with the file's path for SECRET.
    pub(crate) fn fill(&self, yaml: &str) -> String {
        yaml.replace("SECRET", &self.path().display().to_string())
    }
}

/// Posts an order and waits until its delivery to a channel has ended; returns the request that came of it.
async fn delivered(service: &Service, receiver: &Receiver, channel: &str, id: &str) -> Request {
    let order = service.api.order(&json!({ "id": id })).await;
    let delivery = delivery_to(&order, channel);
    assert_eq!(service.api.settled(&delivery).await["status"], "accepted");
    let found = receiver.requests().into_iter().find(|request| request.header("webhook-id") == Some(&delivery));
    found.expect("the request")
}

fn named(added: &[&str], changed: &[&str], removed: &[&str]) -> Value {
    json!({"added": added, "changed": changed, "removed": removed})
}

#[tokio::test]
async fn a_new_token_holds_and_one_that_is_gone_is_refused() {
    let old = "
server:
  tokens:
    - {name: shop, token: old-ingest-token, scopes: [ingest]}
    - {name: boss, token: manage-token, scopes: [manage]}
";
    let secret = SecretFile::new("first-file-token");
    let new = secret.fill(
        "
server:
  tokens:
    - {name: shop, token: new-ingest-token, scopes: [ingest]}
    - {name: boss, token: manage-token, scopes: [manage]}
    - {name: filed, token_file: SECRET, scopes: [ingest]}
",
    );
    let mut service = Service::start(old).await;
    let with = |token: &str| service.api.with_token(token);
    let (before, after, first, second) =
        (with("old-ingest-token"), with("new-ingest-token"), with("first-file-token"), with("second-file-token"));
    let boss = with("manage-token");
    before.order(&json!({"id": 1})).await;
    after.post("/v1/orders", &json!({"id": 2})).await.problem(401);
    before.post(RELOAD, &Value::Null).await.problem(403);
    service.configure(&new);
    before.order(&json!({"id": 3})).await;
    let told = boss.post(RELOAD, &Value::Null).await.expect(200);
    assert_eq!(
        told,
        json!({"channels": named(&[], &[], &[]), "chains": named(&[], &[], &[]), "keys": ["server.tokens"]})
    );
    before.post("/v1/orders", &json!({"id": 4})).await.problem(401);
    after.order(&json!({"id": 5})).await;
    first.order(&json!({"id": 6})).await;
    // The YAML is the same, the file's content is not.
    secret.rotate("second-file-token");
    assert_eq!(boss.post(RELOAD, &Value::Null).await.expect(200)["keys"], json!(["server.tokens"]));
    first.post("/v1/orders", &json!({"id": 7})).await.problem(401);
    second.order(&json!({"id": 8})).await;
    service.stop().await;
}

#[tokio::test]
async fn channels_are_added_changed_and_taken_away() {
    let receiver = Receiver::start().await;
    let mut service =
        Service::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/one}, {name: old, url: RECEIVER/old}]"))
            .await;
    delivered(&service, &receiver, "erp", "A-1").await;
    let told = service
        .reload(&receiver.fill("channels: [{name: erp, url: RECEIVER/two}, {name: crm, url: RECEIVER/crm}]"))
        .await;
    assert_eq!(told["channels"], named(&["crm"], &["erp"], &["old"]));
    assert_eq!(delivered(&service, &receiver, "erp", "A-2").await.path(), "/two");
    assert_eq!(delivered(&service, &receiver, "crm", "A-3").await.path(), "/crm");
    let listed = service.api.list("/v1/channels").await;
    assert_eq!(listed.iter().map(|channel| text(channel, "name")).collect::<Vec<_>>(), ["erp", "crm"]);
    service.api.get("/v1/channels/old").await.problem(404);
    service.api.post("/v1/channels/old/pause", &Value::Null).await.problem(404);
    service.api.post("/v1/channels/old/preview", &json!({})).await.problem(404);
    let preview = service.api.post("/v1/channels/erp/preview", &json!({"id": 1})).await.expect(200);
    assert!(text(&preview, "url").ends_with("/two"), "{preview}");
    let order = service.api.order_detail("A-3").await;
    assert!(order["channels"].as_array().expect("channels").iter().all(|channel| channel["channel"] != "old"));
    assert_eq!(receiver.count_on("/old"), 1);
    // And back again.
    service.reload(&receiver.fill("channels: [{name: old, url: RECEIVER/old}]")).await;
    delivered(&service, &receiver, "old", "A-4").await;
    service.stop().await;
}

#[tokio::test]
async fn secrets_in_files_are_read_again() {
    let receiver = Receiver::start().await;
    let signing = |text: &str| format!("whsec_{}", STANDARD.encode(text.repeat(24)));
    let (token, key) = (SecretFile::new("first-bearer"), SecretFile::new(&signing("a")));
    let channel = token.fill("{name: erp, url: RECEIVER/erp, auth: {type: bearer, token_file: SECRET}, ");
    let yaml = key.fill(&format!("channels: [{channel} signing: {{secrets_file: SECRET}}}}]"));
    let mut service = Service::start(&receiver.fill(&yaml)).await;
    // As the official library signs; it verifies by the wall clock alone, which is not that of the test.
    let verify = |request: &Request, secret: &str| {
        let at = request.expect_header("webhook-timestamp").parse().expect("seconds");
        let signed =
            Webhook::new(secret).and_then(|it| it.sign(request.expect_header("webhook-id"), at, &request.body));
        signed.expect("a signature") == request.expect_header("webhook-signature")
    };
    let request = delivered(&service, &receiver, "erp", "A-1").await;
    assert_eq!(request.header("authorization"), Some("Bearer first-bearer"));
    assert!(verify(&request, &signing("a")));
    token.rotate("second-bearer");
    assert_eq!(service.reload(&receiver.fill(&yaml)).await["channels"], named(&[], &["erp"], &[]));
    let request = delivered(&service, &receiver, "erp", "A-2").await;
    assert_eq!(request.header("authorization"), Some("Bearer second-bearer"));
    assert!(verify(&request, &signing("a")));
    key.rotate(&signing("b"));
    assert_eq!(service.reload(&receiver.fill(&yaml)).await["channels"], named(&[], &["erp"], &[]));
    let request = delivered(&service, &receiver, "erp", "A-3").await;
    assert!(verify(&request, &signing("b")) && !verify(&request, &signing("a")));
    assert_eq!(service.reload(&receiver.fill(&yaml)).await["channels"], named(&[], &[], &[]));
    service.stop().await;
}

#[tokio::test]
async fn a_channel_that_has_not_changed_keeps_its_connection_and_its_attempts() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    let yaml = |path: &str| {
        receiver.fill(&format!("channels: [{{name: erp, url: RECEIVER/erp, concurrency: 1, when: order.to == 'erp'}}, {{name: other, url: RECEIVER/{path}, when: order.to == 'other'}}]"))
    };
    let mut service = Service::start(&yaml("a")).await;
    let send = async |service: &Service, to: &str, id: u64| {
        delivery_to(&service.api.order(&json!({"to": to, "id": id})).await, to)
    };
    service.api.settled(&send(&service, "erp", 1).await).await;
    receiver.on("/erp", [Reply::status(200).held(&gate), Reply::status(200)]);
    let slow = send(&service, "erp", 2).await;
    receiver.wait_for_on("/erp", 2).await;
    let held = send(&service, "erp", 3).await;
    for path in ["b", "c", "d"] {
        let told = service.reload(&yaml(path)).await;
        assert_eq!(told["channels"], named(&[], &["other"], &[]));
        service.api.settled(&send(&service, "other", 4).await).await;
        assert_eq!(receiver.count_on(&format!("/{path}")), 1);
    }
    let shown = service.api.get("/v1/channels/erp").await.expect(200);
    assert_eq!((&shown["in_flight"], &shown["last_hour"]["attempts"]), (&json!(1), &json!(1)), "{shown}");
    gate.open();
    service.api.settled(&slow).await;
    service.api.settled(&held).await;
    let connections: Vec<_> = receiver.requests_on("/erp").iter().map(|request| request.connection).collect();
    assert_eq!(connections.len(), 3);
    assert!(connections.iter().all(|connection| *connection == connections[0]), "{connections:?}");
    service.stop().await;
}

#[tokio::test]
async fn an_attempt_under_way_ends_as_it_began_and_the_channel_never_has_more_than_it_may() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.answer([Reply::status(200).held(&gate)]);
    let yaml = |path: &str, concurrency: usize| {
        receiver.fill(&format!("channels: [{{name: erp, url: RECEIVER/{path}, concurrency: {concurrency}, retry: {{attempts: 2, interval: 1m, jitter: 0}}}}]"))
    };
    let mut service = Service::start(&yaml("one", 2)).await;
    for id in 0..8 {
        service.api.order(&json!({ "id": id })).await;
    }
    receiver.wait_for(2).await;
    assert_eq!(service.reload(&yaml("two", 2)).await["channels"], named(&[], &["erp"], &[]));
    for passed in 1..=2 {
        gate.pass();
        receiver.wait_for(2 + passed).await;
    }
    assert_eq!(receiver.most_in_flight(), 2, "those under way count");
    assert_eq!((receiver.count_on("/one"), receiver.count_on("/two")), (2, 2));
    service.reload(&yaml("two", 4)).await;
    receiver.wait_for(6).await;
    assert_eq!(receiver.most_in_flight(), 4);
    service.reload(&yaml("three", 1)).await;
    for passed in 1..=3 {
        gate.pass();
        eventually("an answer", || async { (receiver.in_flight() == 4 - passed).then_some(()) }).await;
    }
    assert_eq!(receiver.count(), 6, "three of four are more than one");
    gate.open();
    service.api.all_settled().await;
    let mut ids: Vec<_> =
        receiver.requests().iter().map(|request| request.json()["data"]["order"]["id"].as_i64()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..8).map(Some).collect::<Vec<_>>(), "each once");
    for delivery in service.api.list("/v1/deliveries").await {
        assert_eq!((&delivery["status"], &delivery["attempt_count"]), (&json!("accepted"), &json!(1)));
    }
    service.stop().await;
}

#[tokio::test]
async fn what_waits_for_a_retry_goes_on_with_the_new_settings() {
    let receiver = Receiver::start().await;
    receiver.on("/one", [Reply::status(503)]);
    let yaml = |path: &str, interval: &str| {
        receiver.fill(&format!(
            "channels: [{{name: erp, url: RECEIVER/{path}, retry: {{attempts: 3, interval: {interval}, jitter: 0}}}}]"
        ))
    };
    // One waits in the store, the other in memory.
    for (interval, wait) in [("10m", Duration::from_secs(600)), ("5s", Duration::from_secs(5))] {
        let mut service = Service::start(&yaml("one", interval)).await;
        let order = service.api.order(&json!({"id": 1})).await;
        let delivery = delivery_to(&order, "erp");
        assert_eq!(service.wait_of(&delivery).await, wait);
        receiver.on("/two", [Reply::status(503), Reply::status(200)]);
        service.reload(&yaml("two", "20m")).await;
        assert_eq!(service.advance_to_next_attempt(&delivery).await, wait, "it is due as it was");
        service.api.attempted(&delivery, 2).await;
        assert_eq!(service.advance_to_next_attempt(&delivery).await, Duration::from_secs(1200));
        let done = service.api.settled(&delivery).await;
        let urls: Vec<_> =
            done["attempts"].as_array().expect("attempts").iter().map(|attempt| &attempt["request"]["url"]).collect();
        assert_eq!(urls, [&receiver.url("/one"), &receiver.url("/two"), &receiver.url("/two")]);
        assert_eq!(done["status"], "accepted");
        service.stop().await;
    }
}
