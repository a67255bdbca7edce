//! What goes into a store and comes out of it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use crate::domain::{
    Attempt, DeliveryId, DeliveryStatus, Event, EventId, OrderId, OrderStatus, PreparedDelivery, Skip, StepRecord,
    Subject, Timestamp,
};

/// A process that works on a store. Chosen at random at each start, so that it never meets its own past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Replica(pub i64);

/// Room for a delivery in a lane's memory, given back when dropped. A new delivery that has one is leased and handed over.
pub type Slot = OwnedSemaphorePermit;

/// An order to be made durable.
#[derive(Debug)]
pub struct NewOrder {
    /// The order.
    pub subject: Arc<Subject>,
    /// The customer's e-mail in lower case, for searches.
    pub email: Option<String>,
    /// `Processing` while steps remain (it then belongs to `replica`), `Completed` where there are none.
    pub status: OrderStatus,
    /// The channels that got nothing of its completion; empty while processing.
    pub skipped: Vec<Skip>,
    /// Its first deliveries.
    pub deliveries: Vec<NewDelivery>,
    /// The caller's key, where it sent one.
    pub idempotency: Option<Idempotency>,
    /// What the caller signed, where it had to.
    pub signed: Option<SignedId>,
    /// Who accepted it.
    pub replica: Replica,
}

/// Events without an order, to be made durable together.
#[derive(Debug)]
pub struct NewEvents {
    /// Each with its deliveries.
    pub events: Vec<NewEvent>,
    /// The caller's key, where it sent one.
    pub idempotency: Option<Idempotency>,
    /// What the caller signed, where it had to.
    pub signed: Option<SignedId>,
    /// Who accepted them.
    pub replica: Replica,
}

/// An event without an order.
#[derive(Debug)]
pub struct NewEvent {
    pub event: Arc<Event>,
    pub deliveries: Vec<NewDelivery>,
    /// The key of the sender's id for it, where it counts once for that. Its answer is that of this event alone.
    pub own_id: Option<Idempotency>,
}

/// The `webhook-id` of a signed request, which is taken once while the signature may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedId {
    pub id: String,
    /// Until when the signature holds.
    pub until: Timestamp,
}

/// A caller's `Idempotency-Key`.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// The key, within the endpoint and the caller it counts for.
    pub key: String,
    /// SHA-256 of the request's body.
    pub digest: [u8; 32],
    /// The answer, where it is known at once.
    pub answer: Option<Answer>,
}

/// An answer as it went to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The `Location` header, where there was one.
    pub location: Option<String>,
    pub body: Bytes,
}

/// What became of an order or event that was to be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acceptance {
    /// It is durable.
    New,
    /// The key was used before with the same body; this was the answer.
    Replay(Answer),
    /// The key was used before with the same body, and has no answer yet.
    UnderWay,
    /// The key was used before with another body.
    Mismatch,
    /// Nothing was made durable: the events at these positions were accepted before, each with the answer it got. To be
    /// asked again without them.
    Known(Vec<(usize, Answer)>),
    /// Nothing was made durable: the own id of the event at this position was used before for another one.
    OwnIdMismatch(usize),
    /// Nothing was made durable: a request with this `webhook-id` was accepted before.
    SignedBefore,
    /// Nothing was made durable: these channels had their one-off before, or get it of an earlier event of the same
    /// call. To be asked again without them.
    OnceConflict(OnceConflict),
}

/// A delivery to be made durable.
#[derive(Debug)]
pub struct NewDelivery {
    pub id: DeliveryId,
    /// Its channel's name.
    pub channel: Arc<str>,
    /// What happened.
    pub event: Arc<Event>,
    /// What it carries of the event, where that is not all of it.
    pub prepared: Option<Arc<PreparedDelivery>>,
    /// What makes it a one-off, together with the others of its channel and event.
    pub once: Option<Arc<Once>>,
    /// When its first attempt is due.
    pub due_at: Timestamp,
    /// The key within whose line an ordered channel sends it; `None`: it is sent alone.
    pub ordering_key: Option<Arc<str>>,
    /// When it is late, where its channel makes a promise.
    pub promised_at: Option<Timestamp>,
    /// Room in its lane. With one, the delivery is inserted as leased to the replica, and handed over once durable.
    pub slot: Option<Slot>,
}

