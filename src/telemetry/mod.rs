//! Logs, metrics and spans, their names in one place.

mod exposition;
mod histogram;
mod logs;
pub mod metrics;
mod repeats;
pub mod spans;
mod throttle;

pub use logs::{LogError, LogFormat, init_logs};
pub use throttle::Throttle;

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
