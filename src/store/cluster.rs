//! What replicas learn of each other.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ChannelState, Replica};
use crate::domain::{DeliveryId, Timestamp};

/// What a replica learns when it shows that it lives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heartbeat {
    /// The replicas that are alive, this one included, in an order that all of them share.
    pub alive: Vec<Replica>,
    /// How long from before the call nobody else takes what this replica holds; `None`: as long as the process lives.
    pub lease: Option<Duration>,
    /// The time by the store's clock, where it has one of its own.
    pub time: Option<Timestamp>,
}

/// What a replica has changed, for the lanes of the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// Deliveries of the channel that belong to nobody have become durable, the first of them due at that time.
    Waiting(Arc<str>, i64),
    /// No attempt under a lease older than this one is to begin.
    Cancelled(Arc<str>, DeliveryId, i64),
    /// The next attempt of a delivery is due now.
    Hastened(Arc<str>, DeliveryId),
    /// Many deliveries of the channel are others now.
    Changed(Arc<str>),
    /// The channel has another state.
    State(Arc<str>, ChannelState),
    /// The receiver of the channel fails: it is tried again at that time.
    BreakerOpened(Arc<str>, i64),
    /// It answers again.
    BreakerClosed(Arc<str>),
    /// Something may have been missed: what is known of channels is to be read again.
    Missed,
}
