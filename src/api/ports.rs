//! The traits by which the API reaches intake, the lanes and the reload. Its tests put stand-ins in their place.

use std::sync::Arc;

use async_trait::async_trait;

use crate::config::{Changes, Faults};
use crate::delivery::{ChannelOverview, Minutes};
use crate::domain::DeliveryId;
use crate::intake::{Answered, Incoming, Intake, NotAgain, PostedEvent, Refusal};
use crate::store::{Answer, Cause, Change, ChannelState, Lease, OrderDetail, StoreError};

/// Takes in orders and events. [`crate::intake::Intake`], or a stand-in for it.
#[async_trait]
pub trait Ingest: Send + Sync {
    /// An order, from its bytes to its answer.
    async fn order(&self, incoming: Incoming) -> Result<Answered, Refusal>;
    /// Events, all of them or none; `batch` says how they are answered.
    async fn events(&self, incoming: Incoming, events: Vec<PostedEvent>, batch: bool) -> Result<Answered, Refusal>;
    /// An order's last event once more, for one channel.
    async fn deliver(&self, order: &OrderDetail, channel: &str) -> Result<Vec<DeliveryId>, NotAgain>;
    /// A rejected order's chain from the step that failed.
    async fn rerun(&self, order: &OrderDetail) -> Result<Answer, NotAgain>;
}

/// The lanes, as far as the API has to do with them.
#[async_trait]
pub trait Lanes: Send + Sync {
    /// A delivery of this channel was changed in the store, under this lease. After a cancel, nothing of it starts once this
    /// returns.
    async fn changed(&self, channel: &str, change: Change, lease: Lease);
    /// Many deliveries of this channel are others in the store now: what its lane holds is claimed again.
    fn recall(&self, channel: &str);
    /// So many deliveries of this channel were changed.
    async fn changed_all(&self, channel: &str, change: Change, count: u64);
    /// Every channel that has a lane.
    fn overview(&self) -> Vec<ChannelOverview>;
    /// How a channel has fared in each of the last sixty minutes. `None`: it has no lane, or nobody has counted.
    fn minutes(&self, _channel: &str) -> Option<Minutes> {
        None
    }
    /// Stops a channel for a while. `None`: it has no lane. The state is kept in the store.
    async fn pause(&self, channel: &str, cause: Cause) -> Result<Option<ChannelState>, StoreError>;
    /// Lets a paused or disabled channel go on. `None`: it has no lane.
    async fn resume(&self, channel: &str, cause: Cause) -> Result<Option<ChannelState>, StoreError>;
    /// Whether the workers are alive.
    fn is_moving(&self) -> bool;
}

/// Takes up the configuration anew.
#[async_trait]
pub trait Reload: Send + Sync {
    /// Returns what has changed. A reload that removes the last token or most channels must be forced.
    async fn reload(&self, force: bool) -> Result<Changes, NotReloaded>;
}

/// Why the configuration before stays.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotReloaded {
    /// The new one is wrong, or changes what only a start takes up.
    #[error("{0}")]
    Wrong(#[from] Faults),
    /// The store did not say how channels are.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// The service is stopping.
    #[error("the service is shutting down")]
    Stopping,
}

#[async_trait]
impl Ingest for Arc<Intake> {
    async fn order(&self, incoming: Incoming) -> Result<Answered, Refusal> {
        Intake::order(self, incoming).await
    }

    async fn events(&self, incoming: Incoming, events: Vec<PostedEvent>, batch: bool) -> Result<Answered, Refusal> {
        Intake::events(self, incoming, events, batch).await
    }

    async fn deliver(&self, order: &OrderDetail, channel: &str) -> Result<Vec<DeliveryId>, NotAgain> {
        Intake::deliver(self, order, channel).await
    }

    async fn rerun(&self, order: &OrderDetail) -> Result<Answer, NotAgain> {
        Intake::rerun(self, order).await
    }
}

#[async_trait]
impl Lanes for crate::delivery::Lanes {
    async fn changed(&self, channel: &str, change: Change, lease: Lease) {
        Self::changed(self, channel, change, lease).await;
    }

    fn recall(&self, channel: &str) {
        Self::recall(self, channel);
    }

    async fn changed_all(&self, channel: &str, change: Change, count: u64) {
        Self::changed_all(self, channel, change, count).await;
    }

    fn overview(&self) -> Vec<ChannelOverview> {
        Self::overview(self)
    }

    fn minutes(&self, channel: &str) -> Option<Minutes> {
        Self::minutes(self, channel)
    }

    async fn pause(&self, channel: &str, cause: Cause) -> Result<Option<ChannelState>, StoreError> {
        Self::pause(self, channel, cause).await
    }

    async fn resume(&self, channel: &str, cause: Cause) -> Result<Option<ChannelState>, StoreError> {
        Self::resume(self, channel, cause).await
    }

    fn is_moving(&self) -> bool {
        Self::is_moving(self)
    }
}
