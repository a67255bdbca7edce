//! A request on its way to a reply: what was sent last, what has come, and since when.

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{HeaderName, HeaderValue};
use tokio::time::Instant;

use super::received::Received;
use super::request::Request;

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
}
