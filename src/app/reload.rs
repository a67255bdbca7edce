//! Taking up the configuration anew, while the service runs.
//!
//! The new one is loaded, checked and built whole before anything changes. Then it takes over in one go: the lanes
//! first, so that nothing is routed to a channel that has none; then what calls of the API and the chains of further
//! orders go by. Whoever has begun by the one before ends by it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use crate::api::{self, ConnectionLimits, NotReloaded, View};
use crate::config::{Changes, Faults, Reading, Settings};
use crate::delivery::{Lanes, LanesError};
use crate::store::{Act, Backlog, Cause};

use super::connections;
use super::generation::{Base, Generation};

/// Loads the configuration: the first one, and again at each reload.
#[derive(Clone)]
pub struct Loader(Arc<dyn Fn(Reading) -> Result<Settings, Faults> + Send + Sync>);

impl Loader {
    /// Loads by calling `load`, which may block.
    pub fn new(load: impl Fn(Reading) -> Result<Settings, Faults> + Send + Sync + 'static) -> Self {
        Self(Arc::new(load))
    }

    /// Loads it for a start.
    pub fn load(&self) -> Result<Settings, Faults> {
        (self.0)(Reading::Now)
    }

    /// Loads it for a reload.
    fn load_again(&self) -> Result<Settings, Faults> {
        (self.0)(Reading::Settled)
    }
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Loader")
    }
}

/// The signal by which a reload is asked for.
pub const SIGNAL: &str = "SIGHUP";

/// Reloads the configuration of a running service.
pub struct Service {
    pub(super) loader: Loader,
    /// Where the server listens.
    pub(super) address: SocketAddr,
    pub(super) base: Base,
    pub(super) current: ArcSwap<Generation>,
    pub(super) lanes: Arc<Lanes>,
    pub(super) view: Arc<ArcSwap<View>>,
    pub(super) limits: watch::Sender<ConnectionLimits>,
    pub(super) soft: CancellationToken,
    /// One after the other.
    pub(super) turn: Mutex<()>,
}

impl Service {
    /// Loads the configuration anew and lets it take over, or says why the one before stays. `by` tells the log who
    /// wants it. It goes on when nobody waits for it any more. One that removes the last token or most channels must be
    /// forced.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration, keys that only a start takes up included.
    pub async fn reload(self: &Arc<Self>, by: &'static str, force: bool) -> Result<Changes, NotReloaded> {
        let this = Arc::clone(self);
        let reload = tokio::spawn(async move {
            let _turn = this.turn.lock().await;
            let done = this.take_turn(force).await;
            if let (Ok(changes), true) = (&done, by == SIGNAL) {
                this.keep(changes).await;
            }
            match &done {
                Ok(changes) if changes.is_empty() => tracing::info!(by, "configuration reloaded, no changes"),
                Ok(changes) => tell(by, changes),
                Err(NotReloaded::Wrong(faults)) => {
                    tracing::error!(by, errors = %faults, "configuration not reloaded, the current one stays in use");
                }
                Err(error) => tracing::error!(by, %error, "configuration not reloaded, the current one stays in use"),
            }
            done
        });
        reload.await.unwrap_or_else(|_| Err(Faults::whole("could not be applied: see the log").into()))
    }

    /// Keeps a reload by a signal in the audit; the API keeps its own.
    async fn keep(&self, changes: &Changes) {
        let cause = Cause { at: self.base.clock.now(), by: None, reason: Some(SIGNAL.into()) };
        let act = Act::new("reload", cause).with_detail(changes);
        if let Err(error) = self.base.store.queue.audit(act).await {
            tracing::error!(%error, "a reload could not be recorded in the audit");
        }
    }

    async fn take_turn(&self, force: bool) -> Result<Changes, NotReloaded> {
        let loader = self.loader.clone();
        let read = tokio::task::spawn_blocking(move || loader.load_again()).await;
        let mut settings = read.map_err(|_| Faults::whole("could not be read: see the log"))??;
        settings.server.bound_to(self.address);
        let before = self.current.load_full();
        let changes = before.settings.changes_to(&settings)?;
        if !force {
            before.settings.check_losses(&settings, &changes)?;
        }
        if changes.is_empty() {
            return Ok(changes);
        }
        let next = self.base.generation(Arc::new(settings), Some(&before));
        let next = next.map_err(|error| Faults::whole(error.to_string()))?;
        let prepared = self.lanes.prepare(&next.settings, &changes.channels).await.map_err(|error| match error {
            LanesError::Build(error) => Faults::whole(error).into(),
            LanesError::Store(error) => NotReloaded::from(error),
        })?;
        if self.soft.is_cancelled() {
            return Err(NotReloaded::Stopping);
        }
        // From here on nothing fails.
        self.lanes.take_over(&next.settings, prepared, Arc::clone(&next.router)).await;
        self.base.admission.resize(next.settings.delivery.chain_concurrency);
        self.limits.send_replace(connections::limits(&next.settings));
        let view = next.view(Some(&self.view.load()));
        self.view.store(Arc::new(view));
        self.current.store(Arc::new(next));
        self.warn_of_removed().await;
        Ok(changes)
    }

    /// Warns of deliveries that wait for channels that are not configured: nothing sends them.
    pub(super) async fn warn_of_removed(&self) {
        let settings = Arc::clone(&self.current.load().settings);
        let backlog = match self.base.store.history.backlog().await {
            Ok(backlog) => backlog,
            Err(error) => {
                tracing::warn!(%error, "the deliveries of removed channels could not be counted");
                return;
            }
        };
        let configured = |name: &str| settings.channels.iter().any(|channel| *channel.name == *name);
        for Backlog { channel, pending, .. } in backlog.iter().filter(|backlog| !configured(&backlog.channel)) {
            tracing::warn!(
                channel = &**channel,
                pending,
                "channel {channel} is no longer configured and has {pending} pending deliveries; configure it \
                 again, or cancel them with POST /v1/deliveries/cancel {{\"channel\": \"{channel}\"}}"
            );
        }
    }
}

/// Logs what has changed.
fn tell(by: &str, changes: &Changes) {
    let names = |names: &[Arc<str>]| names.join(", ");
    let (channels, chains) = (&changes.channels, &changes.chains);
    tracing::info!(
        by,
        channels_added = names(&channels.added),
        channels_changed = names(&channels.changed),
        channels_removed = names(&channels.removed),
        chains_added = names(&chains.added),
        chains_changed = names(&chains.changed),
        chains_removed = names(&chains.removed),
        keys = changes.keys.join(", "),
        "configuration reloaded"
    );
}

#[async_trait]
impl api::Reload for Arc<Service> {
    async fn reload(&self, force: bool) -> Result<Changes, NotReloaded> {
        Service::reload(self, "api", force).await
    }
}
