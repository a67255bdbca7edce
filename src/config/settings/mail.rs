//! What mail needs: the server that takes it, and what a channel writes into it.

use std::sync::Arc;

use secrecy::SecretString;

use crate::domain::Mailbox;
use crate::template::Template;

/// The mail server.
#[derive(Debug, Clone)]
pub struct Smtp {
    /// Its name or address; an IPv6 address in brackets.
    pub host: String,
    pub port: u16,
    /// When TLS begins.
    pub security: MailSecurity,
    /// The sender of mails.
    pub from: Mailbox,
    /// What the service calls itself in `EHLO`.
    pub hello_name: String,
    /// User name and password, where the server wants some.
    pub credentials: Option<(String, SecretString)>,
    /// Certificates that are trusted beside the system's, in DER.
    pub ca: Vec<Vec<u8>>,
}

impl Smtp {
    /// `smtp://host:port`, never with credentials.
    pub fn url(&self) -> String {
        format!("{}://{}", self.security.scheme(), self.host_and_port())
    }

    /// `host:port`.
    pub fn host_and_port(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The host without the brackets of an IPv6 address.
    pub fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

/// When TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailSecurity {
    /// Never.
    None,
    /// With STARTTLS, before anything else; a server that does not offer it gets no mail.
    StartTls,
    /// With the first byte.
    Tls,
}

impl MailSecurity {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::None, Self::StartTls, Self::Tls];

    /// As the URL says it.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::None => "smtp",
            Self::StartTls => "smtp+starttls",
            Self::Tls => "smtps",
        }
    }

    /// The port without another in the URL.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::None => 25,
            Self::StartTls => 587,
            Self::Tls => 465,
        }
    }
}

/// How a channel delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelKind {
    /// By HTTP requests.
    Http,
    /// By mails of the event itself.
    Email,
}

/// A channel's mails.
#[derive(Debug, Clone)]
pub struct Email {
    /// The mail server.
    pub smtp: Arc<Smtp>,
    /// To whom: one address.
    pub to: Template,
    pub subject: Template,
    /// Kind `email`: the text, Markdown.
    pub body: Option<Template>,
    /// Kind `http`: HTML in front of the response.
    pub instructions: Option<Template>,
    /// What the server's replies mean.
    pub outcomes: crate::domain::Outcomes,
}
