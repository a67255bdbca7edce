//! The store of orders and deliveries: three traits by their users, and the backends that implement them.
//!
//! - [`Ledger`]: orders and events come in, steps are journaled, an interrupted chain is taken up again.
//! - [`Queue`]: deliveries are claimed, their attempts recorded, put back, cancelled.
//! - [`History`]: pages and finds, for the API and the dashboard.
//!
//! Nothing here assumes that one process alone uses a store. Work belongs to a [`Replica`], which must show
//! signs of life; what a silent replica held moves on ([`Queue::release_expired`]), and what it still tries to write
//! is refused ([`StoreError::Fenced`], [`Recorded::Fenced`]).
//!
//! To add a backend: implement the three traits, open it in [`open`] by its URL's scheme, and run
//! `tests/it/store_contract.rs` on it.

mod acts;
mod changes;
mod claims;
mod cluster;
mod error;
mod feed;
mod handle;
mod happenings;
mod history;
mod ledger;
mod likenesses;
mod listed;
pub mod postgres;
mod queue;
mod rows;
mod spellings;
pub mod sqlite;
mod types;

use std::sync::Arc;

use secrecy::ExposeSecret;

pub use acts::{Act, Period};
pub use changes::{Cause, Change, Changed, ChannelState, Verdict};
pub use claims::{Claim, NextDue, Run, Which};
pub use cluster::{Heartbeat, News};
pub use error::StoreError;
pub use handle::Store;
pub use happenings::Happening;
pub use history::History;
pub use ledger::Ledger;
pub use listed::*;
pub use queue::{Handover, Queue};
pub use sqlite::Archive;
pub use types::*;

use crate::config::settings;
use crate::domain::{Clock, IdSource};
use crate::telemetry::metrics::Metrics;

/// Opens the store that the settings name, and makes it ready: created or migrated, and free of what a process that is
/// gone had leased. Every further id of `ids` is greater than any in the store, or made by nobody else. What is written for no
/// replica in particular is written for `replica`. Commits are counted in `metrics`. May block.
pub async fn open(
    settings: &settings::Store,
    replica: Replica,
    ids: &IdSource,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
) -> Result<Store, StoreError> {
    match settings.url.split_once("://") {
        Some(("sqlite", path)) if !path.is_empty() => {
            let options = sqlite::Options { max_size: settings.max_size, ..sqlite::Options::new(path) };
            sqlite::open(&options, ids, clock, metrics)
        }
        Some(("postgres" | "postgresql", _)) => {
            let options = postgres::Options {
                url: settings.url.clone(),
                password: settings.password.as_ref().map(|password| password.expose_secret().to_owned()),
                connections: settings.connections,
                ttl: postgres::TTL,
            };
            postgres::open(&options, replica, ids, clock, metrics).await
        }
        _ => {
            // What stands behind the scheme may hold a password.
            let scheme = settings.url.split(':').next().unwrap_or_default();
            Err(StoreError::Refused(format!(
                "store.url must be sqlite://PATH or postgres://USER@HOST/DATABASE, not {scheme}:…"
            )))
        }
    }
}

/// Copies the store that the settings name to the file `to`, which must not exist, while a service may work on it. Returns
/// the bytes of the copy.
pub fn backup(settings: &settings::Store, to: &std::path::Path) -> Result<u64, StoreError> {
    match settings.url.split_once("://") {
        Some(("sqlite", path)) if !path.is_empty() => sqlite::backup(std::path::Path::new(path), to),
        _ => Err(StoreError::Unavailable("only a store of sqlite://PATH can be copied".to_owned())),
    }
}
