//! Arguments that several commands have.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::config::{self, settings::Settings};
use crate::telemetry::LogFormat;

use super::output;

/// The configuration files of a command.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// Configuration files (YAML); a later one wins. Of a folder, all `*.yaml` are read as one file. Environment
    /// variables `ORDERHOOK__SECTION__KEY` win over all.
    #[arg(long, short, value_name = "FILE", num_args = 1.., env = "ORDERHOOK_CONFIG")]
    pub(super) config: Vec<PathBuf>,
}

/// A channel and the order to try it with.
#[derive(Debug, Args)]
pub(super) struct PreviewArgs {
    /// The channel's name.
    pub(super) channel: String,
    /// A file with an order, a JSON object; `-` reads standard input. Without it, a sample order of the channel's preset.
    #[arg(long, value_name = "FILE")]
    pub(super) order: Option<PathBuf>,
    #[command(flatten)]
    pub(super) config: FileArgs,
}

/// The configuration files of a command with a positional argument: one file each `--config`.
#[derive(Debug, Args)]
pub(super) struct FileArgs {
    /// A configuration file (YAML), or a folder; repeatable, a later one wins. Environment variables
    /// `ORDERHOOK__SECTION__KEY` win over all.
    #[arg(long, short, value_name = "FILE", env = "ORDERHOOK_CONFIG")]
    pub(super) config: Vec<PathBuf>,
}

/// The format and the level of logs.
#[derive(Debug, Args)]
pub(super) struct LogArgs {
    /// How log lines look: `auto` is `human` on a terminal and `json` elsewhere.
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub(super) log_format: LogFormatArg,
    /// Which log lines: a level, or targets with levels as in `info,orderhook::delivery=debug`.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "ORDERHOOK_LOG")]
    pub(super) log: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum LogFormatArg {
    Auto,
    Human,
    Json,
}

impl From<LogFormatArg> for LogFormat {
    fn from(format: LogFormatArg) -> Self {
        match format {
            LogFormatArg::Auto => Self::Auto,
            LogFormatArg::Human => Self::Human,
            LogFormatArg::Json => Self::Json,
        }
    }
}

/// Loads the configuration that the arguments name, or prints what is wrong with it.
pub(super) fn load(files: &[PathBuf]) -> Result<Settings, ExitCode> {
    config::load(files, &config::process_environment()).map_err(|faults| {
        output::error(&faults.to_string());
        ExitCode::FAILURE
    })
}
