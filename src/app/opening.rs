//! Waits for a store that cannot be reached yet, and answers callers meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::config::settings::Settings;
use crate::domain::{Clock, IdSource};
use crate::store::{self, Replica, Store, StoreError};
use crate::telemetry::metrics::Metrics;

use super::connections;
use super::socket::Socket;

/// How long to wait before the store is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// How often the log says that it is still waited for.
const SAY: Duration = Duration::from_secs(10);

/// Opens the store, and waits for one that cannot be reached: at most for `patience`, if there is any. Callers get 503 meanwhile.
pub(super) async fn open(
    settings: &Settings,
    socket: &Socket,
    replica: Replica,
    ids: &IdSource,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
    patience: Option<Duration>,
) -> Result<Store, StoreError> {
    let begun = Instant::now();
    let mut said: Option<Instant> = None;
    let _answering = Answering::start(settings, socket)?;
    loop {
        let opened = store::open(&settings.store, replica, ids, Arc::clone(clock), Arc::clone(metrics)).await;
        let error = match opened {
            Ok(store) => return Ok(store),
            Err(error) if error.is_passing() && settings.store.is_shared() => error,
            Err(error) => return Err(error),
        };
        if patience.is_some_and(|patience| begun.elapsed() >= patience) {
            return Err(error);
        }
        if said.is_none_or(|said| said.elapsed() >= SAY) {
            said = Some(Instant::now());
            tracing::warn!(%error, "waiting for the store");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Answers callers for as long as the store is waited for.
struct Answering(CancellationToken);

impl Answering {
    fn start(settings: &Settings, socket: &Socket) -> Result<Self, StoreError> {
        let end = CancellationToken::new();
        if settings.store.is_shared() {
            let listener = socket.listen().map_err(|error| StoreError::Unavailable(error.to_string()))?;
            let (_, limits) = watch::channel(connections::limits(settings));
            tokio::spawn(api::serve(listener, api::waiting(), limits, end.clone(), end.clone()));
        }
        Ok(Self(end))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
