//! The way of a connection of an HTTP client: what is checked before it is made, and whose failure it is if it fails.
//!
//! Without a proxy, names are checked where they are resolved, and an address that the URL names is checked here, as
//! it is never resolved. With one, the connection goes to the proxy, whose own address is checked by the same rules;
//! the target is checked here as far as it is known: its name, its address, and the addresses that its name has here.
//! A name that has none here is left to the proxy.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::Url;
use secrecy::ExposeSecret;
use tokio::time::timeout;
use url::Host;

use super::{Forbidden, Guard, Unreachable};
use crate::config::settings::Proxy;

/// How long a target behind a proxy may take to be resolved here, where perhaps no name outside can be.
const LOOKUP: Duration = Duration::from_secs(2);

/// Any error of a connector.
type BoxError = Box<dyn Error + Send + Sync>;

/// Where a connection is to lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::outbound) enum Target {
    /// To a name, which the connector resolves.
    Name,
    /// To an address that the URL names.
    Address(IpAddr),
    /// Through the proxy to that host; under TLS, or not.
    Proxied { host: String, tls: bool },
}

/// The proxy did not do its part.
#[derive(Debug, thiserror::Error)]
#[error("the proxy did not connect")]
pub(in crate::outbound) struct ProxyFailed(#[source] BoxError);

impl Guard {
    /// Where a connection for this URL leads.
    pub(in crate::outbound) fn target(&self, url: &Url) -> Target {
        if self.egress.proxy.is_some() {
            let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
            return Target::Proxied { host: host.to_owned(), tls: url.scheme() == "https" };
        }
        match url.host() {
            Some(Host::Ipv4(address)) => Target::Address(address.into()),
            Some(Host::Ipv6(address)) => Target::Address(address.into()),
            Some(Host::Domain(_)) | None => Target::Name,
        }
    }

    /// Checks what can be before a connection is made.
    pub(in crate::outbound) async fn check_target(&self, target: &Target) -> Result<(), Forbidden> {
        match target {
            Target::Name => Ok(()),
            Target::Address(address) => self.check_address(*address),
            Target::Proxied { host, .. } => {
                if let Some(proxy) = &self.egress.proxy
                    && let Ok(address) = proxy.host.trim_start_matches('[').trim_end_matches(']').parse()
                {
                    self.check_address(address)?;
                }
                self.check_name(host)?;
                match timeout(LOOKUP, Self::resolve(self, host)).await {
                    Ok(Err(Unreachable::Forbidden(forbidden))) => Err(forbidden),
                    Ok(Ok(_) | Err(Unreachable::NoAddress(_))) | Err(_) => Ok(()),
                }
            }
        }
    }
}

/// The proxy as the HTTP client knows it. `Err` is a sentence.
pub(in crate::outbound) fn proxy(proxy: &Proxy) -> Result<reqwest::Proxy, String> {
    let made = reqwest::Proxy::all(&proxy.url).map_err(|error| error.to_string())?;
    Ok(match &proxy.credentials {
        Some((username, password)) => made.basic_auth(username, password.expose_secret()),
        None => made,
    })
}

impl Target {
    /// Says of a failed connection whether it is the proxy's failure. Behind a proxy only TLS is spoken with the
    /// receiver itself while connecting, and it fails with an error of I/O; whatever else fails is the proxy's.
    pub(in crate::outbound) fn blame(&self, error: BoxError) -> BoxError {
        match self {
            Self::Proxied { tls: true, .. } if error.is::<io::Error>() => error,
            Self::Proxied { .. } => Box::new(ProxyFailed(error)),
            Self::Name | Self::Address(_) => error,
        }
    }
}
