//! PostgreSQL as a backend of the contract, and what is special to it.

use std::sync::Arc;

use orderhook::domain::{Clock, IdSource, ManualClock, Timestamp};
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

#[test]
fn a_user_without_rights_is_refused_with_what_to_grant() {
    let server = cluster::shared();
    let open = |url: &str| {
        let url = url.replacen("//orderhook:", "//guest:", 1);
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_millis(START)));
        open_url(&url, &IdSource::new(Arc::clone(&clock), 1), clock).map(|_| ())
    };
    let (bare, foreign, owned) = (cluster::database(), cluster::database(), cluster::database());
    // The password is that of the superuser, which is in the URL.
    let password = bare.split([':', '@']).nth(2).expect("a password");
    server.execute(&bare, &format!("CREATE ROLE guest LOGIN PASSWORD '{password}'"));
    server.execute(&foreign, "CREATE SCHEMA orderhook");
    let name = owned.rsplit('/').next().expect("a database");
    server.execute(&owned, &format!("GRANT CREATE ON DATABASE {name} TO guest"));
    for url in [&bare, &foreign] {
        match open(url).expect_err("no rights") {
            StoreError::Refused(said) => assert!(said.contains("GRANT CREATE ON DATABASE"), "{said}"),
            other => panic!("{other}"),
        }
    }
    open(&owned).expect("a right is enough");
}
