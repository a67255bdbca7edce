//! The names of this server, and the web pages that may call it.
//!
//! A browser sends requests to a server on loopback for any page that asks it to, and a page can give its own name an
//! address on loopback (DNS rebinding). Without tokens, the `Host` and `Origin` headers are all that tells such a
//! request from the operator's.

use std::net::IpAddr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, Request, Uri, Version};

use crate::config::settings::Server;

use super::problem::{Fault, Kind, Problem};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Routes that probes call under whatever address they find the server at.
const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// The names of this server.
#[derive(Debug)]
pub(super) struct Hosts {
    /// Whether requests for other names, or from other sites, are refused.
    enforced: bool,
    /// Whether probes are exempt. Without tokens they are not: all callers are on this machine.
    probes_exempt: bool,
    /// Names as configured: pages of these hosts may call, whatever their port.
    configured: Vec<String>,
    /// The names of `listen` and `public_url`.
    known: Vec<String>,
    /// Host and port of `public_url`.
    public: Option<(String, u16)>,
    /// Whether `public_url` is one of HTTPS.
    https: bool,
}

impl Hosts {
    pub(super) fn new(server: &Server) -> Self {
        let public = server.public_url.parse().ok().and_then(|uri: Uri| {
            let scheme = uri.scheme_str()?.to_owned();
            uri.authority().map(|authority| {
                let port = authority.port_u16().unwrap_or_else(|| default_port(&scheme));
                (name(authority), port)
            })
        });
        let listen = Some(server.listen.ip()).filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string());
        Self {
            enforced: server.tokens.is_empty() || !server.hosts.is_empty(),
            probes_exempt: !server.tokens.is_empty(),
            configured: server.hosts.clone(),
            known: listen.into_iter().chain(public.iter().map(|(name, _)| name.clone())).collect(),
            public,
            https: server.public_url.starts_with("https:"),
        }
    }

    /// Whether a form was sent from a page of this server, as far as the browser says.
    pub(super) fn is_own_form(&self, headers: &HeaderMap) -> bool {
        if let Some(site) = headers.get(SEC_FETCH_SITE) {
            return site == "same-origin" || site == "none";
        }
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
        headers.get_all(ORIGIN).iter().all(|origin| self.may_call(origin.as_bytes(), host.as_ref()))
    }

    /// Whether a browser that sent this request is on HTTPS, as far as `public_url` tells.
    pub(super) fn is_https(&self, headers: &HeaderMap) -> bool {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
        self.https && host.is_none_or(|host| self.public.as_ref().is_some_and(|(public, _)| *public == name(&host)))
    }

    /// Refuses a request that is not for this server (421), that a page of another site sends (403), or that does not
    /// say in one `Host` header which server it is for (400).
    pub(super) fn check<B>(&self, request: &Request<B>) -> Result<(), Problem> {
        let host = host(request)?;
        if !self.enforced || self.probes_exempt && PROBES.contains(&request.uri().path()) {
            return Ok(());
        }
        // A request target in absolute form names the server, too.
        for authority in host.iter().chain(request.uri().authority()) {
            let name = name(authority);
            if !self.is_ours(&name) {
                return Err(Problem::new(
                    Kind::MisdirectedRequest,
                    format!("{name:?} is not a name of this server; if it is meant to be, add it to server.hosts"),
                ));
            }
        }
        let cross_site = |header: &str| {
            let detail = format!(
                "a page of another site sent this request ({header}); if its host belongs to this server, add it to server.hosts"
            );
            Err(Problem::new(Kind::CrossSite, detail))
        };
        let headers = request.headers();
        if headers.get_all(ORIGIN).iter().any(|origin| !self.may_call(origin.as_bytes(), host.as_ref())) {
            return cross_site("Origin");
        }
        // A link on another site may be followed: its page does not see the response.
        let followed =
            request.method() == Method::GET && headers.get(SEC_FETCH_MODE).is_some_and(|mode| mode == "navigate");
        if !followed && headers.get_all(SEC_FETCH_SITE).iter().any(|site| site == "cross-site") {
            return cross_site("Sec-Fetch-Site");
        }
        Ok(())
    }

    fn is_ours(&self, name: &str) -> bool {
        name == "localhost"
            || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
            || self.known.iter().chain(&self.configured).any(|known| known == name)
    }

    /// Whether pages of that origin may call: those of this server itself.
    fn may_call(&self, origin: &[u8], host: Option<&Authority>) -> bool {
        let origin = std::str::from_utf8(origin).ok().and_then(|origin| origin.parse::<Uri>().ok());
        let Some((scheme, authority)) = origin.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.authority()?)))
        else {
            return false;
        };
        let port = |authority: &Authority| authority.port_u16().unwrap_or_else(|| default_port(scheme));
        let from = (name(authority), port(authority));
        host.is_some_and(|host| (name(host), port(host)) == from)
            || self.public.as_ref() == Some(&from)
            || self.configured.contains(&from.0)
    }
}

/// The host that a request is for. `None`: an HTTP/1.0 request need not say.
fn host<B>(request: &Request<B>) -> Result<Option<Authority>, Problem> {
    let wrong = |message: &str| Err(Problem::faults(Kind::InvalidHeader, vec![Fault::new("Host", message)]));
    let mut values = request.headers().get_all(HOST).iter();
    let Some(value) = values.next() else {
        return match (request.version(), request.uri().authority()) {
            (Version::HTTP_2, Some(authority)) => Ok(Some(authority.clone())),
            (Version::HTTP_10, _) => Ok(None),
            _ => wrong("is missing"),
        };
    };
    if values.next().is_some() {
        return wrong("is given twice");
    }
    match Authority::try_from(value.as_bytes()) {
        Ok(authority) if !authority.as_str().contains('@') && !authority.host().is_empty() => Ok(Some(authority)),
        _ => wrong("is not a valid host"),
    }
}

/// A host's name in lower case, without the brackets of an IPv6 address and the dot at the end of a full name.
fn name(authority: &Authority) -> String {
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase()
}

fn default_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}
