//! HTTP/2 by hand: enough to read a request, and frames of any kind, right or wrong, to answer it with.

use super::wire::{Request, Wire};

/// Flags of frames.
pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;

/// Types of frames.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// `:status: 200`, as HPACK writes it.
pub(crate) const OK: u8 = 0x88;

/// A frame on a stream. The first request of a connection is on stream 1.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Settings with nothing in them: what a server begins with.
pub(crate) fn settings() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[])
}

/// The end of the connection, for that reason; nothing behind `last` was looked at.
pub(crate) fn goaway(last: u32, reason: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), reason.to_be_bytes()].concat())
}

/// The end of stream 1, for that reason.
pub(crate) fn reset_stream(reason: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, 1, &reason.to_be_bytes())
}

/// Room for that many bytes more on a stream, or on all of them (0).
pub(crate) fn window_update(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

/// A header field with a short name and value, as HPACK writes one that it does not remember.
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("a short text");
    [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}

/// The next request: when its last frame has come. Of its head only that it came is known.
pub(super) async fn request(wire: &mut Wire) -> Option<Request> {
    let mut request = Request { method: "?".to_owned(), target: "/".to_owned(), ..Request::default() };
    loop {
        let mut head = wire.take(9).await?;
        if head.starts_with(b"PRI * HTT") {
            wire.take(24 - 9).await?;
            head = wire.take(9).await?;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let payload = wire.take(usize::try_from(length).expect("a length")).await?;
        let (kind, flags) = (head[3], head[4]);
        if kind == DATA {
            request.body.extend_from_slice(&payload);
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            return Some(request);
        }
    }
}
