//! How connections are made: what all of them go through, whoever they belong to. Each [`Http`] made here has connections
//! of its own, and none of them leads where the egress guard does not let it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use reqwest::{Request, Response, Url, Version};

use super::auth::ntlm::Gate;
use super::egress::{Guard, Target, proxy};
use super::phase::Reporting;
use super::request::ClientError;
use super::tls;
use crate::config::settings::Egress;

/// What `User-Agent` says.
pub(super) const AGENT: &str = concat!("orderhook/", env!("CARGO_PKG_VERSION"));

/// Header fields of a response at most; hyper bounds their bytes.
const MAX_HEADERS: usize = 128;

/// Bytes of a response's head over HTTP/2 at most, unpacked.
pub(super) const MAX_HEAD: u32 = 64 * 1024;

/// How often a quiet HTTP/2 connection is asked whether it lives, and how long it may take to answer.
const PING: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));

/// How long a connection is kept open without use.
const IDLE: Duration = Duration::from_secs(60);

/// Makes clients whose connections all go the same way: for a receiver, and for whoever gives out credentials for it.
#[derive(Clone)]
pub(super) struct Dialer {
    tls: rustls::ClientConfig,
    egress: Arc<Egress>,
    guard: Guard,
}

impl Dialer {
    /// With the roots that the system trusts.
    pub(super) fn new(egress: &Arc<Egress>) -> Result<Self, ClientError> {
        Ok(Self::with_tls(egress, tls::shared().map_err(ClientError::Tls)?))
    }

    /// With TLS of one's own.
    pub(super) fn with_tls(egress: &Arc<Egress>, tls: rustls::ClientConfig) -> Self {
        Self::with_guard(egress, tls, Guard::new(egress))
    }

    pub(super) fn with_guard(egress: &Arc<Egress>, tls: rustls::ClientConfig, guard: Guard) -> Self {
        Self { tls, egress: Arc::clone(egress), guard }
    }

    /// The same way to the hosts of orders: `covered` lets only those be reached that `egress.allow` covers.
    pub(super) fn covering(&self, covered: bool) -> Self {
        Self { guard: self.guard.covering(covered), ..self.clone() }
    }

    /// The same way to a host that the configuration names, by the roots that the system trusts, whatever is said about
    /// TLS.
    pub(super) fn verified(&self) -> Result<Self, ClientError> {
        let tls = tls::shared().map_err(ClientError::Tls)?;
        Ok(Self { tls, guard: self.guard.covering(false), ..self.clone() })
    }

    /// A client of HTTP/1.1 that connects once, through that gate.
    pub(super) fn single(&self, gate: Gate) -> Result<Http, ClientError> {
        let mut tls = self.tls.clone();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let dialer = Self { tls, ..self.clone() };
        self.built(dialer.builder(1)?.http1_only().connector_layer(gate))
    }

    /// A client that keeps up to `pool` connections to a host.
    pub(super) fn client(&self, pool: usize) -> Result<Http, ClientError> {
        Ok(Http { again: Some((self.clone(), pool)), ..self.built(self.builder(pool)?)? })
    }

    #[allow(clippy::disallowed_methods, reason = "this is the room that may")]
    fn builder(&self, pool: usize) -> Result<reqwest::ClientBuilder, ClientError> {
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never()) // the channel's rules decide, and are on record
            .referer(false)
            .user_agent(AGENT)
            .tcp_nodelay(true)
            .dns_resolver(Arc::new(self.guard.clone()))
            .connector_layer(self.guard.clone())
            .connector_layer(Reporting)
            .http1_max_headers(MAX_HEADERS)
            .http2_max_header_list_size(MAX_HEAD)
            .http2_keep_alive_interval(PING.0)
            .http2_keep_alive_timeout(PING.1)
            .pool_max_idle_per_host(pool)
            .pool_idle_timeout(IDLE);
        Ok(match &self.egress.proxy {
            Some(settings) => builder.proxy(proxy(settings).map_err(ClientError::Proxy)?),
            None => builder,
        })
    }

    fn built(&self, builder: reqwest::ClientBuilder) -> Result<Http, ClientError> {
        let inner = builder.build().map_err(|error| ClientError::Tls(error.to_string()))?;
        let proxy = self.egress.proxy.as_ref().map(|proxy| Arc::from(proxy.url.as_str()));
        Ok(Http {
            inner: Arc::new(ArcSwap::from_pointee(inner)),
            spoken: Arc::new(AtomicU8::new(NOTHING)),
            again: None,
            guard: self.guard.clone(),
            proxy,
        })
    }
}

/// What an HTTP client has heard of its receivers: nothing yet, HTTP/1, or HTTP/2.
const NOTHING: u8 = 0;
const HTTP_1: u8 = 1;
const HTTP_2: u8 = 2;

/// An HTTP client. It alone executes requests, so that each connection knows where it leads.
#[derive(Clone)]
pub(super) struct Http {
    inner: Arc<ArcSwap<reqwest::Client>>,
    spoken: Arc<AtomicU8>,
    /// How another one is made, with how many connections kept.
    again: Option<(Dialer, usize)>,
    guard: Guard,
    proxy: Option<Arc<str>>,
}

impl Http {
    /// Sends a request and waits for the head of its response.
    pub(super) async fn execute(&self, request: Request) -> reqwest::Result<Response> {
        let target = Target::of(&self.guard, request.url());
        let sent = self.inner.load().execute(request);
        let response = target.lead(sent).await?;
        let spoken = if response.version() == Version::HTTP_2 { HTTP_2 } else { HTTP_1 };
        if self.spoken.load(Ordering::Relaxed) != spoken {
            self.spoken.store(spoken, Ordering::Relaxed);
        }
        Ok(response)
    }

    /// Lets go of the connections of HTTP/2 after an exchange that did not come to its end. A connection of HTTP/1 ends
    /// with its exchange; one of HTTP/2 would be used again, although it may be dead, or go on with what nobody reads.
    /// What is still under way on it comes to its end.
    pub(super) fn give_up(&self, url: &Url) {
        let Some((dialer, pool)) = &self.again else { return };
        if url.scheme() != "https" || self.spoken.load(Ordering::Relaxed) == HTTP_1 {
            return;
        }
        self.spoken.store(NOTHING, Ordering::Relaxed);
        if let Ok(fresh) = dialer.client(*pool) {
            self.inner.store(fresh.inner.load_full());
        }
    }

    /// Whether it makes further connections where it needs them.
    pub(super) fn connects_again(&self) -> bool {
        self.again.is_some()
    }

    /// The URL of the proxy that requests go through.
    pub(super) fn proxy(&self) -> Option<&Arc<str>> {
        self.proxy.as_ref()
    }
}
