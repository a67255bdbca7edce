//! One HTTP exchange: a request on a connection and its response, within its limits.

use std::future::Future;
use std::pin::pin;

use reqwest::StatusCode;
use reqwest::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, PROXY_AUTHORIZATION, TRANSFER_ENCODING, UPGRADE};
use tokio::time::{Instant, sleep_until};

use super::call::{Call, Limit};
use super::dialer::Http;
use super::fault::Fault;
use super::phase::{self, Phase};
use super::received::drain;
use super::request::{ClientOptions, Request, WANTS_CREDENTIALS, host};
use super::starved;
use crate::config::settings::{Method, Timeout};
use crate::domain::Times;

/// Headers that belong to the connection, not to the request.
const FRAMING: [HeaderName; 6] = [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE, HOST, PROXY_AUTHORIZATION];

/// How often a request goes out once more on account of a kept connection that is closed: others may be closed with it.
const RESENDS: usize = 2;

/// Exchanges requests and responses within the limits of one client.
pub(super) struct Transport {
    pub(super) http: Http,
    timeout: Timeout,
    max_response: usize,
    refuse_large: bool,
    pub(super) resend: bool,
}

impl Transport {
    /// A transport over `http` with the limits of `options`.
    pub(super) fn new(options: &ClientOptions, http: Http) -> Self {
        Self {
            http,
            timeout: options.timeout,
            max_response: options.max_response,
            refuse_large: options.refuse_large,
            resend: options.resend,
        }
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
    pub(super) async fn exchange(&self, http: &Http, call: &mut Call<'_>) -> Result<(), Fault> {
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
        let begun = Instant::now();
        let mut response = http.execute(message).await.map_err(|error| {
            *hung_up = Fault::is_hang_up(&error);
            fault(&error)
        })?;
        if let Some(proxy) = http.proxy()
            && response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED
        {
            return Err(Fault::Proxy(proxy.to_string(), WANTS_CREDENTIALS.to_owned()));
        }
        let (head, connected) = (Instant::now(), phase::connected_at());
        let millis = |from: Instant, to: Instant| u64::try_from((to - from).as_millis()).unwrap_or(u64::MAX);
        received.times = Some(Times {
            connect_ms: connected.map(|at| millis(begun, at)),
            first_byte_ms: millis(connected.unwrap_or(begun), head),
            body_ms: 0,
        });
        received.status = Some(response.status());
        received.headers = std::mem::take(response.headers_mut());
        let read = received.read(&mut response, self.max_response).await;
        if let Some(times) = &mut received.times {
            times.body_ms = millis(head, Instant::now());
        }
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
    pub(super) async fn in_time(
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
