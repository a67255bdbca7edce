//! How a request proves who sent it: a file for each way.
//!
//! `fixed.rs` sends the same header with every request; `basic.rs` answers a challenge, which `challenge.rs` reads;
//! `ntlm` vouches for
//! connections; `oauth2.rs` and `jwt.rs` ask an `endpoint.rs` for tokens, which `tokens.rs` keeps.
//!
//! To add a way: a variant of `Auth` in the settings, a file here, a variant of [`Credentials`], and what it does in
//! `Client::send`. Whatever it sends is masked in the history; a secret of its own belongs into
//! [`Credentials::secrets`] too, so that it is masked where a receiver repeats it.

mod basic;
mod challenge;
mod endpoint;
mod fixed;
pub(super) mod fuzzed;
mod jwt;
pub(super) mod ntlm;
mod oauth2;
mod tokens;
mod value;

use std::sync::Arc;

use parking_lot::Mutex;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::call::Call;
use super::dialer::Dialer;
use super::egress;
use super::mask::Secrets;
use super::request::{ClientError, ClientOptions};
use crate::config::settings::Auth;
use endpoint::Endpoint;
use ntlm::{Identity, Ntlm};
use tokens::{Grant, Tokens};

/// What one client proves its identity with.
pub(super) struct Credentials {
    way: Way,
    secrets: Arc<Secrets>,
    /// Those of the last request beside them: they seldom change, and what finds them is not made in no time.
    recent: Mutex<Arc<Secrets>>,
}

/// When credentials go out.
enum Way {
    Never,
    /// With every request.
    Always(HeaderName, HeaderValue),
    /// Only in answer to a Basic challenge.
    Challenged(HeaderValue),
    /// A token that a provider gives out.
    Token(Box<Tokens>),
    /// Over connections of its own.
    Ntlm(Box<Ntlm>),
}

impl Credentials {
    /// What `options` ask for; `dialer` connects to the receiver.
    pub(super) fn new(options: &ClientOptions, dialer: &Dialer) -> Result<Self, ClientError> {
        let proxy = egress::secrets(&options.egress);
        let with_proxy = |own: &[&SecretString]| {
            let mut secrets = Secrets::new(own.iter().map(|secret| secret.expose_secret()));
            secrets.extend(&proxy);
            options.shared.iter().for_each(|secret| secrets.add(secret.expose_secret()));
            secrets
        };
        let (way, secrets) = match &options.auth {
            Auth::None => (Way::Never, with_proxy(&[])),
            Auth::Basic { username, password, preemptive } => {
                let value = basic::header(username, password)?;
                let way = if *preemptive { always(fixed::authorization(value)) } else { Way::Challenged(value) };
                (way, with_proxy(&[password]))
            }
            Auth::Bearer { token } => (always(fixed::bearer(token)?), with_proxy(&[token])),
            Auth::Header { name, value } => (always(fixed::header(name, value)?), with_proxy(&[value])),
            Auth::Ntlm { username, password, domain } => {
                let (username, domain) = (username.clone(), domain.clone());
                let identity = Identity { username, password: password.clone(), domain };
                let ntlm = Ntlm::new(dialer, identity, Arc::clone(&options.clock), options.pool);
                (Way::Ntlm(Box::new(ntlm)), with_proxy(&[password]))
            }
            Auth::OAuth2(client) => {
                let secret = &client.client_secret;
                let endpoint = Endpoint::new(&client.token_url, dialer, with_proxy(&[secret]))?;
                let grant = Grant::OAuth2(oauth2::Grant::new(client));
                (tokens(endpoint, grant, options), with_proxy(&[secret]))
            }
            Auth::JwtBearer(jwt) => {
                let shared = jwt.key.secret();
                let endpoint = Endpoint::new(&jwt.token_url, dialer, with_proxy(shared.as_slice()))?;
                (tokens(endpoint, Grant::Jwt(jwt::Grant::new(jwt)), options), with_proxy(shared.as_slice()))
            }
        };
        Ok(Self { way, secrets: Arc::new(secrets), recent: Mutex::default() })
    }

    /// What to look for in a response, so that it is not kept: whatever has gone out apart from the header itself, be it
    /// to the proxy.
    pub(super) fn secrets(&self) -> &Arc<Secrets> {
        &self.secrets
    }

    /// The secrets of one request, those of the request before if they are the same.
    pub(super) fn remembered(&self, secrets: Secrets) -> Arc<Secrets> {
        let mut recent = self.recent.lock();
        if !recent.same(&secrets) {
            *recent = Arc::new(secrets);
        }
        Arc::clone(&recent)
    }

    /// The tokens that requests are sent with, if they are.
    pub(super) fn tokens(&self) -> Option<&Tokens> {
        match &self.way {
            Way::Token(tokens) => Some(tokens),
            _ => None,
        }
    }

    /// The connections that requests are sent on, where they are vouched for.
    pub(super) fn ntlm(&self) -> Option<&Ntlm> {
        match &self.way {
            Way::Ntlm(ntlm) => Some(ntlm),
            _ => None,
        }
    }

    /// The header of the first request.
    pub(super) fn at_first(&self) -> Option<(HeaderName, HeaderValue)> {
        match &self.way {
            Way::Always(name, value) => Some((name.clone(), value.clone())),
            Way::Never | Way::Challenged(_) | Way::Token(_) | Way::Ntlm(_) => None,
        }
    }

    /// The header that answers a 401, where there is one to give.
    pub(super) fn in_answer_to(&self, call: &mut Call<'_>) -> Option<(HeaderName, HeaderValue)> {
        match &self.way {
            Way::Challenged(value) => basic::answer(value, call),
            Way::Never | Way::Always(..) | Way::Token(_) | Way::Ntlm(_) => None,
        }
    }
}

fn tokens(endpoint: Endpoint, grant: Grant, options: &ClientOptions) -> Way {
    Way::Token(Box::new(Tokens::new(endpoint, grant, Arc::clone(&options.clock))))
}

fn always((name, value): (HeaderName, HeaderValue)) -> Way {
    Way::Always(name, value)
}
