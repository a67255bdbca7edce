//! Taking up what a crash, or a replica's death, interrupted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::domain::OrderId;
use crate::store::StoreError;

use super::{Chains, Job};

/// Orders taken up at a time.
const BATCH: usize = 64;

/// Orders whose chain is not configured, and its name. They belong to this replica, so that they are not looked at again
/// and again.
#[derive(Debug, Default)]
pub struct Orphans(Mutex<Vec<(OrderId, String)>>);

impl Orphans {
    fn lock(&self) -> MutexGuard<'_, Vec<(OrderId, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Chains {
    /// Gives orders back whose chain was not configured and now is.
    async fn give_up_orphans(&self) -> Result<(), StoreError> {
        loop {
            let found = {
                let mut orphans = self.orphans.lock();
                let at = orphans.iter().position(|(_, chain)| self.named(chain).is_some());
                at.map(|at| orphans.swap_remove(at))
            };
            let Some((order, chain)) = found else { return Ok(()) };
            if let Err(error) = self.ledger.give_up(self.replica, order).await {
                self.orphans.lock().push((order, chain));
                return Err(error);
            }
        }
    }

    /// Takes up orders that nobody alive works on, while `room` has places, and runs them on `calls`. Returns how many.
    pub async fn resume(
        self: &Arc<Self>,
        room: &Arc<Semaphore>,
        tasks: &TaskTracker,
        calls: &Handle,
    ) -> Result<usize, StoreError> {
        self.give_up_orphans().await?;
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
                        "the order's chain is no longer configured: it stays `processing` until a start, or a reload, with that chain"
                    );
                    self.orphans.lock().extend(order.subject.order().map(|order| (order, name.to_owned())));
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
                tasks.spawn_on(async move { chains.run(job).await }, calls);
            }
            if complete {
                return Ok(taken);
            }
        }
    }
}
