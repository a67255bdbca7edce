//! What can be seen of the service: logs and metrics, their names in one place.

mod exposition;
mod histogram;
mod logs;
pub mod metrics;
mod repeats;
mod throttle;

pub use logs::{LogError, LogFormat, init_logs};
pub use throttle::Throttle;

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
