//! Faults within the process itself: a panic anywhere, a record that the store refuses for good, records that pile up. The
//! real process, with failpoints.

use std::sync::Arc;

use serde_json::json;

use crate::harness::{Home, Process, delivery_to, eventually, text};
use crate::receiver::{Gate, Receiver, Reply};

/// Failpoints: files in a folder that the process looks at.
struct Failpoints(tempfile::TempDir);

impl Failpoints {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    async fn process(&self, home: &Arc<Home>, yaml: &str) -> Process {
        Process::start_with(home, yaml, |command| _ = command.env("ORDERHOOK_FAILPOINTS", self.0.path())).await
    }

    /// Lets the next one at that place panic.
    fn fail(&self, place: &str) {
        std::fs::write(self.0.path().join(place), "").expect("a file");
    }
}

async fn not_ready(process: &Process) {
    eventually("not ready", async || (process.api.get("/readyz").await.status == 503).then_some(())).await;
    assert_eq!(process.api.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_panic_in_an_attempt_is_an_attempt_that_failed() {
    let receiver = Receiver::start().await;
    let (home, failpoints) = (Arc::new(Home::new()), Failpoints::new());
    let yaml = "channels: [{name: erp, url: RECEIVER/erp}]";
    let process = failpoints.process(&home, &receiver.fill(yaml)).await.that_panics();
    failpoints.fail("attempt");
    let order = process.api.order(&json!({"id": "A-1"})).await;
    let delivery = process.api.settled(&delivery_to(&order, "erp")).await;
    let attempts = delivery["attempts"].as_array().expect("attempts");
    assert_eq!((&delivery["status"], attempts.len()), (&json!("failed"), 1), "{delivery:#}");
    assert!(text(&attempts[0], "error").contains("internal"), "{delivery:#}");
    let order = process.api.order(&json!({"id": "A-2"})).await;
    assert_eq!(process.api.settled(&delivery_to(&order, "erp")).await["status"], "accepted");
    assert_eq!(process.api.get("/readyz").await.status, 200, "nothing has ended by it");
    process.stop().await;
}

#[tokio::test]
async fn a_panic_in_a_step_is_a_step_that_failed() {
    let receiver = Receiver::start().await;
    let (home, failpoints) = (Arc::new(Home::new()), Failpoints::new());
    let yaml =
        "chains: [{name: all, plugins: [{name: calloutPlugin, critical: true, options: {endpoint: RECEIVER/step}}]}]";
    let process = failpoints.process(&home, &receiver.fill(yaml)).await.that_panics();
    failpoints.fail("step");
    let problem = process.api.post("/v1/orders", &json!({"id": "A-1"})).await.problem(502);
    assert_eq!(problem["step"], "calloutPlugin-1");
    assert_eq!(process.api.order_detail("A-1").await["status"], "rejected");
    process.api.post("/v1/orders", &json!({"id": "A-2"})).await.expect(201);
    process.stop().await;
}

#[tokio::test]
async fn a_panic_in_a_lane_makes_the_service_not_ready_and_loses_nothing() {
    let receiver = Receiver::start().await;
    let (home, failpoints) = (Arc::new(Home::new()), Failpoints::new());
    let yaml = receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]");
    let mut failing = failpoints.process(&home, &yaml).await.that_panics();
    failpoints.fail("lane");
    let order = failing.api.order(&json!({"id": "A-1"})).await;
    not_ready(&failing).await;
    failing.kill();
    let process = Process::start_in(&home, &yaml).await;
    process.api.settled(&delivery_to(&order, "erp")).await;
    process.stop().await;
}

#[tokio::test]
async fn a_panic_in_the_store_ends_the_process() {
    let receiver = Receiver::start().await;
    let (home, failpoints) = (Arc::new(Home::new()), Failpoints::new());
    let yaml = receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]");
    let mut failing = failpoints.process(&home, &yaml).await.that_panics();
    let before = failing.api.order(&json!({"id": "A-1"})).await;
    failpoints.fail("store");
    let body = br#"{"id": "A-2"}"#;
    let _ = failing.api.try_call("POST", "/v1/orders", &[("content-type", "application/json")], body).await;
    assert_eq!(failing.end().await.code(), Some(1));
    let process = Process::start_in(&home, &yaml).await;
    process.api.settled(&delivery_to(&before, "erp")).await;
    process.stop().await;
}

#[tokio::test]
async fn a_record_that_the_store_refuses_for_good_costs_no_other_and_shows() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.answer([Reply::status(200).held(&gate)]);
    let home = Arc::new(Home::new());
    let yaml = receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]");
    let mut failing = Process::start_in(&home, &yaml).await;
    let mut ids = Vec::new();
    for id in 0..5 {
        ids.push(delivery_to(&failing.api.order(&json!({ "id": id })).await, "erp"));
    }
    receiver.wait_for(5).await;
    let store = rusqlite::Connection::open(home.store()).expect("the store");
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON attempts WHEN NEW.delivery = (SELECT max(seq) FROM deliveries)
        BEGIN SELECT RAISE(ABORT, 'refused'); END";
    store.execute_batch(refuse).expect("a trigger");
    gate.open();
    for id in &ids[..4] {
        assert_eq!(failing.api.settled(id).await["attempts"].as_array().map(Vec::len), Some(1));
    }
    not_ready(&failing).await;
    assert_eq!(failing.api.delivery(&ids[4]).await["status"], "pending");
    failing.kill();
    store.execute_batch("DROP TRIGGER refuse").expect("dropped");
    drop(store);
    let process = Process::start_in(&home, &yaml).await;
    assert_eq!(process.api.settled(&ids[4]).await["status"], "accepted", "it is sent again after a restart");
    assert_eq!(receiver.count(), 6);
    process.stop().await;
}

#[tokio::test]
async fn responses_that_wait_for_their_record_are_bounded() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    let body = "x".repeat(60_000);
    receiver.answer([Reply::body(200, "text/plain", body.as_str()).held(&gate)]);
    let yaml = receiver.fill(
        "delivery: {lane_memory: 600KB}\nchannels: [{name: erp, url: RECEIVER/erp, concurrency: 8, max_response: 60KB}]",
    );
    let process = Process::start(&yaml).await;
    for id in 0..200 {
        process.api.order(&json!({ "id": id })).await;
    }
    receiver.wait_for(8).await;
    let other = rusqlite::Connection::open(process.home.store()).expect("the store");
    other.execute_batch("BEGIN EXCLUSIVE").expect("a lock");
    gate.open();
    // Ten responses fill the memory; those of the attempts under way come on top.
    receiver.wait_for(11).await;
    process.api.get("/readyz").await.problem(503);
    assert!(receiver.count() <= 30, "{} responses wait for the store", receiver.count());
    other.execute_batch("ROLLBACK").expect("no lock");
    drop(other);
    process.api.all_settled().await;
    assert_eq!(receiver.count(), 200, "each was sent once");
    process.stop().await;
}
