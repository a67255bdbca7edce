//! Why there is no usable response.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::auth::ntlm::Lost;
use super::dialer::MAX_HEAD;
use super::egress::{Forbidden, NoAddress, ProxyFailed};
use super::starved::lacking;
use super::tls;
use crate::domain::Code;

/// What went wrong, each with its code, as a sentence for a person. Never holds a URL, a header or a body.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("no connection to {0}: {1}")]
    NoConnection(String, String),
    #[error("no connection to {0}: this machine is out of {1}")]
    Starved(String, &'static str),
    #[error("DNS lookup for {0} failed: {1}")]
    Dns(String, String),
    #[error("TLS with {0} failed: {1}")]
    Tls(String, String),
    #[error("no connection to {0}{way} within {limit}", way = through(.1.as_deref()), limit = humantime::format_duration(*.2))]
    ConnectTimeout(String, Option<Arc<str>>, Duration),
    #[error("the proxy {0} failed: {1}")]
    Proxy(String, String),
    #[error("{0}")]
    Egress(Forbidden),
    #[error("no complete response within {limit}", limit = humantime::format_duration(*.0))]
    Timeout(Duration),
    #[error("the connection closed before the response was complete{}", because(.0.as_ref()))]
    Closed(Option<String>),
    #[error("the response is not valid HTTP: {0}")]
    Garbage(String),
    #[error("the head of the response, or its declared length, is larger than allowed")]
    HeadTooLarge,
    #[error("the response exceeds the limits for HTTP/2{}", because(.0.as_ref()))]
    Flood(Option<String>),
    #[error("the response is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the request cannot be sent: {0}")]
    NotSent(String),
    #[error("{0}")]
    NoCredentials(String),
    #[error("the authenticated connection was closed")]
    Lost,
}

fn through(proxy: Option<&str>) -> String {
    proxy.map_or_else(String::new, |proxy| format!(" through the proxy {proxy}"))
}

fn because(cause: Option<&String>) -> String {
    cause.map_or_else(String::new, |cause| format!(": {cause}"))
}

impl Fault {
    pub(super) const fn code(&self) -> Code {
        match self {
            Self::NoConnection(..) | Self::Starved(..) | Self::Proxy(..) => Code::NO_CONNECTION,
            Self::Egress(_) => Code::EGRESS,
            Self::Dns(..) => Code::DNS,
            Self::Tls(..) => Code::TLS,
            Self::ConnectTimeout(..) => Code::CONNECT_TIMEOUT,
            Self::Timeout(_) => Code::TIMEOUT,
            Self::Closed(_) | Self::Garbage(_) | Self::Lost => Code::CLOSED,
            Self::HeadTooLarge | Self::Flood(_) | Self::TooLarge(_) => Code::TOO_LARGE,
            Self::NotSent(_) => Code::NOT_BUILT,
            Self::NoCredentials(_) => Code::AUTH,
        }
    }

    /// Whether it is the failure of somebody else than the receiver. While connecting through a proxy, time may run out
    /// for either.
    pub(super) const fn is_elsewhere(&self) -> bool {
        matches!(
            self,
            Self::Starved(..) | Self::Proxy(..) | Self::ConnectTimeout(_, Some(_), _) | Self::NoCredentials(_)
        )
    }

    /// Whether this machine could open no connection.
    pub(super) const fn is_starved(&self) -> bool {
        matches!(self, Self::Starved(..))
    }

