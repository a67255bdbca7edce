//! A connection's bytes under watch: a caller that is slow to ask, or slow to read, is given up.
//!
//! One timer serves a connection for its whole life and is moved on only when it goes off, so that a request that
//! comes and goes in time costs no timer at all.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep};

use super::connection_limits::ConnectionLimits;

/// How long a connection may stay without a request, while there is room for others.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// What the requests of a connection tell its watch.
#[derive(Debug, Default)]
pub(super) struct Requests {
    begun: AtomicUsize,
    ended: AtomicUsize,
    /// The last answer was an error: the caller may still be sending what nobody reads.
    refused: AtomicBool,
}

impl Requests {
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.begun.fetch_add(1, Ordering::AcqRel);
        UnderWay(Arc::clone(self))
    }

    pub(super) fn answered(&self, refused: bool) {
        self.refused.store(refused, Ordering::Release);
    }

    pub(super) fn was_refused(&self) -> bool {
        self.refused.load(Ordering::Acquire)
    }
}

/// A request, until it is answered or given up.
pub(super) struct UnderWay(Arc<Requests>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::AcqRel);
    }
}

/// How HTTP/2 begins.
pub(super) const PREFACE: &[u8; 4] = b"PRI ";

/// The first bytes of a connection, read to tell its protocol. [`Guarded`] returns them again.
#[derive(Debug, Default)]
pub(super) struct First {
    bytes: [u8; PREFACE.len()],
    len: usize,
    /// Bytes that were returned again.
    returned: usize,
}

impl First {
    /// Waits for more of them. Returns how many came, 0 at the end of the stream. Cancel safe.
    pub(super) async fn fill(&mut self, stream: &mut TcpStream) -> io::Result<usize> {
        let read = stream.read(self.bytes.get_mut(self.len..).unwrap_or_default()).await?;
        self.len += read;
        Ok(read)
    }

    /// The bytes so far.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Moves as many of them as fit into `buffer`. Returns whether there were any.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let left = self.bytes.get(self.returned..self.len).unwrap_or_default();
        let given = left.len().min(buffer.remaining());
        buffer.put_slice(left.get(..given).unwrap_or_default());
        self.returned += given;
        given > 0
    }
}

/// The stream of a connection, watched.
pub(super) struct Guarded {
    stream: TcpStream,
    first: First,
    requests: Arc<Requests>,
    places: Arc<Semaphore>,
    limits: ConnectionLimits,
    http2: bool,
    timer: Pin<Box<Sleep>>,
    armed: bool,
    /// Requests seen when the present wait began.
    seen: usize,
    waiting_since: Option<Instant>,
    /// Bytes of the next head have come.
    head_begun: bool,
    head_since: Option<Instant>,
    unread_since: Option<Instant>,
    /// A head did not arrive in time.
    late: bool,
    /// hyper could not read a head, and would have answered with this status.
    unreadable: Option<u16>,
}

impl Guarded {
    pub(super) fn new(
        stream: TcpStream,
        first: First,
        requests: Arc<Requests>,
        places: Arc<Semaphore>,
        limits: ConnectionLimits,
        http2: bool,
    ) -> Self {
        Self {
            stream,
            first,
            requests,
            places,
            limits,
            http2,
            timer: Box::pin(tokio::time::sleep(limits.header_timeout)),
            armed: false,
            seen: 0,
            waiting_since: None,
            head_begun: false,
            head_since: None,
            unread_since: None,
            late: false,
            unreadable: None,
        }
    }

    /// Whether the connection was given up for want of a head.
    pub(super) fn is_late(&self) -> bool {
        self.late
    }

    /// The status of what came but was no request.
    pub(super) fn unreadable(&self) -> Option<u16> {
        self.unreadable
    }

    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }

    fn is_waiting(&mut self) -> bool {
        let begun = self.requests.begun.load(Ordering::Acquire);
        if begun != self.seen {
            self.seen = begun;
            self.waiting_since = None;
            self.head_since = None;
            self.head_begun = false;
        }
        begun == self.requests.ended.load(Ordering::Acquire)
    }

    /// Until when the caller must have sent something, and whether that is about a head.
    fn deadline(&mut self, now: Instant) -> Option<(Instant, bool)> {
        let unread = self.unread_since.map(|since| (since + self.limits.body_timeout, false));
        if !self.is_waiting() {
            return unread;
        }
        let head = self.limits.header_timeout;
        let wait = if self.head_begun && !self.http2 {
            *self.head_since.get_or_insert(now) + head
        } else {
            let first = self.seen == 0;
            let crowded = self.places.available_permits() == 0;
            let idle = if first || crowded { head } else { KEEP_ALIVE.max(head) };
            *self.waiting_since.get_or_insert(now) + idle
        };
        Some(unread.map_or((wait, true), |unread| unread.min((wait, true))))
    }

    /// An error once the time has run out.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let now = Instant::now();
            let Some((deadline, head)) = self.deadline(now) else { return Poll::Pending };
            if now >= deadline {
                self.late |= head;
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            // Looks again after a while even where there is much time: it may have become crowded.
            let look = deadline.min(now + self.limits.header_timeout);
            if !self.armed || self.timer.deadline() > look {
                self.timer.as_mut().reset(look);
                self.armed = true;
            }
            if self.timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.armed = false;
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = if this.first.give(buffer) {
            Poll::Ready(Ok(()))
        } else {
            Pin::new(&mut this.stream).poll_read(context, buffer)
        };
        match read {
            Poll::Ready(read) => {
                if this.is_waiting() {
                    this.head_begun = true;
                }
                Poll::Ready(read)
            }
            Poll::Pending => this.poll_deadline(context).map(Err),
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.http2
            && let Some(status) = bare_refusal(bytes)
        {
            // Kept back: the connection ends now, and its end answers with a whole problem.
            this.unreadable = Some(status);
            return Poll::Ready(Ok(bytes.len()));
        }
        match Pin::new(&mut this.stream).poll_write(context, bytes) {
            Poll::Ready(written) => {
                this.unread_since = None;
                Poll::Ready(written)
            }
            Poll::Pending => {
                this.unread_since.get_or_insert_with(Instant::now);
                this.poll_deadline(context).map(Err)
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

/// The status of an answer that hyper gives by itself to a head that it cannot read: an error without a body.
/// None of ours is without one.
fn bare_refusal(bytes: &[u8]) -> Option<u16> {
    let status = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let empty = b"content-length: 0\r\n";
    if status.first() != Some(&b'4')
        || !bytes.ends_with(b"\r\n\r\n")
        || !bytes.windows(empty.len()).any(|part| part == empty)
    {
        return None;
    }
    std::str::from_utf8(status).ok()?.parse().ok()
}
