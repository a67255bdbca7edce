//! Resumes orders whose chain was interrupted by a crash or a replica's death, or that went back to the store for want
//! of a permit.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::domain::{DeliveryId, DeliveryStatus, OrderId};
use crate::store::{Interrupted, OrderKey, StoreError};

use super::admission::Permit;
use super::run::STORE_RETRY;
use super::{Chain, Chains, Job, context};

/// Orders resumed in one transaction.
const BATCH: usize = 64;

impl Chains {
    /// Resumes orders that nobody alive works on, as far as their chains have permits, and runs them on `calls`. Returns
    /// how many.
    pub async fn resume(self: &Arc<Self>, tasks: &TaskTracker, calls: &Handle) -> Result<usize, StoreError> {
        let mut resumed = 0;
        for (name, count) in self.ledger.interrupted().await? {
            match self.named(&name) {
                Some(chain) => resumed += self.resume_chain(&Arc::clone(chain), tasks, calls).await?,
                None => self.report_unknown(name, count),
            }
        }
        Ok(resumed)
    }

    /// Waits until an order can be resumed that found no permit.
    pub async fn freed(&self) {
        self.admission.freed().await;
    }

    async fn resume_chain(
        self: &Arc<Self>,
        chain: &Arc<Chain>,
        tasks: &TaskTracker,
        calls: &Handle,
    ) -> Result<usize, StoreError> {
        let mut resumed = 0;
        loop {
            let permits: Vec<Permit> = std::iter::from_fn(|| chain.places.background()).take(BATCH).collect();
            if permits.is_empty() {
                return Ok(resumed);
            }
            let orders = self.ledger.resume(self.replica, &chain.name, permits.len()).await?;
            let complete = orders.len() < permits.len();
            resumed += orders.len();
            for (order, permit) in orders.into_iter().zip(permits) {
                self.start_again(chain, order, permit, tasks, calls);
            }
            if complete {
                return Ok(resumed);
            }
        }
    }

    fn start_again(
        self: &Arc<Self>,
        chain: &Arc<Chain>,
        order: Interrupted,
        permit: Permit,
        tasks: &TaskTracker,
        calls: &Handle,
    ) {
        let context = match context::read(&order.context) {
            Ok(context) => context,
            Err(error) => {
                tracing::error!(
                    order = %order.subject.id(), order_id = order.subject.order_id, chain = chain.name, %error,
                    "the stored order cannot be read, so its chain does not resume: it stays `processing`"
                );
                return;
            }
        };
        tracing::info!(order = %order.subject.id(), order_id = order.subject.order_id, chain = chain.name, steps = order.steps.len(), "chain resumed");
        let mut job = Job {
            chain: Arc::clone(chain),
            context,
            journaled: order.steps.len(),
            steps: order.steps,
            deliveries: Vec::new(),
            resumed: order.resumed,
            unanswered: order.unanswered,
            caller: None,
            permit: Some(permit),
            subject: order.subject,
        };
        let chains = Arc::clone(self);
        let run = async move {
            if job.unanswered.is_some() {
                job.deliveries = chains.made_before(&job).await;
            }
            chains.run(job).await;
        };
        tasks.spawn_on(run, calls);
    }

    /// The deliveries that an order made before its chain was interrupted: its answer lists them too.
    async fn made_before(&self, job: &Job) -> Vec<(DeliveryId, Arc<str>, DeliveryStatus)> {
        let Some(order) = job.subject.order() else { return Vec::new() };
        loop {
            match self.history.order(OrderKey::Id(order)).await {
                Ok(found) => {
                    let deliveries = found.map(|order| order.deliveries).unwrap_or_default();
                    return deliveries.into_iter().map(|made| (made.id, made.channel, made.status)).collect();
                }
                Err(error) if error.is_passing() => {
                    tracing::error!(%order, %error, "the deliveries of a resumed order cannot be read, trying again");
                    tokio::time::sleep(STORE_RETRY).await;
                }
                Err(error) => {
                    tracing::error!(%order, %error, "the deliveries of a resumed order cannot be read; its answer leaves them out");
                    return Vec::new();
                }
            }
        }
    }

    /// Reports the interrupted orders of a chain that is not configured, once.
    fn report_unknown(&self, chain: String, orders: u64) {
        let mut unknown = self.unknown.lock();
        if !unknown.contains(&chain) {
            tracing::error!(
                chain,
                orders,
                "orders wait for a chain that is no longer configured: they stay `processing` until a start, or a reload, with that chain"
            );
            unknown.insert(chain);
        }
    }

    /// Gives an order back to the store before its next step, to be resumed once its chain has a permit for it. Tries
    /// again until the store takes it.
    pub(super) async fn give_up(&self, order: OrderId, chain: &Chain) -> Result<(), StoreError> {
        tracing::debug!(order = %order, chain = chain.name, "no permit for the rest of the chain: the order waits in the store");
        while let Err(error) = self.ledger.give_up(self.replica, order).await {
            if !error.is_passing() {
                return Err(error);
            }
            tracing::error!(order = %order, %error, "the order could not be put back, trying again");
            tokio::time::sleep(STORE_RETRY).await;
        }
        // A permit may have been released before the order was there to be resumed.
        if chain.places.background().is_some() {
            self.admission.report_free();
        }
        Ok(())
    }
}
