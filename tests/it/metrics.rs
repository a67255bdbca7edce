//! `/metrics`: the promised names, with numbers that move.

use std::collections::HashMap;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::harness::{Process, delivery_to, eventually};
use crate::receiver::{Receiver, Reply};

/// The samples of a Prometheus page, by name with labels.
fn samples(page: &str) -> HashMap<String, f64> {
    page.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("a sample, not {line}"));
            (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("a number in {line}")))
        })
        .collect()
}

/// The sum of all samples of a name whose labels include these.
fn sum(samples: &HashMap<String, f64>, name: &str, labels: &[&str]) -> Option<f64> {
    let matching: Vec<f64> = samples
        .iter()
        .filter(|(sample, _)| {
            sample.split('{').next() == Some(name) && labels.iter().all(|label| sample.contains(label))
        })
        .map(|(_, value)| *value)
        .collect();
    (!matching.is_empty()).then(|| matching.iter().sum())
}

#[tokio::test]
async fn every_number_of_the_contract_is_there_and_right() {
    let receiver = Receiver::start().await;
    receiver.on("/bad", [Reply::status(404)]);
    receiver.on("/waits", [Reply::status(503)]);
    receiver.on("/step", [Reply::status(200), Reply::status(200), Reply::status(404)]);
    let yaml = receiver.fill(
        r"
chains: [{name: all, plugins: [{critical: true, name: calloutPlugin, id: users, options: {endpoint: RECEIVER/step, shouldRejectOn: {status: [404]}}}]}]
channels:
  - {name: good, url: RECEIVER/good}
  - {name: bad, url: RECEIVER/bad}
  - {name: waits, url: RECEIVER/waits}
",
    );
    let process = Process::start(&yaml).await;
    for number in 0..2 {
        let order = process.api.order(&json!({"id": number})).await;
        process.api.settled(&delivery_to(&order, "good")).await;
        process.api.settled(&delivery_to(&order, "bad")).await;
        process.api.attempted(&delivery_to(&order, "waits"), 1).await;
    }
    process.api.post("/v1/orders", &json!({"id": "rejected"})).await.problem(422);
    let answer = process.api.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").is_some_and(|media| media.starts_with("text/plain")), "{answer}");
    for (name, labels, expected) in [
        ("orderhook_orders_total", [r#"status="completed""#].as_slice(), Some(2.0)),
        ("orderhook_orders_total", &[r#"status="rejected""#], Some(1.0)),
        ("orderhook_order_duration_seconds_count", &[], Some(3.0)),
        ("orderhook_step_duration_seconds_count", &[r#"step="users""#], Some(3.0)),
        ("orderhook_deliveries_total", &[r#"channel="good""#, r#"status="accepted""#], Some(2.0)),
        ("orderhook_deliveries_total", &[r#"channel="bad""#, r#"status="failed""#], Some(2.0)),
        ("orderhook_attempts_total", &[r#"channel="good""#, r#"outcome="accepted""#], Some(2.0)),
        ("orderhook_attempts_total", &[r#"channel="waits""#, r#"outcome="retry""#], Some(2.0)),
        ("orderhook_attempt_duration_seconds_count", &[r#"channel="good""#], Some(2.0)),
        ("orderhook_deliveries_pending", &[r#"channel="waits""#], Some(2.0)),
        ("orderhook_deliveries_pending", &[r#"channel="good""#], Some(0.0)),
        ("orderhook_delivery_lag_seconds", &[r#"channel="waits""#], None),
        ("orderhook_channel_state", &[r#"channel="good""#, r#"state="enabled""#], Some(1.0)),
        ("orderhook_channel_state", &[r#"channel="good""#, r#"state="disabled""#], Some(0.0)),
        ("orderhook_store_commit_seconds_count", &[], None),
        ("orderhook_store_batch_size_count", &[], None),
    ] {
        let what = format!("{name} {labels:?} = {expected:?}");
        eventually(&what, || async {
            let page = samples(process.api.get("/metrics").await.text());
            let found = sum(&page, name, labels)?;
            (expected.is_none() || expected == Some(found)).then_some(())
        })
        .await;
    }
    process.stop().await;
}

#[tokio::test]
async fn a_disabled_channel_shows_in_its_state() {
    let receiver = Receiver::start().await;
    receiver.answer([Reply::status(410)]);
    let process = Process::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]")).await;
    let order = process.api.order(&json!({"id": 1})).await;
    process.api.settled(&delivery_to(&order, "erp")).await;
    eventually("the state in the metrics", || async {
        let page = samples(process.api.get("/metrics").await.text());
        let state = |name: &str| sum(&page, "orderhook_channel_state", &[r#"channel="erp""#, name]);
        (state(r#"state="disabled""#) == Some(1.0) && state(r#"state="enabled""#) == Some(0.0)).then_some(())
    })
    .await;
    process.stop().await;
}

#[tokio::test]
async fn every_metric_says_what_it_is() {
    let receiver = Receiver::start().await;
    let process = Process::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]")).await;
    let order = process.api.order(&json!({"id": 1})).await;
    process.api.settled(&delivery_to(&order, "erp")).await;
    let page = process.api.get("/metrics").await;
    for line in page.text().lines().filter(|line| line.starts_with("# TYPE ")) {
        let name = line.split(' ').nth(2).expect("a name");
        assert!(page.text().contains(&format!("# HELP {name} ")), "no help for {name}");
        assert!(name.starts_with("orderhook_"), "{name}");
    }
    process.stop().await;
}

#[tokio::test]
async fn promtool_finds_nothing_in_the_page() {
    let receiver = Receiver::start().await;
    receiver.on("/step", [Reply::status(200)]);
    let yaml = "chains: [{name: all, plugins: [{name: calloutPlugin, id: users, options: {endpoint: RECEIVER/step}}]}]
channels: [{name: good, url: RECEIVER/good}]";
    let process = Process::start(&receiver.fill(yaml)).await;
    process.api.order(&json!({"id": 1})).await;
    receiver.wait_for_on("/good", 1).await;
    let page = process.api.get("/metrics").await;
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn().expect("promtool; tests/run installs prometheus");
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), &page.body).expect("a page");
    let output = child.wait_with_output().expect("promtool");
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.is_empty(), "{told}{}", page.text());
    process.stop().await;
}
