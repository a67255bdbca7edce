//! What the API works with: [`Api`], the [`View`] of the configuration that holds, and the traits by which it reaches
//! intake, the lanes and the reload.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use axum::http::HeaderMap;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::config::settings::{Channel, Settings};
use crate::config::{Changes, Faults};
use crate::delivery::{Health, LaneView, Minutes, Previewer};
use crate::domain::{Clock, DeliveryId, SettleKeys, SigningKeys};
use crate::intake::{Answered, Incoming, NotAgain, PostedEvent, Refusal};
use crate::store::{Answer, Cause, Change, ChannelState, History, Lease, OrderDetail, Queue, SignedId, StoreError};
use crate::telemetry::metrics::Metrics;

use super::bulk::Jobs;
use super::hosts::Hosts;
use super::problem::{Kind, Problem};
use super::readiness::Readiness;
use super::tokens::Tokens;

/// Streams that may be open at the same time.
pub(super) const STREAMS: usize = 100;

/// Takes in orders and events. [`crate::intake::Intake`], or a stand-in for it.
#[async_trait]
pub trait Ingest: Send + Sync {
    /// An order, from its bytes to its answer.
    async fn order(&self, incoming: Incoming) -> Result<Answered, Refusal>;
    /// Events, all of them or none; `batch` says how they are answered.
    async fn events(&self, incoming: Incoming, events: Vec<PostedEvent>, batch: bool) -> Result<Answered, Refusal>;
    /// An order's last event once more, for one channel.
    async fn deliver(&self, order: &OrderDetail, channel: &str) -> Result<Vec<DeliveryId>, NotAgain>;
    /// A rejected order's chain from the step that failed.
    async fn rerun(&self, order: &OrderDetail) -> Result<Answer, NotAgain>;
}

/// The lanes, as far as the API has to do with them.
#[async_trait]
pub trait Lanes: Send + Sync {
    /// A delivery of this channel was changed in the store, under this lease. After a cancel, nothing of it starts once this
    /// returns.
    async fn changed(&self, channel: &str, change: Change, lease: Lease);
    /// Many deliveries of this channel are others in the store now: what its lane holds is claimed again.
    fn recall(&self, channel: &str);
    /// So many deliveries of this channel were changed.
    async fn changed_all(&self, channel: &str, change: Change, count: u64);
    /// Every channel that has a lane.
    fn overview(&self) -> Vec<ChannelOverview>;
    /// How a channel has fared in each of the last sixty minutes. `None`: it has no lane, or nobody has counted.
    fn minutes(&self, _channel: &str) -> Option<Minutes> {
        None
    }
    /// Stops a channel for a while. `None`: it has no lane. The state is kept in the store.
    async fn pause(&self, channel: &str, cause: Cause) -> Result<Option<ChannelState>, StoreError>;
    /// Lets a paused or disabled channel go on. `None`: it has no lane.
    async fn resume(&self, channel: &str, cause: Cause) -> Result<Option<ChannelState>, StoreError>;
    /// Whether the workers are alive.
    fn is_moving(&self) -> bool;
}

/// Takes up the configuration anew.
#[async_trait]
pub trait Reload: Send + Sync {
    /// Returns what has changed. A reload that removes the last token or most channels must be forced.
    async fn reload(&self, force: bool) -> Result<Changes, NotReloaded>;
}

/// Why the configuration before stays.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotReloaded {
    /// The new one is wrong, or changes what only a start takes up.
    #[error("{0}")]
    Wrong(#[from] Faults),
    /// The store did not say how channels are.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// The service is stopping.
    #[error("the service is shutting down")]
    Stopping,
}

/// How a channel fares.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelOverview {
    /// The channel.
    pub channel: Arc<str>,
    /// Its state at run time.
    pub state: ChannelState,
    /// What its lane does, and the limits in force.
    pub lane: LaneView,
    /// Attempts ended in the last hour.
    pub attempts: u64,
    /// The share of them that succeeded; `None` without attempts.
    pub success_rate: Option<f64>,
    /// How long one took on average, in milliseconds; `None` without attempts.
    pub mean_ms: Option<f64>,
    /// How its receiver fares.
    pub health: Health,
}

/// The rooms that an [`Api`] reaches, whatever the configuration.
pub struct Rooms {
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
    pub(super) rooms: Rooms,
    pub(super) readiness: Readiness,
    /// Permits of `GET /v1/stream`.
    pub(super) streams: Arc<Semaphore>,
    /// Changes of many deliveries in the background.
    pub(super) jobs: Jobs,
    view: Arc<ArcSwap<View>>,
}

impl Api {
    /// An API over these rooms, by whatever `view` holds.
    pub fn new(rooms: Rooms, view: Arc<ArcSwap<View>>) -> Self {
        let streams = Arc::new(Semaphore::new(STREAMS));
        Self(Arc::new(Shared { rooms, readiness: Readiness::default(), streams, jobs: Jobs::default(), view }))
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
