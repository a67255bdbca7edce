//! What one configuration makes of the service: everything that a reload replaces as a whole.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use crate::api::{self, View};
use crate::chain::{self, Admission, Answering, BuildError, Chains};
use crate::config::Settings;
use crate::delivery::Previewer;
use crate::domain::{Clock, IdSource, SettleKeys, Tenure};
use crate::intake::{self, Intake};
use crate::routing::{LaneMemory, Router};
use crate::store::{Replica, Store};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::spans::Tracer;

use super::calls::Calls;

/// What every generation is built on, and none replaces.
pub(super) struct Base {
    pub(super) store: Store,
    pub(super) memory: Arc<LaneMemory>,
    pub(super) answering: Arc<dyn Answering>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: IdSource,
    pub(super) replica: Replica,
    /// How long this replica may act.
    pub(super) tenure: Tenure,
    /// Until when it may by its first heartbeat, by the monotonic clock.
    pub(super) lease_until: Option<Duration>,
    pub(super) settle_keys: Arc<SettleKeys>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) tracer: Tracer,
    /// How many orders of each chain run at once.
    pub(super) admission: Arc<Admission>,
    /// Chains under way.
    pub(super) tasks: TaskTracker,
    /// Where they run.
    pub(super) calls: Calls,
    /// Set once nothing more is to be accepted.
    pub(super) stopping: Arc<AtomicBool>,
}

/// A configuration and what was built of it. Orders accepted by it go by it to their end, also when the next one holds.
pub(super) struct Generation {
    pub(super) settings: Arc<Settings>,
    pub(super) router: Arc<Router>,
    pub(super) intake: Arc<Intake>,
    chains: Arc<Chains>,
    previewer: Arc<Previewer>,
}

impl Base {
    /// Builds one. What is the same as in the one `before` is taken over with its connections.
    pub(super) fn generation(
        &self,
        settings: Arc<Settings>,
        before: Option<&Generation>,
    ) -> Result<Generation, BuildError> {
        let router =
            Arc::new(Router::new(&settings, self.ids.clone(), Arc::clone(&self.memory), Arc::clone(&self.metrics)));
        let parts = chain::Parts {
            ledger: Arc::clone(&self.store.ledger),
            history: Arc::clone(&self.store.history),
            router: Arc::clone(&router),
            answering: Arc::clone(&self.answering),
            clock: Arc::clone(&self.clock),
            ids: self.ids.clone(),
            replica: self.replica,
            tenure: self.tenure.clone(),
            admission: Arc::clone(&self.admission),
            metrics: Arc::clone(&self.metrics),
            tracer: self.tracer.clone(),
        };
        let chains = Arc::new(Chains::new(&settings, parts, before.map(|before| &*before.chains))?);
        let parts = intake::Parts {
            store: self.store.clone(),
            chains: Arc::clone(&chains),
            router: Arc::clone(&router),
            answering: Arc::clone(&self.answering),
            clock: Arc::clone(&self.clock),
            ids: self.ids.clone(),
            replica: self.replica,
            metrics: Arc::clone(&self.metrics),
            tracer: self.tracer.clone(),
            tasks: self.tasks.clone(),
            calls: self.calls.handle().clone(),
            stopping: Arc::clone(&self.stopping),
        };
        let previewer = Previewer::new(
            Arc::clone(&settings),
            Arc::clone(&router),
            Arc::clone(&self.clock),
            self.ids.clone(),
            Arc::clone(&self.settle_keys),
        );
        let intake = Arc::new(Intake::new(&settings, parts));
        Ok(Generation { settings, router, intake, chains, previewer: Arc::new(previewer) })
    }
}

impl Generation {
    /// What the API makes of it, after the view `before`.
    pub(super) fn view(&self, before: Option<&View>) -> View {
        let ingest = Arc::new(Arc::clone(&self.intake)) as Arc<dyn api::Ingest>;
        View::new(&self.settings, ingest, Arc::clone(&self.previewer), before)
    }
}
