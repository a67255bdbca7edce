//! A client: sends requests within its limits, and makes a [`Reply`] of whatever happens.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, PROXY_AUTHORIZATION, TRANSFER_ENCODING,
    UPGRADE,
};
use reqwest::{StatusCode, Url};
use secrecy::SecretSlice;
use tokio::time::{Instant, sleep_until};

use super::auth::Credentials;
use super::call::{Call, Limit};
use super::dialer::{Dialer, Http};
use super::exchange::exchange;
use super::fault::Fault;
use super::phase::{self, Phase};
use super::received::drain;
use super::{retry_after, starved, tls};
use crate::config::settings::{Auth, Egress, Method, Timeout, Tls};
use crate::domain::{Body, Clock, Code, Exchange, Timestamp};

/// Headers that belong to the connection, not to the request.
const FRAMING: [HeaderName; 6] = [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE, HOST, PROXY_AUTHORIZATION];

/// How often a request goes out once more on account of a kept connection that is closed: others may be closed with it.
const RESENDS: usize = 2;

/// What a proxy's 407 says.
pub(super) const WANTS_CREDENTIALS: &str = "it requires a user name and password (proxy_username)";

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

/// Sends requests for one channel, or one step of a chain, on the runtime that calls it. Connections, credentials and
/// limits are its own. To be kept: a new one has no connection yet.
pub struct Client {
    pub(super) http: Http,
    timeout: Timeout,
    max_response: usize,
    refuse_large: bool,
    pub(super) resend: bool,
    credentials: Credentials,
}

impl Client {
    /// A client with these options.
    pub fn new(options: &ClientOptions) -> Result<Self, ClientError> {
        let dialer = match &options.tls {
            None => Dialer::new(&options.egress)?,
            Some(tls) => Dialer::with_tls(&options.egress, tls::own(tls).map_err(ClientError::Tls)?),
        };
        Self::over(options, &dialer)
    }

    /// A client whose connections are made like that.
    pub(super) fn over(options: &ClientOptions, dialer: &Dialer) -> Result<Self, ClientError> {
        let dialer = &dialer.covering(options.covered);
        Ok(Self {
            http: dialer.client(options.pool)?,
            timeout: options.timeout,
            max_response: options.max_response,
            refuse_large: options.refuse_large,
            resend: options.resend,
            credentials: Credentials::new(options, dialer)?,
        })
    }

    /// What would go out first, as the history would keep it.
    pub fn preview(&self, request: &Request) -> Exchange {
        let reply = Reply {
            starved: false,
            code: Code::CLOSED,
            auth: false,
            truncated: false,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            again: false,
            elsewhere: false,
            error: None,
            // A token that is yet to be fetched goes out in the first request, too.
            credentials: self
                .credentials
                .at_first()
                .map(|(name, _)| name)
                .or_else(|| self.credentials.tokens().map(|_| AUTHORIZATION)),
        };
        exchange(request, &reply)
    }

