//! A channel's pace (`rate_limit`): a GCRA with a burst of a quarter second. Pure.

use std::time::Duration;

use crate::domain::Rate;

/// Attempts that may start together: what the rate allows in this time, one at least.
const BURST: Duration = Duration::from_millis(250);

/// When attempts may start.
#[derive(Debug, Default)]
pub(super) struct Pace {
    rate: Option<Rate>,
    /// When the next attempt would start if all were spread evenly, by the monotonic clock.
    next: Duration,
}

impl Pace {
    /// Takes another rate; what has been used up of the one before counts on.
    pub(super) fn configure(&mut self, rate: Option<Rate>, now: Duration) {
        if rate != self.rate {
            self.next = rate.map_or(Duration::ZERO, |rate| self.next.min(now + rate.interval()));
            self.rate = rate;
        }
    }

    /// How much earlier than evenly spread an attempt may start.
    fn tolerance(rate: Rate) -> Duration {
        BURST.saturating_sub(rate.interval())
    }

    /// The earliest time for an attempt; `None`: now.
    pub(super) fn wait_until(&self, now: Duration) -> Option<Duration> {
        let earliest = self.next.saturating_sub(Self::tolerance(self.rate?));
        (earliest > now).then_some(earliest)
    }

    /// An attempt starts.
    pub(super) fn started(&mut self, now: Duration) {
        if let Some(rate) = self.rate {
            self.next = self.next.max(now) + rate.interval();
        }
    }

    /// How many attempts may start now; `None` without a rate.
    pub(super) fn left(&self, now: Duration) -> Option<u64> {
        let rate = self.rate?;
        let used = self.next.saturating_sub(now);
        let most = (BURST.as_nanos() / rate.interval().as_nanos().max(1)).max(1) as u64;
        Some(most.saturating_sub(used.as_nanos().div_ceil(rate.interval().as_nanos().max(1)) as u64))
    }

    pub(super) fn rate(&self) -> Option<Rate> {
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pace(rate: &str) -> Pace {
        let mut pace = Pace::default();
        pace.configure(Some(rate.parse().expect("a rate")), Duration::ZERO);
        pace
    }

    /// Starts whatever may start at `now`.
    fn starts(pace: &mut Pace, now: Duration) -> u32 {
        let mut count = 0;
        while pace.wait_until(now).is_none() {
            pace.started(now);
            count += 1;
        }
        count
    }

    #[test]
    fn a_quarter_of_a_second_may_start_together_and_one_at_least() {
        for (rate, burst) in [("100/s", 25), ("40/s", 10), ("4/s", 1), ("1/s", 1), ("6/m", 1)] {
            let mut pace = pace(rate);
            assert_eq!(pace.left(Duration::from_secs(9)), Some(burst.into()), "{rate}");
            assert_eq!(starts(&mut pace, Duration::from_secs(9)), burst, "{rate}");
            assert_eq!(pace.left(Duration::from_secs(9)), Some(0), "{rate}");
        }
        let mut pace = pace("6/m");
        assert_eq!(starts(&mut pace, Duration::ZERO), 1);
        assert_eq!(pace.wait_until(Duration::ZERO), Some(Duration::from_secs(10)));
    }

    proptest! {
        #[test]
        fn no_more_start_than_the_rate_and_one_burst(
            per_second in 1u32..200,
            steps in proptest::collection::vec(0u64..400, 1..200),
        ) {
            let mut pace = pace(&format!("{per_second}/s"));
            let (mut now, mut begun) = (Duration::ZERO, 0u32);
            for millis in steps {
                now += Duration::from_millis(millis);
                begun += starts(&mut pace, now);
                let allowed = f64::from(per_second) * (now.as_secs_f64() + 0.25) + 1.0;
                prop_assert!(f64::from(begun) <= allowed + 1e-6, "{} in {:?}", begun, now);
            }
        }
    }
}
