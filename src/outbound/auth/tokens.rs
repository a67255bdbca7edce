//! The token of one client: kept until shortly before it expires, and fetched once however many attempts want it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use tokio::time::{Instant, timeout_at};

use super::super::starved;
use super::endpoint::{Endpoint, Failure, Issued};
use super::value::with_scheme;
use super::{jwt, oauth2};
use crate::domain::{Clock, Timestamp};
use crate::outbound::call::Call;
use crate::outbound::fault::Fault;
use crate::outbound::received::Received;
use crate::outbound::transport::Transport;

/// A token is no longer used this long before it expires; of a short-lived one the last tenth is not used.
const MARGIN: Duration = Duration::from_secs(30);

/// How a token is asked for.
pub(super) enum Grant {
    OAuth2(oauth2::Grant),
    Jwt(jwt::Grant),
}

/// Where tokens come from, and the one in use.
pub(in crate::outbound) struct Tokens {
    endpoint: Endpoint,
    grant: Grant,
    clock: Arc<dyn Clock>,
    kept: Mutex<Kept>,
    /// Held by whoever fetches.
    flight: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Kept {
    token: Option<Token>,
    /// How many fetches have come to an end.
    flights: u64,
    /// Why the last of them failed.
    failed: Option<Failure>,
}

#[derive(Clone)]
struct Token {
    header: HeaderValue,
    until: Timestamp,
    flight: u64,
}

impl Tokens {
    pub(super) fn new(endpoint: Endpoint, grant: Grant, clock: Arc<dyn Clock>) -> Self {
        Self { endpoint, grant, clock, kept: Mutex::default(), flight: tokio::sync::Mutex::default() }
    }

    /// Sends a request with the token; once more with a new one where the receiver refuses it.
    pub(in crate::outbound) async fn send(&self, transport: &Transport, call: &mut Call<'_>) -> Result<(), Fault> {
        let deadline = transport.bound(call);
        let token = self.token(deadline).await?;
        call.sent = Some((AUTHORIZATION, token.header.clone()));
        transport.step(&transport.http, call).await?;
        if !call.is_refused() {
            return Ok(());
        }
        self.forget(token.flight);
        // It may be that the provider has withdrawn it.
        call.received = Received::default();
        let token = self.token(deadline).await?;
        call.go_again(Some((AUTHORIZATION, token.header)));
        transport.step(&transport.http, call).await
    }

    async fn token(&self, deadline: Instant) -> Result<Token, Fault> {
        loop {
            let seen = {
                let kept = self.kept.lock();
                if let Some(token) = self.good(&kept) {
                    return Ok(token);
                }
                kept.flights
            };
            let fetched = timeout_at(deadline, self.fetch(seen)).await;
            if let Ok(Err(starved @ Failure::Starved(..))) = fetched {
                let fault = Fault::from(starved);
                if timeout_at(deadline, starved::wait(&fault)).await.is_err() {
                    return Err(fault);
                }
                continue;
            }
            return match fetched {
                Ok(fetched) => Ok(fetched?),
                Err(_) => Err(Fault::NoCredentials(format!(
                    "no token from {}: no response within the time of the attempt; check token_url, or raise the timeout",
                    self.endpoint.host()
                ))),
            };
        }
    }

    /// The token of whoever fetches first; all who wait meanwhile share what comes of it, failure too. `seen` fetches
    /// had ended when the wait began.
    async fn fetch(&self, seen: u64) -> Result<Token, Failure> {
        let _flight = self.flight.lock().await;
        {
            let kept = self.kept.lock();
            if let Some(token) = self.good(&kept) {
                return Ok(token);
            }
            if let Some(why) = kept.failed.as_ref().filter(|_| kept.flights != seen) {
                return Err(why.clone());
            }
        }
        let asked = self.clock.now();
        let fetched = match &self.grant {
            Grant::OAuth2(grant) => grant.fetch(&self.endpoint).await,
            Grant::Jwt(grant) => grant.fetch(&self.endpoint, asked).await,
        };
        let mut kept = self.kept.lock();
        kept.flights += 1;
        let fetched = fetched.and_then(|issued| self.usable(&issued, asked, kept.flights));
        kept.failed = fetched.as_ref().err().cloned();
        kept.token = fetched.as_ref().ok().cloned();
        fetched
    }

    fn usable(&self, issued: &Issued, asked: Timestamp, flight: u64) -> Result<Token, Failure> {
        let header = with_scheme("Bearer", &issued.token).map_err(|_| {
            let host = self.endpoint.host();
            Failure::Said(format!(
                "no token from {host}: its access_token has characters that a header cannot contain; ask the provider"
            ))
        })?;
        let used = issued.lifetime.saturating_sub(MARGIN.min(issued.lifetime / 10));
        Ok(Token { header, until: asked.after(used), flight })
    }

    fn good(&self, kept: &Kept) -> Option<Token> {
        kept.token.as_ref().filter(|token| self.clock.now() < token.until).cloned()
    }

    /// The token of that fetch is no good. A later one stays.
    fn forget(&self, flight: u64) {
        let mut kept = self.kept.lock();
        if kept.token.as_ref().is_some_and(|token| token.flight == flight) {
            kept.token = None;
        }
    }
}
