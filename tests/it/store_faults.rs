//! A store that is full, locked, corrupt, newer or taken: a clear error, and never a lost order.

use std::sync::Arc;

use serde_json::json;

use crate::harness::{Home, Process, delivery_to, eventually, run, serve, text};
use crate::receiver::{Gate, Receiver, Reply};

/// Runs `serve`, which must end at once with exit code 1; returns what it wrote.
fn refuses_to_start(home: &Home, yaml: &str) -> String {
    let output = run(&mut serve(home, yaml));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr
}

#[tokio::test]
async fn a_second_process_on_the_same_store_is_refused() {
    let process = Process::start("").await;
    let home = Arc::clone(&process.home);
    let error = tokio::task::spawn_blocking(move || refuses_to_start(&home, "")).await.expect("a refusal");
    assert!(error.contains("in use") && error.contains("orderhook.db"), "{error}");
    assert!(error.contains(&process.pid().to_string()), "the other's process id: {error}");
    process.api.order(&json!({"id": "still here"})).await;
    process.stop().await;
}

#[tokio::test]
async fn a_store_is_free_again_after_a_kill() {
    let mut process = Process::start("").await;
    process.api.order(&json!({"id": "A-1"})).await;
    process.kill();
    let process = Process::start_in(&Arc::clone(&process.home), "").await;
    assert_eq!(process.api.order_detail("A-1").await["status"], "completed");
    process.stop().await;
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let home = Home::new();
    let garbage = b"this is no database, but somebody's thesis. ".repeat(100);
    std::fs::write(home.store(), &garbage).unwrap();
    let error = refuses_to_start(&home, "");
    assert!(error.contains("orderhook.db"), "{error}");
    assert_eq!(std::fs::read(home.store()).unwrap(), garbage);
}

#[test]
fn somebody_elses_database_is_refused_and_left_alone() {
    let home = Home::new();
    let other = rusqlite::Connection::open(home.store()).unwrap();
    other.execute_batch("CREATE TABLE recipes (name TEXT); INSERT INTO recipes VALUES ('soup');").unwrap();
    drop(other);
    let error = refuses_to_start(&home, "");
    assert!(error.contains("orderhook.db") && error.contains("not a store"), "{error}");
    let other = rusqlite::Connection::open(home.store()).unwrap();
    let tables: i64 = other.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);
}

#[tokio::test]
async fn a_store_of_a_later_version_is_refused_and_left_alone() {
    let process = Process::start("").await;
    let home = Arc::clone(&process.home);
    process.stop().await;
    let store = rusqlite::Connection::open(home.store()).unwrap();
    store.pragma_update(None, "user_version", 9_999).unwrap();
    drop(store);
    let (path, error) = tokio::task::spawn_blocking(move || (home.store(), refuses_to_start(&home, ""))).await.unwrap();
    assert!(error.contains("9999") && error.contains("version"), "{error}");
    assert!(!path.exists() || error.contains("orderhook.db"), "{error}");
}

#[tokio::test]
async fn a_truncated_store_is_refused_or_read_without_a_panic() {
    let process = Process::start("").await;
    let home = Arc::clone(&process.home);
    for number in 0..200 {
        process.api.order(&json!({"id": number, "filler": "x".repeat(500)})).await;
    }
    process.stop().await;
    let file = std::fs::OpenOptions::new().write(true).open(home.store()).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    drop(file);
    let error = tokio::task::spawn_blocking(move || refuses_to_start(&home, "")).await.unwrap();
    assert!(error.contains("orderhook.db") || error.contains("corrupt"), "{error}");
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let home = Home::new();
    let error = refuses_to_start(&home, "store: {url: 'sqlite:///no/such/directory/orderhook.db'}");
    assert!(error.contains("/no/such/directory"), "{error}");
}

