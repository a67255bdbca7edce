//! What a receiver answers: proper responses, and every way of getting it wrong.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Gate;

/// An answer to one request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A proper response.
    Response {
        /// The status.
        status: u16,
        /// Further headers; `Content-Length` comes by itself.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// Another reply, once the gate lets it through.
    Held(Gate, Box<Reply>),
    /// A proper response, a byte at a time with that pause between two.
    Drip(Duration),
    /// The connection is closed without an answer.
    Close,
    /// The connection is reset without an answer.
    Reset,
    /// The connection is reset in the middle of the head.
    ResetInHead,
    /// The connection is reset in the middle of the body.
    ResetInBody,
    /// Nothing comes.
    HangBeforeHead,
    /// The body stops in the middle.
    HangInBody,
    /// Headers without end.
    EndlessHeaders,
    /// A body without end, of 64 KiB chunks.
    EndlessBody,
    /// Chunks whose sizes are no numbers.
    BadChunks,
    /// Fewer bytes than `Content-Length` says, then the end.
    ShortBody,
    /// No HTTP at all.
    Garbage,
    /// `100 Continue` without end.
    Informational,
}

impl Reply {
    /// An empty response with that status.
    pub(crate) fn status(status: u16) -> Self {
        Self::Response { status, headers: Vec::new(), body: Vec::new() }
    }

    /// A response with that JSON.
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::body(status, "application/json", body.to_string())
    }

    /// A response with that body.
    pub(crate) fn body(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::Response {
            status,
            headers: vec![("Content-Type".to_owned(), content_type.to_owned())],
            body: body.into(),
        }
    }

    /// The same response with one more header.
    #[must_use]
    pub(crate) fn with_header(self, name: &str, value: &str) -> Self {
        match self {
            Self::Response { status, mut headers, body } => {
                headers.push((name.to_owned(), value.to_owned()));
                Self::Response { status, headers, body }
            }
            other => panic!("{other:?} has no headers"),
        }
    }

    /// The same reply, once `gate` lets it through.
    #[must_use]
    pub(crate) fn held(self, gate: &Gate) -> Self {
        Self::Held(gate.clone(), Box::new(self))
    }

    /// Plays it. Answers whether the connection goes on.
    pub(super) async fn play(self, stream: &mut TcpStream, sent: &AtomicU64) -> bool {
        let mut reply = self;
        while let Self::Held(gate, inner) = reply {
            tokio::select! {
                () = gate.wait() => {}
                () = gone(stream) => return false,
            }
            reply = *inner;
        }
        reply.perform(&mut Out { stream, sent }).await.is_ok_and(|goes_on| goes_on)
    }

    async fn perform(self, out: &mut Out<'_>) -> std::io::Result<bool> {
        const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
        match self {
            Self::Response { status, headers, body } => {
                let mut head = format!("HTTP/1.1 {status} As scripted\r\n");
                for (name, value) in &headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                if status != 204 && status != 304 {
                    head.push_str(&format!("Content-Length: {}\r\n", body.len()));
                }
                head.push_str("\r\n");
                let mut bytes = head.into_bytes();
                bytes.extend_from_slice(&body);
                out.write(&bytes).await?;
                return Ok(true);
            }
            Self::Held(..) => unreachable!("opened by play"),
            Self::Drip(pause) => {
                let text = format!("{HEAD}Content-Length: 1000\r\n\r\n{}", "x".repeat(1000));
                for byte in text.as_bytes() {
                    out.write(std::slice::from_ref(byte)).await?;
                    tokio::time::sleep(pause).await;
                }
                return Ok(true);
            }
            Self::Close => {}
            Self::Reset => out.stream.set_zero_linger()?,
            Self::ResetInHead => {
                out.write(HEAD.as_bytes()).await?;
                out.settle().await;
                out.stream.set_zero_linger()?;
            }
            Self::ResetInBody => {
                out.write(format!("{HEAD}Content-Length: 1000\r\n\r\nhalf").as_bytes()).await?;
                out.settle().await;
                out.stream.set_zero_linger()?;
            }
            Self::HangBeforeHead => gone(out.stream).await,
            Self::HangInBody => {
                out.write(format!("{HEAD}Content-Length: 1000\r\n\r\nhalf").as_bytes()).await?;
                gone(out.stream).await;
            }
            Self::EndlessHeaders => {
                out.write(HEAD.as_bytes()).await?;
                for number in 0u64.. {
                    out.write(format!("X-Header-{number}: {}\r\n", "v".repeat(1000)).as_bytes()).await?;
                }
            }
            Self::EndlessBody => {
                out.write(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).await?;
                let chunk = format!("10000\r\n{}\r\n", "e".repeat(0x1_0000));
                loop {
                    out.write(chunk.as_bytes()).await?;
                }
            }
            Self::BadChunks => {
                out.write(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\nmany\r\nbytes\r\n0\r\n\r\n").as_bytes())
                    .await?;
                gone(out.stream).await;
            }
            Self::ShortBody => {
                out.write(format!("{HEAD}Content-Length: 1000\r\n\r\nshort").as_bytes()).await?;
            }
            Self::Garbage => {
                out.write(b"\x16\x03\x01 this is no HTTP at all \x00\xff\r\n\r\n").await?;
            }
            Self::Informational => loop {
                out.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
                tokio::task::yield_now().await;
            },
        }
        Ok(false)
    }
}

struct Out<'a> {
    stream: &'a mut TcpStream,
    sent: &'a AtomicU64,
}

impl Out<'_> {
    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Gives the other side a moment to read, so that a reset does not overtake what was sent.
    async fn settle(&mut self) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the other side has gone. What it still sends is thrown away.
async fn gone(stream: &mut TcpStream) {
    let mut bytes = [0; 4096];
    while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
}
