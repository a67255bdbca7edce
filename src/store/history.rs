//! The trait of reads: lists, searches and single orders and deliveries.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    Act, Backlog, Cause, DeliveryDetail, DeliveryFilter, DeliverySummary, FailureCause, Happening, HeldKeys,
    OrderDetail, OrderFilter, OrderKey, OrderSummary, Page, Paged, Period, StoreError,
};
use crate::domain::{DeliveryId, Timestamp};

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

    /// What [`Queue::audit`](super::Queue::audit) kept, newest first.
    async fn audited(&self, _period: Period, _page: Page) -> Result<Paged<Act>, StoreError> {
        Ok(Paged { data: Vec::new(), next: None, searched_back_to: None })
    }

    /// One delivery with all its attempts.
    async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryDetail>, StoreError>;

    /// Whether a channel of that name ever had a delivery or a state in this store.
    async fn knows_channel(&self, name: &str) -> Result<bool, StoreError>;

    /// Why channels are not enabled, as given to [`Queue::set_channel_state`](super::Queue::set_channel_state).
    async fn channel_causes(&self) -> Result<Vec<(Arc<str>, Cause)>, StoreError>;

    /// Which keys of an ordered channel hold deliveries back.
    async fn held(&self, channel: Arc<str>) -> Result<HeldKeys, StoreError>;

    /// For each channel with pending deliveries: how many, and since when the oldest of them is due.
    async fn backlog(&self) -> Result<Vec<Backlog>, StoreError>;

    /// How many bytes the store takes up.
    async fn bytes(&self) -> Result<u64, StoreError>;

    /// Returns how many replicas work on the store.
    async fn replicas(&self) -> Result<u64, StoreError> {
        Ok(1)
    }

    /// Whether the store answers and can write.
    async fn ping(&self) -> Result<(), StoreError>;
}
