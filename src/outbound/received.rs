//! A response as it is read: as much of its body as is kept, the rest read and dropped within bounds.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use tokio::time::timeout;

use crate::domain::Times;

/// Bytes that are read and dropped behind those that are kept, so that the connection can be used again. A longer
/// response costs its connection.
const DRAIN: usize = 256 * 1024;

/// How long such a rest may take.
const DRAIN_TIME: Duration = Duration::from_millis(500);

/// What of a response has come so far.
#[derive(Default)]
pub(super) struct Received {
    pub(super) status: Option<StatusCode>,
    pub(super) headers: HeaderMap,
    /// The first piece of the body as it came: most come in one.
    first: Bytes,
    /// All of it, once there are more.
    pieces: BytesMut,
    pub(super) truncated: bool,
    /// Where the time went, once its head is there.
    pub(super) times: Option<Times>,
}

impl Received {
    /// Reads up to `max` bytes of the body.
    pub(super) async fn read(&mut self, response: &mut reqwest::Response, max: usize) -> reqwest::Result<()> {
        while let Some(mut piece) = response.chunk().await? {
            let room = max - self.first.len().max(self.pieces.len());
            if piece.len() > room {
                self.truncated = true;
                piece.truncate(room);
            }
            if self.first.is_empty() && self.pieces.is_empty() {
                self.first = piece;
            } else {
                if self.pieces.is_empty() {
                    self.pieces.extend_from_slice(&self.first);
                }
                self.pieces.extend_from_slice(&piece);
            }
            if self.truncated {
                break;
            }
        }
        Ok(())
    }

    /// The body. With `cut`, a character of UTF-8 that the end interrupts is left out, so that what is text stays text.
    pub(super) fn body(self, cut: bool) -> Bytes {
        let mut body = if self.pieces.is_empty() { self.first } else { self.pieces.freeze() };
        if cut
            && let Err(error) = std::str::from_utf8(&body)
            && error.error_len().is_none()
        {
            body.truncate(error.valid_up_to());
        }
        body
    }
}

/// Reads the rest of a response, if it is not too long. Read to its end, the connection can be used again; else it goes
/// with the response. Answers whether that was the end.
pub(super) async fn drain(response: &mut reqwest::Response) -> bool {
    timeout(DRAIN_TIME, read_rest(response)).await.unwrap_or(false)
}

async fn read_rest(response: &mut reqwest::Response) -> bool {
    let mut dropped = 0;
    while dropped <= DRAIN {
        match response.chunk().await {
            Ok(Some(piece)) => dropped += piece.len(),
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
    false
}
