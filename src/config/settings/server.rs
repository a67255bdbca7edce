//! The settings of the HTTP server and its tokens.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::domain::{Rate, SigningKeys};

/// The HTTP server.
#[derive(Debug, Clone)]
pub struct Server {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The base of links that receivers get, without a slash at its end.
    pub public_url: String,
    /// Whether that base follows from `listen`.
    pub derives_public_url: bool,
    /// Further names of this server in lower case, IPv6 addresses without brackets. Empty: none are configured.
    pub hosts: Vec<String>,
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// The deepest nesting of a JSON body.
    pub max_depth: usize,
    /// The longest time for a whole ingest request.
    pub request_timeout: Duration,
    /// The longest time for a request's head to arrive.
    pub header_timeout: Duration,
    /// The longest time for a request's body to arrive.
    pub body_timeout: Duration,
    /// Connections open at once; further ones wait to be accepted.
    pub max_connections: usize,
    /// How long the server still answers after it was asked to stop, while `/readyz` says that it is not ready.
    pub drain_delay: Duration,
    /// The longest time that a stop waits for attempts under way.
    pub shutdown_grace: Duration,
    /// Who may call.
    pub tokens: Vec<Token>,
    /// Secrets that orders and events must be signed with; `None`: no signature is required.
    pub verify: Option<Arc<SigningKeys>>,
}

/// A bearer token of the API.
#[derive(Debug, Clone)]
pub struct Token {
    /// Its name, for logs.
    pub name: Arc<str>,
    /// The secret.
    pub token: SecretString,
    /// What it is good for.
    pub scopes: Vec<Scope>,
    /// How many requests that bring orders or events it is good for; `None`: any number.
    pub rate_limit: Option<Rate>,
}

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Posting orders and events.
    Ingest,
    /// Reading.
    Read,
    /// Changing; implies reading.
    Manage,
}
