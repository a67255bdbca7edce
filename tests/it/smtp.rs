//! A real mail server: Python's aiosmtpd, run by `smtp/server.py`, one for each test that wants one. `tests/run` sees to
//! it that aiosmtpd is there.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::eventually;
use crate::peers::python;

/// The server. Ends with its test.
pub(crate) struct MailServer {
    pub(crate) port: u16,
    told: Arc<Mutex<Vec<Value>>>,
    asked: AtomicU64,
    child: Child,
    /// A line asks the server for an answer behind all that it has told; closed, it ends the server.
    stdin: Mutex<ChildStdin>,
}

/// A certificate for `localhost`, and the files that hold it and its key.
pub(crate) struct Certificate {
    directory: TempDir,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(directory.path().join("certificate.pem"), made.cert.pem()).expect("a file");
        std::fs::write(directory.path().join("key.pem"), made.signing_key.serialize_pem()).expect("a file");
        Self { directory }
    }

    /// The certificate in PEM.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }

    /// What the server is told to use it.
    fn arguments(&self, tls: &str) -> Vec<String> {
        let key = self.directory.path().join("key.pem");
        let text = |path: &Path| path.display().to_string();
        ["--tls", tls, "--certificate", &text(&self.path()), "--key", &text(&key)].map(str::to_owned).to_vec()
    }
}

impl MailServer {
    /// One that takes mail from everybody, without TLS.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// One with TLS: `starttls` or `implicit`.
    pub(crate) async fn secure(tls: &str, certificate: &Certificate, more: &[&str]) -> Self {
        let mut arguments = certificate.arguments(tls);
        arguments.extend(more.iter().map(|text| (*text).to_owned()));
        Self::with(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    /// One with these arguments of `smtp/server.py`.
    pub(crate) async fn with(arguments: &[&str]) -> Self {
        let mut child = Command::new(python())
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/smtp/server.py"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Python; `tests/run` says what is missing");
        let told = Arc::new(Mutex::new(Vec::new()));
        let (stdout, lines) = (child.stdout.take().expect("a pipe"), Arc::clone(&told));
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
                lines.lock().push(line);
            }
        });
        let mut server = Self {
            port: 0,
            told,
            asked: AtomicU64::new(0),
            stdin: Mutex::new(child.stdin.take().expect("a pipe")),
            child,
        };
        let port = eventually("the mail server's port", || async { server.heard().first()?["port"].as_u64() }).await;
        server.port = u16::try_from(port).expect("a port");
        server
    }

    /// What has arrived of it.
    fn heard(&self) -> Vec<Value> {
        self.told.lock().clone()
    }

    /// Everything that the server has told so far, nothing of it on its way any more.
    async fn told(&self) -> Vec<Value> {
        let asked = {
            let mut stdin = self.stdin.lock();
            let asked = self.asked.fetch_add(1, Ordering::Relaxed);
            writeln!(stdin, "{asked}").expect("a server that listens");
            asked
        };
        let answer = || async { Some(self.heard()).filter(|lines| lines.iter().any(|line| line["asked"] == asked)) };
        eventually("the mail server's answer", answer).await
    }

    /// The mails so far, taken or not.
    pub(crate) async fn mails(&self) -> Vec<Value> {
        self.told().await.into_iter().filter(|line| line["mail"] == true).collect()
    }

    /// How many recipients were refused so far.
    pub(crate) async fn refused(&self) -> usize {
        self.told().await.iter().filter(|line| line["refused"].is_string()).count()
    }

    /// Waits for that many mails.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Value> {
        eventually(&format!("{count} mails"), || async {
            Some(self.mails().await).filter(|mails| mails.len() >= count)
        })
        .await
    }

    /// The section `smtp` for it, with these keys beside URL and sender.
    pub(crate) fn section(&self, scheme: &str, more: &str) -> String {
        let port = self.port;
        format!("smtp: {{url: '{scheme}://localhost:{port}', from: 'Shop <orders@shop.example>'{more}}}\n")
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A header of a mail.
#[track_caller]
pub(crate) fn header<'a>(mail: &'a Value, name: &str) -> &'a str {
    let headers = mail["headers"].as_array().expect("headers");
    let found = headers.iter().find(|header| header[0] == name);
    found.and_then(|header| header[1].as_str()).unwrap_or_else(|| panic!("no {name} in {mail:#}"))
}

/// The part of a mail of that type.
#[track_caller]
pub(crate) fn part<'a>(mail: &'a Value, kind: &str) -> &'a str {
    let parts = mail["parts"].as_array().expect("parts");
    let found = parts.iter().find(|part| part["type"] == kind);
    found.and_then(|part| part["text"].as_str()).unwrap_or_else(|| panic!("no {kind} in {mail:#}"))
}
