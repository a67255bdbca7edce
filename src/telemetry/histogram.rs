//! A histogram of fixed buckets: constant memory, no lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::exposition::Page;

/// What a histogram counts, and between which bounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    /// The upper bounds of the buckets, in units.
    bounds: &'static [u64],
    /// How many units are one of what the page shows.
    unit: u64,
}

const MICROS: u64 = 1_000_000;

/// Seconds: what goes over a network.
pub(super) const SECONDS: Scale = Scale {
    bounds: &[
        500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
        10_000_000, 30_000_000, 60_000_000,
    ],
    unit: MICROS,
};

/// Seconds: what goes to a disk.
pub(super) const SHORT_SECONDS: Scale = Scale {
    bounds: &[
        50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000,
    ],
    unit: MICROS,
};

/// Numbers of things.
pub(super) const SIZES: Scale =
    Scale { bounds: &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096], unit: 1 };

/// Counts by size.
#[derive(Debug)]
pub(super) struct Histogram {
    scale: Scale,
    /// One for each bound, and one for what is beyond the last.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    pub(super) fn new(scale: Scale) -> Self {
        let buckets = (0..=scale.bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { scale, buckets, sum: AtomicU64::new(0) }
    }

    /// Counts a value of so many units.
    pub(super) fn record(&self, units: u64) {
        let at = self.scale.bounds.partition_point(|bound| *bound < units);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(units, Ordering::Relaxed);
    }

    /// Counts a time, on a scale of seconds.
    pub(super) fn record_duration(&self, took: Duration) {
        self.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Writes the buckets, their sum and number; `labels` without braces.
    pub(super) fn render(&self, page: &mut Page, name: &str, labels: &str) {
        let unit = self.scale.unit as f64;
        let comma = if labels.is_empty() { "" } else { "," };
        let mut count = 0;
        for (at, bucket) in self.buckets.iter().enumerate() {
            count += bucket.load(Ordering::Relaxed);
            let bound =
                self.scale.bounds.get(at).map_or_else(|| "+Inf".to_owned(), |bound| (*bound as f64 / unit).to_string());
            page.sample_of(name, "_bucket", &format!("{labels}{comma}le=\"{bound}\""), count);
        }
        page.sample_of(name, "_sum", labels, self.sum.load(Ordering::Relaxed) as f64 / unit);
        page.sample_of(name, "_count", labels, count);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_value_is_in_the_first_bucket_that_holds_it(value in 0u64..200_000_000) {
            let histogram = Histogram::new(SECONDS);
            histogram.record(value);
            let counts: Vec<u64> = histogram.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
            let expected = SECONDS.bounds.iter().position(|bound| value <= *bound).unwrap_or(SECONDS.bounds.len());
            for (at, count) in counts.into_iter().enumerate() {
                prop_assert_eq!(count, u64::from(at == expected));
            }
        }
    }

    #[test]
    fn bounds_rise() {
        for scale in [SECONDS, SHORT_SECONDS, SIZES] {
            assert!(scale.bounds.is_sorted());
        }
    }
}
