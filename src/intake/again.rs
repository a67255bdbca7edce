//! What a person has done once more with an order: its last event to one channel, or the rest of its chain.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::domain::event::EventStep;
use crate::domain::{DeliveryId, DeliveryStatus, Event, OrderStatus, Origin, StepStatus, Subject};
use crate::routing::NoDelivery;
use crate::store::{Answer, OrderDetail, StoreError};

use super::{Intake, OrderView};

/// Why nothing is done once more.
#[derive(Debug, thiserror::Error)]
pub enum NotAgain {
    /// The channel is not configured.
    #[error("no channel {0:?} is configured")]
    NoChannel(String),
    /// The channel is switched off.
    #[error("the channel {0} is switched off in the configuration (enabled: false)")]
    ChannelOff(String),
    /// The order has nothing for the channel.
    #[error("this order makes no delivery for {channel}: {why}")]
    Nothing {
        channel: String,
        /// Why not.
        why: String,
    },
    /// Only a rejected order has a step to go on at.
    #[error("the order is {0}; only a rejected one can be run again")]
    NotRejected(OrderStatus),
    /// It was rejected before any step.
    #[error("no step of a chain rejected this order; send it again")]
    NoFailedStep,
    /// The configuration has no such chain or step any more.
    #[error("the chain {chain:?} with the step {step:?}, at which the order failed, is not configured")]
    NoStep {
        /// The chain that the order ran through.
        chain: String,
        /// The step that rejected it.
        step: String,
    },
    /// The service is stopping.
    #[error("the service is shutting down")]
    Stopping,
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Intake {
    /// Makes the order's last event once more, for that channel alone, whatever its conditions. Returns the deliveries.
    pub async fn deliver(&self, order: &OrderDetail, channel: &str) -> Result<Vec<DeliveryId>, NotAgain> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(NotAgain::Stopping);
        }
        let event = Arc::new(self.last_event(order));
        let deliveries = self.router.deliver_to(channel, &event, self.clock.now()).map_err(|none| {
            let channel = channel.to_owned();
            match none {
                NoDelivery::Unknown => NotAgain::NoChannel(channel),
                NoDelivery::Disabled => NotAgain::ChannelOff(channel),
                NoDelivery::Nothing(why) => {
                    let why = why.unwrap_or_else(|| "none of its products match".to_owned());
                    NotAgain::Nothing { channel, why }
                }
            }
        })?;
        let ids = deliveries.iter().map(|delivery| delivery.id).collect();
        self.store.queue.insert(deliveries).await?;
        Ok(ids)
    }

    /// The event of where the order is now. It has the id that an earlier delivery of it has, so that a receiver knows it
    /// again.
    fn last_event(&self, order: &OrderDetail) -> Event {
        let summary = &order.summary;
        let (kind, at) = match summary.status {
            OrderStatus::Processing => ("order.received", None),
            OrderStatus::Completed => ("order.completed", summary.ended_at),
            OrderStatus::Rejected => ("order.rejected", summary.ended_at),
        };
        let earlier = order.deliveries.iter().rev().find(|delivery| &*delivery.event.1 == kind);
        let failed = order.steps.iter().rev().find(|step| step.critical && step.status == StepStatus::Failed);
        let received = summary.status == OrderStatus::Processing;
        Event {
            id: earlier.map_or_else(|| self.ids.next(), |delivery| delivery.event.0),
            kind: Arc::from(kind),
            at: at.unwrap_or(summary.received_at),
            subject: Arc::new(subject(order)),
            context: if received { Arc::from("{}") } else { Arc::clone(&order.context) },
            step: failed.filter(|_| summary.status == OrderStatus::Rejected).map(|step| Arc::from(&*step.step)),
            steps: order.steps.iter().filter(|_| !received).map(EventStep::from).collect(),
        }
    }

    /// Lets a rejected order's chain go on at the step that failed. Returns the answer to the caller.
    pub async fn rerun(&self, order: &OrderDetail) -> Result<Answer, NotAgain> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(NotAgain::Stopping);
        }
        let summary = &order.summary;
        if summary.status != OrderStatus::Rejected {
            return Err(NotAgain::NotRejected(summary.status));
        }
        let (Some((failed, passed)), Some(chain)) = (order.steps.split_last(), summary.chain.clone()) else {
            return Err(NotAgain::NoFailedStep);
        };
        if !self.chains.has_step(&chain, &failed.step) {
            return Err(NotAgain::NoStep { chain, step: failed.step.clone() });
        }
        if !self.store.ledger.reopen(summary.id).await? {
            return Err(NotAgain::NotRejected(OrderStatus::Processing));
        }
        if let Err(error) = self.resume().await {
            tracing::warn!(order = %summary.id, %error, "the order could not be resumed yet, trying again");
        }
        let running = crate::domain::StepRecord {
            status: StepStatus::Running,
            code: None,
            error: None,
            duration_ms: 0,
            started_at: self.clock.now(),
            ..failed.clone()
        };
        let steps: Vec<_> = passed.iter().cloned().chain([running]).collect();
        let deliveries: Vec<(DeliveryId, Arc<str>, DeliveryStatus)> =
            order.deliveries.iter().map(|one| (one.id, Arc::clone(&one.channel), one.status)).collect();
        Ok(self.answering.order(&OrderView {
            subject: &subject(order),
            status: OrderStatus::Processing,
            context: &order.context,
            steps: &steps,
            deliveries: &deliveries,
            rejection: None,
        }))
    }
}

fn subject(order: &OrderDetail) -> Subject {
    let summary = &order.summary;
    Subject {
        origin: Origin::Order(summary.id),
        order_id: summary.order_id.clone(),
        kind: summary.kind.clone(),
        received_at: summary.received_at,
        chain: summary.chain.clone(),
        body: order.body.clone(),
        arrival: order.arrival.clone(),
    }
}
