//! The settings of telemetry.

use secrecy::SecretString;
use url::Url;

/// A collector of traces.
#[derive(Debug, Clone)]
pub struct Otlp {
    /// Where spans are posted.
    pub endpoint: Url,
    /// Further headers of those requests.
    pub headers: Vec<(String, SecretString)>,
    /// The share of traces that is recorded, 0 to 1.
    pub sample: f64,
}
