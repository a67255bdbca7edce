//! A client: sends requests within its limits, and makes a [`Reply`] of whatever happens.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{StatusCode, Url};
use tokio::time::{Instant, sleep_until};

use super::auth::Credentials;
use super::fault::Fault;
use super::phase::{Phase, Reporting};
use super::resolve::SystemResolver;
use super::{retry_after, tls};
use crate::config::settings::{Auth, Method, Timeout};
use crate::domain::{Body, Code, Timestamp};

/// What `User-Agent` says.
pub(super) const AGENT: &str = concat!("orderhook/", env!("CARGO_PKG_VERSION"));

/// Bytes that are read and dropped behind those that are kept, so that the connection can be used again. A longer
/// response costs its connection.
const DRAIN: usize = 256 * 1024;

/// Header fields of a response at most; hyper bounds their bytes.
const MAX_HEADERS: usize = 128;

/// How long a connection is kept open without use.
const IDLE: Duration = Duration::from_secs(60);

/// What a client may do.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// How long an exchange may take.
    pub timeout: Timeout,
    /// Bytes of a response's body that are kept.
    pub max_response: usize,
    /// Whether a longer response is refused (code -7) instead of cut off.
    pub refuse_large: bool,
    /// Connections kept open between requests at most.
    pub pool: usize,
    /// How requests prove who sent them.
    pub auth: Auth,
}

/// Why a client cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// A user name of HTTP Basic ends at the first colon.
    #[error("a user name cannot contain a colon")]
    Username,
    /// The name of the header that carries the secret is none.
    #[error("`{0}` is no header name")]
    HeaderName(String),
    /// The secret holds control characters. It is not shown.
    #[error("a secret cannot contain control characters")]
    HeaderValue,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// A request to be sent.
#[derive(Debug, Clone)]
pub struct Request {
    /// The HTTP method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Its headers, but for those that a client adds: `Host`, `Content-Length`, `User-Agent`, `Accept` and its
    /// credentials. A value marked as sensitive is masked in the history.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Body,
    /// The order's bytes, where the body leaves them out.
    pub order: Bytes,
}

/// What came back, or why nothing did.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status, or below zero why there was no usable response.
    pub code: Code,
    /// Whether it is a 401 although credentials were sent.
    pub auth: bool,
    /// The response's headers, as far as there was one.
    pub headers: HeaderMap,
    /// The response's body, up to [`ClientOptions::max_response`].
    pub body: Bytes,
    /// Whether more of the body came than is kept.
    pub truncated: bool,
    /// What went wrong, in a sentence; `None` for any whole response.
    pub error: Option<String>,
    /// The header in which credentials went out last.
    pub(super) credentials: Option<HeaderName>,
}

impl Reply {
    /// How long the receiver asks to be left alone from `now` on, by its `Retry-After`.
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        retry_after::retry_after(&self.headers, now)
    }
}

/// Sends requests for one channel, or one step of a chain, on the runtime that calls it. Connections, credentials and
/// limits are its own. To be kept: a new one has no connection yet.
pub struct Client {
    inner: reqwest::Client,
    timeout: Timeout,
    max_response: usize,
    refuse_large: bool,
    credentials: Credentials,
}

/// What of a response has come so far.
#[derive(Default)]
struct Received {
    status: Option<StatusCode>,
    headers: HeaderMap,
    body: Bytes,
    truncated: bool,
}

impl Client {
    /// A client with these options.
    pub fn new(options: &ClientOptions) -> Result<Self, ClientError> {
        Self::with_tls(options, tls::shared().map_err(ClientError::Tls)?)
    }

    #[allow(clippy::disallowed_methods, reason = "this is the room that may")]
    pub(super) fn with_tls(options: &ClientOptions, tls: rustls::ClientConfig) -> Result<Self, ClientError> {
        let inner = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .user_agent(AGENT)
            .tcp_nodelay(true)
            .dns_resolver(Arc::new(SystemResolver))
            .connector_layer(Reporting)
            .http1_max_headers(MAX_HEADERS)
            .pool_max_idle_per_host(options.pool)
            .pool_idle_timeout(IDLE)
            .build()
            .map_err(|error| ClientError::Tls(error.to_string()))?;
        Ok(Self {
            inner,
            timeout: options.timeout,
            max_response: options.max_response,
            refuse_large: options.refuse_large,
            credentials: Credentials::new(&options.auth)?,
        })
    }

