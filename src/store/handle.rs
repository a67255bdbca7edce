//! The handle of an opened store.

use std::sync::Arc;

use super::{History, Ledger, Queue};

/// A store's three faces. One object implements all of them.
#[derive(Clone)]
pub struct Store {
    /// Orders and events coming in.
    pub ledger: Arc<dyn Ledger>,
    /// Deliveries going out.
    pub queue: Arc<dyn Queue>,
    /// What was.
    pub history: Arc<dyn History>,
}

impl Store {
    /// As [`Queue::close`].
    pub async fn close(&self) {
        self.queue.close().await;
    }
}
