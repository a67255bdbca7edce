//! A store under test, with a clock to move, a lane that takes what is handed over, and makers of everything.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use orderhook::domain::ids::Id;
use orderhook::domain::{
    Attempt, Body, Clock, Code, DeliveryId, DeliveryStatus, Event, Exchange, HeaderLines, IdSource, ManualClock,
    OrderStatus, Origin, Outcome, StepRecord, StepStatus, Subject, Timestamp,
};
use orderhook::store::{
    Acceptance, Answer, Claim, DeliverySummary, Finished, Handover, Idempotency, JournalEntry, Lease, Leased,
    NewDelivery, NewEvent, NewEvents, NewOrder, Next, Page, Recorded, Replica, Slot, Store, StoreError, Which,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// A kind of store, with data of its own.
pub(super) trait Backend: Send + 'static {
    /// Whether one process alone makes the ids in it. Where several do, each makes its own.
    const IS_ALONE: bool = true;
    /// One without any data.
    fn new() -> Self;
    /// Opens it; what was in it before is there again.
    fn open(&self, ids: &IdSource, clock: Arc<dyn Clock>) -> Result<Store, StoreError>;
}

/// Keeps what is handed over.
#[derive(Default)]
pub(super) struct Lane {
    born: Mutex<Vec<Leased>>,
    waiting: Mutex<Vec<(String, Timestamp)>>,
}

impl Handover for Lane {
    fn hand_over(&self, deliveries: Vec<Leased>) {
        self.born.lock().extend(deliveries);
    }

    fn waiting(&self, channel: &str, due_at: Timestamp) {
        self.waiting.lock().push((channel.to_owned(), due_at));
    }
}

impl Lane {
    pub(super) fn take(&self) -> Vec<Leased> {
        std::mem::take(&mut *self.born.lock())
    }

    /// What has been told of deliveries that wait.
    pub(super) fn told(&self) -> Vec<(String, Timestamp)> {
        std::mem::take(&mut *self.waiting.lock())
    }
}

pub(super) const ME: Replica = Replica(11);
pub(super) const OTHER: Replica = Replica(-22);
pub(super) const SLOTS: usize = 100_000;
pub(super) const START: i64 = 1_700_000_000_000;

/// A store and all that is around it.
pub(super) struct World<B> {
    pub(super) backend: B,
    pub(super) clock: ManualClock,
    pub(super) ids: IdSource,
    pub(super) store: Store,
    pub(super) lane: Arc<Lane>,
    pub(super) slots: Arc<Semaphore>,
    /// The lease numbers of claims and of attempts that were kept.
    leases: Mutex<HashMap<DeliveryId, i64>>,
}

impl<B: Backend> World<B> {
    pub(super) fn new() -> Self {
        let clock = ManualClock::new(Timestamp::from_millis(START));
        let ids = IdSource::new(Arc::new(clock.clone()), 7);
        let backend = B::new();
        let store = backend.open(&ids, Arc::new(clock.clone())).expect("a store");
        Self::with(backend, clock, ids, store)
    }

    /// One whose store is opened in a way of the test's own.
    pub(super) fn on(backend: B, open: impl FnOnce(&IdSource, Arc<dyn Clock>) -> Result<Store, StoreError>) -> Self {
        let clock = ManualClock::new(Timestamp::from_millis(START));
        let ids = IdSource::new(Arc::new(clock.clone()), 7);
        let store = open(&ids, Arc::new(clock.clone())).expect("a store");
        Self::with(backend, clock, ids, store)
    }

    fn with(backend: B, clock: ManualClock, ids: IdSource, store: Store) -> Self {
        let lane = Arc::new(Lane::default());
        store.queue.connect(lane.clone());
        Self { backend, clock, ids, store, lane, slots: Arc::new(Semaphore::new(SLOTS)), leases: Mutex::default() }
    }

