//! What is done on a connection, step by step: the words that misbehaviour is written in.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// One step. Behind the last one the connection is closed.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// These bytes.
    Send(Vec<u8>),
    /// These bytes, one at a time with that pause between two.
    Drip(Vec<u8>, Duration),
    /// These bytes again and again, while the other side takes them. What it sends is read and thrown away.
    Endless(Vec<u8>),
    /// The same at the pace of a line of 64 Mbit/s.
    Paced(Vec<u8>),
    /// This text again and again, with another number for `#` each time.
    Numbered(String),
    /// Waits for bytes of the other side.
    Read,
    /// Nothing, until the other side has gone.
    Hang,
    /// The connection is reset instead of closed.
    Reset,
    /// Instead of its end, the next request is waited for.
    Keep,
    /// Under TLS: the connection is closed without the word of TLS that it ends.
    Cut,
}

impl Act {
    pub(crate) fn send(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Send(bytes.into())
    }
}

/// A connection, under TLS or not.
pub(super) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {
    /// Makes its end a reset.
    fn reset(&self) -> io::Result<()>;
}

impl Connection for TcpStream {
    fn reset(&self) -> io::Result<()> {
        self.set_zero_linger()
    }
}

impl Connection for TlsStream<TcpStream> {
    fn reset(&self) -> io::Result<()> {
        self.get_ref().0.set_zero_linger()
    }
}

/// Any of them.
pub(super) type Stream = Box<dyn Connection>;

/// Does all of `acts`, and counts the bytes that the socket took. Answers whether the connection goes on.
pub(super) async fn perform(acts: Vec<Act>, stream: &mut Stream, sent: &AtomicU64) -> io::Result<bool> {
    for act in acts {
        match act {
            Act::Keep => return Ok(true),
            Act::Cut => return Ok(false),
            Act::Send(bytes) => write(stream, &bytes, sent).await?,
            Act::Drip(bytes, pause) => {
                for byte in bytes {
                    write(stream, &[byte], sent).await?;
                    tokio::time::sleep(pause).await;
                }
            }
            Act::Endless(bytes) => {
                // Many at once, so that a small piece is a flood, too.
                let many = bytes.repeat((0x1_0000 / bytes.len()).max(1));
                flood(stream, |_| many.clone(), Duration::ZERO, sent).await?;
            }
            Act::Paced(bytes) => {
                let many = bytes.repeat((8000 / bytes.len()).max(1));
                flood(stream, |_| many.clone(), Duration::from_millis(1), sent).await?;
            }
            Act::Numbered(text) => {
                let piece = |from: u64| (from..from + 100).map(|number| text.replace('#', &number.to_string()));
                let piece = |round| piece(round * 100).collect::<String>().into_bytes();
                flood(stream, piece, Duration::ZERO, sent).await?;
            }
            Act::Read => _ = stream.read(&mut [0; 4096]).await?,
            Act::Hang => gone(stream).await,
            Act::Reset => {
                // A moment to read, so that the reset does not overtake what was sent.
                tokio::time::sleep(Duration::from_millis(20)).await;
                stream.reset()?;
                return Ok(false);
            }
        }
    }
    stream.shutdown().await?;
    Ok(false)
}

async fn flood(
    stream: &mut Stream,
    piece: impl Fn(u64) -> Vec<u8>,
    pause: Duration,
    sent: &AtomicU64,
) -> io::Result<()> {
    let (mut reading, mut writing) = tokio::io::split(stream);
    let write = async {
        for round in 0.. {
            let piece = piece(round);
            writing.write_all(&piece).await?;
            writing.flush().await?;
            sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            if pause.is_zero() {
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(pause).await;
            }
        }
        Ok(())
    };
    let read = async {
        let mut bytes = vec![0; 0x1_0000];
        while reading.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
    };
    tokio::select! {
        result = write => result,
        () = read => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

pub(super) async fn write(stream: &mut Stream, bytes: &[u8], sent: &AtomicU64) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await?;
    sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    Ok(())
}

/// Waits until the other side has gone. What it still sends is thrown away.
pub(super) async fn gone(stream: &mut Stream) {
    let mut bytes = [0; 4096];
    while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
}
