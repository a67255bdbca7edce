//! Reading requests off the wire, as they come.

use std::fmt;
use std::time::Instant;

use serde_json::Value;
use tokio::io::AsyncReadExt;

use super::act::Stream;
use super::frames;

/// A request as it arrived.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    /// 1 for the first that the receiver got.
    pub(crate) number: usize,
    /// 1 for the receiver's first connection.
    pub(crate) connection: usize,
    /// When its last byte arrived.
    pub(crate) at: Option<Instant>,
    /// `POST`.
    pub(crate) method: String,
    /// Path and query, as sent.
    pub(crate) target: String,
    /// In the order sent.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, without its framing.
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The target without its query.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The query, if any.
    pub(crate) fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// A header that must be there.
    pub(crate) fn expect_header(&self, name: &str) -> &str {
        self.header(name).unwrap_or_else(|| panic!("no header {name} in {self}"))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}) in {self}"))
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "#{} on connection {}: {} {}", self.number, self.connection, self.method, self.target)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {value}")?;
        }
        write!(f, "{}", String::from_utf8_lossy(&self.body))
    }
}

/// A connection, and what was read from it beyond the request last returned.
pub(super) struct Wire {
    pub(super) stream: Stream,
    buffer: Vec<u8>,
    h2: bool,
}

impl Wire {
    /// A connection that speaks HTTP/1.1, or HTTP/2.
    pub(super) fn new(stream: Stream, h2: bool) -> Self {
        Self { stream, buffer: Vec::new(), h2 }
    }

    /// The next request, or `None` when the other side is done or talks nonsense.
    pub(super) async fn request(&mut self) -> Option<Request> {
        if self.h2 {
            return frames::request(self).await;
        }
        let head = self.take_until(b"\r\n\r\n").await?;
        let head = String::from_utf8(head).ok()?;
        let mut lines = head.split("\r\n");
        let mut start = lines.next()?.split(' ');
        let (method, target) = (start.next()?.to_owned(), start.next()?.to_owned());
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        let mut request = Request { method, target, headers, ..Request::default() };
        if request.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            request.body = self.chunks().await?;
        } else if let Some(length) = request.header("content-length") {
            let length = length.parse().ok()?;
            request.body = self.take(length).await?;
        }
        Some(request)
    }

    async fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = String::from_utf8(self.take_until(b"\r\n").await?).ok()?;
            let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
            let chunk = self.take(size + 2).await?;
            if size == 0 {
                return Some(body);
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }

    async fn take_until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                let mut taken: Vec<u8> = self.buffer.drain(..at + end.len()).collect();
                taken.truncate(at);
                return Some(taken);
            }
            self.read().await?;
        }
    }

    pub(super) async fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            self.read().await?;
        }
        Some(self.buffer.drain(..count).collect())
    }

    async fn read(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.buffer).await.ok()?;
        (read > 0).then_some(())
    }
}
