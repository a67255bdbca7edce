//! Stand-ins for intake, the store and the lanes: they answer what a test puts into them, and remember the calls.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Method, Request};
use bytes::Bytes;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tower::ServiceExt;

use crate::config::load_text;
use crate::delivery::{ChannelOverview, LaneView, Previewer, Rates};
use crate::domain::{AfterFailure, DeliveryId, DeliveryStatus, IdSource, ManualClock, SettleKeys, Timestamp};
use crate::intake::{Answered, Incoming, NotAgain, PostedEvent, Refusal};
use crate::store::*;
use crate::telemetry::metrics::Metrics;

pub(super) use super::seen::Seen;

use super::super::{Api, Components, Ingest, Lanes, View, router};
use super::records::delivery;

pub(super) const NOW: &str = "2026-01-31T12:00:00Z";

pub(super) fn now() -> Timestamp {
    NOW.parse().expect("a time")
}

pub(super) type Taken = (Incoming, Vec<PostedEvent>, bool);
type Reply = Box<dyn Fn() -> Result<Answered, Refusal> + Send>;

pub(super) struct FakeIngest {
    pub(super) taken: Mutex<Vec<Taken>>,
    pub(super) reply: Mutex<Reply>,
    /// Held by a test to keep requests under way.
    pub(super) gate: tokio::sync::RwLock<()>,
}

impl FakeIngest {
    async fn take(&self, taken: Taken) -> Result<Answered, Refusal> {
        self.taken.lock().push(taken);
        let _open = self.gate.read().await;
        self.reply.lock()()
    }
}

#[async_trait]
impl Ingest for FakeIngest {
    async fn order(&self, incoming: Incoming) -> Result<Answered, Refusal> {
        self.take((incoming, Vec::new(), false)).await
    }

    async fn events(&self, incoming: Incoming, events: Vec<PostedEvent>, batch: bool) -> Result<Answered, Refusal> {
        self.take((incoming, events, batch)).await
    }

    async fn deliver(&self, _: &OrderDetail, _: &str) -> Result<Vec<DeliveryId>, NotAgain> {
        Err(NotAgain::Stopping)
    }

    async fn rerun(&self, _: &OrderDetail) -> Result<Answer, NotAgain> {
        Err(NotAgain::Stopping)
    }
}

#[derive(Default)]
pub(super) struct FakeStore {
    pub(super) orders: Mutex<Vec<OrderDetail>>,
    pub(super) deliveries: Mutex<Vec<DeliveryDetail>>,
    pub(super) changed: Mutex<Option<Changed>>,
    pub(super) changes: Mutex<Vec<String>>,
    pub(super) fails: Mutex<Option<StoreError>>,
    pub(super) pages: Mutex<Vec<Page>>,
}

impl FakeStore {
    fn check(&self) -> Result<(), StoreError> {
        self.fails.lock().clone().map_or(Ok(()), Err)
    }
}

#[async_trait]
impl History for FakeStore {
    async fn orders(&self, filter: OrderFilter, page: Page) -> Result<Paged<OrderSummary>, StoreError> {
        self.check()?;
        self.pages.lock().push(page);
        let orders = self.orders.lock();
        let data: Vec<OrderSummary> = orders
            .iter()
            .map(|order| order.summary.clone())
            .filter(|order| filter.status.is_empty() || filter.status.contains(&order.status))
            .collect();
        Ok(Paged { next: data.last().map(|order| order.id.sequence()), data, searched_back_to: None })
    }

    async fn order(&self, key: OrderKey) -> Result<Option<OrderDetail>, StoreError> {
        self.check()?;
        let is_it = |order: &&OrderDetail| match &key {
            OrderKey::Id(id) => order.summary.id == *id,
            OrderKey::Own(own) => order.summary.order_id == *own,
        };
        Ok(self.orders.lock().iter().find(is_it).cloned())
    }

