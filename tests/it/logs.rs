//! Logs: JSON where asked for, the ids of what they are about, and never a secret or a body.

use std::sync::Arc;

use serde_json::json;

use crate::harness::{Home, Process, delivery_to, field, text};
use crate::receiver::{Receiver, Reply};

const SECRETS: [&str; 5] =
    ["t0ps3cret-token", "open-s3same", "b0dy-of-the-order", "b0dy-of-the-answer", "b0dy-of-the-step"];

const YAML: &str = r"
server: {tokens: [{name: caller, token: t0ps3cret-token, scopes: [ingest, manage]}]}
chains:
  - name: all
    plugins:
      - {name: calloutPlugin, id: users, critical: true, options: {endpoint: RECEIVER/step, headers: {X-Key: open-s3same}, shouldRejectOn: {status: [404]}}}
channels:
  - {name: good, url: RECEIVER/good, auth: {type: bearer, token: open-s3same}}
  - {name: bad, url: RECEIVER/bad, auth: {type: basic, username: u, password: open-s3same, preemptive: true}}
  - {name: dead, url: 'http://no-such-host.invalid/', auth: {type: header, name: X-Key, value: open-s3same}}
";

#[tokio::test]
async fn lines_are_json_carry_their_ids_and_keep_secrets() {
    let receiver = Receiver::start().await;
    let step = Reply::json(200, &json!({"note": "b0dy-of-the-step"}));
    receiver.on("/step", [step.clone(), Reply::status(404), step]);
    receiver.on("/good", [Reply::body(200, "text/plain", "b0dy-of-the-answer")]);
    receiver.on("/bad", [Reply::body(400, "text/plain", "b0dy-of-the-answer")]);
    let everything = |command: &mut std::process::Command| {
        command.env("ORDERHOOK_LOG", "trace");
    };
    let process = Process::start_with(&Arc::new(Home::new()), &receiver.fill(YAML), everything).await;
    let api = process.api.with_token("t0ps3cret-token");
    let order = api.order(&json!({"id": "A-1", "note": "b0dy-of-the-order"})).await;
    let (good, bad, dead) = (delivery_to(&order, "good"), delivery_to(&order, "bad"), delivery_to(&order, "dead"));
    api.settled(&good).await;
    api.settled(&bad).await;
    api.attempted(&dead, 1).await;
    api.post("/v1/orders", &json!({"id": "A-2", "note": "b0dy-of-the-order"})).await.problem(422);
    api.post_bytes("/v1/orders", b"{\"note\": \"b0dy-of-the-order\"").await.problem(400);
    process.api.with_token("t0ps3cret-tokem").get("/v1/orders").await.problem(401);
    api.post(&format!("/v1/deliveries/{dead}/cancel"), &json!({"reason": "no such host"})).await.expect(200);
    api.post("/v1/channels/dead/pause", &json!({"reason": "no such host"})).await.expect(200);
    let log = process.log.clone();
    process.stop().await;
    for message in ["delivery cancelled by token caller", "channel paused by token caller"] {
        let line = log.lines().into_iter().find(|line| field(line, "message") == Some(&json!(message)));
        let line = line.unwrap_or_else(|| panic!("no line says {message}:\n{log}"));
        assert_eq!(
            (field(&line, "by"), field(&line, "reason")),
            (Some(&json!("caller")), Some(&json!("no such host")))
        );
    }

    let raw = log.raw();
    for line in &raw {
        for secret in SECRETS {
            assert!(!line.contains(secret), "{secret} in {line}");
        }
    }
    assert_eq!(log.lines().len(), raw.iter().filter(|line| !line.is_empty()).count(), "every line is JSON:\n{log}");
    for line in log.lines() {
        for name in ["timestamp", "level", "message"] {
            assert!(field(&line, name).is_some_and(serde_json::Value::is_string), "`{name}` in {line}");
        }
        let shown = line.to_string();
        if shown.contains("dlv_") {
            assert!(field(&line, "delivery").is_some() || shown.contains("\"delivery\""), "{line}");
            assert!(shown.contains("\"channel\""), "a line about a delivery names its channel: {line}");
        }
    }
    let about = |id: &str| raw.iter().filter(|line| line.contains(id)).count();
    assert!(about(text(&order, "id")) > 0, "a line about the order:\n{log}");
    assert!(about(&bad) > 0, "a line about the failed delivery:\n{log}");
    assert!(about(&dead) > 0, "a line about the delivery that waits:\n{log}");
}

#[tokio::test]
async fn without_a_terminal_and_a_wish_lines_have_no_colours() {
    let home = Arc::new(Home::new());
    let mut command = crate::harness::binary();
    command.arg("serve").current_dir(home.path(""));
    for path in home.configure("store: {url: 'postgres://localhost/none'}") {
        command.arg("--config").arg(path);
    }
    let output = tokio::task::spawn_blocking(move || crate::harness::run(&mut command)).await.expect("an end");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains('\u{1b}'), "{stderr:?}");
    assert!(stderr.contains("store.url"), "{stderr}");
}
