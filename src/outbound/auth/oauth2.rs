//! OAuth 2.0 client credentials (RFC 6749, section 4.4): id and secret in the form first; where the provider refuses
//! that, once more with HTTP Basic. What worked is tried first from then on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use secrecy::ExposeSecret;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::endpoint::{Answer, Endpoint, Failure, Issued};
use super::value::secret;
use crate::config::settings::ClientCredentials;

/// Refusals that are not about how the client proves who it is.
const NOT_THE_CLIENT: &[&str] = &["invalid_scope", "unsupported_grant_type", "invalid_target"];

pub(super) struct Grant {
    client: Arc<ClientCredentials>,
    by_header: AtomicBool,
}

impl Grant {
    pub(super) fn new(client: &Arc<ClientCredentials>) -> Self {
        Self { client: Arc::clone(client), by_header: AtomicBool::new(false) }
    }

    pub(super) async fn fetch(&self, endpoint: &Endpoint) -> Result<Issued, Failure> {
        let by_header = self.by_header.load(Ordering::Relaxed);
        let first = match self.ask(endpoint, by_header).await? {
            Answer::Issued(issued) => return Ok(issued),
            Answer::Refused(refusal) => refusal,
        };
        let host = endpoint.host();
        if NOT_THE_CLIENT.contains(&first.error.as_str()) {
            return Err(Failure::Said(format!(
                "no token from {host}: it answers {}; check scope and audience, and what the provider allows this client",
                first.words()
            )));
        }
        match self.ask(endpoint, !by_header).await? {
            Answer::Issued(issued) => {
                self.by_header.store(!by_header, Ordering::Relaxed);
                Ok(issued)
            }
            Answer::Refused(second) => {
                let (form, header) = if by_header { (&second, &first) } else { (&first, &second) };
                Err(Failure::Said(format!(
                    "no token from {host}: it refuses the client, in the form ({}) and by HTTP Basic ({}); check client_id and client_secret",
                    form.words(),
                    header.words()
                )))
            }
        }
    }

    async fn ask(&self, endpoint: &Endpoint, by_header: bool) -> Result<Answer, Failure> {
        let header = if by_header { Some(self.header()?) } else { None };
        endpoint.post(self.form(by_header), header, None).await
    }

    fn form(&self, by_header: bool) -> String {
        let ClientCredentials { client_id, client_secret, scope, audience, .. } = &*self.client;
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        for (name, value) in [("scope", scope), ("audience", audience)] {
            if let Some(value) = value {
                form.append_pair(name, value);
            }
        }
        if !by_header {
            form.append_pair("client_id", client_id);
            form.append_pair("client_secret", client_secret.expose_secret());
        }
        form.finish()
    }

    /// Basic as section 2.3.1 has it: both parts encoded as in a form, so that neither can hold a colon.
    fn header(&self) -> Result<HeaderValue, String> {
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let pair =
            format!("{}:{}", encoded(&self.client.client_id), encoded(self.client.client_secret.expose_secret()));
        secret(&format!("Basic {}", STANDARD.encode(pair))).map_err(|error| error.to_string())
    }
}
