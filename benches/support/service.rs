//! The service under measurement: the real binary, its own process, its store on the disk.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::children::Owned;
use super::plan::Plan;
use super::{Failure, Result, http};

/// How long it may take until it is ready; far above the figure, so that a miss is measured and not cut off.
const READY_WITHIN: Duration = Duration::from_secs(120);
const STOPS_WITHIN: Duration = Duration::from_secs(60);

/// What lets the service reach the sink.
const ALLOW_LOOPBACK: &str = "egress:\n  allow: [127.0.0.0/8]\n";

/// A channel of the configuration.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its name.
    pub name: &'static str,
    /// Where it posts to.
    pub receiver: SocketAddr,
    /// Whether it takes the orders that are posted.
    pub takes_orders: bool,
    /// Attempts in flight at most.
    pub concurrency: usize,
    /// `timeout.total`.
    pub timeout: Duration,
    /// More of its keys, a line each.
    pub more: &'static [&'static str],
}

impl Channel {
    /// One named `live`, that takes orders to `receiver`.
    pub fn live(receiver: SocketAddr) -> Self {
        Self {
            name: "live",
            receiver,
            takes_orders: true,
            concurrency: 64,
            timeout: Duration::from_secs(15),
            more: &[],
        }
    }

    /// The same without orders for it.
    pub fn idle(self) -> Self {
        Self { takes_orders: false, ..self }
    }

    fn yaml(&self) -> String {
        let Self { name, receiver, concurrency, .. } = self;
        // An event that nobody posts: the channel exists, and takes nothing.
        let events = if self.takes_orders { "order.completed" } else { "bench.nothing" };
        let timeout = humantime::format_duration(self.timeout);
        let more: String = self.more.iter().map(|line| format!("    {line}\n")).collect();
        format!(
            "  - name: {name}\n    url: http://{receiver}/{name}\n    events: [{events}]\n    concurrency: {concurrency}\n    \
             timeout: {{total: {timeout}}}\n    retry: {{attempts: 5, interval: 6h}}\n{more}"
        )
    }
}

/// The service, running and ready.
#[derive(Debug)]
pub struct Service {
    /// Where it listens.
    pub address: SocketAddr,
    /// From its start until `/readyz` answered 200.
    pub ready_after: Duration,
    process: Owned,
}

impl Service {
    /// Starts it on the store in `folder`, which may hold one of an earlier run.
    ///
    /// # Errors
    /// It ends or is not ready in time; the end of its log is in the text.
    pub fn start(plan: &Plan, folder: &Path, channels: &[Channel]) -> Result<Self> {
        Self::start_with(plan, folder, channels, ALLOW_LOOPBACK)
    }

    /// The same with these sections beside `server`, `store` and `channels`.
    ///
    /// # Errors
    /// As [`Service::start`].
    pub fn start_with(plan: &Plan, folder: &Path, channels: &[Channel], sections: &str) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let address = free_address()?;
        let configuration = folder.join("orderhook.yaml");
        fs::write(&configuration, yaml(address, folder, channels, sections))?;
        let log = folder.join("log");
        let output = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::new(&plan.binary);
        command.arg("serve").arg("--config").arg(&configuration).args(["--log-format", "json"]);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let start = Instant::now();
        let mut process = Owned::spawn(&mut command)?;
        loop {
            if http::get(address, "/readyz").is_ok_and(|(status, _)| status == 200) {
                return Ok(Self { address, ready_after: start.elapsed(), process });
            }
            if let Some(status) = process.child.try_wait()? {
                return Err(Failure::new(format!("the service ended with {status}: {}", end_of(&log))));
            }
            if start.elapsed() > READY_WITHIN {
                return Err(Failure::new(format!("not ready after {READY_WITHIN:?}: {}", end_of(&log))));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.child.id()
    }

    /// Stops it as an operator would, with SIGTERM.
    ///
    /// # Errors
    /// It does not end within a minute, or not with 0.
    pub fn stop(mut self) -> Result<()> {
        let status = self.process.terminate(STOPS_WITHIN)?;
        if status.success() { Ok(()) } else { Err(Failure::new(format!("the service ended with {status}"))) }
    }

    /// Ends it with SIGKILL.
    pub fn kill(self) {
        drop(self.process);
    }

    /// The sum of a metric's samples whose labels contain `label`.
    ///
    /// # Errors
    /// `/metrics` does not answer.
    pub fn metric(&self, name: &str, label: &str) -> Result<f64> {
        let (_, text) = http::get(self.address, "/metrics")?;
        let samples = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let labels = series.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with('{'))?;
            if labels.contains(label) { value.parse::<f64>().ok() } else { None }
        });
        Ok(samples.sum())
    }
}

/// A folder for a store that is empty, below `root`.
///
/// # Errors
/// The disk does not let us.
pub fn empty_folder(root: &Path, name: &str) -> Result<PathBuf> {
    let folder = root.join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn yaml(listen: SocketAddr, folder: &Path, channels: &[Channel], sections: &str) -> String {
    let channels: String = channels.iter().map(Channel::yaml).collect();
    let store = folder.join("orderhook.db");
    format!(
        "server:\n  listen: {listen}\n{sections}store:\n  url: \"sqlite://{}\"\nchannels:\n{channels}",
        store.display()
    )
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

fn end_of(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}
