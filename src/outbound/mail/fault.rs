//! Why a mail was not taken, each with its code, as a sentence for a person. Never holds credentials.

use std::time::Duration;

use lettre::transport::smtp::Error;

use super::super::egress::Forbidden;
use crate::domain::Code;

#[derive(Debug, thiserror::Error)]
pub(super) enum MailFault {
    #[error("no connection to {0}: {1}")]
    NoConnection(String, String),
    #[error("no connection to {0}: this machine is out of {1}")]
    Starved(String, &'static str),
    #[error("DNS lookup for {0} failed: {1}")]
    Dns(String, String),
    #[error("{0}")]
    Egress(Forbidden),
    #[error("TLS with {0} failed: {1}")]
    Tls(String, String),
    #[error("no connection to {0} within {limit}", limit = humantime::format_duration(*.1))]
    ConnectTimeout(String, Duration),
    #[error("the mail server did not accept the mail within {limit}", limit = humantime::format_duration(*.0))]
    Timeout(Duration),
    #[error("the mail was not written within {limit}", limit = humantime::format_duration(*.0))]
    Composing(Duration),
    #[error("the connection to the mail server ended {0}: {1}")]
    Closed(&'static str, String),
    #[error("the mail server offers no supported way to authenticate (PLAIN or LOGIN)")]
    NoMechanism,
    #[error("the address needs SMTPUTF8, which the mail server does not offer")]
    NotAscii,
    #[error("the mail server refused {stage}: {code} {text}")]
    Refused { stage: &'static str, code: u16, text: String, auth: bool },
}

impl MailFault {
    /// What lettre says about `stage`, a phrase such as "the recipient".
    pub(super) fn of(error: &Error, stage: &'static str) -> Self {
        let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
        match error.status() {
            // 530: credentials are wanted.
            Some(code) => {
                let code = u16::from(code);
                Self::Refused { stage, code, text: one_line(&cause), auth: code == 530 }
            }
            None => Self::Closed("before it was done", one_line(&cause)),
        }
    }

    pub(super) const fn code(&self) -> Code {
        match self {
            Self::NoConnection(..) | Self::Starved(..) => Code::NO_CONNECTION,
            Self::Dns(..) => Code::DNS,
            Self::Egress(_) => Code::EGRESS,
            Self::Tls(..) => Code::TLS,
            Self::ConnectTimeout(..) => Code::CONNECT_TIMEOUT,
            Self::Timeout(_) | Self::Composing(_) => Code::TIMEOUT,
            Self::Closed(..) => Code::CLOSED,
            Self::NoMechanism => Code::AUTH,
            Self::NotAscii => Code::NOT_BUILT,
            Self::Refused { code, .. } => Code::status(*code),
        }
    }

    /// Whether the credentials, or the want of some, are the reason.
    pub(super) const fn is_auth(&self) -> bool {
        matches!(self, Self::NoMechanism | Self::Refused { auth: true, .. })
    }

    /// The server's reply, where it is one.
    pub(super) fn reply(&self) -> Option<String> {
        match self {
            Self::Refused { code, text, .. } => Some(format!("{code} {text}").trim_end().to_owned()),
            _ => None,
        }
    }
}

/// What a server says, in one line of bounded length without control characters.
pub(super) fn one_line(text: &str) -> String {
    text.chars().take(500).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}
