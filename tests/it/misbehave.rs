//! Receivers that misbehave, as one matrix: every fault meets a channel and a callout of the real process. Each has its code
//! and its sentence, in its time and within bounded memory, while a healthy channel beside it goes on; afterwards the
//! same channel, and the same callout, get a proper answer from the same receiver.
//!
//! `fault.rs` says what a fault is, `connecting.rs`, `http1.rs` and `http2.rs` list them: to add one, add it there.
//! `cargo test --test it misbehave -- --nocapture` prints the table; `UPDATE_DOCS=1` writes what is in `docs/misbehaviour.md`.

mod connecting;
mod fault;
mod http1;
mod http2;
mod table;
mod torrent;
mod world;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::client::Api;
use crate::harness::{Process, delivery_to, eventually};
use crate::receiver::Receiver;
use fault::{Fault, Outcome};
use table::Measured;
use world::{Stage, World};

/// How far a call may be over its time on a machine that has much else to do, in milliseconds.
const SLACK: u64 = 10_000;

/// By how much the process may grow over all faults, in KB. Each of its threads that read responses keeps some 10 MB for the
/// next one, more the slower they get on; a flood that is kept would be gigabytes.
const GROWTH: u64 = 256 * 1024;

/// Bytes that a receiver gets rid of at most in all calls together, where they do not go on until their timeout: the
/// system's buffers alone hold up to 10 MB of each of six connections.
const SENT: u64 = 256 << 20;