    /// A text that is not sent, as the history keeps it: `kept` bytes at most, this client's secrets masked.
    pub fn shown(&self, mut text: String, kept: usize) -> Bytes {
        let cut = text.len() > kept;
        let end = (0..=kept.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
        let mut bytes = Bytes::from(text);
        self.credentials.secrets().hide(&mut bytes, cut);
        bytes
    }

    /// Sends a request and waits for its response. A redirect is a response like any other. Dropping the future
    /// ends the exchange and closes its connection.
    pub async fn send(&self, request: &Request) -> Reply {
        let mut call = Call::new(request);
        let limit = call.limit;
        let result = if let Some(tokens) = self.credentials.tokens() {
            // Rarer and larger: not to be made room for in every other attempt.
            Box::pin(tokens.send(self, &mut call)).await
        } else if let Some(ntlm) = self.credentials.ntlm() {
            Box::pin(ntlm.send(self, &mut call)).await
        } else {
            // Pinned where it stands: a future of this size is not to be handed around.
            let exchanges = pin!(async {
                call.sent = self.credentials.at_first();
                self.exchange(&self.http, &mut call).await?;
                if call.is_refused()
                    && let Some(answer) = self.credentials.in_answer_to(&mut call)
                {
                    call.go_again(Some(answer));
                    return self.exchange(&self.http, &mut call).await;
                }
                Ok(())
            });
            let phase = Phase::new(limit.started);
            self.in_time(limit, &phase, request, phase.watch(exchanges)).await
        };
        call.end(result, &self.credentials).await
    }

    /// One exchange of several, in its time and within that of the call.
    pub(super) async fn step(&self, http: &Http, call: &mut Call<'_>) -> Result<(), Fault> {
        let now = Instant::now();
        let limit = Limit { started: now, until: Some(self.bound(call)) };
        let (phase, request) = (Phase::new(now), call.request);
        let exchange = pin!(self.exchange(http, call));
        self.in_time(limit, &phase, request, phase.watch(exchange)).await
    }

    /// When a call has to be at its end, whatever it still does.
    pub(super) fn bound(&self, call: &Call<'_>) -> Instant {
        let longest = match self.timeout {
            Timeout::Total(total) => total,
            Timeout::Phases { connect, transfer } => connect + transfer,
        };
        call.limit.started + longest
    }

    /// One request and its response, on whatever connection brings one.
    async fn exchange(&self, http: &Http, call: &mut Call<'_>) -> Result<(), Fault> {
        // A client that connects once has no other connection to send it on.
        let mut left = if self.resend && http.connects_again() { RESENDS } else { 0 };
        loop {
            phase::begin();
            let result = self.exchange_once(http, call).await;
            // Waits for the end of its time, if need be.
            if let Err(Fault::Starved(_, what)) = &result
                && http.connects_again()
            {
                phase::starve(what);
                if let Err(fault) = &result {
                    starved::wait(fault).await;
                }
                continue;
            }
            if left == 0 || !call.hung_up || !phase::is_kept() {
                return result;
            }
            left -= 1;
            tracing::debug!("a kept-alive connection closed during a request, sending it again");
        }
    }

    async fn exchange_once(&self, http: &Http, call: &mut Call<'_>) -> Result<(), Fault> {
        let Call { request, body, received, hung_up, .. } = call;
        *hung_up = false;
        let fault = |error: &reqwest::Error| {
            if !error.is_connect() {
                http.give_up(&request.url);
            }
            Fault::of(error, &host(&request.url), http.proxy().map(AsRef::as_ref))
        };
        if !matches!(request.url.scheme(), "http" | "https") || !request.url.username().is_empty() {
            return Err(Fault::NotSent("its URL is not an HTTP URL, or contains a user name".to_owned()));
        }
        let mut message = reqwest::Request::new(method(request.method), request.url.clone());
        let mut headers = request.headers.clone();
        if call.again {
            headers.extend(request.again.clone());
        }
        if let Some((name, value)) = &call.sent {
            headers.insert(name, value.clone());
        }
        // The framing is ours, whatever a template says.
        for name in FRAMING {
            headers.remove(name);
        }
        if request.method.has_body() || !body.is_empty() {
            headers.insert(CONTENT_LENGTH, body.len().into());
            *message.body_mut() = Some(body.clone().into());
        }
        *message.headers_mut() = headers;
        let mut response = http.execute(message).await.map_err(|error| {
            *hung_up = Fault::is_hang_up(&error);
            fault(&error)
        })?;
        if let Some(proxy) = http.proxy()
            && response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED
        {
            return Err(Fault::Proxy(proxy.to_string(), WANTS_CREDENTIALS.to_owned()));
        }
        received.status = Some(response.status());
        received.headers = std::mem::take(response.headers_mut());
        let read = received.read(&mut response, self.max_response).await;
        read.map_err(|error| fault(&error))?;
        if !received.truncated {
            return Ok(());
        }
        if self.refuse_large {
            http.give_up(&request.url);
            return Err(Fault::TooLarge(self.max_response));
        }
        if !drain(&mut response).await {
            http.give_up(&request.url);
        }
        Ok(())
    }

    /// Ends an exchange when its time is up.
    async fn in_time(
        &self,
        limit: Limit,
        phase: &Phase,
        request: &Request,
        exchange: impl Future<Output = Result<(), Fault>>,
    ) -> Result<(), Fault> {
        let deadline = || {
            let deadline = match self.timeout {
                Timeout::Total(total) => limit.started + total,
                Timeout::Phases { connect, transfer } => match (phase.connecting_since(), phase.connected_since()) {
                    (Some(since), _) => since + connect,
                    (None, Some(since)) => since + transfer,
                    (None, None) => limit.started + connect + transfer,
                },
            };
            limit.until.map_or(deadline, |until| until.min(deadline))
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
                    self.http.give_up(&request.url);
                    let (connect, transfer) = match self.timeout {
                        Timeout::Total(total) => (total, total),
                        Timeout::Phases { connect, transfer } => (connect, transfer),
                    };
                    if let Some(what) = phase.starved_of() {
                        return Err(Fault::Starved(host(&request.url), what));
                    }
                    return Err(match phase.connecting_since() {
                        Some(_) => Fault::ConnectTimeout(host(&request.url), self.http.proxy().cloned(), connect),
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
pub(super) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
