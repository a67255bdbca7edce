//! Lists, searches, and single orders and deliveries.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::broadcast::Receiver;

use super::{Postgres, audit, backlog, cluster, details, failures, lists, settle};
use crate::domain::{DeliveryId, Timestamp};
use crate::store::{
    Act, Backlog, Cause, DeliveryDetail, DeliveryFilter, DeliverySummary, FailureCause, Happening, HeldKeys, History,
    OrderDetail, OrderFilter, OrderKey, OrderSummary, Page, Paged, Period, StoreError,
};

#[async_trait]
impl History for Postgres {
    async fn orders(&self, filter: OrderFilter, page: Page) -> Result<Paged<OrderSummary>, StoreError> {
        lists::orders(&self.loan().await?, &filter, page).await
    }

    async fn order(&self, key: OrderKey) -> Result<Option<OrderDetail>, StoreError> {
        details::order(&self.loan().await?, &key).await
    }

    async fn deliveries(&self, filter: DeliveryFilter, page: Page) -> Result<Paged<DeliverySummary>, StoreError> {
        lists::deliveries(&self.loan().await?, &filter, page).await
    }

    fn watch(&self) -> Option<Receiver<Arc<Happening>>> {
        Some(self.feed.watch())
    }

    async fn causes(&self, since: Option<Timestamp>) -> Result<Vec<FailureCause>, StoreError> {
        failures::causes(&self.loan().await?, since).await
    }

    async fn audited(&self, period: Period, page: Page) -> Result<Paged<Act>, StoreError> {
        audit::audited(&self.loan().await?, period, page).await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryDetail>, StoreError> {
        details::delivery(&self.loan().await?, id).await
    }

    async fn knows_channel(&self, name: &str) -> Result<bool, StoreError> {
        backlog::knows_channel(&self.loan().await?, name).await
    }

    async fn channel_causes(&self) -> Result<Vec<(Arc<str>, Cause)>, StoreError> {
        backlog::channel_causes(&self.loan().await?).await
    }

    async fn held(&self, channel: Arc<str>) -> Result<HeldKeys, StoreError> {
        backlog::held(&self.loan().await?, &channel).await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StoreError> {
        backlog::backlog(&self.loan().await?).await
    }

    async fn bytes(&self) -> Result<u64, StoreError> {
        backlog::bytes(&self.loan().await?).await
    }

    async fn replicas(&self) -> Result<u64, StoreError> {
        let loan = self.loan().await?;
        Ok(cluster::alive(loan.connection()?).await?.len() as u64)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.write(settle::Ping).await
    }
}
