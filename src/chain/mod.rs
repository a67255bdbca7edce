//! An order's chain: plugins one after another, each result journaled before the next begins.
//!
//! - `plugin.rs`: the [`Plugin`] trait and the registry. **To add a kind of plugin**: write a file beside
//!   `callout.rs` that implements [`Plugin`], give its options a variant in
//!   [`crate::config::settings::PluginOptions`] and a block in the configuration's schema, and add one line to
//!   `registry::build`.
//! - `admission.rs`: how many orders of a chain run at once.
//! - `run.rs`: the loop: `when`, run, journal, answer, end.
//! - `resume.rs`: takes up what a crash interrupted.
//! - `answer.rs`: what the caller is told, and when.

mod admission;
mod answer;
mod callout;
mod context;
mod plugin;
mod registry;
mod resume;
mod run;

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

pub use admission::Admission;
pub use answer::{Answering, EventDeliveries, OrderView};
pub use plugin::{BuildError, Call, Failure, Plugin, StepResult};
pub use run::Job;

use crate::config::Fingerprint;
use crate::config::settings::Settings;
use crate::domain::{Clock, IdSource, Subject, Tenure, Timestamp};
use crate::routing::Router;
use crate::store::{History, Ledger, Replica};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::spans::Tracer;
use crate::template::{Expression, Scope};

use self::admission::ChainPlaces;

/// A chain, ready to run.
pub struct Chain {
    name: String,
    when: Option<Expression>,
    steps: Vec<Step>,
    fingerprint: Fingerprint,
    /// Steps up to and with the last critical one: the caller has its answer behind them.
    answer_after: usize,
    places: Arc<ChainPlaces>,
}

struct Step {
    id: String,
    plugin_name: String,
    critical: bool,
    when: Option<Expression>,
    plugin: Box<dyn Plugin>,
}

impl Chain {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the caller waits for a step of it.
    pub fn holds_caller(&self) -> bool {
        self.answer_after > 0
    }
}

/// Runs orders through chains.
pub struct Chains {
    chains: Vec<Arc<Chain>>,
    ledger: Arc<dyn Ledger>,
    history: Arc<dyn History>,
    router: Arc<Router>,
    answering: Arc<dyn Answering>,
    clock: Arc<dyn Clock>,
    ids: IdSource,
    replica: Replica,
    tenure: Tenure,
    admission: Arc<Admission>,
    /// Chains of interrupted orders that are not configured, so that each is reported once.
    unknown: Mutex<HashSet<String>>,
    metrics: Arc<Metrics>,
    tracer: Tracer,
}

/// What chains need of the rest.
pub struct Parts {
    /// Where steps are journaled.
    pub ledger: Arc<dyn Ledger>,
    /// What is on record of an order that is resumed.
    pub history: Arc<dyn History>,
    /// Where an order's end goes.
    pub router: Arc<Router>,
    /// How the caller is answered.
    pub answering: Arc<dyn Answering>,
    pub clock: Arc<dyn Clock>,
    /// Ids of events and requests.
    pub ids: IdSource,
    /// Whose work it is.
    pub replica: Replica,
    /// How long this replica may act.
    pub tenure: Tenure,
    /// How many orders of each chain run at once.
    pub admission: Arc<Admission>,
    /// How long steps take.
    pub metrics: Arc<Metrics>,
    /// Where spans of orders and steps are recorded.
    pub tracer: Tracer,
}

impl Chains {
    /// Builds every chain's plugins; those of a chain that is the same as `before` are kept, with their connections. An
    /// error names the chain and step.
    pub fn new(settings: &Settings, parts: Parts, before: Option<&Self>) -> Result<Self, BuildError> {
        let chains = settings.chains.iter().map(|chain| {
            let known = before.and_then(|before| before.named(&chain.name));
            if let Some(same) = known.filter(|known| known.fingerprint == chain.fingerprint) {
                return Ok(Arc::clone(same));
            }
            let steps = chain.plugins.iter().map(|step| {
                let plugin = registry::build(step, &settings.egress, &parts.clock)
                    .map_err(|error| BuildError(format!("chain {}, step {}: {error}", chain.name, step.id)))?;
                Ok(Step {
                    id: step.id.clone(),
                    plugin_name: step.plugin.clone(),
                    critical: step.critical,
                    when: step.when.clone(),
                    plugin,
                })
            });
            let steps = steps.collect::<Result<Vec<_>, BuildError>>()?;
            let answer_after = steps.iter().rposition(|step| step.critical).map_or(0, |last| last + 1);
            let (name, when, fingerprint) = (chain.name.clone(), chain.when.clone(), chain.fingerprint);
            let places = parts.admission.of(&name);
            Ok(Arc::new(Chain { name, when, steps, fingerprint, answer_after, places }))
        });
        let chains = chains.collect::<Result<Vec<_>, BuildError>>()?;
        let Parts { ledger, history, router, answering, clock, ids, replica, tenure, admission, metrics, tracer } =
            parts;
        let unknown = Mutex::default();
        Ok(Self {
            chains,
            ledger,
            history,
            router,
            answering,
            clock,
            ids,
            replica,
            tenure,
            admission,
            unknown,
            metrics,
            tracer,
        })
    }

    /// Returns the first chain whose `when` holds for an order, if any. One with no steps takes an order out of chains.
    /// `Err`, with a sentence, where a `when` cannot be evaluated: the order must not pass by a check that it may need.
    pub fn select(&self, subject: &Arc<Subject>, now: Timestamp) -> Result<Option<&Arc<Chain>>, String> {
        let mut scope: Option<Scope> = None;
        for chain in &self.chains {
            let holds = match &chain.when {
                None => true,
                Some(when) => {
                    let scope = scope.get_or_insert_with(|| self.scope(subject, "{}", now));
                    when.holds(scope).map_err(|error| {
                        format!(
                            "`when` of the chain {} ({}) cannot be evaluated for this order: {error}",
                            chain.name,
                            when.source()
                        )
                    })?
                }
            };
            if holds {
                return Ok(Some(chain).filter(|chain| !chain.steps.is_empty()));
            }
        }
        Ok(None)
    }

    /// Whether the configuration has that step in a chain of that name.
    pub fn has_step(&self, chain: &str, step: &str) -> bool {
        self.named(chain).is_some_and(|chain| chain.steps.iter().any(|known| known.id == step))
    }

    fn named(&self, name: &str) -> Option<&Arc<Chain>> {
        self.chains.iter().find(|chain| chain.name == name)
    }
}
