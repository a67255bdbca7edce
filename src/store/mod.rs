//! Where orders live: three traits by who uses them, and the backends behind them.
//!
//! - [`Ledger`]: orders and events come in, steps are journaled, an interrupted chain is taken up again.
//! - [`Queue`]: deliveries are claimed, their attempts recorded, put back, cancelled.
//! - [`History`]: pages and finds, for the API and the dashboard.
//!
//! Nothing here assumes that one process alone works on a store. Work belongs to a [`Replica`], which must show
//! signs of life; what a silent replica held moves on ([`Queue::release_expired`]), and what it still tries to write
//! is refused ([`StoreError::Fenced`], [`Recorded::Fenced`]).
//!
//! To add a backend: implement the three traits, open it in [`open`] by its URL's scheme, and run
//! `tests/it/store_contract.rs` on it.

mod acts;
mod claims;
mod error;
mod happenings;
mod listed;
pub mod sqlite;
mod types;

use std::sync::Arc;

use async_trait::async_trait;

pub use acts::{Act, Period};
pub use claims::{Claim, NextDue, Run, Which};
pub use error::StoreError;
pub use happenings::Happening;
pub use listed::*;
pub use sqlite::Archive;
pub use types::*;

use crate::config::settings;
use crate::domain::{AfterFailure, Clock, DeliveryId, IdSource, OrderId, Timestamp};
use crate::telemetry::metrics::Metrics;

/// A store's three faces. One object implements all of them.
#[derive(Clone)]
pub struct Store {
    /// Orders and events coming in.
    pub ledger: Arc<dyn Ledger>,
    /// Deliveries going out.
    pub queue: Arc<dyn Queue>,
    /// What was.
    pub history: Arc<dyn History>,
}

/// Opens the store that the settings name, and makes it ready: created or migrated, and free of what a process that is
/// gone had leased. Every further id of `ids` is greater than any in the store. Commits are counted in
/// `metrics`. Blocks while it does.
pub fn open(
    settings: &settings::Store,
    ids: &IdSource,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
) -> Result<Store, StoreError> {
    match settings.url.split_once("://") {
        Some(("sqlite", path)) if !path.is_empty() => {
            let options = sqlite::Options { max_size: settings.max_size, ..sqlite::Options::new(path) };
            sqlite::open(&options, ids, clock, metrics)
        }
        _ => {
            // What stands behind the scheme may hold a password.
            let scheme = settings.url.split(':').next().unwrap_or_default();
            Err(StoreError::Unavailable(format!("store.url must be sqlite://PATH, not {scheme}:…")))
        }
    }
}

/// Copies the store that the settings name to the file `to`, which must not exist, while a service may work on it. Returns
/// the bytes of the copy.
pub fn backup(settings: &settings::Store, to: &std::path::Path) -> Result<u64, StoreError> {
    match settings.url.split_once("://") {
        Some(("sqlite", path)) if !path.is_empty() => sqlite::backup(std::path::Path::new(path), to),
        _ => Err(StoreError::Unavailable("only a store of sqlite://PATH can be copied".to_owned())),
    }
}

impl Store {
    /// As [`Queue::close`].
    pub async fn close(&self) {
        self.queue.close().await;
    }
}

/// Takes deliveries that have just become durable and belong to this replica, in the order in which they did.
/// Called from the store's writer: must not block.
pub trait Handover: Send + Sync {
    /// Takes them.
    fn hand_over(&self, deliveries: Vec<Leased>);

    /// A delivery of that channel has just become durable that belongs to nobody and is due at `due_at`.
    fn waiting(&self, channel: &str, due_at: Timestamp);
}

/// Orders and events, made durable.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Makes an order durable, with the deliveries that are born with it, in one commit. When this returns
    /// [`Acceptance::New`] the order is never lost, and its deliveries with a slot have been handed over.
    async fn accept_order(&self, order: NewOrder) -> Result<Acceptance, StoreError>;

    /// Makes events and their deliveries durable: all of them or none. No events at all leave nothing, not even a key.
    async fn accept_events(&self, events: NewEvents) -> Result<Acceptance, StoreError>;

    /// Records a step of an order's chain, and whatever comes with it, in one commit. Refused as
    /// [`StoreError::Fenced`] where the order no longer belongs to the replica.
    async fn journal(&self, entry: JournalEntry) -> Result<Journaled, StoreError>;

    /// Sets the first answer to an idempotency key, where none is recorded yet.
    async fn answer(&self, key: String, answer: Answer) -> Result<(), StoreError>;

    /// Lists the chains of orders that are `processing` and belong to nobody alive, each with its number of orders.
    async fn interrupted(&self) -> Result<Vec<(String, u64)>, StoreError>;

    /// Takes up to `limit` orders of a chain that are `processing` and belong to nobody alive, oldest first; they now
    /// belong to `replica`.
    async fn resume(&self, replica: Replica, chain: &str, limit: usize) -> Result<Vec<Interrupted>, StoreError>;

    /// Makes a rejected order `processing` again, without the record of its last step, so that [`Ledger::resume`] finds
    /// it. Returns `false` where the order is not rejected.
    async fn reopen(&self, order: OrderId) -> Result<bool, StoreError>;

    /// Gives an order back before its next step, to be resumed when there is a permit for it. It does not count as
    /// interrupted by that.
    async fn give_up(&self, replica: Replica, order: OrderId) -> Result<(), StoreError>;
}

