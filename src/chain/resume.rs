//! Taking up what a crash, or a replica's death, interrupted.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::store::StoreError;

use super::{Chains, Job};

/// Orders taken up at a time.
const BATCH: usize = 64;

impl Chains {
    /// Takes up orders that nobody alive works on, while `room` has places. Returns how many.
    pub async fn resume(self: &Arc<Self>, room: &Arc<Semaphore>, tasks: &TaskTracker) -> Result<usize, StoreError> {
        let mut taken = 0;
        loop {
            let mut permits = Vec::new();
            while permits.len() < BATCH {
                match Arc::clone(room).try_acquire_owned() {
                    Ok(permit) => permits.push(permit),
                    Err(_) => break,
                }
            }
            if permits.is_empty() {
                return Ok(taken);
            }
            let orders = self.ledger.resume(self.replica, permits.len()).await?;
            let complete = orders.len() < permits.len();
            for (order, permit) in orders.into_iter().zip(permits) {
                taken += 1;
                let name = order.subject.chain.as_deref().unwrap_or_default();
                let Some(chain) = self.named(name) else {
                    tracing::error!(
                        order = %order.subject.id(), order_id = order.subject.order_id, chain = name,
                        "the order's chain is no longer configured: it stays `processing` until a start with that chain"
                    );
                    continue;
                };
                tracing::info!(order = %order.subject.id(), order_id = order.subject.order_id, chain = name, steps = order.steps.len(), "chain resumed");
                let context = serde_json::from_str(&order.context).unwrap_or_default();
                let job = Job {
                    chain: Arc::clone(chain),
                    context,
                    steps: order.steps,
                    deliveries: Vec::new(),
                    resumed: order.resumed,
                    unanswered: order.unanswered,
                    caller: None,
                    permit,
                    subject: order.subject,
                };
                let chains = Arc::clone(self);
                tasks.spawn(async move { chains.run(job).await });
            }
            if complete {
                return Ok(taken);
            }
        }
    }
}
