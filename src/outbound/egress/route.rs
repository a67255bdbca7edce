//! The way of a connection of an HTTP client: what is checked before it is made, and whose failure it is if it fails.
//!
//! Without a proxy, names are checked where they are resolved, and an address that the URL names is checked here, as
//! it is never resolved. With one, the connection goes to the proxy, whose own address is checked by the same rules;
//! the target is checked here as far as it is known: its name, its address, and the addresses that its name has here.
//! A name that has none here is left to the proxy.
//!
//! reqwest does not show its connector's layers where a connection leads. So the request says so beforehand, in a
//! [`Target`], and a connection without one is not made.

use std::error::Error;
use std::future::{Future, ready};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use secrecy::ExposeSecret;
use tokio::time::timeout;
use tower::{Layer, Service};
use url::Host;

use super::guard::{Forbidden, Guard, Reason, Unreachable};
use crate::config::settings::{Egress, Proxy};
use crate::outbound::mask::Secrets;

/// How long a target behind a proxy may take to be resolved here, where perhaps no name outside can be.
const LOOKUP: Duration = Duration::from_secs(2);

/// Any error of a connector.
type BoxError = Box<dyn Error + Send + Sync>;

tokio::task_local! {
    static TARGET: Target;
}

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

/// A connection of which nobody said where it leads.
#[derive(Debug, thiserror::Error)]
#[error("the connection has no route")]
struct Nowhere;

impl Target {
    /// Where a connection for this URL leads.
    pub(in crate::outbound) fn of(guard: &Guard, url: &Url) -> Self {
        if guard.egress.proxy.is_some() {
            return Self::Proxied { host: bare(url.host_str().unwrap_or_default()), tls: url.scheme() == "https" };
        }
        match url.host() {
            Some(Host::Ipv4(address)) => Self::Address(address.into()),
            Some(Host::Ipv6(address)) => Self::Address(address.into()),
            Some(Host::Domain(_)) | None => Self::Name,
        }
    }

    /// Runs an exchange, whose connections lead there.
    pub(in crate::outbound) async fn lead<F: Future>(self, exchange: F) -> F::Output {
        TARGET.scope(self, exchange).await
    }

    /// Checks what can be before a connection is made.
    async fn check(&self, guard: &Guard) -> Result<(), Forbidden> {
        let host = match self {
            Self::Name => return Ok(()),
            Self::Address(address) => return guard.check_address(*address),
            Self::Proxied { host, .. } => host,
        };
        if let Some(proxy) = &guard.egress.proxy {
            let proxy_host = bare(&proxy.host);
            let guard = guard.covering(false);
            if let Ok(address) = proxy_host.parse() {
                guard.check_address(address)?;
            } else if proxy.url.starts_with("socks")
                && let Err(Unreachable::Forbidden(forbidden)) = Guard::resolve(&guard, &proxy_host).await
            {
                // The connector refuses it as well, but SOCKS does not tell why.
                return Err(forbidden);
            }
        }
        let by_name = guard.check_name(host)?;
        match timeout(LOOKUP, Guard::resolve(guard, host)).await {
            Ok(Err(Unreachable::Forbidden(forbidden))) => Err(forbidden),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(Unreachable::NoAddress(_))) | Err(_) if by_name || !guard.covered => Ok(()),
            Ok(Err(Unreachable::NoAddress(_))) | Err(_) => {
                Err(guard.forbidden(host, &format!("its name {}", Reason::NotCovered)))
            }
        }
    }

    /// Says of a failed connection whether it is the proxy's failure. Behind a proxy only TLS is spoken with the
    /// receiver itself while connecting, and it fails with an error of I/O; whatever else fails is the proxy's.
    fn blame(&self, error: BoxError) -> BoxError {
        match self {
            Self::Proxied { tls: true, .. } if error.is::<io::Error>() => error,
            Self::Proxied { .. } => Box::new(ProxyFailed(error)),
            Self::Name | Self::Address(_) => error,
        }
    }
}

/// A host without the brackets around an address of IPv6.
fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

/// The proxy as the HTTP client knows it. `Err` is a sentence.
pub(in crate::outbound) fn proxy(proxy: &Proxy) -> Result<reqwest::Proxy, String> {
    let made = reqwest::Proxy::all(&proxy.url).map_err(|error| error.to_string())?;
    Ok(match &proxy.credentials {
        // They become parts of a URL on the way, whose percent signs would be read.
        Some((username, password)) => {
            let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            made.basic_auth(&encoded(username), &encoded(password.expose_secret()))
        }
        None => made,
    })
}

/// What a proxy is told to prove who sends: of no concern to anybody behind it, but a careless one passes it on.
pub(in crate::outbound) fn secrets(egress: &Egress) -> Secrets {
    match egress.proxy.as_ref().and_then(|proxy| proxy.credentials.as_ref()) {
        Some((username, password)) => {
            let password = password.expose_secret();
            Secrets::new([password.to_owned(), STANDARD.encode(format!("{username}:{password}"))])
        }
        None => Secrets::default(),
    }
}

/// The guard is a layer around the connector.
impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, guard: self.clone() }
    }
}

/// A connector that goes only where it may.
#[derive(Clone)]
pub(in crate::outbound) struct Guarded<S> {
    inner: S,
    guard: Guard,
}

impl<S, R> Service<R> for Guarded<S>
where
    S: Service<R, Error = BoxError>,
    S::Response: Send + 'static,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let Ok(target) = TARGET.try_with(Clone::clone) else { return Box::pin(ready(Err(Nowhere.into()))) };
        // Nothing is done until it is polled.
        let connect = self.inner.call(request);
        let guard = self.guard.clone();
        Box::pin(async move {
            target.check(&guard).await?;
            connect.await.map_err(|error| target.blame(error))
        })
    }
}