#[tokio::test]
async fn a_full_store_answers_503_and_loses_nothing() {
    let receiver = Receiver::start().await;
    let yaml = receiver.fill("store: {max_size: 2MiB}\nchannels: [{name: erp, url: RECEIVER/erp}]");
    let process = Process::start(&yaml).await;
    let mut accepted = Vec::new();
    let mut refused = None;
    for number in 0..2_000 {
        let order = json!({"id": number, "filler": "x".repeat(8_000)});
        let answer = process.api.post("/v1/orders", &order).await;
        if answer.status == 201 {
            accepted.push(text(&answer.json(), "id").to_owned());
        } else {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a full store");
    assert!(accepted.len() > 20, "{} orders fit", accepted.len());
    let problem = refused.problem(503);
    assert!(refused.retry_after().as_secs() > 0);
    assert!(text(&problem, "title").contains("full"), "{problem}");
    assert_eq!(process.api.get("/healthz").await.status, 200, "alive all the same");
    for id in &accepted {
        assert_eq!(process.api.order_detail(id).await["status"], "completed");
    }
    let home = Arc::clone(&process.home);
    let mut process = process;
    process.kill();
    drop(process);

    // With room again, what was accepted is delivered, and new orders are taken.
    let process = Process::start_in(&home, &receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]")).await;
    process.api.order(&json!({"id": "after"})).await;
    process.api.all_settled().await;
    for id in &accepted {
        let order = process.api.order_detail(id).await;
        assert_eq!(order["deliveries"][0]["status"], "accepted", "{id}");
    }
    process.stop().await;
}

#[tokio::test]
async fn results_find_room_in_a_store_that_is_full_for_orders() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.answer([Reply::status(200).held(&gate)]);
    let yaml = receiver.fill("store: {max_size: 2MiB}\nchannels: [{name: erp, url: RECEIVER/erp, concurrency: 500}]");
    let mut process = Process::start(&yaml).await;
    let mut accepted = 0;
    while process.api.post("/v1/orders", &json!({"id": accepted, "filler": "x".repeat(4_000)})).await.status == 201 {
        accepted += 1;
        assert!(accepted < 1_000);
    }
    assert!(accepted > 20, "{accepted}");
    let problem = process.api.post("/v1/orders", &json!({"id": "more"})).await.problem(503);
    assert_eq!(problem["type"], "/problems/store-full");
    let event = json!({"type": "invoice.paid", "data": {"filler": "x".repeat(4_000)}});
    process.api.post("/v1/events", &event).await.problem(503);
    let ready = process.api.get("/readyz").await.problem(503);
    assert!(text(&ready, "detail").contains("full"), "{ready}");
    receiver.wait_for(accepted).await;
    gate.open();
    process.api.all_settled().await;
    for delivery in process.api.list("/v1/deliveries").await {
        assert_eq!(delivery["status"], "accepted", "{delivery:#}");
    }
    let files = std::fs::read_dir(process.home.path("")).expect("the folder").map(|entry| entry.expect("a file"));
    let counted = files.filter(|file| {
        let name = file.file_name().to_string_lossy().into_owned();
        name.starts_with("orderhook.db") && !name.ends_with("-shm")
    });
    let size: u64 = counted.map(|file| file.metadata().expect("a file").len()).sum();
    assert!(size <= 2 << 20, "{size}");
    // Nothing is sent again.
    let home = Arc::clone(&process.home);
    process.kill();
    let process = Process::start_in(&home, &yaml).await;
    process.api.all_settled().await;
    assert_eq!(receiver.count(), accepted);
    process.stop().await;
}

/// A small disk of its own, for as long as it lives. Only root can make one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(megabytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let size = format!("size={megabytes}m");
        let mount =
            std::process::Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        mount.is_ok_and(|output| output.status.success()).then(|| Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn results_find_room_on_a_full_disk() {
    let Some(disk) = SmallDisk::mount(24) else {
        assert!(!rustix::process::geteuid().is_root() || std::env::var_os("CI").is_some(), "root can mount a disk");
        return;
    };
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.answer([Reply::status(200).held(&gate)]);
    let store = disk.0.path().join("orderhook.db");
    let yaml = format!(
        "store: {{url: 'sqlite://{}'}}\nchannels: [{{name: erp, url: RECEIVER/erp, concurrency: 500}}]",
        store.display()
    );
    let process = Process::start(&receiver.fill(&yaml)).await;
    for number in 0..50 {
        process.api.order(&json!({"id": number, "filler": "x".repeat(4_000)})).await;
    }
    receiver.wait_for(50).await;
    // Somebody else fills the disk to the last byte.
    let filler = disk.0.path().join("filler");
    let mut file = std::fs::File::create(&filler).expect("a file");
    let full = std::io::copy(&mut std::io::repeat(b'x'), &mut file).expect_err("a full disk");
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let order = json!({"id": "more", "filler": "x".repeat(4_000)});
    eventually("a refusal", || async {
        let answer = process.api.post("/v1/orders", &order).await;
        (answer.status == 503).then(|| answer.problem(503))
    })
    .await;
    let problem = process.api.get("/readyz").await.problem(503);
    assert!(text(&problem, "detail").contains("full"), "{problem}");
    gate.open();
    process.api.all_settled().await;
    let sent = receiver.requests();
    let ids: std::collections::HashSet<_> = sent.iter().map(|request| request.expect_header("webhook-id")).collect();
    assert_eq!(ids.len(), sent.len(), "each was sent once");
    drop(file);
    std::fs::remove_file(&filler).expect("removed");
    eventually("readiness", || async { (process.api.get("/readyz").await.status == 200).then_some(()) }).await;
    process.api.order(&json!({"id": "after"})).await;
    process.api.all_settled().await;
    process.stop().await;
}

#[tokio::test]
async fn the_files_of_a_store_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let home = Arc::new(Home::new());
    // A store of an earlier version.
    std::fs::write(home.store(), "").expect("a file");
    std::fs::set_permissions(home.store(), std::fs::Permissions::from_mode(0o644)).expect("a mode");
    let process = Process::start_in(&home, "").await;
    process.api.order(&json!({"id": "A-1"})).await;
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(home.path("")).expect("the folder") {
        let entry = entry.expect("a file");
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("orderhook.db") {
            assert_eq!(entry.metadata().expect("a file").permissions().mode() & 0o777, 0o600, "{name}");
            seen.push(name);
        }
    }
    seen.sort();
    let names = ["orderhook.db", "orderhook.db-shm", "orderhook.db-wal", "orderhook.db.ballast", "orderhook.db.lock"];
    assert_eq!(seen, names);
    process.stop().await;
}

#[tokio::test]
async fn while_another_program_locks_the_store_orders_are_refused_and_results_are_kept() {
    let receiver = Receiver::start().await;
    let gate = Gate::new();
    receiver.answer([Reply::status(200).held(&gate)]);
    let process = Process::start(&receiver.fill("channels: [{name: erp, url: RECEIVER/erp}]")).await;
    let before = process.api.order(&json!({"id": "before"})).await;
    receiver.wait_for(1).await;
    let other = rusqlite::Connection::open(process.home.store()).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    gate.open();
    let order = json!({"id": "meanwhile"});
    let (refused, ready) = tokio::join!(process.api.post("/v1/orders", &order), process.api.get("/readyz"));
    refused.problem(503);
    assert!(refused.retry_after().as_secs() > 0);
    ready.problem(503);
    assert_eq!(process.api.get("/healthz").await.status, 200, "alive all the same");
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);

    process.api.order(&json!({"id": "after"})).await;
    let delivery = process.api.settled(&delivery_to(&before, "erp")).await;
    assert_eq!(delivery["attempts"].as_array().map(Vec::len), Some(1), "its result outlived the lock: {delivery:#}");
    process.api.get("/v1/orders/meanwhile").await.problem(404);
    process.api.all_settled().await;
    assert_eq!(receiver.count(), 2);
    eventually("readiness", || async { (process.api.get("/readyz").await.status == 200).then_some(()) }).await;
    process.stop().await;
}

#[tokio::test]
async fn a_store_that_another_program_locks_is_refused_at_the_start() {
    let process = Process::start("").await;
    let home = Arc::clone(&process.home);
    process.stop().await;
    let other = rusqlite::Connection::open(home.store()).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = tokio::task::spawn_blocking(move || refuses_to_start(&home, "")).await.unwrap();
    assert!(error.contains("locked"), "{error}");
}
