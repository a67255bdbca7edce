//! Limits that the operating system sets for the process.

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use serde_json::json;

use crate::harness::Process;

#[tokio::test]
async fn the_soft_limit_of_open_files_is_raised_to_the_hard_one() {
    let own = getrlimit(Resource::Nofile);
    let lower = own.maximum.map_or(1 << 16, |maximum| maximum - 1);
    setrlimit(Resource::Nofile, Rlimit { current: Some(lower), maximum: own.maximum }).expect("a lower limit");
    let process = Process::start("").await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.pid())).expect("its limits");
    setrlimit(Resource::Nofile, own).expect("the limit before");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a line");
    let numbers: Vec<&str> = line.split_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers[0], numbers[1], "{line}");
    process.stop().await;
}

#[tokio::test]
async fn a_limit_of_file_size_refuses_orders_and_does_not_end_the_process() {
    let process = Process::start("").await;
    process.api.order(&json!({"id": "before"})).await;
    let pid = Pid::from_raw(i32::try_from(process.pid()).expect("an id")).expect("an id");
    let limit = |current| prlimit(Some(pid), Resource::Fsize, Rlimit { current, maximum: None }).expect("a limit");
    limit(Some(64 << 10));
    let note = "x".repeat(200_000);
    let problem = process.api.post("/v1/orders", &json!({"id": "A-1", "note": note})).await.problem(503);
    assert!(problem["type"].as_str().is_some_and(|kind| kind.ends_with("/store-full")), "{problem}");
    process.api.get("/readyz").await.problem(503);
    process.api.get("/healthz").await.expect(200);
    limit(None);
    process.api.order(&json!({"id": "after"})).await;
    process.api.get("/v1/orders/A-1").await.problem(404);
    process.stop().await;
}
