//! Accepting orders and events: made durable, run through their chain, routed, and answered once.
//!
//! [`Intake::order`] is the whole way of an order up to its answer. What the answer looks like on the wire is the
//! API's business: it gives [`Intake`] an [`Answering`], so that the answer can be kept with the order's idempotency
//! key in the same commit.

mod accept;
mod again;
mod events;
mod extract;
mod refusal;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

pub use again::NotAgain;
pub use refusal::Refusal;

pub use crate::chain::{Answering, EventDeliveries, OrderView};

use crate::chain::Chains;
use crate::config::settings::Settings;
use crate::domain::{Clock, IdSource, Timestamp, TraceContext};
use crate::routing::Router;
use crate::store::{Answer, Replica, SignedId, Store, StoreError};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::spans::Tracer;

use extract::Pointers;

/// A request that brings an order or events.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The body as received.
    pub body: Bytes,
    /// The `ce-` headers in a canonical form: with them, a request is another one.
    pub attributes: Vec<u8>,
    /// The trace of its `traceparent` and `tracestate` headers.
    pub trace: Option<TraceContext>,
    /// The `Idempotency-Key` header.
    pub key: Option<String>,
    /// The `webhook-id` of a request whose signature was checked.
    pub signed: Option<SignedId>,
    /// The name of the caller's token; empty where none is needed. Keys of different callers do not meet.
    pub caller: Arc<str>,
}

/// An event as posted, taken out of whichever form it came in.
#[derive(Debug, Clone)]
pub struct PostedEvent {
    /// Its type.
    pub kind: String,
    /// The sender's id for it, if any. Events of one id (and caller) count once.
    pub id: Option<String>,
    /// When it happened; now, if it does not say.
    pub at: Option<Timestamp>,
    /// When its deliveries are due; at once, if it does not say.
    pub deliver_at: Option<Timestamp>,
    /// Its data, any JSON value.
    pub data: Bytes,
    /// The attributes of a CloudEvent, without its data.
    pub cloudevent: Option<Map<String, Value>>,
}

/// An answer, and whether it is the one of an earlier request with the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    pub answer: Answer,
    /// Goes out as `Idempotency-Replayed: true`.
    pub replayed: bool,
}

/// Accepts orders and events.
pub struct Intake {
    store: Store,
    chains: Arc<Chains>,
    router: Arc<Router>,
    answering: Arc<dyn Answering>,
    clock: Arc<dyn Clock>,
    ids: IdSource,
    replica: Replica,
    metrics: Arc<Metrics>,
    tracer: Tracer,
    pointers: Pointers,
    max_depth: usize,
    request_timeout: Duration,
    tasks: TaskTracker,
    calls: Handle,
    stopping: Arc<AtomicBool>,
}

/// What intake needs of the rest.
pub struct Parts {
    /// Where orders are kept.
    pub store: Store,
    /// What they run through.
    pub chains: Arc<Chains>,
    /// Where they go.
    pub router: Arc<Router>,
    /// How the caller is answered.
    pub answering: Arc<dyn Answering>,
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: IdSource,
    /// Whose work it is.
    pub replica: Replica,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where spans of orders and events are recorded.
    pub tracer: Tracer,
    /// The chains under way, so that a stop can wait for them.
    pub tasks: TaskTracker,
    /// The runtime that they run on.
    pub calls: Handle,
    /// Set once nothing more is to be accepted.
    pub stopping: Arc<AtomicBool>,
}

impl Intake {
    /// Ready to accept.
    pub fn new(settings: &Settings, parts: Parts) -> Self {
        let Parts { store, chains, router, answering, clock, ids, replica, metrics, tracer, tasks, calls, stopping } =
            parts;
        Self {
            store,
            chains,
            router,
            answering,
            clock,
            ids,
            replica,
            metrics,
            tracer,
            pointers: Pointers::new([&settings.orders.id, &settings.orders.kind], [&settings.orders.customer_email]),
            max_depth: settings.server.max_depth,
            request_timeout: settings.server.request_timeout,
            tasks,
            calls,
            stopping,
        }
    }

    /// Resumes orders whose chain was interrupted, as far as their chains admit them. Returns how many.
    pub async fn resume(&self) -> Result<usize, StoreError> {
        self.chains.resume(&self.tasks, &self.calls).await
    }

    /// Waits until an order that no chain admitted can be resumed.
    pub async fn freed(&self) {
        self.chains.freed().await;
    }
}
