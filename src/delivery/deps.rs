//! The dependencies of every attempt.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::domain::{Clock, IdSource, SettleKeys};
use crate::routing::Router;

use super::suspects::Suspects;

/// The dependencies of every attempt.
pub(super) struct Deps {
    /// The router of the current configuration.
    router: ArcSwap<Router>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: IdSource,
    pub(super) settle_keys: Arc<SettleKeys>,
    /// Deliveries that were under way when the process died.
    pub(super) suspects: Suspects,
}

impl Deps {
    pub(super) fn new(router: Arc<Router>, clock: Arc<dyn Clock>, ids: IdSource, settle_keys: Arc<SettleKeys>) -> Self {
        let suspects = Suspects::new(clock.elapsed());
        Self { router: ArcSwap::new(router), clock, ids, settle_keys, suspects }
    }

    /// Returns the current router, which also knows what templates can name. Not to be held for long.
    pub(super) fn router(&self) -> Guard<Arc<Router>> {
        self.router.load()
    }

    /// Replaces the router.
    pub(super) fn route_by(&self, router: Arc<Router>) {
        self.router.store(router);
    }
}