    /// Drops the store and opens it again, with nobody connected.
    pub(super) fn reopen(self) -> Self {
        let Self { backend, clock, ids, store, slots, leases, .. } = self;
        drop((store, ids));
        let ids = IdSource::new(Arc::new(clock.clone()), 8);
        let store = backend.open(&ids, Arc::new(clock.clone())).expect("the store again");
        Self { backend, clock, ids, store, lane: Arc::new(Lane::default()), slots, leases }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn advance(&self, seconds: u64) -> Timestamp {
        self.clock.advance(Duration::from_secs(seconds));
        self.now()
    }

    pub(super) fn slot(&self) -> Slot {
        Arc::clone(&self.slots).try_acquire_owned().expect("a slot")
    }

    /// An order; without an own id where `own` is empty.
    pub(super) fn subject(&self, own: &str) -> Arc<Subject> {
        let id = self.ids.next();
        Arc::new(Subject {
            origin: Origin::Order(id),
            order_id: if own.is_empty() { id.to_string() } else { own.to_owned() },
            kind: "new".into(),
            received_at: self.now(),
            chain: Some("main".into()),
            body: Bytes::from(format!("{{\"id\": \"{own}\"}}")),
            arrival: None,
        })
    }

    pub(super) fn event(&self, subject: &Arc<Subject>, kind: &str, context: &str) -> Arc<Event> {
        Arc::new(Event {
            id: self.ids.next(),
            kind: kind.into(),
            at: self.now(),
            subject: Arc::clone(subject),
            context: context.into(),
            step: None,
            steps: Arc::default(),
        })
    }

    /// An event that is its own subject.
    pub(super) fn plain_event(&self, kind: &str) -> Arc<Event> {
        let id: Id<_> = self.ids.next();
        let subject = Subject {
            origin: Origin::Event(id),
            order_id: id.to_string(),
            kind: kind.into(),
            received_at: self.now(),
            chain: None,
            body: Bytes::from_static(b"[1, 2]"),
            arrival: None,
        };
        Arc::new(Event {
            id,
            kind: kind.into(),
            at: self.now(),
            subject: Arc::new(subject),
            context: "{}".into(),
            step: None,
            steps: Arc::default(),
        })
    }

    /// A delivery that is due now and has no slot.
    pub(super) fn delivery(&self, event: &Arc<Event>, channel: &str) -> NewDelivery {
        NewDelivery {
            id: self.ids.next(),
            channel: channel.into(),
            event: Arc::clone(event),
            prepared: None,
            once: None,
            due_at: self.now(),
            ordering_key: None,
            promised_at: None,
            slot: None,
        }
    }

    /// A completed order of `subject` with a waiting delivery for each channel.
    pub(super) fn order(&self, subject: &Arc<Subject>, channels: &[&str]) -> NewOrder {
        let event = self.event(subject, "order.completed", "{}");
        NewOrder {
            subject: Arc::clone(subject),
            email: None,
            status: OrderStatus::Completed,
            skipped: Vec::new(),
            deliveries: channels.iter().map(|channel| self.delivery(&event, channel)).collect(),
            idempotency: None,
            signed: None,
            replica: ME,
        }
    }

    /// An order whose chain has begun.
    pub(super) fn processing(&self, subject: &Arc<Subject>) -> NewOrder {
        NewOrder { status: OrderStatus::Processing, ..self.order(subject, &[]) }
    }

    pub(super) async fn accept(&self, order: NewOrder) -> Acceptance {
        self.store.ledger.accept_order(order).await.expect("accepted")
    }

    /// Accepts a completed order with one waiting delivery; its id.
    pub(super) async fn waiting(&self, channel: &str) -> DeliveryId {
        let order = self.order(&self.subject(""), &[channel]);
        let id = order.deliveries[0].id;
        assert_eq!(self.accept(order).await, Acceptance::New);
        id
    }

    /// The same, leased to [`ME`].
    pub(super) async fn leased(&self, channel: &str) -> DeliveryId {
        let mut order = self.order(&self.subject(""), &[channel]);
        order.deliveries[0].slot = Some(self.slot());
        let id = order.deliveries[0].id;
        assert_eq!(self.accept(order).await, Acceptance::New);
        assert!(self.lane.take().iter().any(|leased| leased.id == id));
        id
    }

    pub(super) fn step(&self, name: &str) -> StepRecord {
        StepRecord {
            step: name.into(),
            plugin: "calloutPlugin".into(),
            critical: true,
            status: StepStatus::Passed,
            code: Some(Code::status(200)),
            error: None,
            duration_ms: 12,
            started_at: self.now(),
        }
    }

    pub(super) fn claim(&self, channel: &str) -> Claim {
        Claim {
            replica: ME,
            channel: channel.into(),
            which: Which::First,
            now: self.now(),
            limit: 1000,
            max_bytes: usize::MAX,
        }
    }

    pub(super) async fn claimed(&self, claim: Claim) -> Vec<DeliveryId> {
        self.claim_all(claim).await.into_iter().map(|leased| leased.id).collect()
    }

    /// Claims, and remembers the leases.
    pub(super) async fn claim_all(&self, claim: Claim) -> Vec<Leased> {
        let claimed = self.store.queue.claim(claim).await.expect("a claim");
        let mut leases = self.leases.lock();
        leases.extend(claimed.iter().map(|leased| (leased.id, leased.lease)));
        drop(leases);
        claimed
    }

    /// The last lease of a delivery that this world knows of; that of its birth otherwise.
    pub(super) fn lease(&self, delivery: DeliveryId) -> Lease {
        Lease { delivery, number: self.leases.lock().get(&delivery).copied().unwrap_or(1) }
    }

    pub(super) async fn put_back(&self, deliveries: &[DeliveryId]) {
        let leases = deliveries.iter().map(|id| self.lease(*id)).collect();
        self.store.queue.put_back(leases).await.expect("put back");
    }

    /// Records an attempt under an older lease.
    pub(super) async fn record_late(&self, mut finished: Finished) -> Recorded {
        finished.lease.number -= 1;
        self.record(finished).await
    }

    pub(super) fn attempt(&self, number: u32, code: u16, outcome: Outcome) -> Attempt {
        Attempt {
            id: self.ids.next(),
            number,
            started_at: self.now(),
            duration_ms: 40,
            code: Code::status(code),
            outcome,
            error: None,
            exchange: Exchange {
                method: "POST".into(),
                url: "https://erp.example.com/".into(),
                request_headers: [("content-type", "application/json")].into_iter().collect(),
                request_body: Body::whole(&b"{}"[..]),
                response_headers: HeaderLines::default(),
                response_body: Bytes::from_static(b"ok"),
                truncated: false,
                times: None,
            },
        }
    }

    pub(super) fn finished(&self, delivery: DeliveryId, number: u32, next: Next) -> Finished {
        let (code, outcome) = match next {
            Next::End(DeliveryStatus::Accepted) => (200, Outcome::Accepted),
            Next::End(DeliveryStatus::Dispatched) => (202, Outcome::Dispatched),
            Next::End(DeliveryStatus::Rejected) => (400, Outcome::Rejected),
            Next::End(_) => (404, Outcome::Failed),
            _ => (503, Outcome::Retry),
        };
        let attempt = self.attempt(number, code, outcome);
        Finished { lease: self.lease(delivery), attempt, next, holds_key: false, deliveries: Vec::new() }
    }

    pub(super) async fn record(&self, finished: Finished) -> Recorded {
        let (lease, keeps) = (finished.lease, matches!(finished.next, Next::Keep(_)));
        let recorded = self.store.queue.record(Arc::new(vec![finished])).await.expect("recorded");
        assert_eq!(recorded.len(), 1);
        if keeps && recorded[0] == Recorded::Done {
            self.leases.lock().insert(lease.delivery, lease.number + 1);
        }
        recorded[0]
    }

    /// A delivery of that status, by way of one attempt where it takes one.
    pub(super) async fn delivery_of(&self, channel: &str, status: DeliveryStatus) -> DeliveryId {
        let id = self.leased(channel).await;
        match status {
            DeliveryStatus::Pending => {}
            DeliveryStatus::Cancelled => {
                let change = orderhook::store::Change::Cancel;
                self.store.queue.change(id, change, self.now().into()).await.expect("a change").expect("a delivery");
            }
            ended => assert_eq!(self.record(self.finished(id, 1, Next::End(ended))).await, Recorded::Done),
        }
        id
    }

    pub(super) async fn summary(&self, id: DeliveryId) -> DeliverySummary {
        self.detail(id).await.0
    }

    pub(super) async fn detail(&self, id: DeliveryId) -> (DeliverySummary, Vec<Attempt>) {
        let detail = self.store.history.delivery(id).await.expect("a read").expect("a delivery");
        (detail.summary, detail.attempts)
    }

    pub(super) async fn status(&self, id: DeliveryId) -> DeliveryStatus {
        self.summary(id).await.status
    }
}

/// An entry of the order's journal that changes nothing yet.
pub(super) fn blank(subject: &Subject) -> JournalEntry {
    JournalEntry {
        replica: ME,
        order: subject.order().expect("an order"),
        steps: Vec::new(),
        context: None,
        deliveries: Vec::new(),
        end: None,
        answer: None,
    }
}

pub(super) fn of_events(events: Vec<NewEvent>) -> NewEvents {
    NewEvents { events, idempotency: None, signed: None, replica: ME }
}

pub(super) fn key(key: &str, body: u8) -> Idempotency {
    Idempotency { key: key.into(), digest: [body; 32], answer: None }
}

pub(super) fn answer(body: &'static str) -> Answer {
    Answer { status: 201, location: Some("/v1/orders/1".into()), body: Bytes::from_static(body.as_bytes()) }
}

pub(super) const ALL: Page = Page { limit: 100_000, before: None };

/// Opens the store of a URL, whatever it is.
pub(super) fn open_url(url: &str, ids: &IdSource, clock: Arc<dyn Clock>) -> Result<Store, StoreError> {
    let (address, password) = match url.rsplit_once('@').and_then(|(user, rest)| Some((user.rsplit_once(':')?, rest))) {
        Some(((user, password), rest)) if user.contains("//") => (format!("{user}@{rest}"), Some(password.into())),
        _ => (url.to_owned(), None),
    };
    let settings = orderhook::config::settings::Store {
        url: address,
        password,
        connect_timeout: Duration::ZERO,
        connections: 6,
        retention: None,
        max_size: None,
    };
    let ids = ids.clone();
    // What opens it may wait, and the tests wait for it.
    let opened = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        // For whom is written what is written for nobody else.
        let own = Replica((orderhook::system::seed() >> 2).cast_signed());
        runtime.block_on(orderhook::store::open(&settings, own, &ids, clock, Arc::default()))
    });
    opened.join().expect("an opened store, or an error")
}
