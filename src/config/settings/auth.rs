//! How a request proves who sent it.

use std::sync::Arc;

use secrecy::SecretString;
use url::Url;

use crate::config::jwt_key::JwtKey;

/// How a request proves who sent it.
#[derive(Debug, Clone, Default)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// HTTP Basic (RFC 7617), UTF-8.
    Basic {
        /// The user.
        username: String,
        password: SecretString,
        /// Whether the first request carries them; otherwise only the answer to a challenge does.
        preemptive: bool,
    },
    /// A bearer token (RFC 6750).
    Bearer { token: SecretString },
    /// A header of one's own.
    Header { name: String, value: SecretString },
    /// NTLM (NTLMv2), over connections that are kept.
    Ntlm {
        /// The user.
        username: String,
        password: SecretString,
        /// Whose user it is; empty: the receiver's own.
        domain: String,
    },
    /// A token by OAuth 2.0 client credentials (RFC 6749).
    OAuth2(Arc<ClientCredentials>),
    /// A token by a signed assertion (RFC 7523).
    JwtBearer(Arc<JwtBearer>),
}

impl Auth {
    /// Its `type` in a configuration.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic { .. } => "basic",
            Self::Bearer { .. } => "bearer",
            Self::Header { .. } => "header",
            Self::Ntlm { .. } => "ntlm",
            Self::OAuth2(_) => "oauth2",
            Self::JwtBearer(_) => "jwt_bearer",
        }
    }
}

/// Who asks for a token, and where.
#[derive(Debug, Clone)]
pub struct ClientCredentials {
    /// The token endpoint.
    pub token_url: Url,
    pub client_id: String,
    pub client_secret: SecretString,
    /// The scope to request.
    pub scope: Option<String>,
    /// Whom it is for.
    pub audience: Option<String>,
}

/// Whose assertion it is, and where it is turned into a token.
#[derive(Debug, Clone)]
pub struct JwtBearer {
    /// The token endpoint.
    pub token_url: Url,
    /// The claim `iss`.
    pub issuer: String,
    /// The claim `sub`.
    pub subject: String,
    /// The claim `aud`.
    pub audience: String,
    /// The scope to request.
    pub scope: Option<String>,
    /// What signs, and how.
    pub key: JwtKey,
    /// The header `kid`.
    pub key_id: Option<String>,
    /// What the assertion stands for.
    pub usage: JwtUse,
}

/// What an assertion stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwtUse {
    /// It is the grant itself.
    Grant,
    /// It proves who the client is, in place of a secret.
    ClientAssertion,
}
