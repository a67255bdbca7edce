//! The pace that a token may keep (`rate_limit`), as a GCRA: no window at whose edge twice as many fit.

use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::domain::Rate;

/// Requests of one token, counted.
pub(super) struct Pace<C: Clock = MonotonicClock> {
    rate: Rate,
    clock: C,
    limiter: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
}

impl Pace {
    /// At that rate, with as many at once as it counts.
    pub(super) fn new(rate: Rate) -> Self {
        Self::by(rate, MonotonicClock)
    }
}

impl<C: Clock + Clone> Pace<C> {
    fn by(rate: Rate, clock: C) -> Self {
        let quota = Quota::with_period(rate.interval()).unwrap_or(Quota::per_second(rate.count));
        let limiter = RateLimiter::direct_with_clock(quota.allow_burst(rate.count), clock.clone());
        Self { rate, clock, limiter }
    }

    /// The rate.
    pub(super) const fn rate(&self) -> Rate {
        self.rate
    }

    /// Room for one more request now; else how long until there is.
    pub(super) fn take(&self) -> Result<(), Duration> {
        self.limiter.check().map_err(|full| full.wait_time_from(self.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn pace(rate: &str) -> (Pace<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Pace::by(rate.parse().expect("a rate"), clock.clone()), clock)
    }

    /// Takes as many as there is room for, which are `expected`, and returns how long the next has to wait.
    fn exhaust(pace: &Pace<FakeRelativeClock>, expected: usize) -> Duration {
        let taken = std::iter::repeat_with(|| pace.take()).take_while(Result::is_ok).count();
        assert_eq!(taken, expected);
        pace.take().expect_err("no room")
    }

    #[test]
    fn as_many_as_it_counts_come_at_once_and_then_one_an_interval() {
        let (pace, clock) = pace("3/s");
        let wait = exhaust(&pace, 3);
        assert!(wait > Duration::from_millis(300) && wait <= Duration::from_millis(334), "{wait:?}");
        clock.advance(wait);
        exhaust(&pace, 1);
        clock.advance(Duration::from_secs(3600));
        exhaust(&pace, 3);
    }

    #[test]
    fn the_slowest_and_the_fastest_rate_hold() {
        assert_eq!(exhaust(&pace("1/h").0, 1), Duration::from_secs(3600));
        let (fastest, _) = pace("4294967295/s");
        assert!((0..10_000).all(|_| fastest.take().is_ok()));
    }
}
