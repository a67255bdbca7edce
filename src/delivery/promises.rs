//! Deliveries that have not come to an accepted end within their channel's `promise`.

use std::sync::Arc;

use crate::domain::Timestamp;
use crate::domain::event::is_own;
use crate::store::{DeliverySummary, NewDelivery, StoreError};

use super::context::Context;
use super::lanes::Lanes;

/// Deliveries that are marked in one commit at most.
const GROUP: usize = 200;

const KIND: &str = "delivery.late";

impl Lanes {
    /// Marks every delivery as late whose promise is broken by now: each once, with its `delivery.late` in the same commit.
    pub async fn mark_late(&self) -> Result<(), StoreError> {
        let queue = &self.context.store.queue;
        loop {
            let now = self.context.clock.now();
            let overdue = queue.overdue(now, GROUP).await?;
            if overdue.is_empty() {
                return Ok(());
            }
            let ids = overdue.iter().map(|delivery| delivery.id).collect();
            let events = overdue.iter().flat_map(|delivery| event(&self.context, delivery, now)).collect();
            let marked = queue.mark_late(now, ids, events).await?;
            for delivery in overdue.iter().filter(|delivery| marked.contains(&delivery.id)) {
                let (channel, order_id) = (&*delivery.channel, delivery.order_id.as_deref());
                tracing::warn!(delivery = %delivery.id, channel, order_id, status = %delivery.status, attempts = delivery.attempts, "delivery late: it has not been accepted within the channel's promise");
                self.metrics.channel(channel).late();
            }
            if overdue.len() < GROUP || marked.is_empty() {
                return Ok(());
            }
        }
    }
}

/// The deliveries of `delivery.late`; none about the product's own events, so that there is an end to them.
fn event(context: &Context, delivery: &DeliverySummary, now: Timestamp) -> Vec<NewDelivery> {
    let (event, kind) = &delivery.event;
    if is_own(kind) || !context.router().wants(KIND) {
        return Vec::new();
    }
    let id = delivery.order.map_or_else(|| event.to_string(), |order| order.to_string());
    let data = serde_json::json!({
        "delivery_id": delivery.id,
        "channel": &*delivery.channel,
        "event": &**kind,
        "id": id,
        "order_id": delivery.order_id,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "code": delivery.last_code,
    });
    let order_id = delivery.order_id.as_deref().unwrap_or_default();
    let event = context.own_event(KIND, order_id, &data, now);
    let mut deliveries = context.router().plan(&Arc::clone(&event), now, now).deliveries;
    for delivery in &mut deliveries {
        // They wait in the store: the write may have to be repeated.
        delivery.slot = None;
    }
    deliveries
}
