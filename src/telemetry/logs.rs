//! Logs: for people on a terminal, as JSON anywhere else, always on standard error.
//!
//! A line about an order or a delivery carries its id as a field: `order`, `delivery`, `event`, with `channel` and
//! `step` where they apply. Bodies, headers and secrets are never logged.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::repeats::Repeats;

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people where standard error is a terminal, else JSON.
    #[default]
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err("a log format is auto, human or json"),
        }
    }
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error("the log filter {filter:?} cannot be read: {cause}")]
    Filter {
        filter: String,
        /// What is wrong with it.
        cause: tracing_subscriber::filter::ParseError,
    },
    /// Another part of the process has set up logs already.
    #[error("logs were set up before")]
    Twice,
}

/// Starts logging for the whole process, once. `filter` is of `tracing`'s kind (`info`, `orderhook::delivery=debug`).
pub fn init_logs(format: LogFormat, filter: &str) -> Result<(), LogError> {
    let directives =
        EnvFilter::builder().parse(filter).map_err(|cause| LogError::Filter { filter: filter.to_owned(), cause })?;
    let terminal = std::io::stderr().is_terminal();
    let repeats = Repeats::default();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let all = tracing_subscriber::registry().with(directives);
    let set = if format == LogFormat::Json || (format == LogFormat::Auto && !terminal) {
        let lines = lines.json().flatten_event(true).with_current_span(false).with_span_list(false);
        all.with(lines.with_filter(repeats.clone())).try_init()
    } else {
        all.with(lines.with_ansi(terminal).with_target(false).with_filter(repeats.clone())).try_init()
    };
    set.map_err(|_| LogError::Twice)?;
    if let Err(error) = repeats.report() {
        tracing::warn!(%error, "repeated log lines are not counted");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_read_is_named() {
        let error = init_logs(LogFormat::Json, "orderhook=loud").expect_err("no such level");
        assert!(error.to_string().contains("orderhook=loud"), "{error}");
    }

    #[test]
    fn formats_have_names() {
        assert_eq!("json".parse(), Ok(LogFormat::Json));
        assert!("xml".parse::<LogFormat>().is_err());
    }
}