    /// Sends a request and waits for its response. A redirect is a response like any other. Dropping the future
    /// ends the exchange and closes its connection.
    pub async fn send(&self, request: &Request) -> Reply {
        let body = request.body.join(&request.order);
        let mut received = Received::default();
        let phase = Phase::new(Instant::now());
        let mut credentials = self.credentials.at_first();
        let result = {
            // Pinned where it stands: a future of this size is not to be handed around.
            let exchanges = pin!(async {
                let result = self.exchange(request, &body, credentials, &mut received).await;
                if result.is_ok()
                    && received.status == Some(StatusCode::UNAUTHORIZED)
                    && let Some(answer) = self.credentials.in_answer_to(&received.headers)
                {
                    received = Received::default();
                    credentials = Some(answer);
                    return self.exchange(request, &body, credentials, &mut received).await;
                }
                result
            });
            self.in_time(&phase, request, phase.watch(exchanges)).await
        };
        let code = match (&result, received.status) {
            (Err(fault), _) => fault.code(),
            (Ok(()), Some(status)) => Code::status(status.as_u16()),
            (Ok(()), None) => Code::CLOSED,
        };
        Reply {
            code,
            auth: credentials.is_some() && code == Code::status(401),
            headers: received.headers,
            body: received.body,
            truncated: received.truncated,
            error: result.err().map(|fault| fault.to_string()),
            credentials: credentials.map(|(name, _)| name.clone()),
        }
    }

    async fn exchange(
        &self,
        request: &Request,
        body: &Bytes,
        credentials: Option<(&HeaderName, &HeaderValue)>,
        received: &mut Received,
    ) -> Result<(), Fault> {
        let fault = |error: &reqwest::Error| Fault::of(error, &host(&request.url));
        let mut message = reqwest::Request::new(method(request.method), request.url.clone());
        let mut headers = request.headers.clone();
        if let Some((name, value)) = credentials {
            headers.insert(name, value.clone());
        }
        *message.headers_mut() = headers;
        if request.method.has_body() || !body.is_empty() {
            *message.body_mut() = Some(body.clone().into());
        }
        let mut response = self.inner.execute(message).await.map_err(|error| fault(&error))?;
        received.status = Some(response.status());
        received.headers = std::mem::take(response.headers_mut());
        // One piece, as most are, is kept as it came.
        let Some(mut first) = response.chunk().await.map_err(|error| fault(&error))? else { return Ok(()) };
        if first.len() > self.max_response {
            received.truncated = true;
            first.truncate(self.max_response);
        }
        received.body = first;
        let mut more = BytesMut::new();
        let mut dropped = 0;
        while let Some(chunk) = response.chunk().await.map_err(|error| fault(&error))? {
            if self.refuse_large && received.truncated {
                break;
            }
            if more.is_empty() {
                more.extend_from_slice(&received.body);
            }
            let room = self.max_response - more.len();
            more.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
            received.body = more.clone().freeze();
            if chunk.len() > room {
                received.truncated = true;
                dropped += chunk.len() - room;
                if dropped > DRAIN {
                    break; // gone with the response is its connection
                }
            }
        }
        if received.truncated && self.refuse_large {
            return Err(Fault::TooLarge(self.max_response));
        }
        Ok(())
    }

    /// Ends an exchange when its time is up.
    async fn in_time(
        &self,
        phase: &Phase,
        request: &Request,
        exchange: impl Future<Output = Result<(), Fault>>,
    ) -> Result<(), Fault> {
        let started = Instant::now();
        let deadline = || match self.timeout {
            Timeout::Total(total) => started + total,
            Timeout::Phases { connect, transfer } => match (phase.connecting_since(), phase.connected_since()) {
                (Some(since), _) => since + connect,
                (None, Some(since)) => since + transfer,
                (None, None) => started + connect + transfer,
            },
        };
        let mut exchange = pin!(exchange);
        let mut timer = pin!(sleep_until(deadline()));
        loop {
            tokio::select! {
                biased;
                result = &mut exchange => return result,
                () = &mut timer => {
                    let deadline = deadline();
                    if Instant::now() < deadline {
                        timer.as_mut().reset(deadline);
                        continue;
                    }
                    let (connect, transfer) = match self.timeout {
                        Timeout::Total(total) => (total, total),
                        Timeout::Phases { connect, transfer } => (connect, transfer),
                    };
                    return Err(match phase.connecting_since() {
                        Some(_) => Fault::ConnectTimeout(host(&request.url), connect),
                        None => Fault::Timeout(transfer),
                    });
                }
            }
        }
    }
}

fn method(method: Method) -> reqwest::Method {
    match method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    }
}

/// Host and port, without anything else of a URL.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
