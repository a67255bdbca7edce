//! A request on its way to a reply: what was sent last, what has come, and since when.

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{HeaderName, HeaderValue};
use tokio::time::Instant;

use super::auth::Credentials;
use super::client::{Reply, Request};
use super::fault::Fault;
use super::mask::mask;
use super::received::Received;
use crate::domain::Code;

/// A request with all the exchanges that it takes.
pub(super) struct Call<'a> {
    pub(super) request: &'a Request,
    pub(super) body: Bytes,
    /// Its time.
    pub(super) limit: Limit,
    /// What has come of the last exchange.
    pub(super) received: Received,
    /// The header in which credentials went out last.
    pub(super) sent: Option<(HeaderName, HeaderValue)>,
    /// Whether this is not the first exchange.
    pub(super) again: bool,
    /// Whether the connection of the last exchange was closed where a response should have begun.
    pub(super) hung_up: bool,
    /// Why a refusal could not be answered, in a sentence.
    pub(super) note: Option<String>,
}

/// The time of a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) started: Instant,
    /// When it has to be at its end, whatever phase it is in.
    pub(super) until: Option<Instant>,
}

impl<'a> Call<'a> {
    pub(super) fn new(request: &'a Request) -> Self {
        Self {
            request,
            body: request.body.join(&request.order),
            limit: Limit { started: Instant::now(), until: None },
            received: Received::default(),
            sent: None,
            again: false,
            hung_up: false,
            note: None,
        }
    }

    /// Whether the receiver wants credentials, or others.
    pub(super) fn is_refused(&self) -> bool {
        self.received.status == Some(StatusCode::UNAUTHORIZED)
    }

    /// Begins another exchange, with these credentials.
    pub(super) fn go_again(&mut self, credentials: Option<(HeaderName, HeaderValue)>) {
        self.received = Received::default();
        self.sent = credentials;
        self.again = true;
    }

    /// What became of it. A receiver that repeats the secrets it was sent is not quoted with them.
    pub(super) async fn end(mut self, result: Result<(), Fault>, credentials: &Credentials) -> Reply {
        let code = match (&result, self.received.status) {
            (Err(fault), _) => fault.code(),
            (Ok(()), Some(status)) => Code::status(status.as_u16()),
            (Ok(()), None) => Code::CLOSED,
        };
        // What was cut off by us, and what an error has cut off.
        let cut = self.received.truncated || result.is_err();
        let mut reply = Reply {
            code,
            elsewhere: result.as_ref().is_err_and(Fault::is_elsewhere),
            starved: result.as_ref().is_err_and(Fault::is_starved),
            auth: self.sent.is_some() && code == Code::status(401),
            truncated: self.received.truncated,
            headers: std::mem::take(&mut self.received.headers),
            body: self.received.body(cut),
            again: self.again,
            error: result.err().map(|fault| fault.to_string()).or(self.note),
            credentials: None,
        };
        mask(&mut reply, self.sent.as_ref().map(|(_, value)| value), self.request, credentials, cut).await;
        reply.credentials = self.sent.map(|(name, _)| name);
        reply
    }
}
