//! A small HTTP client for the service's own API: raw HTTP/1.1, a connection for each call, so that nothing a test
//! sends is tidied up on the way, and an answer that looks at itself ([`Answer::problem`]).

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::receiver::DEADLINE;

/// The API of a running service.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    token: Option<String>,
}

impl Api {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, token: None }
    }

    /// The same API, called with a bearer token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { address: self.address, token: Some(token.to_owned()) }
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.call("GET", target, &[], b"").await
    }

    /// Posts JSON.
    pub(crate) async fn post(&self, target: &str, body: &Value) -> Answer {
        self.call("POST", target, &[("Content-Type", "application/json")], body.to_string().as_bytes()).await
    }

    /// Posts JSON with an `Idempotency-Key`.
    pub(crate) async fn post_with_key(&self, target: &str, key: &str, body: &Value) -> Answer {
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
        self.call("POST", target, &headers, body.to_string().as_bytes()).await
    }

    /// Posts bytes as they are, as JSON.
    pub(crate) async fn post_bytes(&self, target: &str, body: &[u8]) -> Answer {
        self.call("POST", target, &[("Content-Type", "application/json")], body).await
    }

    /// Posts an order that must be answered 2xx; returns the answer's JSON.
    pub(crate) async fn order(&self, order: &Value) -> Value {
        let answer = self.post("/v1/orders", order).await;
        assert!(matches!(answer.status, 201 | 202), "an accepted order, not {answer}");
        answer.json()
    }

    /// A connection of its own.
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }

    /// A call that must be answered.
    pub(crate) async fn call(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        match self.try_call(method, target, headers, body).await {
            Ok(answer) => answer,
            Err(error) => panic!("{method} {target}: {error}"),
        }
    }

    /// A call that may fail: the service may be killed under way.
    pub(crate) async fn try_call(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(token) = &self.token {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        if !body.is_empty() || method == "POST" {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        let mut stream = TcpStream::connect(self.address).await?;
        // A service that has read enough may answer and close before it has all: the answer counts then.
        let written = stream.write_all(&bytes).await;
        let answer = read_answer(&mut stream).await;
        if answer.is_err() {
            written?;
        }
        answer
    }
}

/// Reads an answer, whatever was asked. `UnexpectedEof` when the connection ends before it is complete.
pub(crate) async fn read_answer(stream: &mut TcpStream) -> io::Result<Answer> {
    match tokio::time::timeout(DEADLINE, read_whole(stream)).await {
        Ok(answer) => answer,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {DEADLINE:?}"))),
    }
}

async fn read_whole(stream: &mut TcpStream) -> io::Result<Answer> {
    let mut bytes = Vec::new();
    loop {
        let end = match stream.read_buf(&mut bytes).await {
            Ok(read) => read == 0,
            // What came before a reset still counts.
            Err(error) if bytes.is_empty() => return Err(error),
            Err(_) => true,
        };
        if let Some(answer) = Answer::parse(&bytes, end) {
            if answer.status >= 200 {
                return Ok(answer);
            }
            let skipped = find(&bytes, b"\r\n\r\n").unwrap_or_default() + 4;
            bytes.drain(..skipped);
        } else if end {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// An answer of the service.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8], end: bool) -> Option<Self> {
        let at = find(bytes, b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..at]).ok()?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        let mut answer = Self { status, headers, body: Vec::new() };
        let rest = &bytes[at + 4..];
        answer.body = if let Some(length) = answer.header("content-length") {
            rest.get(..length.parse().ok()?)?.to_vec()
        } else if answer.header("transfer-encoding").is_some() {
            unchunk(rest)?
        } else if end || status < 200 || status == 204 {
            rest.to_vec()
        } else {
            return None;
        };
        Some(answer)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}) in {self}"))
    }

    /// The JSON of an answer that must have that status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self}");
        self.json()
    }

    /// The problem (RFC 9457) that this must be, with that status and every member that the documentation promises.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self}");
        let media = self.header("content-type").unwrap_or_default();
        assert!(media.starts_with("application/problem+json"), "problem+json, not {media}: {self}");
        let problem = self.json();
        assert_eq!(problem["status"], status, "{self}");
        for member in ["type", "title", "detail"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "`{member}` in {self}");
        }
        problem
    }

    /// Seconds of `Retry-After`, which must be there.
    #[track_caller]
    pub(crate) fn retry_after(&self) -> Duration {
        let seconds = self.header("retry-after").and_then(|value| value.parse().ok());
        Duration::from_secs(seconds.unwrap_or_else(|| panic!("Retry-After in seconds in {self}")))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.status)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {value}")?;
        }
        let shown = &self.body[..self.body.len().min(4000)];
        write!(f, "{}", String::from_utf8_lossy(shown))
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let at = find(rest, b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..at]).ok()?.trim(), 16).ok()?;
        rest = &rest[at + 2..];
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
        if size == 0 {
            return Some(body);
        }
    }
}
