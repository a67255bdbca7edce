//! What is asked of a store's history, and what it answers: filters, pages, orders and deliveries as they are shown.

use std::sync::Arc;

use bytes::Bytes;

use crate::domain::{
    Arrival, Attempt, Code, Codes, DeliveryId, DeliveryStatus, EventId, OrderId, OrderStatus, PreparedDelivery, Skip,
    StepRecord, Timestamp,
};

use super::changes::Verdict;

/// A part of a list: what comes behind a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Entries at most.
    pub limit: usize,
    /// The [`crate::domain::ids::Id::sequence`] of the last entry seen; the page holds older ones.
    /// Below zero, in a text search: every order whose id or e-mail is the text has been shown; the page holds those
    /// before the key, negated, that have the text in their bodies.
    pub before: Option<i64>,
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct Paged<T> {
    /// The entries.
    pub data: Vec<T>,
    /// The cursor of the next page, where there is one. A page may be short of `limit` and still have one: a
    /// filter that takes few of many looks at a bounded number of rows at a time.
    pub next: Option<i64>,
    /// In a text search with a further page: how far back bodies were searched, if any were.
    pub searched_back_to: Option<Timestamp>,
}

/// Which orders. Nothing set: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// Of one of these statuses; empty: of any.
    pub status: Vec<OrderStatus>,
    /// Of that type.
    pub kind: Option<String>,
    /// With that id: the order's own, or `ord_…`.
    pub order_id: Option<String>,
    /// With this text as the order's id or the customer's e-mail, or anywhere in the body.
    pub q: Option<String>,
    /// Received at that time or later.
    pub since: Option<Timestamp>,
    /// Received before that time.
    pub until: Option<Timestamp>,
}

/// Which deliveries. Nothing set: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Of one of these statuses; empty: of any.
    pub status: Vec<DeliveryStatus>,
    /// Of that channel.
    pub channel: Option<String>,
    /// Of the orders with that id: the order's own, or `ord_…`.
    pub order_id: Option<String>,
    /// Whose last attempt had one of these codes; empty: any.
    pub code: Vec<Codes>,
    /// That failed by the cause of that number ([`FailureCause`]).
    pub cause: Option<i64>,
    /// That have broken their channel's promise, or have not; `None`: all.
    pub late: Option<bool>,
    /// Of orders and events with this text, as in [`OrderFilter`]; or with that id.
    pub q: Option<String>,
    /// Created at that time or later.
    pub since: Option<Timestamp>,
    /// Created before that time.
    pub until: Option<Timestamp>,
}

/// How an order is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderKey {
    /// By `ord_…`.
    Id(OrderId),
    /// By its own id; of several the newest.
    Own(String),
}

/// An order in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderSummary {
    pub id: OrderId,
    /// Its own id, or the server's.
    pub order_id: String,
    /// Its type.
    pub kind: String,
    /// Where it is on its way.
    pub status: OrderStatus,
    pub chain: Option<String>,
    /// When it came in.
    pub received_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// An order with all that is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderDetail {
    /// As in a list.
    pub summary: OrderSummary,
    /// The bytes received.
    pub body: Bytes,
    /// What the request brought along.
    pub arrival: Option<Arc<Arrival>>,
    /// Its context, a JSON object as text.
    pub context: Arc<str>,
    /// Its journaled steps, in order.
    pub steps: Vec<StepRecord>,
    /// Its deliveries, oldest first.
    pub deliveries: Vec<DeliverySummary>,
    /// The channels that got nothing of its end.
    pub skipped: Vec<Skip>,
    /// Earlier orders with the same own id, newest first; the newest twenty.
    pub same_id: Vec<OrderId>,
}

/// A delivery in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliverySummary {
    pub id: DeliveryId,
    pub channel: Arc<str>,
    /// Where it is on its way.
    pub status: DeliveryStatus,
    /// The event's id and type.
    pub event: (EventId, Arc<str>),
    /// The order, where there is one.
    pub order: Option<OrderId>,
    /// The order's own id.
    pub order_id: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it ended, or was last tried.
    pub updated_at: Timestamp,
    /// Attempts made.
    pub attempts: u32,
    /// When the next attempt is due, while it is pending.
    pub next_attempt_at: Option<Timestamp>,
    /// The code of the last attempt.
    pub last_code: Option<Code>,
    /// The key within whose line its channel sends it.
    pub ordering_key: Option<String>,
    /// Whether it has broken its channel's promise.
    pub late: bool,
    /// What it carries of the event, where that is not all of it.
    pub prepared: Option<Arc<PreparedDelivery>>,
}

/// A delivery with all its attempts, their request bodies whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryDetail {
    /// As in a list.
    pub summary: DeliverySummary,
    /// Its attempts, in order.
    pub attempts: Vec<Attempt>,
    /// What people and the receiver did to it, in order; the newest hundred.
    pub verdicts: Vec<Verdict>,
}

/// What a bulk change did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BulkChanged {
    /// How many deliveries.
    pub count: u64,
    /// Their channels, and how many of each.
    pub channels: Vec<(Arc<str>, u64)>,
    /// The newest three of them; after a dry run only.
    pub examples: Vec<DeliverySummary>,
}

/// Why deliveries of a channel failed or were rejected: the same code and a like response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureCause {
    /// Its number, by which [`DeliveryFilter::cause`] finds its deliveries.
    pub id: i64,
    pub channel: Arc<str>,
    /// The code of the last attempt, where one was made.
    pub code: Option<Code>,
    /// The response or error without ids and numbers.
    pub likeness: String,
    /// How many deliveries.
    pub count: u64,
    /// Whether there are more than were counted.
    pub more: bool,
    /// When the first of them failed.
    pub first_at: Timestamp,
    /// When the last one did.
    pub last_at: Timestamp,
    /// The newest of them.
    pub example: DeliveryId,
}

/// A channel's pending deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    pub channel: Arc<str>,
    /// How many.
    pub pending: u64,
    /// The earliest time at which one of them is, or was, due.
    pub oldest_due: Option<Timestamp>,
}

/// What the keys of an ordered channel hold back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeldKeys {
    /// Deliveries that wait for another one with their key; counted up to [`HeldKeys::MOST`].
    pub deliveries: u64,
    /// Keys that a failed or rejected delivery holds; counted up to [`HeldKeys::MOST`].
    pub keys: u64,
    /// The oldest of these, at most [`HeldKeys::SHOWN`].
    pub behind: Vec<HeldKey>,
}

/// A key that a failure holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldKey {
    pub key: String,
    /// The delivery that failed.
    pub delivery: DeliveryId,
    /// Deliveries that wait for it; counted up to [`HeldKeys::MOST`].
    pub waiting: u64,
}

impl HeldKeys {
    /// Where counting ends.
    pub const MOST: u64 = 10_000;
    /// Keys that are shown.
    pub const SHOWN: usize = 20;
}
