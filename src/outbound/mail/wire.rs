//! A connection to the mail server: by name, within the time to connect, under TLS from the first byte where the URL
//! says so, and never reading more than a dialog is worth.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

use super::super::egress::{Guard, Unreachable};
use super::super::starved::lacking;
use super::fault::MailFault;
use super::tls::Tls;
use super::turns::Turns;
use crate::config::settings::{MailSecurity, Smtp};

/// What a server may say in one dialog, in bytes. A line without end stops here.
const MAX_SAID: usize = 256 * 1024;

/// A connection.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    left: usize,
    /// The replies so far, where TLS is to follow them.
    clear: Option<Turns>,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connects, to one of the server's addresses after another.
pub(super) async fn connect(
    smtp: &Smtp,
    guard: &Guard,
    tls: Option<&Tls>,
    deadline: Instant,
) -> Result<Wire, MailFault> {
    let tcp = to_any(smtp, guard, deadline).await?;
    let stream = match tls.filter(|_| smtp.security == MailSecurity::Tls) {
        None => Stream::Plain(tcp),
        Some(tls) => {
            let failed = |error: String| MailFault::Tls(smtp.host_and_port(), error);
            let name = tls.server_name().map_err(failed)?;
            let stream = tls.connector().connect(name, tcp).await.map_err(|error| failed(error.to_string()))?;
            Stream::Tls(Box::new(stream))
        }
    };
    let clear = (smtp.security == MailSecurity::StartTls).then(Turns::default);
    Ok(Wire { stream, left: MAX_SAID, clear })
}

async fn to_any(smtp: &Smtp, guard: &Guard, deadline: Instant) -> Result<TcpStream, MailFault> {
    let dns = |error: &dyn std::fmt::Display| MailFault::Dns(smtp.host.clone(), error.to_string());
    let starved = |error: &io::Error| lacking(error).map(|what| MailFault::Starved(smtp.host_and_port(), what));
    let bare = smtp.host.trim_start_matches('[').trim_end_matches(']');
    let addresses = guard.resolve(bare).await.map_err(|error| match error {
        Unreachable::Forbidden(forbidden) => MailFault::Egress(forbidden),
        Unreachable::NoAddress(none) => starved(&none.cause).unwrap_or_else(|| dns(&none.cause)),
    })?;
    let mut last = None;
    for (at, address) in addresses.iter().enumerate() {
        // One that does not answer leaves the others their share of the time.
        let now = Instant::now();
        let share = deadline.saturating_duration_since(now) / u32::try_from(addresses.len() - at).unwrap_or(1);
        match timeout_at(now + share, TcpStream::connect((*address, smtp.port))).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = Some(error),
            Err(_) => {}
        }
    }
    match last {
        _ if addresses.is_empty() => Err(dns(&"the list is empty")),
        Some(error) => {
            Err(starved(&error).unwrap_or_else(|| MailFault::NoConnection(smtp.host_and_port(), error.to_string())))
        }
        // None answered: the caller's own limit, which is over now, says so.
        None => std::future::pending().await,
    }
}

impl AsyncTokioStream for Wire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.stream {
            Stream::Plain(stream) => stream.peer_addr(),
            Stream::Tls(stream) => stream.get_ref().0.peer_addr(),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(Err(io::Error::other("the server's reply is too long")));
        }
        let before = buf.filled().len();
        match &mut this.stream {
            Stream::Plain(stream) => ready!(Pin::new(stream).poll_read(context, buf))?,
            Stream::Tls(stream) => ready!(Pin::new(stream).poll_read(context, buf))?,
        }
        let read = buf.filled().get(before..).unwrap_or_default();
        this.left = this.left.saturating_sub(read.len());
        if let Some(turns) = &mut this.clear {
            turns.received(read).map_err(io::Error::other)?;
            if turns.are_over() {
                this.clear = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(turns) = &mut this.clear {
            turns.sent(bytes);
        }
        match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
