//! A client: sends requests within its limits, and makes a [`Reply`] of whatever happens.

use std::pin::pin;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap};

use super::auth::Credentials;
use super::call::Call;
use super::dialer::Dialer;
use super::exchange::exchange;
use super::phase::Phase;
use super::request::{ClientError, ClientOptions, Reply, Request};
use super::transport::Transport;
use super::{reply, tls};
use crate::domain::{Code, Exchange};

/// Sends requests for one channel, or one step of a chain, on the runtime that calls it. Connections, credentials and
/// limits are its own. To be kept: a new one has no connection yet.
pub struct Client {
    transport: Transport,
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
            transport: Transport::new(options, dialer.client(options.pool)?),
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
            times: None,
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
        let transport = &self.transport;
        let mut call = Call::new(request);
        let limit = call.limit;
        let result = if let Some(tokens) = self.credentials.tokens() {
            // Rarer and larger: not to be made room for in every other attempt.
            Box::pin(tokens.send(transport, &mut call)).await
        } else if let Some(ntlm) = self.credentials.ntlm() {
            Box::pin(ntlm.send(transport, &mut call)).await
        } else {
            // Pinned where it stands: a future of this size is not to be handed around.
            let exchanges = pin!(async {
                call.sent = self.credentials.at_first();
                transport.exchange(&transport.http, &mut call).await?;
                if call.is_refused()
                    && let Some(answer) = self.credentials.in_answer_to(&mut call)
                {
                    call.go_again(Some(answer));
                    return transport.exchange(&transport.http, &mut call).await;
                }
                Ok(())
            });
            let phase = Phase::new(limit.started);
            transport.in_time(limit, &phase, request, phase.watch(exchanges)).await
        };
        reply::of(call, result, &self.credentials).await
    }
}
