//! As much of HTTP/1.1 as two ends that know each other need: where a head ends, its status, its Content-Length.
//!
//! The generator and the sink share the machine's cores with the service under measurement. What they spend is taken
//! from it, so they read by hand instead of through a library.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::{Failure, Result};

/// One complete message at the front of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// Bytes of the head, its empty line included.
    pub head: usize,
    /// Bytes of head and body.
    pub total: usize,
}

/// The message at the front of `bytes`; `None` while it is incomplete.
///
/// # Errors
/// A head without a readable Content-Length where `length_needed` says that there must be one.
pub fn message(bytes: &[u8], length_needed: bool) -> Result<Option<Message>> {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) else {
        return Ok(None);
    };
    let length = match content_length(&bytes[..head]) {
        Some(length) => length,
        None if length_needed => {
            let head = String::from_utf8_lossy(&bytes[..head]).into_owned();
            return Err(Failure::new(format!("a message without Content-Length: {head:?}")));
        }
        None => 0,
    };
    let total = head + length;
    Ok((bytes.len() >= total).then_some(Message { head, total }))
}

/// The status of a response.
pub fn status(head: &[u8]) -> Option<u16> {
    std::str::from_utf8(head.get(9..12)?).ok()?.parse().ok()
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    head.split(|byte| *byte == b'\n')
        .find(|line| line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)))
        .and_then(|line| std::str::from_utf8(&line[NAME.len()..]).ok()?.trim().parse().ok())
}

/// GETs a path over a connection of its own, and returns status and body.
///
/// # Errors
/// No connection, or no answer within five seconds.
pub fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let limit = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let status = status(&answer).ok_or_else(|| Failure::new(format!("no HTTP answer to GET {path}")))?;
    let body = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    Ok((status, String::from_utf8_lossy(&answer[body..]).into_owned()))
}
