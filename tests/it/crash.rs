//! Power cuts: the real process killed at random moments under load, and nothing answered 2xx is ever lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::Api;
use crate::harness::{Home, Process, delivery_to, eventually, text};
use crate::receiver::{Gate, Receiver, Reply, Request};

/// How often the process is killed in the test under load.
const KILLS: usize = 22;

/// Callers that post at the same time.
const CALLERS: usize = 8;

const YAML: &str = r"
chains:
  - name: waited-for
    when: order.type == 'waited-for'
    plugins:
      - {critical: true, name: calloutPlugin, id: first, options: {endpoint: RECEIVER/first}}
      - {critical: true, name: calloutPlugin, id: second, options: {endpoint: RECEIVER/second}}
  - name: background
    plugins:
      - {critical: true, name: calloutPlugin, id: first, options: {endpoint: RECEIVER/first}}
      - {name: calloutPlugin, id: second, options: {endpoint: RECEIVER/second}}
channels:
  - {name: erp, url: RECEIVER/erp, retry: {attempts: 20, interval: 100ms, jitter: 0.5}}
";

/// What a caller was told.
type Told = Arc<parking_lot::Mutex<BTreeMap<String, Option<String>>>>;

/// Posts one order after another until the service is gone. Keeps, for each, its id where it was answered 2xx.
async fn post_until_killed(api: Api, next: Arc<AtomicUsize>, told: Told, gone: Arc<AtomicBool>) {
    while !gone.load(Ordering::SeqCst) {
        let number = next.fetch_add(1, Ordering::SeqCst);
        let own = format!("A-{number}");
        let kind = if number.is_multiple_of(2) { "waited-for" } else { "background" };
        let order = json!({"id": own, "type": kind, "filler": "x".repeat(number * 37 % 900)}).to_string();
        told.lock().insert(own.clone(), None);
        let headers = [("Content-Type", "application/json")];
        let Ok(answer) = api.try_call("POST", "/v1/orders", &headers, order.as_bytes()).await else { return };
        assert!(matches!(answer.status, 201 | 202), "{answer}");
        told.lock().insert(own, Some(text(&answer.json(), "id").to_owned()));
    }
}

/// Requests by the order they are about.
fn by_order(requests: &[Request], order: impl Fn(&Value) -> String) -> BTreeMap<String, Vec<Request>> {
    let mut found: BTreeMap<String, Vec<Request>> = BTreeMap::new();
    for request in requests {
        found.entry(order(&request.json())).or_default().push(request.clone());
    }
    found
}

/// That requests after the first of them each follow a kill: nothing is done twice but by a crash.
fn assert_repeated_only_by_kills(requests: &[Request], kills: &[Instant], what: &str) {
    for pair in requests.windows(2) {
        let (before, after) = (pair[0].at.expect("a time"), pair[1].at.expect("a time"));
        assert!(
            kills.iter().any(|kill| (before..=after).contains(kill)),
            "{what} was repeated without a crash in between:\n{}\n{}",
            pair[0],
            pair[1]
        );
    }
}

