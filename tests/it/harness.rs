//! The service under test, in two forms: [`Service`] runs it within the test on a clock that the test moves,
//! [`Process`] runs the real binary. Both listen on a port of their own and keep their store in a [`Home`] that
//! vanishes with the test, and both look, at their end, whether anything was left behind.

mod process;
mod service;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::Api;
use crate::receiver::DEADLINE;

pub(crate) use process::{Process, field, serve};
pub(crate) use service::Service;

/// A directory with a configuration and a store.
#[derive(Debug)]
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::Builder::new().prefix("orderhook-it-").tempdir().expect("a temporary directory"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The store's database file.
    pub(crate) fn store(&self) -> PathBuf {
        self.path("orderhook.db")
    }

    /// Writes the configuration in two layers, the harness's below the test's, and returns their paths. The receivers
    /// of tests are on loopback, so that is allowed, unless the test has an `egress.allow` of its own.
    pub(crate) fn configure(&self, yaml: &str) -> Vec<PathBuf> {
        let (below, above) = (self.path("harness.yaml"), self.path("test.yaml"));
        let store = self.store();
        let base = format!(
            "server: {{listen: \"127.0.0.1:0\"}}\nstore: {{url: \"sqlite://{}\"}}\negress: {{allow: [127.0.0.0/8, \"::1\"]}}\n",
            store.display()
        );
        std::fs::write(&below, base).expect("a file in the temporary directory");
        std::fs::write(&above, yaml).expect("a file in the temporary directory");
        if yaml.trim().is_empty() { vec![below] } else { vec![below, above] }
    }

    /// What is in it apart from the configuration and the store with its companions.
    fn strangers(&self) -> Vec<PathBuf> {
        let known = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with("orderhook.db") || path.extension().is_some_and(|extension| extension == "yaml")
        };
        let entries = std::fs::read_dir(self.0.path()).expect("the temporary directory");
        entries.map(|entry| entry.expect("an entry").path()).filter(|path| !known(path)).collect()
    }

    fn check(&self) {
        assert_eq!(self.strangers(), Vec::<PathBuf>::new(), "files that the service left behind");
    }
}

/// The binary, with no variables of ours around.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orderhook"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ORDERHOOK") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a command that ends by itself, and fails the test when it does not.
pub(crate) fn run(command: &mut Command) -> Output {
    run_within(command, DEADLINE)
}

/// The same of a command that takes longer.
pub(crate) fn run_within(command: &mut Command, deadline: Duration) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary");
    let collect = |stream: Option<Box<dyn std::io::Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stream.expect("a pipe").read_to_end(&mut bytes);
            bytes
        })
    };
    let stdout = collect(child.stdout.take().map(|pipe| Box::new(pipe) as _));
    let stderr = collect(child.stderr.take().map(|pipe| Box::new(pipe) as _));
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        if begun.elapsed() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            let stderr = stderr.join().unwrap_or_default();
            panic!("{command:?} goes on and on: {}", String::from_utf8_lossy(&stderr));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let collected = "the pipe's thread";
    Output { status, stdout: stdout.join().expect(collected), stderr: stderr.join().expect(collected) }
}

/// Asks again and again until there is an answer; fails the test when there is none in time.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "waited {DEADLINE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What tests ask of the API again and again.
impl Api {
    /// A delivery with its attempts.
    pub(crate) async fn delivery(&self, id: &str) -> Value {
        self.get(&format!("/v1/deliveries/{id}")).await.expect(200)
    }

    /// An order with all that is known of it.
    pub(crate) async fn order_detail(&self, id: &str) -> Value {
        self.get(&format!("/v1/orders/{id}")).await.expect(200)
    }

    /// All entries of a list.
    pub(crate) async fn list(&self, target: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let sign = if target.contains('?') { '&' } else { '?' };
            let page = self.get(&format!("{target}{sign}limit=250{cursor}")).await.expect(200);
            all.extend(page["data"].as_array().expect("data").iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }

    /// Waits until a delivery has ended, or is dispatched.
    pub(crate) async fn settled(&self, id: &str) -> Value {
        let what = format!("the end of {id}");
        eventually(&what, || async {
            let delivery = self.delivery(id).await;
            (delivery["status"] != "pending").then_some(delivery)
        })
        .await
    }

    /// Waits until a delivery has that many attempts on record.
    pub(crate) async fn attempted(&self, id: &str, attempts: usize) -> Value {
        let what = format!("attempt {attempts} of {id}");
        eventually(&what, || async {
            let delivery = self.delivery(id).await;
            (delivery["attempts"].as_array().expect("attempts").len() >= attempts).then_some(delivery)
        })
        .await
    }

    /// Waits until an order has left `processing`.
    pub(crate) async fn ended(&self, id: &str) -> Value {
        let what = format!("the end of {id}");
        eventually(&what, || async {
            let order = self.order_detail(id).await;
            (order["status"] != "processing").then_some(order)
        })
        .await
    }

    /// Waits until every delivery has ended.
    pub(crate) async fn all_settled(&self) {
        eventually("the end of all deliveries", || async {
            let pending = self.get("/v1/deliveries?status=pending&limit=1").await.expect(200);
            pending["data"].as_array().expect("data").is_empty().then_some(())
        })
        .await;
    }
}

/// The text of a member that must be there.
#[track_caller]
pub(crate) fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("no text `{member}` in {value:#}"))
}

/// The id of an order's delivery to a channel.
#[track_caller]
pub(crate) fn delivery_to(order: &Value, channel: &str) -> String {
    let deliveries = order["deliveries"].as_array().unwrap_or_else(|| panic!("no deliveries in {order:#}"));
    let found = deliveries.iter().find(|delivery| delivery["channel"] == channel);
    let found = found.unwrap_or_else(|| panic!("no delivery to {channel} in {order:#}"));
    text(found, "id").to_owned()
}

static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// From now on, panics within the service's own code are remembered.
fn watch_for_panics() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.location().is_some_and(|at| at.file().starts_with("src/")) {
                PANICS.lock().push(panic.to_string());
            }
            before(panic);
        }));
    });
}

fn check_for_panics() {
    let panics = PANICS.lock().clone();
    assert_eq!(panics, Vec::<String>::new(), "panics within the service");
}