/// Deliveries, on their way.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Names who takes the deliveries born with a slot. Until then they are inserted as waiting.
    fn connect(&self, handover: Arc<dyn Handover>);

    /// Makes known a replica that is alive until `until`, and goes on living by being called again.
    async fn heartbeat(&self, replica: Replica, until: Timestamp) -> Result<(), StoreError>;

    /// Frees the orders and deliveries of replicas that have been silent past their time. Returns how many.
    async fn release_expired(&self, now: Timestamp) -> Result<u64, StoreError>;

    /// Takes deliveries of a channel that are due at `now` and belong to nobody, the longest due first; they now
    /// belong to `replica`. At most `limit`, and no more than `max_bytes` of order bodies but for the first.
    async fn claim(&self, claim: Claim) -> Result<Vec<Leased>, StoreError>;

    /// The same as a run of the channel's schedule begins, which goes on record in the same commit: so it begins once,
    /// whatever becomes of the process. `Ok(None)`: the last run on record is another one, and nothing is taken.
    async fn begin_run(&self, run: Run, claim: Claim) -> Result<Option<Vec<Leased>>, StoreError>;

    /// When the last run of a channel's schedule began. Where none is on record, `or` goes on record as one.
    async fn last_run(&self, channel: Arc<str>, or: Timestamp) -> Result<Timestamp, StoreError>;

    /// When the next waiting delivery of a channel is due, first attempts and retries apart.
    async fn next_due(&self, channel: Arc<str>) -> Result<NextDue, StoreError>;

    /// Records attempts and what becomes of their deliveries, all in one commit; answers for each, in order.
    /// A result under an older lease than the delivery's is fenced: its attempt is kept in the history, the delivery is left
    /// alone (but for its count of attempts, where it has ended: a further round does not give the number away). An
    /// attempt whose number is taken gets the next free one.
    async fn record(&self, finished: Arc<Vec<Finished>>) -> Result<Vec<Recorded>, StoreError>;

    /// Puts deliveries back as waiting, as they were, without an attempt (a stop, a paused or removed channel).
    /// Those whose lease has an older number are left alone.
    async fn put_back(&self, leases: Vec<Lease>) -> Result<(), StoreError>;

    /// Makes deliveries durable that belong to no new order: the product's own events. They wait in the store, and
    /// slots are given back. A one-off that its channel had before is left out, here and in [`Queue::record`].
    async fn insert(&self, deliveries: Vec<NewDelivery>) -> Result<(), StoreError>;

    /// Ends, settles or restarts one delivery. `Ok(None)`: there is none of that id.
    async fn change(&self, delivery: DeliveryId, change: Change, cause: Cause) -> Result<Option<Changed>, StoreError>;

    /// Changes every delivery that the filter takes and the change allows, in groups of commits. With `dry_run` it
    /// changes nothing, counts them and shows the newest three.
    async fn change_all(
        &self,
        filter: DeliveryFilter,
        change: Change,
        cause: Cause,
        dry_run: bool,
    ) -> Result<BulkChanged, StoreError>;

    /// Removes finished orders and events that came in before `before` and have no open delivery, and their
    /// deliveries with them, in groups. Returns how many orders and events.
    async fn remove_finished(&self, before: Timestamp) -> Result<u64, StoreError>;

    /// Keeps a channel's run-time state, and its cause unless the state is `enabled`, in one commit with the deliveries of the
    /// event that goes with it; their slots are given back.
    async fn set_channel_state(
        &self,
        channel: Arc<str>,
        state: ChannelState,
        cause: Cause,
        deliveries: Vec<NewDelivery>,
    ) -> Result<(), StoreError>;

    /// Makes deliveries go by what a channel's `ordering` has become: with `None` all leave the lines of their keys, with
    /// [`AfterFailure::Continue`] those whose failure holds a key. Others are not concerned.
    async fn set_ordering(&self, channel: Arc<str>, after_failure: Option<AfterFailure>) -> Result<(), StoreError>;

    /// Returns up to `limit` deliveries that have broken their channel's promise and are not marked as late yet, the longest
    /// overdue first.
    async fn overdue(&self, now: Timestamp, limit: usize) -> Result<Vec<DeliverySummary>, StoreError>;

    /// Marks deliveries as late and inserts the deliveries of the events about that, in one commit, each once: where another
    /// call has marked one of them meanwhile, nothing is inserted. Returns those that this call has marked.
    async fn mark_late(
        &self,
        now: Timestamp,
        late: Vec<DeliveryId>,
        deliveries: Vec<NewDelivery>,
    ) -> Result<Vec<DeliveryId>, StoreError>;

    /// Gives the pending deliveries of a channel that belong to no replica to another channel. Returns how many.
    async fn move_pending(&self, from: Arc<str>, to: Arc<str>, cause: Cause) -> Result<u64, StoreError>;

    /// Keeps a change that a caller made, as of now. A store for one run need not.
    async fn audit(&self, _act: Act) -> Result<(), StoreError> {
        Ok(())
    }

    /// Removes what [`Queue::audit`] kept before that time. Returns how many.
    async fn remove_audited(&self, _before: Timestamp) -> Result<u64, StoreError> {
        Ok(0)
    }

    /// Keeps how channels fare, each as a text of the lanes' own. A store for one run need not.
    async fn keep_health(&self, _health: Vec<(Arc<str>, String)>) -> Result<(), StoreError> {
        Ok(())
    }

    /// Returns what was last kept of how channels fare.
    async fn health(&self) -> Result<Vec<(Arc<str>, String)>, StoreError> {
        Ok(Vec::new())
    }

    /// Returns at how many ends of the process, none of which closed the store, a delivery was under way without an attempt that
    /// ended since. Reads no file. A store for one run knows of none.
    fn crashes(&self, _delivery: DeliveryId) -> u32 {
        0
    }

    /// Marks that an attempt of a delivery begins that was under way when the process died.
    async fn begin_suspect(&self, _delivery: DeliveryId) -> Result<(), StoreError> {
        Ok(())
    }

    /// Marks that the attempt has ended, whatever it came to: the delivery is no longer counted.
    async fn clear_suspect(&self, _delivery: DeliveryId) -> Result<(), StoreError> {
        Ok(())
    }

    /// The states kept, of channels that are not simply enabled.
    async fn channel_states(&self) -> Result<Vec<(Arc<str>, ChannelState)>, StoreError>;

    /// Random bytes that were made with the store and never change: the same for every replica and after every
    /// start. What is derived from them is in no other store.
    async fn secret(&self) -> Result<[u8; 32], StoreError>;

    /// Finishes what was asked for so far, and gives the store up: every further call answers
    /// [`StoreError::Closed`]. A store with nothing of its own to finish need not do anything.
    async fn close(&self) {}
}