#[tokio::test]
async fn killed_at_any_moment_no_accepted_order_is_lost_and_only_what_was_in_flight_is_sent_twice() {
    let mut random = fastrand::Rng::with_seed(0x00c0_ffee);
    let receiver = Receiver::start().await;
    receiver.on("/first", [Reply::json(200, &json!({"user": "u-1"}))]);
    let home = Arc::new(Home::new());
    let yaml = receiver.fill(YAML);
    let told = Told::default();
    let next = Arc::new(AtomicUsize::new(0));
    let mut kills = Vec::new();
    for _ in 0..KILLS {
        let mut process = Process::start_in(&home, &yaml).await;
        let gone = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            callers.spawn(post_until_killed(
                process.api.clone(),
                Arc::clone(&next),
                Arc::clone(&told),
                Arc::clone(&gone),
            ));
        }
        tokio::time::sleep(Duration::from_millis(random.u64(5..350))).await;
        gone.store(true, Ordering::SeqCst);
        process.kill();
        callers.join_all().await;
        // What the dead process had sent is read before the crash is put down as over.
        eventually("the end of the dead process's connections", || async {
            (receiver.open_connections() == 0).then_some(())
        })
        .await;
        kills.push(Instant::now());
    }

    let process = Process::start_in(&home, &yaml).await;
    eventually("the end of all orders", || async {
        let open = process.api.get("/v1/orders?status=processing&limit=1").await.expect(200);
        open["data"].as_array().expect("data").is_empty().then_some(())
    })
    .await;
    process.api.all_settled().await;

    let told = told.lock().clone();
    let stored: BTreeMap<String, Value> = process
        .api
        .list("/v1/orders")
        .await
        .into_iter()
        .map(|order| (text(&order, "order_id").to_owned(), order))
        .collect();
    let accepted = told.values().flatten().count();
    assert!(accepted > KILLS, "only {accepted} orders were accepted: no load");
    for (own, id) in &told {
        if let Some(id) = id {
            let order = stored.get(own).unwrap_or_else(|| panic!("{own} was answered 2xx and is lost"));
            assert_eq!(text(order, "id"), id, "{own} was stored twice");
        }
    }

    let deliveries = process.api.list("/v1/deliveries").await;
    let delivered: BTreeMap<&str, &Value> =
        deliveries.iter().map(|delivery| (text(delivery, "order_id"), delivery)).collect();
    assert_eq!(delivered.len(), deliveries.len(), "one delivery for each order");
    let sent = by_order(&receiver.requests_on("/erp"), |body| text(&body["data"]["order"], "id").to_owned());
    let first = by_order(&receiver.requests_on("/first"), |body| text(&body["order"], "id").to_owned());
    let second = by_order(&receiver.requests_on("/second"), |body| text(&body["order"], "id").to_owned());
    for (own, order) in &stored {
        assert_eq!(order["status"], "completed", "{own}");
        let id = text(order, "id");
        let delivery = delivered.get(own.as_str()).unwrap_or_else(|| panic!("{own} has no delivery"));
        assert_eq!(delivery["status"], "accepted", "{own}");
        let requests = sent.get(own).unwrap_or_else(|| panic!("{own} never arrived"));
        let ids: BTreeSet<_> = requests.iter().map(|request| request.expect_header("webhook-id")).collect();
        assert_eq!(ids, BTreeSet::from([text(delivery, "id")]), "{own} has one webhook-id");
        assert_repeated_only_by_kills(requests, &kills, "a delivery");
        for (step, requests) in [("first", &first[own]), ("second", &second[own])] {
            let keys: BTreeSet<_> = requests.iter().map(|request| request.expect_header("idempotency-key")).collect();
            assert_eq!(keys, BTreeSet::from([format!("{id}-{step}").as_str()]), "{own}");
            assert_repeated_only_by_kills(requests, &kills, step);
        }
        let end_of_first = first[own].iter().map(|request| request.at).max();
        let begin_of_second = second[own].iter().map(|request| request.at).min();
        assert!(end_of_first < begin_of_second, "{own}: a journaled step ran again");
    }
    let repeated = |all: &BTreeMap<String, Vec<Request>>| all.values().map(|one| one.len() - 1).sum::<usize>();
    eprintln!(
        "{KILLS} kills: {} orders posted, {accepted} answered 2xx, {} complete; sent again: {} deliveries, {} steps",
        told.len(),
        stored.len(),
        repeated(&sent),
        repeated(&first) + repeated(&second),
    );
    let detail =
        process.api.order_detail(stored.values().next().map(|order| text(order, "id")).expect("an order")).await;
    assert_eq!(detail["context"]["user"], "u-1", "the context outlives a crash");
    process.stop().await;
}

#[tokio::test]
async fn an_interrupted_chain_goes_on_behind_its_last_journaled_step() {
    let receiver = Receiver::start().await;
    receiver.on("/first", [Reply::json(200, &json!({"user": "u-1"}))]);
    receiver.on("/second", [Reply::HangBeforeHead, Reply::HangBeforeHead, Reply::status(200)]);
    let yaml = receiver.fill(&YAML.replace("RECEIVER/second", "RECEIVER/second, timeoutValue: 600000"));
    let home = Arc::new(Home::new());
    let mut process = Process::start_in(&home, &yaml).await;
    let api = process.api.clone();
    let post = |api: Api, own: &'static str, kind: &'static str| {
        let order = json!({"id": own, "type": kind}).to_string();
        tokio::spawn(async move {
            api.try_call("POST", "/v1/orders", &[("Content-Type", "application/json")], order.as_bytes()).await
        })
    };
    let waited = post(api.clone(), "A-1", "waited-for");
    receiver.wait_for_on("/second", 1).await;
    let background = post(api, "A-2", "background").await.expect("a call").expect("an answer");
    assert_eq!(background.status, 202);
    receiver.wait_for_on("/second", 2).await;
    process.kill();
    assert!(waited.await.expect("a call").is_err(), "the caller never had an answer");

    let process = Process::start_in(&home, &yaml).await;
    for own in ["A-1", "A-2"] {
        let order = process.api.ended(own).await;
        assert_eq!(order["status"], "completed", "{own}");
        let key = format!("{}-second", text(&order, "id"));
        let keys: Vec<_> = receiver
            .requests_on("/second")
            .iter()
            .filter(|request| request.header("idempotency-key") == Some(&key))
            .cloned()
            .collect();
        assert_eq!(keys.len(), 2, "{own}: the step that was under way runs again");
        assert_eq!(keys[0].json()["order"], keys[1].json()["order"]);
        assert_eq!(keys[1].json()["context"]["user"], "u-1", "with the context of the steps before");
        assert_eq!(process.api.settled(&delivery_to(&order, "erp")).await["status"], "accepted");
    }
    assert_eq!(receiver.count_on("/first"), 2, "a journaled step does not run again");
    process.stop().await;
}