/// All faults, in the order of the table.
fn faults() -> Vec<Fault> {
    let parts = [
        ("Names", connecting::names()),
        ("Connections", connecting::connections()),
        ("TLS", connecting::tls()),
        ("The head of a response", http1::heads()),
        ("No HTTP", http1::no_http()),
        ("Interim responses and redirects", http1::interim()),
        ("Lengths", http1::lengths()),
        ("Chunks", http1::chunks()),
        ("Bodies", http1::bodies()),
        ("Compressed bodies, which are never unpacked", http1::bombs()),
        ("HTTP/2: streams", http2::streams()),
        ("HTTP/2: floods", http2::floods()),
        ("HTTP/2: what is none", http2::no_http()),
    ];
    let parts = parts.into_iter().flat_map(|(part, faults)| faults.into_iter().map(move |fault| fault.within(part)));
    parts.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_has_its_code_its_time_and_bounded_memory() {
    let (world, healthy) = (World::new(), Receiver::start().await);
    let only = std::env::var("FAULT").unwrap_or_default();
    let faults: Vec<Fault> = faults().into_iter().filter(|fault| fault.what.contains(&only)).collect();
    let mut stages = Vec::new();
    for fault in &faults {
        stages.push(world.stage(fault).await);
    }
    let process = Process::start(&configuration(&faults, &stages, &world, &healthy)).await;
    let api = &process.api;
    for _ in 0..50 {
        accepted_beside(api).await;
    }
    println!("{}", table::HEAD);
    let (mut rows, mut wrong) = (Vec::new(), Vec::new());
    let (begun, mut orders) = (memory(&process, "VmRSS"), 50);
    for (number, (fault, stage)) in faults.iter().zip(&stages).enumerate() {
        let before = memory(&process, "VmRSS");
        // From now on the process's peak counts anew.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", process.pid()), "5");
        let over = Arc::new(AtomicBool::new(false));
        let beside = tokio::spawn({
            let (api, over) = (api.clone(), Arc::clone(&over));
            async move {
                let mut accepted = 0;
                while !over.load(Ordering::Relaxed) {
                    accepted_beside(&api).await;
                    accepted += 1;
                }
                accepted
            }
        });
        let (channel, callout) = tokio::join!(
            calls(fault.calls(), || by_channel(api, number)),
            calls(fault.calls(), || by_callout(api, number))
        );
        let grown = memory(&process, "VmHWM").saturating_sub(before);
        over.store(true, Ordering::Relaxed);
        let beside = beside.await.expect("a healthy channel");
        orders += beside;
        for (kind, records, expected) in
            [("channel", channel, &fault.channel[..]), ("callout", callout, fault.callout())]
        {
            let limit = u64::try_from(fault.patience.as_millis()).expect("a time");
            for record in &records {
                if let Err(what) = record.check(expected, stage, limit) {
                    wrong.push(format!("{}: {} | {kind} | {what}", fault.part, fault.what));
                }
            }
            let Record { code, error, .. } = &records[0];
            let error = error.replace(&stage.host, "HOST");
            let millis = records.iter().map(|record| record.millis).max().unwrap_or_default();
            let (part, what) = (fault.part, fault.what);
            let row = Measured { part, what, kind, code: *code, error, millis, limit, grown, beside };
            println!("{row}");
            rows.push(row);
        }
        let sent = stage.bytes_sent();
        if fault.ends_by_itself() && sent > SENT {
            wrong.push(format!("{}: {} | {sent} bytes were taken", fault.part, fault.what));
        }
        if fault.is_to_be_hung_up_on() {
            let what = format!("the end of the connections of: {}: {}", fault.part, fault.what);
            eventually(&what, || async { (stage.open_connections() == 0).then_some(()) }).await;
        }
        if stage.recover(fault) {
            let (channel, callout) = (by_channel(api, number).await, by_callout(api, number).await);
            for (kind, record) in [("channel", channel), ("callout", callout)] {
                if record.code != 200 || record.body.as_deref().is_some_and(|body| body != "recovered") {
                    wrong.push(format!("{}: {} | {kind} | does not recover: {record:?}", fault.part, fault.what));
                }
            }
        }
    }
    let grown = memory(&process, "VmRSS").saturating_sub(begun);
    println!("{orders} orders beside; grown by {grown} KB in all");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(healthy.count(), orders, "as many attempts as orders");
    let highest = rows.iter().map(|row| row.grown).max().unwrap_or_default();
    assert!(grown < GROWTH && highest < GROWTH, "grown by {grown} KB, for a moment by {highest} KB");
    process.stop().await;
}

/// A channel and a chain for each fault, and a channel beside them.
fn configuration(faults: &[Fault], stages: &[Stage], world: &World, healthy: &Receiver) -> String {
    let tls = world.tls();
    let mut channels =
        healthy.fill("channels:\n  - {name: healthy, url: RECEIVER/, when: 'order.type == \"healthy\"'}\n");
    let mut chains = String::from("chains:\n");
    for (number, (fault, Stage { url, .. })) in faults.iter().zip(stages).enumerate() {
        let millis = fault.patience.as_millis();
        channels.push_str(&format!(
            "  - {{name: fault-{number}, url: '{url}', events: [fault.{number}], tls: {tls}, timeout: {{total: {millis}ms}}, breaker: null, retry: {{attempts: 1, interval: 1s}}}}\n"
        ));
        chains.push_str(&format!(
            "  - {{name: fault-{number}, when: 'order.type == \"fault-{number}\"', plugins: [{{critical: true, name: calloutPlugin, options: {{endpoint: '{url}', timeoutValue: {millis}, tls: {tls}}}}}]}}\n"
        ));
    }
    channels + chains.as_str()
}

/// An order for the healthy channel, and its delivery.
async fn accepted_beside(api: &Api) {
    let order = api.order(&json!({"type": "healthy"})).await;
    let delivery = api.settled(&delivery_to(&order, "healthy")).await;
    assert_eq!(delivery["status"], "accepted", "{delivery:#}");
    assert_eq!(delivery["attempts"].as_array().map(Vec::len), Some(1), "{delivery:#}");
}

async fn calls<F: Future<Output = Record>>(count: usize, call: impl Fn() -> F) -> Vec<Record> {
    futures_util::future::join_all((0..count).map(|_| call())).await
}

/// What is on record of a call.
#[derive(Debug)]
struct Record {
    code: i64,
    error: String,
    millis: u64,
    /// The body as it is shown; a callout keeps none.
    body: Option<String>,
    bytes: Option<usize>,
    /// What does not go together, in a sentence.
    odd: Option<String>,
}

async fn by_channel(api: &Api, number: usize) -> Record {
    let event = api.post("/v1/events", &json!({"type": format!("fault.{number}"), "data": {}})).await.expect(202);
    let delivery = api.settled(&delivery_to(&event, &format!("fault-{number}"))).await;
    let attempt = &delivery["attempts"][0];
    let code = attempt["code"].as_i64().expect("a code");
    let body = attempt["response"]["body"].as_str().map(ToOwned::to_owned);
    let bytes = body.as_ref().map(|body| match attempt["response"]["encoding"].as_str() {
        Some(_) => body.len() / 4 * 3 - body.bytes().rev().take_while(|byte| *byte == b'=').count(),
        None => body.len(),
    });
    let status = if (200..300).contains(&code) { "accepted" } else { "failed" };
    let fits = delivery["status"] == status && delivery["attempts"].as_array().map(Vec::len) == Some(1);
    let odd = (!fits).then(|| format!("not one attempt, {status}: {delivery:#}"));
    Record { code, error: sentence(&attempt["error"]), millis: millis(attempt), body, bytes, odd }
}

async fn by_callout(api: &Api, number: usize) -> Record {
    static ORDERS: AtomicUsize = AtomicUsize::new(0);
    let id = format!("order-{}", ORDERS.fetch_add(1, Ordering::Relaxed));
    let answer = api.post("/v1/orders", &json!({"id": id, "type": format!("fault-{number}")})).await;
    let (status, shown) = (answer.status, answer.json());
    let step = api.order_detail(&id).await["steps"][0].clone();
    let (code, error) = (step["code"].as_i64().expect("a code"), sentence(&step["error"]));
    let expected = match code {
        -4 | -5 => 504,
        ..0 => 502,
        _ => 201,
    };
    let fits = status == expected && (status == 201 || shown["detail"].as_str() == Some(&error));
    let odd = (!fits).then(|| format!("not {expected} with the step's error: {answer}, {step:#}"));
    Record { code, error, millis: millis(&step), body: None, bytes: None, odd }
}

fn sentence(error: &Value) -> String {
    error.as_str().unwrap_or_default().to_owned()
}

fn millis(record: &Value) -> u64 {
    record["duration_ms"].as_u64().expect("a time")
}

impl Record {
    /// Whether it is one of these outcomes, in time. `Err` says why not.
    fn check(&self, expected: &[Outcome], stage: &Stage, limit: u64) -> Result<(), String> {
        let Self { code, error, millis, bytes, .. } = self;
        if let Some(odd) = &self.odd {
            return Err(odd.clone());
        }
        if *millis > limit + SLACK {
            return Err(format!("takes {millis} ms, with {limit} ms of time"));
        }
        let fits = |outcome: &Outcome| {
            let wanted = outcome.error.replace("HOST", &stage.host);
            let says = wanted.strip_suffix('…').map_or(*error == wanted, |start| error.starts_with(start));
            let keeps = outcome.kept.is_none_or(|kept| bytes.is_none_or(|bytes| bytes == kept));
            *code == outcome.code && says && keeps
        };
        let shown = || format!("{code} {error:?}, {bytes:?} bytes kept; expected: {expected:?}");
        expected.iter().any(fits).then_some(()).ok_or_else(shown)
    }
}

/// A figure of the process's memory, in KB.
fn memory(process: &Process, figure: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':')).expect("a figure");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn the_documented_faults_are_those_of_the_matrix() {
    const BEGIN: &str =
        "<!-- the tables that follow are written by `UPDATE_DOCS=1 cargo test --test it misbehave` -->\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/misbehaviour.md");
    let found = std::fs::read_to_string(&path).expect("docs/misbehaviour.md");
    let (above, _) = found.split_once(BEGIN).expect("the line above the tables");
    let wanted = format!("{above}{BEGIN}{}", table::documented(&faults()));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).expect("docs/misbehaviour.md");
    } else {
        assert!(found == wanted, "docs/misbehaviour.md is stale: run UPDATE_DOCS=1 cargo test --test it misbehave");
    }
}
