//! The state of the API: [`Api`], its components, and the [`View`] of the current configuration.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::http::HeaderMap;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::config::settings::{Channel, Settings};
use crate::delivery::Previewer;
use crate::domain::{Clock, SettleKeys, SigningKeys};
use crate::store::{History, Queue, SignedId};
use crate::telemetry::metrics::Metrics;

use super::bulk_jobs::Jobs;
use super::hosts::Hosts;
use super::ports::{Ingest, Lanes, Reload};
use super::problem::{Kind, Problem};
use super::readiness::Readiness;
use super::tokens::Tokens;

/// Streams that may be open at the same time.
pub(super) const STREAMS: usize = 100;

/// The components that the API calls, the same for every configuration.
pub struct Components {
    /// Sends deliveries.
    pub lanes: Arc<dyn Lanes>,
    /// Changes deliveries.
    pub queue: Arc<dyn Queue>,
    /// Reads orders and deliveries.
    pub history: Arc<dyn History>,
    /// Tells the time of a change.
    pub clock: Arc<dyn Clock>,
    /// Knows the keys by which receivers settle deliveries.
    pub settle_keys: Arc<SettleKeys>,
    /// Takes up the configuration anew.
    pub reload: Arc<dyn Reload>,
    /// Where calls to receivers are made, apart from the API's own threads.
    pub calls: Handle,
    /// Cancelled when the service stops: streams end.
    pub stopping: CancellationToken,
    /// Ends when the service was asked to stop; it may answer for some time yet.
    pub draining: CancellationToken,
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
}

/// What the API makes of one configuration. A call goes by the one that holds as it begins.
pub struct View {
    /// Takes in orders and events.
    pub(super) ingest: Arc<dyn Ingest>,
    /// Tries channels out.
    pub(super) previewer: Arc<Previewer>,
    pub(super) channels: Vec<Arc<Channel>>,
    pub(super) tokens: Tokens,
    pub(super) verify: Option<Arc<SigningKeys>>,
    pub(super) hosts: Hosts,
    pub(super) max_body: usize,
    pub(super) body_timeout: Duration,
    pub(super) about: About,
}

/// What people want to know of the configuration as a whole.
pub(super) struct About {
    /// Where the store is, without what may be a password.
    pub(super) store: String,
    /// Bytes that the store may have; `None`: no bound.
    pub(super) max_size: Option<u64>,
    /// How long orders are kept; `None`: for ever.
    pub(super) retention: Option<Duration>,
    /// The names of the chains.
    pub(super) chains: Vec<String>,
}

impl About {
    fn new(settings: &Settings) -> Self {
        let url = &settings.store.url;
        let store = match url.split_once("://") {
            Some((scheme, _)) if scheme != "sqlite" => format!("{scheme}://…"),
            _ => url.clone(),
        };
        Self {
            store,
            max_size: settings.store.max_size,
            retention: settings.store.retention,
            chains: settings.chains.iter().map(|chain| chain.name.clone()).collect(),
        }
    }
}

/// Everything that the calls of the API need. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Shared>);

/// What every call of the API sees.
pub struct Shared {
    pub(super) components: Components,
    pub(super) readiness: Readiness,
    /// Permits of `GET /v1/stream`.
    pub(super) streams: Arc<Semaphore>,
    /// Changes of many deliveries in the background.
    pub(super) jobs: Jobs,
    view: Arc<ArcSwap<View>>,
}

impl Api {
    /// Builds an API over these components, by whatever `view` holds.
    pub fn new(components: Components, view: Arc<ArcSwap<View>>) -> Self {
        let streams = Arc::new(Semaphore::new(STREAMS));
        Self(Arc::new(Shared { components, readiness: Readiness::default(), streams, jobs: Jobs::default(), view }))
    }
}

impl Shared {
    /// What holds now. To be asked for once in a call.
    pub(super) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }
}

impl View {
    /// The tokens, limits and channels of a configuration, and what takes orders in and tries channels out by it.
    /// What of the view `before` goes on, such as the pace of a token, is taken over.
    pub fn new(settings: &Settings, ingest: Arc<dyn Ingest>, previewer: Arc<Previewer>, before: Option<&Self>) -> Self {
        let server = &settings.server;
        Self {
            ingest,
            previewer,
            channels: settings.channels.clone(),
            tokens: Tokens::new(&server.tokens, before.map(|before| &before.tokens)),
            verify: server.verify.clone(),
            hosts: Hosts::new(server),
            max_body: server.max_body,
            body_timeout: server.body_timeout,
            about: About::new(settings),
        }
    }

    /// Checks the signature that `server.verify` asks for. Returns what it signs, `None` where none is needed.
    pub(super) fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<SignedId>, Problem> {
        let Some(keys) = &self.verify else { return Ok(None) };
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let (id, seconds, signatures) =
            (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
        let until = keys
            .verify(id, seconds, signatures, body, clock.now())
            .map_err(|fault| Problem::new(Kind::BadSignature, fault.to_string()))?;
        Ok(id.map(|id| SignedId { id: id.to_owned(), until }))
    }
}

impl std::ops::Deref for Api {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
