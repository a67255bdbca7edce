//! Servers that nobody here wrote, for what has to work with others: each a small script around a Python package, in
//! `peers/`. `tests/run` makes the environment that they run in, and says so where it cannot.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::client::Api;

/// A script that runs, and listens on a port of its own. Ends with its test.
pub(crate) struct Peer {
    child: Child,
    port: u16,
}

impl Peer {
    /// Starts `peers/SCRIPT` with these settings.
    pub(crate) fn start(script: &str, settings: &Value) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/peers").join(script);
        let mut child = Command::new(python())
            .arg(&script)
            .arg(settings.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python; `tests/run` says what is missing");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let port = line.trim().parse();
        let port = port.unwrap_or_else(|_| {
            panic!("{} does not start; run tests/run once to install its packages", script.display())
        });
        Self { child, port }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Its URL with this path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// A configuration in which `PEER` stands for its URL.
    pub(crate) fn fill(&self, yaml: &str) -> String {
        yaml.replace("PEER", &self.url(""))
    }

    /// Everything that it was asked.
    pub(crate) async fn log(&self) -> Vec<Value> {
        let api = Api::new(self.address());
        let log = api.get("/log").await;
        serde_json::from_slice(&log.body).expect("a list")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The Python that has their packages.
pub(crate) fn python() -> PathBuf {
    match std::env::var_os("ORDERHOOK_PEERS_PYTHON") {
        Some(python) => python.into(),
        None => Path::new(env!("CARGO_TARGET_TMPDIR")).join("../peers-venv/bin/python"),
    }
}

/// A new RSA key, in PEM. Only those servers' own packages can make one here.
pub(crate) fn rsa_key(bits: u32) -> String {
    key(&format!("RSAKey.generate_key({bits})"))
}

/// A new Ed25519 key, in PEM of the older version without its public half.
pub(crate) fn ed25519_key() -> String {
    key("OKPKey.generate_key('Ed25519')")
}

/// A new key on P-256, in PEM.
pub(crate) fn ec_key() -> String {
    key("ECKey.generate_key('P-256')")
}

fn key(made: &str) -> String {
    let program =
        format!("from joserfc.jwk import ECKey, OKPKey, RSAKey; print({made}.as_pem(private=True).decode(), end='')");
    let output = Command::new(python()).args(["-c", &program]).output();
    String::from_utf8(output.expect("Python; `tests/run` installs what it needs").stdout).expect("a PEM")
}