    async fn deliveries(&self, filter: DeliveryFilter, page: Page) -> Result<Paged<DeliverySummary>, StoreError> {
        self.check()?;
        self.pages.lock().push(page);
        let deliveries = self.deliveries.lock();
        let data = deliveries
            .iter()
            .map(|delivery| delivery.summary.clone())
            .filter(|delivery| filter.status.is_empty() || filter.status.contains(&delivery.status))
            .collect();
        Ok(Paged { data, next: None, searched_back_to: None })
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryDetail>, StoreError> {
        self.check()?;
        Ok(self.deliveries.lock().iter().find(|delivery| delivery.summary.id == id).cloned())
    }

    async fn knows_channel(&self, name: &str) -> Result<bool, StoreError> {
        self.check()?;
        Ok(matches!(name, "erp" | "gone"))
    }

    async fn channel_causes(&self) -> Result<Vec<(Arc<str>, Cause)>, StoreError> {
        self.check()?;
        Ok(Vec::new())
    }

    async fn held(&self, _: Arc<str>) -> Result<HeldKeys, StoreError> {
        self.check()?;
        Ok(HeldKeys::default())
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StoreError> {
        self.check()?;
        Ok(vec![Backlog { channel: "erp".into(), pending: 5, oldest_due: Some(now().before(Duration::from_secs(90))) }])
    }

    async fn bytes(&self) -> Result<u64, StoreError> {
        self.check().map(|()| 4096)
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.check()
    }
}

const UNUSED: &str = "the API does not call this";

#[async_trait]
impl Queue for FakeStore {
    fn connect(&self, _: Arc<dyn Handover>) {
        unreachable!("{UNUSED}")
    }
    async fn heartbeat(&self, _: Replica) -> Result<Heartbeat, StoreError> {
        unreachable!("{UNUSED}")
    }
    async fn retire(&self, _: Replica, _: bool) -> Result<(), StoreError> {
        unreachable!("{UNUSED}")
    }
    async fn release_expired(&self, _: Replica) -> Result<u64, StoreError> {
        unreachable!("{UNUSED}")
    }
    async fn claim(&self, _: Claim) -> Result<Vec<Leased>, StoreError> {
        unreachable!("{UNUSED}")
    }
    async fn begin_run(&self, _: Run, _: Claim) -> Result<Option<Vec<Leased>>, StoreError> {
        unreachable!("{UNUSED}")
    }
    async fn last_run(&self, _: Arc<str>, _: Timestamp) -> Result<Timestamp, StoreError> {
        unreachable!("{UNUSED}")
    }
    async fn next_due(&self, _: Arc<str>) -> Result<NextDue, StoreError> {
        unreachable!("{UNUSED}")
    }
    async fn record(&self, _: Arc<Vec<Finished>>) -> Result<Vec<Recorded>, StoreError> {
        unreachable!("{UNUSED}")
    }
    async fn put_back(&self, _: Vec<Lease>) -> Result<(), StoreError> {
        unreachable!("{UNUSED}")
    }
    async fn insert(&self, _: Vec<NewDelivery>) -> Result<(), StoreError> {
        unreachable!("{UNUSED}")
    }
    async fn remove_finished(&self, _: Timestamp) -> Result<u64, StoreError> {
        unreachable!("{UNUSED}")
    }
    async fn move_pending(&self, _: Arc<str>, _: Arc<str>, _: Cause) -> Result<u64, StoreError> {
        self.check()?;
        Ok(0)
    }

    async fn set_channel_state(
        &self,
        _: Arc<str>,
        _: ChannelState,
        _: Cause,
        _: Vec<NewDelivery>,
    ) -> Result<(), StoreError> {
        unreachable!("{UNUSED}")
    }
    async fn set_ordering(&self, _: Arc<str>, _: Option<AfterFailure>) -> Result<(), StoreError> {
        unreachable!("{UNUSED}")
    }
    async fn overdue(&self, _: Timestamp, _: usize) -> Result<Vec<DeliverySummary>, StoreError> {
        unreachable!("{UNUSED}")
    }
    async fn mark_late(
        &self,
        _: Timestamp,
        _: Vec<DeliveryId>,
        _: Vec<NewDelivery>,
    ) -> Result<Vec<DeliveryId>, StoreError> {
        unreachable!("{UNUSED}")
    }
    async fn secret(&self) -> Result<[u8; 32], StoreError> {
        Ok([7; 32])
    }
    async fn channel_states(&self) -> Result<Vec<(Arc<str>, ChannelState)>, StoreError> {
        unreachable!("{UNUSED}")
    }

    async fn change(&self, id: DeliveryId, change: Change, cause: Cause) -> Result<Option<Changed>, StoreError> {
        self.check()?;
        self.changes.lock().push(format!("{change:?} {id} at {}", cause.at));
        Ok(self.changed.lock().clone())
    }

    async fn change_all(
        &self,
        filter: DeliveryFilter,
        change: Change,
        _: Cause,
        dry_run: bool,
    ) -> Result<BulkChanged, StoreError> {
        self.check()?;
        self.changes.lock().push(format!("{change:?} {:?} {dry_run}", filter.status));
        Ok(BulkChanged {
            count: 3,
            channels: vec![("erp".into(), 3)],
            examples: if dry_run { vec![delivery(&ids(), DeliveryStatus::Failed).summary] } else { Vec::new() },
        })
    }
}

pub(super) struct FakeLanes {
    pub(super) calls: Mutex<Vec<String>>,
    pub(super) state: Mutex<ChannelState>,
    pub(super) moving: Mutex<bool>,
}

#[async_trait]
impl Lanes for FakeLanes {
    async fn changed(&self, channel: &str, change: Change, lease: Lease) {
        self.calls.lock().push(format!("{} {} of {channel}", change.as_str(), lease.delivery));
    }

    fn recall(&self, channel: &str) {
        self.calls.lock().push(format!("recall {channel}"));
    }

    async fn changed_all(&self, channel: &str, change: Change, count: u64) {
        self.calls.lock().push(format!("{} {count} of {channel}", change.as_str()));
    }

    fn overview(&self) -> Vec<ChannelOverview> {
        vec![ChannelOverview {
            channel: "erp".into(),
            state: *self.state.lock(),
            lane: LaneView { in_flight: 2, ..LaneView::default() },
            rates: Rates { attempts: 8, success_rate: Some(0.75), mean_ms: Some(12.5) },
            health: crate::delivery::Health::default(),
        }]
    }

    async fn pause(&self, channel: &str, _: Cause) -> Result<Option<ChannelState>, StoreError> {
        *self.state.lock() = ChannelState::Paused;
        Ok((channel == "erp").then_some(ChannelState::Paused))
    }

    async fn resume(&self, channel: &str, _: Cause) -> Result<Option<ChannelState>, StoreError> {
        *self.state.lock() = ChannelState::Enabled;
        Ok((channel == "erp").then_some(ChannelState::Enabled))
    }

    fn is_moving(&self) -> bool {
        *self.moving.lock()
    }
}

/// An API with everything behind it.
pub(super) struct World {
    pub(super) ingest: Arc<FakeIngest>,
    pub(super) store: Arc<FakeStore>,
    pub(super) lanes: Arc<FakeLanes>,
    pub(super) router: Router,
    pub(super) clock: ManualClock,
}

pub(super) const CHANNELS: &str = "
channels:
  - {name: erp, url: 'http://127.0.0.1:9/hook', auth: {type: bearer, token: hush-hush}}
  - {name: old, url: 'http://127.0.0.1:9/old', enabled: false}
";

pub(super) const TOKENS: &str = "
server:
  tokens:
    - {name: shop, token: ingest-token, scopes: [ingest]}
    - {name: viewer, token: read-token, scopes: [read]}
    - {name: boss, token: manage-token, scopes: [manage]}
";

impl World {
    pub(super) fn new() -> Self {
        Self::with(CHANNELS)
    }

    pub(super) fn with(yaml: &str) -> Self {
        let settings = load_text("test", yaml, &crate::config::Environment::default()).expect("settings");
        let ingest = Arc::new(FakeIngest {
            taken: Mutex::default(),
            reply: Mutex::new(Box::new(|| Ok(answered(201, r#"{"id":"x"}"#, Some("/v1/orders/x"))))),
            gate: tokio::sync::RwLock::default(),
        });
        let store = Arc::new(FakeStore::default());
        let lanes = Arc::new(FakeLanes {
            calls: Mutex::default(),
            state: Mutex::new(ChannelState::Enabled),
            moving: Mutex::new(true),
        });
        let clock = ManualClock::new(now());
        let components = Components {
            lanes: Arc::clone(&lanes) as Arc<dyn Lanes>,
            queue: Arc::clone(&store) as Arc<dyn Queue>,
            history: Arc::clone(&store) as Arc<dyn History>,
            clock: Arc::new(clock.clone()),
            settle_keys: Arc::new(SettleKeys::new(&[7; 32])),
            reload: Arc::new(super::reload::FakeReload),
            calls: tokio::runtime::Handle::current(),
            stopping: tokio_util::sync::CancellationToken::new(),
            draining: tokio_util::sync::CancellationToken::new(),
            metrics: Arc::new(Metrics::new()),
        };
        let previewer = Arc::new(Previewer::alone(settings.clone(), Arc::new(ManualClock::new(now())), 7));
        let view = View::new(&settings, Arc::clone(&ingest) as Arc<dyn Ingest>, previewer, None);
        let router = router(Api::new(components, Arc::new(ArcSwap::from_pointee(view))));
        Self { ingest, store, lanes, router, clock }
    }

    pub(super) fn reply(&self, reply: impl Fn() -> Result<Answered, Refusal> + Send + 'static) {
        *self.ingest.reply.lock() = Box::new(reply);
    }

    pub(super) fn taken(&self) -> Vec<Taken> {
        self.ingest.taken.lock().clone()
    }

    pub(super) async fn call(&self, mut request: Request<Body>) -> Seen {
        request.headers_mut().entry("host").or_insert(HeaderValue::from_static("localhost"));
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        Seen { status: head.status, headers: head.headers, body }
    }

    pub(super) async fn get(&self, path: &str) -> Seen {
        self.call(Request::get(path).body(Body::empty()).expect("a request")).await
    }

    pub(super) async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Seen {
        let mut request = Request::builder().method(Method::POST).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.call(request.body(body.into()).expect("a request")).await
    }

    /// Posts JSON.
    pub(super) async fn post_json(&self, path: &str, body: impl Into<Body>) -> Seen {
        self.post(path, &[("content-type", "application/json")], body).await
    }
}

pub(super) fn answered(status: u16, body: &'static str, location: Option<&str>) -> Answered {
    let answer = Answer { status, location: location.map(str::to_owned), body: Bytes::from_static(body.as_bytes()) };
    Answered { answer, replayed: false }
}

pub(super) fn ids() -> IdSource {
    IdSource::new(Arc::new(ManualClock::new(now())), 1)
}