#[tokio::test]
async fn a_delivery_in_flight_at_a_kill_is_sent_again_under_its_id() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.answer([Reply::status(200).held(&gate)]);
    let yaml = receiver.fill("channels: [{name: erp, url: RECEIVER/erp, concurrency: 2}]");
    let home = Arc::new(Home::new());
    let mut process = Process::start_in(&home, &yaml).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(delivery_to(&process.api.order(&json!({"id": number})).await, "erp"));
    }
    receiver.wait_for(2).await;
    process.kill();
    gate.open();
    let process = Process::start_in(&home, &yaml).await;
    for id in &ids {
        assert_eq!(process.api.settled(id).await["status"], "accepted");
    }
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for request in receiver.requests() {
        *count.entry(request.expect_header("webhook-id").to_owned()).or_default() += 1;
    }
    assert_eq!(count.keys().collect::<BTreeSet<_>>(), ids.iter().collect());
    assert_eq!(count.values().filter(|count| **count == 2).count(), 2, "{count:?}");
    assert_eq!(receiver.count(), 7, "only those two were sent twice");
    process.stop().await;
}

const POISON: &str = "
server: {shutdown_grace: 0s}
channels:
  - {name: erp, url: RECEIVER/erp, timeout: {total: 10m}}
  - {name: alarms, url: RECEIVER/alarms, events: [delivery.failed]}
";

#[tokio::test]
async fn a_delivery_in_flight_at_three_kills_is_set_aside_until_somebody_retries_it() {
    let receiver = Receiver::start().await;
    receiver.on("/erp", [Reply::HangBeforeHead, Reply::HangBeforeHead, Reply::HangBeforeHead, Reply::status(200)]);
    let home = Arc::new(Home::new());
    let yaml = receiver.fill(POISON);
    let mut process = Process::start_in(&home, &yaml).await;
    let order = process.api.order(&json!({"id": "A-1"})).await;
    let id = delivery_to(&order, "erp");
    for sent in 1..=3 {
        receiver.wait_for_on("/erp", sent).await;
        process.kill();
        process = Process::start_in(&home, &yaml).await;
    }
    let delivery = process.api.settled(&id).await;
    let attempt = &delivery["attempts"][0];
    assert_eq!((&delivery["status"], &attempt["code"]), (&json!("failed"), &json!(-2000)), "{delivery:#}");
    assert!(text(attempt, "error").starts_with("poisoned"), "{attempt:#}");
    assert_eq!(receiver.count_on("/erp"), 3, "it is not sent again");
    let alarm = receiver.wait_for_on("/alarms", 1).await.remove(0).json();
    let about = &alarm["data"]["order"];
    assert_eq!((&about["delivery_id"], &about["error"]), (&json!(id), &attempt["error"]), "{alarm:#}");

    process.api.post(&format!("/v1/deliveries/{id}/retry"), &json!({})).await.expect(200);
    receiver.wait_for_on("/erp", 4).await;
    assert_eq!(process.api.settled(&id).await["status"], "accepted");
    process.stop().await;
}

#[tokio::test]
async fn a_delivery_cut_off_by_three_stops_is_no_suspect() {
    let receiver = Receiver::start().await;
    receiver.on("/erp", [Reply::HangBeforeHead, Reply::HangBeforeHead, Reply::HangBeforeHead, Reply::status(200)]);
    let home = Arc::new(Home::new());
    let yaml = receiver.fill(POISON);
    let mut process = Process::start_in(&home, &yaml).await;
    let id = delivery_to(&process.api.order(&json!({"id": "A-1"})).await, "erp");
    for sent in 1..=3 {
        receiver.wait_for_on("/erp", sent).await;
        process.stop().await;
        process = Process::start_in(&home, &yaml).await;
    }
    assert_eq!(process.api.settled(&id).await["status"], "accepted");
    process.stop().await;
}
