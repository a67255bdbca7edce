//! What happens in a store, for those who watch.

use std::sync::Arc;

use super::changes::{Cause, Change, ChannelState};
use crate::domain::{Code, DeliveryId, DeliveryStatus, OrderId, OrderStatus, Outcome, Timestamp};

/// Something that has just become durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// An order was accepted, or has ended.
    Order {
        /// When.
        at: Timestamp,
        id: OrderId,
        /// Its own id.
        order_id: String,
        /// Its type.
        kind: String,
        /// Its status now.
        status: OrderStatus,
    },
    /// An attempt has ended.
    Attempt {
        /// When it ended.
        at: Timestamp,
        delivery: DeliveryId,
        channel: Arc<str>,
        /// The order's own id, where there is an order.
        order_id: Option<String>,
        /// The attempt's number.
        number: u32,
        code: Code,
        outcome: Outcome,
        /// What went wrong.
        error: Option<String>,
        /// How long it took, in milliseconds.
        duration_ms: u64,
        /// The delivery's status now.
        status: DeliveryStatus,
        /// When the next attempt is due.
        next_attempt_at: Option<Timestamp>,
    },
    /// Somebody changed a delivery.
    Delivery {
        delivery: DeliveryId,
        channel: Arc<str>,
        /// What was done.
        act: Change,
        /// Its status now.
        status: DeliveryStatus,
        /// By whom, when and why.
        cause: Cause,
    },
    /// Somebody changed many deliveries.
    Deliveries {
        /// What was done.
        act: Change,
        /// How many.
        count: u64,
        /// By whom, when and why.
        cause: Cause,
    },
    /// A channel has another state.
    Channel {
        channel: Arc<str>,
        /// Its state now.
        state: ChannelState,
        /// By whom, when and why.
        cause: Cause,
    },
}

impl Happening {
    /// The channel that it is about, if it is about one.
    pub fn channel(&self) -> Option<&str> {
        match self {
            Self::Attempt { channel, .. } | Self::Delivery { channel, .. } | Self::Channel { channel, .. } => {
                Some(channel)
            }
            Self::Order { .. } | Self::Deliveries { .. } => None,
        }
    }
}
