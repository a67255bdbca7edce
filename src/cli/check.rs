//! `check` and `preset`: what a configuration says, before it runs.

use std::process::ExitCode;

use crate::config;

use super::args::{ConfigArgs, load};
use super::output;

pub(super) fn run(args: &ConfigArgs) -> ExitCode {
    match load(&args.config) {
        Ok(settings) => {
            output::line(&config::summary(&settings, output::width()));
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

pub(super) fn preset(name: &str) -> ExitCode {
    if let Some(text) = config::preset(name) {
        output::line(text);
        return ExitCode::SUCCESS;
    }
    output::error(&format!(
        "unknown preset {name:?}; known presets: {}",
        config::preset_names().collect::<Vec<_>>().join(", ")
    ));
    ExitCode::FAILURE
}
