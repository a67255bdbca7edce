//! The registry of plugins.

use std::sync::Arc;

use crate::config::settings::{self, PluginOptions};
use crate::domain::Clock;

use super::callout::Callout;
use super::plugin::{BuildError, Plugin};

/// Builds the plugin of a step from its options.
pub(super) fn build(
    step: &settings::Step,
    egress: &Arc<settings::Egress>,
    clock: &Arc<dyn Clock>,
) -> Result<Box<dyn Plugin>, BuildError> {
    match &step.options {
        PluginOptions::Callout(options) => Ok(Box::new(Callout::new(options, egress, Arc::clone(clock))?)),
    }
}
