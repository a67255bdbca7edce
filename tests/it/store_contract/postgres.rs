//! PostgreSQL as a backend of the contract, and what is special to it.

use std::sync::Arc;

use orderhook::domain::{Clock, IdSource};
use orderhook::store::{Store, StoreError};

use super::cluster;
use super::world::*;

/// A database.
pub(super) struct Database(String);

impl Backend for Database {
    const IS_ALONE: bool = false;

    fn new() -> Self {
        Self(cluster::database())
    }

    fn open(&self, ids: &IdSource, clock: Arc<dyn Clock>) -> Result<Store, StoreError> {
        let store = open_url(&self.0, ids, clock)?;
        let queue = Arc::clone(&store.queue);
        let joined = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                // What a process before had leased is free once it is known to have ended.
                for replica in [ME, OTHER] {
                    queue.retire(replica, true).await?;
                }
                queue.release_expired(OTHER).await?;
                for replica in [ME, OTHER] {
                    queue.heartbeat(replica).await?;
                }
                Ok::<_, StoreError>(())
            })
        });
        joined.join().expect("a thread")?;
        Ok(store)
    }
}
