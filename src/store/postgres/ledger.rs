//! What comes in.

use std::sync::Arc;

use async_trait::async_trait;

use super::accept::Intake;
use super::handoff::Handoff;
use super::{Postgres, backlog, details, journal};
use crate::domain::OrderId;
use crate::store::{
    Acceptance, Answer, Interrupted, JournalEntry, Journaled, Ledger, NewEvents, NewOrder, Replica, StoreError,
};

#[async_trait]
impl Ledger for Postgres {
    async fn accept_order(&self, order: NewOrder) -> Result<Acceptance, StoreError> {
        let told = self.feed.is_watched().then(|| (Arc::clone(&order.subject), order.status));
        let accepted = self.door.accept(Intake::Order(order)).await?;
        if let Some((subject, status)) = told {
            self.feed.accepted(&subject, status, &accepted);
        }
        Ok(accepted)
    }

    async fn accept_events(&self, events: NewEvents) -> Result<Acceptance, StoreError> {
        if events.events.is_empty() {
            return Ok(Acceptance::New);
        }
        self.door.accept(Intake::Events(events)).await
    }

    async fn journal(&self, entry: JournalEntry) -> Result<Journaled, StoreError> {
        let (order, end) = (entry.order, entry.end.as_ref().map(|end| end.at));
        let (writes, news) = (Arc::clone(&self.writes), self.news.clone());
        let journaled = self.finish(async move {
            let mut work = journal::Journal(entry);
            let (journaled, placed) = writes.run(&work).await?.ok_or(StoreError::Fenced)?;
            if journaled == Journaled::Done {
                let mut handoff = Handoff::default();
                handoff.take(std::mem::take(&mut work.0.deliveries), &placed);
                news.waiting(handoff.tell(writes.handover.get()));
            }
            Ok(journaled)
        });
        let journaled = journaled.await?;
        if let Some(at) = end.filter(|_| self.feed.is_watched() && journaled == Journaled::Done) {
            match details::order_summary(&self.loan().await?, order.sequence()).await {
                Ok(Some(found)) => self.feed.ended(found, at),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "the end of an order is not shown to watchers"),
            }
        }
        Ok(journaled)
    }

    async fn answer(&self, key: String, answer: Answer) -> Result<Answer, StoreError> {
        self.write(journal::SetAnswer { key, answer }).await
    }

    async fn interrupted(&self) -> Result<Vec<(String, u64)>, StoreError> {
        backlog::interrupted(&self.loan().await?).await
    }

    async fn resume(&self, replica: Replica, chain: &str, limit: usize) -> Result<Vec<Interrupted>, StoreError> {
        let work = journal::Resume { replica, chain: chain.to_owned(), limit };
        let (writes, connections) = (Arc::clone(&self.writes), Arc::clone(&self.connections));
        self.finish(async move {
            let keys = writes.run(&work).await?;
            if keys.is_empty() {
                return Ok(Vec::new());
            }
            let loan = connections.get().await?;
            let mut orders = Vec::with_capacity(keys.len());
            for seq in keys {
                match details::interrupted_order(&loan, seq).await {
                    Ok(Some(order)) => orders.push(order),
                    Ok(None) => {}
                    // It stays with this replica, and so out of the way of the others.
                    Err(StoreError::Corrupt(error)) => {
                        tracing::error!(
                            chain = work.chain,
                            error,
                            "an interrupted order cannot be read, so its chain does not resume: it stays `processing`"
                        );
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(orders)
        })
        .await
    }

    async fn reopen(&self, order: OrderId) -> Result<bool, StoreError> {
        self.write(journal::Reopen(order)).await
    }

    async fn give_up(&self, replica: Replica, order: OrderId) -> Result<(), StoreError> {
        self.write(journal::GiveUp { replica, orders: vec![order.sequence()] }).await
    }
}
