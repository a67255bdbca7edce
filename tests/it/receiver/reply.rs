//! What a receiver answers: proper responses, and every way of getting it wrong.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use serde_json::Value;

use super::Gate;
use super::act::{self, Act, Stream, gone};

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
    /// Nothing comes.
    HangBeforeHead,
    /// The body stops in the middle.
    HangInBody,
    /// Headers without end.
    EndlessHeaders,
    /// A body without end, of 64 KiB chunks.
    EndlessBody,
    /// Fewer bytes than `Content-Length` says, then the end.
    ShortBody,
    /// No HTTP at all.
    Garbage,
    /// `100 Continue` without end.
    Informational,
    /// Whatever these are.
    Acts(Vec<Act>),
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
    pub(super) async fn play(self, stream: &mut Stream, sent: &AtomicU64) -> bool {
        let mut reply = self;
        while let Self::Held(gate, inner) = reply {
            tokio::select! {
                () = gate.wait() => {}
                () = gone(stream) => return false,
            }
            reply = *inner;
        }
        if let Self::Response { .. } = reply {
            return act::write(stream, &reply.into_bytes(), sent).await.is_ok();
        }
        act::perform(reply.acts(), stream, sent).await.is_ok_and(|goes_on| goes_on)
    }

    /// A response as it goes over the wire.
    fn into_bytes(self) -> Vec<u8> {
        let Self::Response { status, headers, body } = self else { unreachable!("a response") };
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
        bytes
    }

    fn acts(self) -> Vec<Act> {
        let head = |rest: &str| Act::send(format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{rest}"));
        match self {
            Self::Response { .. } | Self::Held(..) => unreachable!("played otherwise"),
            Self::Acts(acts) => acts,
            Self::Drip(pause) => {
                let body = "x".repeat(1000);
                let text = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\n{body}");
                vec![Act::Drip(text.into_bytes(), pause), Act::Keep]
            }
            Self::Close => Vec::new(),
            Self::Reset => vec![Act::Reset],
            Self::ResetInHead => vec![head(""), Act::Reset],
            Self::HangBeforeHead => vec![Act::Hang],
            Self::HangInBody => vec![head("Content-Length: 1000\r\n\r\nhalf"), Act::Hang],
            Self::EndlessHeaders => vec![head(""), Act::Numbered(format!("X-Header-#: {}\r\n", "v".repeat(1000)))],
            Self::EndlessBody => {
                let chunk = format!("10000\r\n{}\r\n", "e".repeat(0x1_0000));
                vec![head("Transfer-Encoding: chunked\r\n\r\n"), Act::Endless(chunk.into_bytes())]
            }
            Self::ShortBody => vec![head("Content-Length: 1000\r\n\r\nshort")],
            Self::Garbage => vec![Act::send(&b"\x16\x03\x01 this is no HTTP at all \x00\xff\r\n\r\n"[..])],
            Self::Informational => vec![Act::Endless(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())],
        }
    }
}