    /// What reqwest says about an exchange with `host`, through `proxy`.
    pub(super) fn of(error: &reqwest::Error, host: &str, proxy: Option<&str>) -> Self {
        let host = || host.to_owned();
        let last = causes(error).last().map(plainly);
        let why = || last.clone().unwrap_or_else(|| "no reason given".to_owned());
        if let Some(forbidden) = causes(error).find_map(|cause| cause.downcast_ref::<Forbidden>()) {
            return Self::Egress(forbidden.clone());
        }
        let io = |cause: &'_ (dyn Error + 'static)| match cause.downcast_ref::<NoAddress>() {
            Some(none) => lacking(&none.cause),
            None => cause.downcast_ref().and_then(lacking),
        };
        if let Some(what) = causes(error).find_map(io) {
            return Self::Starved(host(), what);
        }
        if causes(error).any(<dyn Error>::is::<ProxyFailed>) {
            return Self::Proxy(proxy.unwrap_or_default().to_owned(), why());
        }
        if let Some(NoAddress { name, cause }) = causes(error).find_map(|cause| cause.downcast_ref()) {
            return Self::Dns(name.clone(), cause.to_string());
        }
        if causes(error).any(<dyn Error>::is::<Lost>) {
            return Self::Lost;
        }
        // TLS 1.3 lets a server refuse a client's certificate only behind the handshake.
        if let Some(alert) = causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
            return Self::Tls(host(), tls::in_words(alert));
        }
        if error.is_connect() {
            // TCP never ends in the middle while it connects: that was the handshake.
            let handshake =
                |io: &io::Error| matches!(io.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData);
            if let Some(io) = causes(error).filter_map(|cause| cause.downcast_ref()).find(|io| handshake(io)) {
                let closed = io.kind() == io::ErrorKind::UnexpectedEof;
                return Self::Tls(
                    host(),
                    if closed { "the connection closed in the handshake".to_owned() } else { why() },
                );
            }
            return Self::NoConnection(host(), why());
        }
        if error.is_builder() {
            return Self::NotSent(why());
        }
        if let Some(h2) = causes(error).find_map(|cause| cause.downcast_ref::<h2::Error>()) {
            return Self::of_http2(h2);
        }
        match causes(error).find_map(|cause| cause.downcast_ref::<hyper::Error>()) {
            Some(hyper) if hyper.is_parse_too_large() => Self::HeadTooLarge,
            Some(hyper) if hyper.is_parse() => Self::Garbage(why()),
            Some(hyper) if hyper.is_incomplete_message() => Self::Closed(None),
            // The word of HTTP/2 whether the connection lives.
            Some(hyper) if hyper.is_timeout() => Self::Closed(Some("it stopped responding".to_owned())),
            _ if causes(error).filter_map(|cause| cause.downcast_ref()).any(is_malformed) => Self::Garbage(why()),
            _ => Self::Closed(last),
        }
    }

    /// Whether a connection of HTTP/1 was closed, once there was one.
    pub(super) fn is_hang_up(error: &reqwest::Error) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
        let kinds = [BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof];
        let closes = |cause: &(dyn Error + 'static)| match cause.downcast_ref::<hyper::Error>() {
            Some(hyper) => hyper.is_incomplete_message(),
            None => cause.downcast_ref::<io::Error>().is_some_and(|io| kinds.contains(&io.kind())),
        };
        !error.is_connect() && causes(error).any(closes) && !causes(error).any(<dyn Error>::is::<h2::Error>)
    }

    /// What HTTP/2 says: whether the receiver ended it, or what it sent is none.
    fn of_http2(error: &h2::Error) -> Self {
        let name = error.reason().map(|reason| format!("{reason:?}"));
        match name {
            Some(name) if error.is_remote() && error.is_go_away() => {
                Self::Closed(Some(format!("the receiver closed the connection with GOAWAY ({name})")))
            }
            Some(name) if error.is_remote() => Self::Closed(Some(format!("the receiver reset the stream ({name})"))),
            Some(_) if error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM) => Self::Flood(quoted(&error.to_string())),
            // That a head is too large is not told apart.
            Some(name) if error.reason() == Some(h2::Reason::PROTOCOL_ERROR) => {
                Self::Garbage(format!("it violates HTTP/2 ({name}), or its head is larger than {MAX_HEAD} bytes"))
            }
            Some(name) => Self::Garbage(format!("it violates HTTP/2 ({name})")),
            None => Self::Closed(error.get_io().map(plainly)),
        }
    }
}

/// What stands in quotes, with spaces between its words.
fn quoted(text: &str) -> Option<String> {
    text.split('"').nth(1).map(|words| words.replace('_', " "))
}

/// Whether a body is not framed as one has to be.
fn is_malformed(io: &io::Error) -> bool {
    matches!(io.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
}

/// A cause without the address of a manual behind it.
fn plainly<T: ToString + ?Sized>(cause: &T) -> String {
    let text = cause.to_string();
    text.split_once(": https://").map_or(text.as_str(), |(said, _)| said).to_owned()
}

/// The errors below `error`, outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(below(error), |error| below(*error))
}

/// What an error was made of. An I/O error hides it from `source`.
fn below<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}
