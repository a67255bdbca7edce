//! Requests and replies, and the options of a client.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName};
use secrecy::SecretSlice;

use super::retry_after;
use crate::config::settings::{Auth, Egress, Method, Timeout, Tls};
use crate::domain::{Body, Clock, Code, Times, Timestamp};

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
    /// Whether a request goes out once more where a kept connection is closed instead of an answer: many receivers close
    /// theirs after some seconds, which may be just then. For requests that can be told apart by a key (RFC 9110, 9.2.2).
    pub resend: bool,
    /// How requests prove who sent them.
    pub auth: Auth,
    /// Secrets that are shared with the receiver apart from those: masked where it repeats them.
    pub shared: Vec<SecretSlice<u8>>,
    /// What it may reach, and through which proxy.
    pub egress: Arc<Egress>,
    /// Whether the hosts of its URLs come from orders, so that only those may be reached that `egress.allow` covers.
    pub covered: bool,
    /// The time, by which tokens expire.
    pub clock: Arc<dyn Clock>,
    /// How it speaks TLS; none: with the authorities that the system knows.
    pub tls: Option<Arc<Tls>>,
}

/// Why a client cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// A user name of HTTP Basic ends at the first colon.
    #[error("a user name cannot contain a colon")]
    Username,
    /// The name of the header that carries the secret is none.
    #[error("`{0}` is not a valid header name")]
    HeaderName(String),
    /// The secret holds control characters. It is not shown.
    #[error("a secret cannot contain control characters")]
    HeaderValue,
    /// There is something wrong with the proxy.
    #[error("egress.proxy: {0}")]
    Proxy(String),
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
    /// Headers that are new when it is sent a second time, in answer to a challenge.
    pub again: HeaderMap,
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
    /// Whether the failure is that of somebody between us and the receiver, such as a proxy.
    pub elsewhere: bool,
    /// Whether this machine could open no connection for it: nobody else has failed.
    pub starved: bool,
    /// The response's headers, as far as there was one.
    pub headers: HeaderMap,
    /// The response's body, up to [`ClientOptions::max_response`].
    pub body: Bytes,
    /// Whether more of the body came than is kept.
    pub truncated: bool,
    /// Where the time of the last exchange went; `None` where no response began.
    pub times: Option<Times>,
    /// What went wrong, in a sentence; `None` for any whole response.
    pub error: Option<String>,
    /// Whether the request was sent a second time, with [`Request::again`].
    pub(super) again: bool,
    /// The header in which credentials went out last.
    pub(super) credentials: Option<HeaderName>,
}

impl Reply {
    /// How long the receiver asks to be left alone from `now` on, by its `Retry-After`.
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        retry_after::retry_after(&self.headers, now)
    }
}

/// What a proxy's 407 says.
pub(super) const WANTS_CREDENTIALS: &str = "it requires a user name and password (proxy_username)";

/// Host and port, without anything else of a URL.
pub(super) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
