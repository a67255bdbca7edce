//! What the API reaches of intake and the lanes.

use std::sync::Arc;

use async_trait::async_trait;

use crate::api::{self, ChannelOverview};
use crate::delivery::{self, Lanes, Minutes};
use crate::domain::DeliveryId;
use crate::intake::{Answered, Incoming, Intake, NotAgain, PostedEvent, Refusal};
use crate::store::{Answer, Cause, Change, ChannelState, Lease, OrderDetail, StoreError};

/// Takes in orders and events by one configuration.
pub(super) struct Door(pub(super) Arc<Intake>);

#[async_trait]
impl api::Ingest for Door {
    async fn order(&self, incoming: Incoming) -> Result<Answered, Refusal> {
        self.0.order(incoming).await
    }

    async fn events(&self, incoming: Incoming, events: Vec<PostedEvent>, batch: bool) -> Result<Answered, Refusal> {
        self.0.events(incoming, events, batch).await
    }

    async fn deliver(&self, order: &OrderDetail, channel: &str) -> Result<Vec<DeliveryId>, NotAgain> {
        self.0.deliver(order, channel).await
    }

    async fn rerun(&self, order: &OrderDetail) -> Result<Answer, NotAgain> {
        self.0.rerun(order).await
    }
}

/// The lanes.
pub(super) struct Ways(pub(super) Arc<Lanes>);

#[async_trait]
impl api::Lanes for Ways {
    async fn changed(&self, channel: &str, change: Change, lease: Lease) {
        self.0.changed(channel, change, lease).await;
    }

    fn recall(&self, channel: &str) {
        self.0.recall(channel);
    }

    async fn changed_all(&self, channel: &str, change: Change, count: u64) {
        self.0.changed_all(channel, change, count).await;
    }

    fn overview(&self) -> Vec<ChannelOverview> {
        let overview = |lane: delivery::Overview| ChannelOverview {
            channel: lane.channel,
            state: lane.state,
            lane: lane.lane,
            attempts: lane.rates.attempts,
            success_rate: lane.rates.success_rate,
            mean_ms: lane.rates.mean_ms,
            health: lane.health,
        };
        self.0.overview().into_iter().map(overview).collect()
    }

    fn minutes(&self, channel: &str) -> Option<Minutes> {
        self.0.minutes(channel)
    }

    async fn pause(&self, channel: &str, cause: Cause) -> Result<Option<ChannelState>, StoreError> {
        self.0.pause(channel, cause).await
    }

    async fn resume(&self, channel: &str, cause: Cause) -> Result<Option<ChannelState>, StoreError> {
        self.0.resume(channel, cause).await
    }

    fn is_moving(&self) -> bool {
        self.0.is_moving()
    }
}
