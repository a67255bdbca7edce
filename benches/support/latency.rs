//! Latencies of a run, kept one by one: a few hundred thousand of them need less memory than they need explaining.

use std::time::Duration;

/// Latencies in the order in which they came.
#[derive(Debug, Clone, Default)]
pub struct Latencies {
    micros: Vec<u32>,
}

impl Latencies {
    /// One more.
    pub fn add(&mut self, latency: Duration) {
        self.micros.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    /// All of another run.
    pub fn extend(&mut self, other: Self) {
        self.micros.extend(other.micros);
    }

    /// Percentile `of` (0 to 100) in milliseconds; 0 where there is none.
    pub fn percentile(&self, of: f64) -> f64 {
        let mut sorted = self.micros.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        let at = (last as f64 * of / 100.0).ceil() as usize;
        sorted.get(at).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
    }
}

/// The middle one of a few values; of two, the lower.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}
