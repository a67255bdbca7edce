//! What the API works with: [`Api`], and the two traits by which it reaches intake and the lanes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::HeaderMap;

use crate::config::settings::{Channel, Server};
use crate::delivery::Trials;
use crate::domain::{Clock, DeliveryId, SettleKeys, SigningKeys};
use crate::intake::{Answered, Incoming, PostedEvent, Refusal};
use crate::store::{ChannelState, History, Queue, StoreError};
use crate::telemetry::metrics::Metrics;

use super::problem::{Kind, Problem};
use super::tokens::Tokens;

/// Takes in orders and events. [`crate::intake::Intake`], or a stand-in for it.
#[async_trait]
pub trait Ingest: Send + Sync {
    /// An order, from its bytes to its answer.
    async fn order(&self, incoming: Incoming) -> Result<Answered, Refusal>;
    /// Events, all of them or none; `batch` says how they are answered.
    async fn events(&self, incoming: Incoming, events: Vec<PostedEvent>, batch: bool) -> Result<Answered, Refusal>;
}

/// The lanes, as far as the API has to do with them.
#[async_trait]
pub trait Lanes: Send + Sync {
    /// There may be something new for this channel in the store.
    fn wake(&self, channel: &str);
    /// Many of this channel's deliveries were changed: what waits in memory is to be claimed anew.
    fn recall(&self, channel: &str);
    /// These deliveries were cancelled: those still waiting in memory need not be sent.
    fn forget(&self, deliveries: &[DeliveryId]);
    /// Every channel that has a lane.
    fn overview(&self) -> Vec<ChannelOverview>;
    /// Stops a channel for a while. `None`: it has no lane. The state is kept in the store.
    async fn pause(&self, channel: &str) -> Result<Option<ChannelState>, StoreError>;
    /// Lets a paused or disabled channel go on. `None`: it has no lane.
    async fn resume(&self, channel: &str) -> Result<Option<ChannelState>, StoreError>;
    /// Whether the workers are alive.
    fn is_moving(&self) -> bool;
}

/// How a channel fares.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelOverview {
    /// The channel.
    pub channel: Arc<str>,
    /// Its state at run time.
    pub state: ChannelState,
    /// Attempts under way.
    pub in_flight: usize,
    /// Attempts ended in the last hour.
    pub attempts: u64,
    /// The share of them that succeeded; `None` without attempts.
    pub success_rate: Option<f64>,
    /// How long one took on average, in milliseconds; `None` without attempts.
    pub mean_ms: Option<f64>,
}

/// The rooms that an [`Api`] reaches.
pub struct Rooms {
    /// Takes in orders and events.
    pub ingest: Arc<dyn Ingest>,
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
    /// Tries channels out.
    pub trials: Arc<Trials>,
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
}

/// Everything that the calls of the API need. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Shared>);

/// What every call of the API sees.
pub struct Shared {
    pub(super) rooms: Rooms,
    pub(super) channels: Vec<Arc<Channel>>,
    pub(super) tokens: Tokens,
    pub(super) verify: Option<Arc<SigningKeys>>,
    pub(super) max_body: usize,
    pub(super) body_timeout: Duration,
}

impl Api {
    /// An API over these rooms, with the tokens, limits and channels of a configuration.
    pub fn new(server: &Server, channels: &[Arc<Channel>], rooms: Rooms) -> Self {
        Self(Arc::new(Shared {
            rooms,
            channels: channels.to_vec(),
            tokens: Tokens::new(&server.tokens),
            verify: server.verify.clone(),
            max_body: server.max_body,
            body_timeout: server.body_timeout,
        }))
    }
}

impl Shared {
    /// Lets a request through that carries a signature which `server.verify` asks for.
    pub(super) fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
        let Some(keys) = &self.verify else { return Ok(()) };
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let (id, seconds, signatures) =
            (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
        keys.verify(id, seconds, signatures, body, self.rooms.clock.now())
            .map_err(|fault| Problem::new(Kind::BadSignature, fault.to_string()))
    }
}

impl std::ops::Deref for Api {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
