//! The trait of what comes in: orders, events, and the journal of chains.

use async_trait::async_trait;

use super::{Acceptance, Answer, Interrupted, JournalEntry, Journaled, NewEvents, NewOrder, Replica, StoreError};
use crate::domain::OrderId;

/// Orders and events, made durable.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Makes an order durable, with its deliveries, in one commit. When this returns
    /// [`Acceptance::New`] the order is never lost, and its deliveries with a slot have been handed over.
    async fn accept_order(&self, order: NewOrder) -> Result<Acceptance, StoreError>;

    /// Makes events and their deliveries durable: all of them or none. No events at all leave nothing, not even a key.
    async fn accept_events(&self, events: NewEvents) -> Result<Acceptance, StoreError>;

    /// Records a step of an order's chain, and whatever comes with it, in one commit. Refused as
    /// [`StoreError::Fenced`] where the order no longer belongs to the replica.
    async fn journal(&self, entry: JournalEntry) -> Result<Journaled, StoreError>;

    /// Sets the first answer to an idempotency key, where none is recorded yet. Returns the answer on record: a caller
    /// gets that one, as each repetition does.
    async fn answer(&self, key: String, answer: Answer) -> Result<Answer, StoreError>;

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
