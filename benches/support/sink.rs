//! The receiver: a server on a thread of its own that answers every request with the same 200, or never.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;

use super::tally::Tally;
use super::{Result, http};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";

const TOKEN: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 75\r\n\r\n\
    {\"access_token\":\"0123456789abcdef\",\"token_type\":\"Bearer\",\"expires_in\":3600}";

/// How a sink treats a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Temper {
    /// 200 at once.
    Answers,
    /// Reads it, and never answers.
    Hangs,
    /// Gives out a token, as a provider of OAuth 2.0 does.
    GivesTokens,
}

/// A running sink; it ends with this value.
#[derive(Debug)]
pub struct Sink {
    /// Where it listens.
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sink {
    /// Starts one on a free port of the loopback interface.
    ///
    /// # Errors
    /// No port or no thread to be had.
    pub fn start(temper: Temper, tally: Arc<Tally>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(async {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
            socket.listen(4096)
        })?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("sink".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, temper, tally) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

async fn accept(listener: TcpListener, temper: Temper, tally: Arc<Tally>) {
    while let Ok((stream, _)) = listener.accept().await {
        let tally = Arc::clone(&tally);
        tokio::spawn(async move {
            // A client that goes away in the middle of a request is no event here: the tally shows what is missing.
            let _gone = serve(stream, temper, &tally).await;
        });
    }
}

async fn serve(mut stream: TcpStream, temper: Temper, tally: &Tally) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BytesMut::with_capacity(16 * 1024);
    let mut output = Vec::new();
    loop {
        while let Some(message) = http::message(&input, true)? {
            tally.delivered(&input[message.head..message.total]);
            input.advance(message.total);
            match temper {
                Temper::Answers => output.extend_from_slice(ANSWER),
                Temper::GivesTokens => output.extend_from_slice(TOKEN),
                Temper::Hangs => {}
            }
        }
        if !output.is_empty() {
            stream.write_all(&output).await?;
        }
        output.clear();
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    }
}