/// What was: pages and finds.
#[async_trait]
pub trait History: Send + Sync {
    /// Orders, newest first.
    async fn orders(&self, filter: OrderFilter, page: Page) -> Result<Paged<OrderSummary>, StoreError>;

    /// One order with all that is known of it.
    async fn order(&self, key: OrderKey) -> Result<Option<OrderDetail>, StoreError>;

    /// Deliveries, newest first.
    async fn deliveries(&self, filter: DeliveryFilter, page: Page) -> Result<Paged<DeliverySummary>, StoreError>;

    /// Watches what becomes durable from now on; one that falls far behind misses some. `None`: the store shows nothing.
    fn watch(&self) -> Option<tokio::sync::broadcast::Receiver<Arc<Happening>>> {
        None
    }

    /// Why deliveries that have failed or were rejected did, the causes of most deliveries first: those that came in since a
    /// time, or all.
    async fn causes(&self, _since: Option<Timestamp>) -> Result<Vec<FailureCause>, StoreError> {
        Ok(Vec::new())
    }

    /// What [`Queue::audit`] kept, newest first.
    async fn audited(&self, _period: Period, _page: Page) -> Result<Paged<Act>, StoreError> {
        Ok(Paged { data: Vec::new(), next: None, searched_back_to: None })
    }

    /// One delivery with all its attempts.
    async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryDetail>, StoreError>;

    /// Whether a channel of that name ever had a delivery or a state in this store.
    async fn knows_channel(&self, name: &str) -> Result<bool, StoreError>;

    /// Why channels are not enabled, as given to [`Queue::set_channel_state`].
    async fn channel_causes(&self) -> Result<Vec<(Arc<str>, Cause)>, StoreError>;

    /// Which keys of an ordered channel hold deliveries back.
    async fn held(&self, channel: Arc<str>) -> Result<HeldKeys, StoreError>;

    /// For each channel with pending deliveries: how many, and since when the oldest of them is due.
    async fn backlog(&self) -> Result<Vec<Backlog>, StoreError>;

    /// How many bytes the store takes up.
    async fn bytes(&self) -> Result<u64, StoreError>;

    /// Whether the store answers and can write.
    async fn ping(&self) -> Result<(), StoreError>;
}
