//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::connection_limits::ConnectionLimits;
use super::guard::{First, Guarded, PREFACE, Requests};
use super::problem::{Kind, Problem};

/// The largest head of a request, in bytes. Of headers, 100 at most are read.
const MAX_HEAD: usize = 32 * 1024;

/// Requests of one HTTP/2 connection at once.
const MAX_STREAMS: u32 = 128;

/// How often an HTTP/2 caller must show that it is there, and how long it may take.
const PING: Duration = Duration::from_secs(20);

/// How long a caller that was refused may go on sending before the connection is cut: cut at once, it might lose the
/// answer.
const LINGER: Duration = Duration::from_secs(2);

/// A connection to be served.
pub(super) struct Connection {
    pub(super) router: Router,
    pub(super) limits: ConnectionLimits,
    pub(super) places: Arc<Semaphore>,
    pub(super) stop: CancellationToken,
}

/// How a connection begins.
enum Beginning {
    Http1,
    Http2,
    /// Something came, but not enough to tell.
    Late,
    Nothing,
}

impl Connection {
    /// Serves it until it is closed.
    pub(super) async fn run(self, stream: TcpStream) {
        // Answers are written in one piece; there is nothing to wait for.
        let _ = stream.set_nodelay(true);
        let mut stream = stream;
        let mut first = First::default();
        let beginning = tokio::select! {
            () = self.stop.cancelled() => return,
            beginning = beginning(&mut stream, &mut first, self.limits.header_timeout) => beginning,
        };
        match beginning {
            Beginning::Http1 => self.http1(stream, first).await,
            Beginning::Http2 => self.http2(stream, first).await,
            Beginning::Late => refuse(stream, &late(self.limits.header_timeout)).await,
            Beginning::Nothing => {}
        }
    }

    fn watched(&self, stream: TcpStream, first: First, http2: bool) -> (TokioIo<Guarded>, Calls) {
        let requests = Arc::new(Requests::default());
        let guarded = Guarded::new(stream, first, Arc::clone(&requests), Arc::clone(&self.places), self.limits, http2);
        (TokioIo::new(guarded), Calls { router: self.router.clone(), requests })
    }

    async fn http1(self, stream: TcpStream, first: First) {
        let (io, calls) = self.watched(stream, first, false);
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // The guard keeps this time, without a timer for every request.
            .header_read_timeout(None)
            // A caller that has closed its side still gets its answer, and its order is not given up.
            .half_close(true)
            .writev(false)
            .max_header_size(MAX_HEAD)
            .max_buf_size(MAX_HEAD * 4)
            .serve_connection(io, calls);
        let mut told = false;
        let ended = loop {
            tokio::select! {
                biased;
                ended = poll_fn(|context| connection.poll_without_shutdown(context)) => break ended,
                () = self.stop.cancelled(), if !told => {
                    told = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
        };
        if let Err(error) = &ended {
            tracing::debug!(%error, "a connection ended early");
        }
        let parts = connection.into_parts();
        let (guarded, begun) = (parts.io.into_inner(), !parts.read_buf.is_empty());
        let refusal = match guarded.unreadable() {
            Some(status) => Some(unreadable(status)),
            None if guarded.is_late() && begun => Some(late(self.limits.header_timeout)),
            None => None,
        };
        let stream = guarded.into_stream();
        match refusal {
            Some(problem) => refuse(stream, &problem).await,
            None if parts.service.requests.was_refused() => linger(stream).await,
            None => {}
        }
    }

    async fn http2(self, stream: TcpStream, first: First) {
        let (io, calls) = self.watched(stream, first, true);
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_header_list_size(MAX_HEAD as u32)
            .max_concurrent_streams(MAX_STREAMS)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .serve_connection(io, calls);
        tokio::pin!(connection);
        let mut told = false;
        let ended = loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => break ended,
                () = self.stop.cancelled(), if !told => {
                    told = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// Reads the bytes that tell HTTP/1.1 from HTTP/2 into `first`. Returns as soon as they do, or the caller's side ends.
async fn beginning(stream: &mut TcpStream, first: &mut First, within: Duration) -> Beginning {
    let look = async {
        loop {
            match first.fill(stream).await {
                Ok(0) | Err(_) => return Beginning::Nothing,
                Ok(_) => {}
            }
            let bytes = first.bytes();
            if bytes == PREFACE {
                return Beginning::Http2;
            } else if !PREFACE.starts_with(bytes) {
                return Beginning::Http1;
            }
        }
    };
    match tokio::time::timeout(within, look).await {
        Ok(beginning) => beginning,
        Err(_) if first.bytes().is_empty() => Beginning::Nothing,
        Err(_) => Beginning::Late,
    }
}

fn late(within: Duration) -> Problem {
    let within = humantime::format_duration(within);
    Problem::new(
        Kind::RequestTimeout,
        format!("the head of the request was not complete within {within} (server.header_timeout)"),
    )
}

fn unreadable(status: u16) -> Problem {
    match status {
        431 => Problem::new(
            Kind::HeadersTooLarge,
            "a request can have at most 100 headers, and 32 KiB of headers and path",
        ),
        _ => Problem::new(Kind::MalformedRequest, "the request is not valid HTTP/1.1"),
    }
}

/// Answers where there is no request to answer to, and closes.
async fn refuse(mut stream: TcpStream, problem: &Problem) {
    let (status, body) = (problem.kind().status(), problem.to_json());
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
    let mut answer = format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(&body);
    if let Ok(Ok(())) = tokio::time::timeout(LINGER, stream.write_all(&answer)).await {
        linger(stream).await;
    }
}

/// Closes our side, and reads away what is still coming for a while: bytes nobody reads would make the close a reset,
/// which can overtake the answer.
async fn linger(mut stream: TcpStream) {
    let drain = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut away = [0; 8192];
        while let Ok(1..) = stream.read(&mut away).await {}
    };
    let _ = tokio::time::timeout(LINGER, drain).await;
}

/// The router as hyper calls it. A call that panics is answered like any other failure.
struct Calls {
    router: Router,
    requests: Arc<Requests>,
}

impl hyper::service::Service<Request<Incoming>> for Calls {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let under_way = self.requests.begin();
        let requests = Arc::clone(&self.requests);
        let mut router = self.router.clone();
        Box::pin(async move {
            let answer = AssertUnwindSafe(async { router.call(request).await });
            let response = match answer.catch_unwind().await {
                Ok(Ok(response)) => response,
                Ok(Err(never)) => match never {},
                Err(_) => {
                    tracing::error!("a call panicked");
                    Problem::internal().into_response()
                }
            };
            requests.answered(response.status().as_u16() >= 400);
            drop(under_way);
            Ok(response)
        })
    }
}
