//! The real binary, as an operator runs it.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Home, binary, eventually};
use crate::client::Api;

/// What a process wrote to its standard error, line by line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn push(&self, line: String) {
        self.0.lock().push(line);
    }

    /// The lines as they are.
    pub(crate) fn raw(&self) -> Vec<String> {
        self.0.lock().clone()
    }

    /// The lines that are JSON objects: with `--log-format json`, all of them.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.raw().iter().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect()
    }

    /// Where it listens, by the line that says so, whatever the format.
    fn listening(&self) -> Option<SocketAddr> {
        if let Some(line) = self.find("listening") {
            let address = field(&line, "address").and_then(Value::as_str).expect("the field `address`");
            return Some(address.parse().expect("an address"));
        }
        let lines = self.raw();
        let listening = lines.iter().find_map(|line| line.split_once(" listening ").map(|(_, fields)| fields));
        let address = listening.and_then(|fields| fields.split_once("address=")).map(|(_, address)| address);
        address.map(|rest| rest.split(' ').next().unwrap_or_default().parse().expect("an address"))
    }

    /// The first line with that message.
    pub(crate) fn find(&self, message: &str) -> Option<Value> {
        self.lines().into_iter().find(|line| field(line, "message") == Some(&Value::from(message)))
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.raw().join("\n"))
    }
}

/// A field of a log line, whether the lines are flat or keep their fields apart.
pub(crate) fn field<'a>(line: &'a Value, name: &str) -> Option<&'a Value> {
    line.get(name).or_else(|| line.get("fields")?.get(name))
}

/// A running `orderhook serve`. Killed when dropped.
pub(crate) struct Process {
    pub(crate) api: Api,
    pub(crate) home: Arc<Home>,
    pub(crate) log: Log,
    child: Child,
    ended: Option<ExitStatus>,
    /// Something in it panics on purpose.
    panics: bool,
}

impl Process {
    /// Starts it on a new store.
    pub(crate) async fn start(yaml: &str) -> Self {
        Self::start_in(&Arc::new(Home::new()), yaml).await
    }

    /// Starts it on the store of that home.
    pub(crate) async fn start_in(home: &Arc<Home>, yaml: &str) -> Self {
        Self::start_with(home, yaml, |_| ()).await
    }

    /// Starts it after `adjust` has had its way with the command.
    pub(crate) async fn start_with(home: &Arc<Home>, yaml: &str, adjust: impl FnOnce(&mut Command)) -> Self {
        let mut command = serve(home, yaml);
        adjust(&mut command);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary");
        let log = Log::default();
        let (pipe, lines) = (child.stderr.take().expect("a pipe"), log.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                lines.push(String::from_utf8_lossy(&line).into_owned());
            }
        });
        let placeholder = Api::new(([127, 0, 0, 1], 1).into());
        let mut process = Self { api: placeholder, home: Arc::clone(home), log, child, ended: None, panics: false };
        let address = eventually("the line `listening`", || {
            let ended = process.try_wait();
            let address = process.log.listening();
            let log = process.log.clone();
            async move {
                if let (Some(status), None) = (ended, &address) {
                    panic!("the service ended at once ({status}):\n{log}");
                }
                address
            }
        })
        .await;
        process.api = Api::new(address);
        process
    }

    fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child");
        }
        self.ended
    }

    /// The same process, of which something panics on purpose.
    pub(crate) fn that_panics(mut self) -> Self {
        self.panics = true;
        self
    }

    /// Kills it as a power cut would.
    pub(crate) fn kill(&mut self) {
        if self.ended.is_none() {
            let _ = self.child.kill();
            self.ended = Some(self.child.wait().expect("a child"));
        }
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id")).expect("a process id");
        kill_process(pid, signal).expect("a process of ours");
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        eventually("the process's end", || {
            let ended = self.try_wait();
            async move { ended }
        })
        .await
    }

    /// Sends SIGTERM and waits for its end, which must be a good one.
    pub(crate) async fn stop(mut self) {
        self.terminate();
        let status = self.end().await;
        assert!(status.success(), "{status} after SIGTERM:\n{}", self.log);
        self.home.check();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if !std::thread::panicking() {
            let status = self.ended.expect("ended");
            assert!(status.code().is_some() || status.signal() == Some(9), "ended by {status}:\n{}", self.log);
            let panicked = self.log.raw().into_iter().any(|line| line.contains("panicked"));
            assert_eq!(panicked, self.panics, "whether the service panicked:\n{}", self.log);
        }
    }
}

/// `orderhook serve` with the configuration of that home, logging JSON.
pub(crate) fn serve(home: &Home, yaml: &str) -> Command {
    let mut command = binary();
    command.arg("serve");
    for path in home.configure(yaml) {
        command.arg("--config").arg(path);
    }
    command.args(["--log-format", "json"]);
    command.current_dir(home.path(""));
    command
}