/// What makes the deliveries of an event to a channel a one-off: a channel gets one event for each value, for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    pub value: String,
    /// Whether these deliveries use it up, or only must not come behind those that did.
    pub takes: bool,
}

/// Channels that already had their one-off, each with the later event.
pub type OnceConflict = Vec<(Arc<str>, EventId)>;

/// A delivery that belongs to this replica.
#[derive(Debug)]
pub struct Leased {
    pub id: DeliveryId,
    /// Its channel's name.
    pub channel: Arc<str>,
    /// What happened.
    pub event: Arc<Event>,
    /// What it carries of the event, where that is not all of it.
    pub prepared: Option<Arc<PreparedDelivery>>,
    /// When it is due.
    pub due_at: Timestamp,
    /// Attempts made, over all rounds.
    pub attempts: u32,
    /// Attempts made before the present round.
    pub round_start: u32,
    /// The number of the lease.
    pub lease: i64,
    /// Room in its lane; `None` for one that was claimed.
    pub slot: Option<Slot>,
}

impl Leased {
    /// The lease by which it belongs to this replica.
    pub fn lease(&self) -> Lease {
        Lease { delivery: self.id, number: self.lease }
    }
}

/// A lease of a delivery. The store raises the number at each lease, cancel and retry: what names an older one is fenced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    pub delivery: DeliveryId,
    /// The lease's number.
    pub number: i64,
}

/// A step, and what comes with it. All in one commit.
#[derive(Debug)]
pub struct JournalEntry {
    /// Whose work it is.
    pub replica: Replica,
    pub order: OrderId,
    /// The steps to be recorded with their positions in the journal, from 0.
    pub steps: Vec<(u32, StepRecord)>,
    /// The order's context from the last of these steps on, a JSON object as text; `None` leaves it.
    pub context: Option<Arc<str>>,
    /// Deliveries of `order.step_failed`, and of the order's end.
    pub deliveries: Vec<NewDelivery>,
    /// The order's end, with its last step.
    pub end: Option<OrderEnd>,
    /// The first answer to the order's idempotency key, where it has one and the answer is known now.
    pub answer: Option<(String, Answer)>,
}

/// What became of a journal entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Journaled {
    /// It is durable.
    Done,
    /// Nothing was written, as in [`Acceptance::OnceConflict`].
    OnceConflict(OnceConflict),
}

/// How an order ended.
#[derive(Debug, Clone)]
pub struct OrderEnd {
    /// `Completed` or `Rejected`.
    pub status: OrderStatus,
    /// When.
    pub at: Timestamp,
    /// The channels that got nothing of it.
    pub skipped: Vec<Skip>,
}

/// An order whose chain was interrupted.
#[derive(Debug, Clone)]
pub struct Interrupted {
    /// The order.
    pub subject: Arc<Subject>,
    /// Its context so far.
    pub context: Arc<str>,
    /// Its journaled steps, in order.
    pub steps: Vec<StepRecord>,
    /// Its idempotency key, where it has one without an answer.
    pub unanswered: Option<String>,
    /// How often it has been taken up again, this time included.
    pub resumed: u32,
}

/// A finished attempt, and what becomes of its delivery.
#[derive(Debug)]
pub struct Finished {
    /// The lease under which it was made: the fence.
    pub lease: Lease,
    pub attempt: Attempt,
    /// What becomes of the delivery.
    pub next: Next,
    /// Whether a failure holds the delivery's ordering key.
    pub holds_key: bool,
    /// Deliveries that it causes: of `delivery.failed`, or the mail of an accepted response. They wait in the store; none
    /// has a slot.
    pub deliveries: Vec<NewDelivery>,
}

impl Finished {
    /// About how many bytes it takes until it is recorded.
    pub fn bytes(&self) -> usize {
        let exchange = &self.attempt.exchange;
        let body = &exchange.request_body;
        let request = body.head.len() + body.spliced.as_ref().map_or(0, Bytes::len);
        1024 + request + exchange.response_body.len() + 512 * self.deliveries.len()
    }
}

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It has ended.
    End(DeliveryStatus),
    /// It is tried again at that time and waits in the store.
    Wait(Timestamp),
    /// It is tried again at that time and stays with the replica, under the next lease number.
    Keep(Timestamp),
}

/// Whether a result was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It counts.
    Done,
    /// The delivery had moved on: cancelled, or leased to another replica.
    Fenced,
}
