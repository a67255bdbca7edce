//! When a delivery is tried again, if at all.

use std::time::Duration;

/// The waits between attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backoff {
    /// Always the same.
    Interval(Duration),
    /// One after another; the last one goes on.
    Schedule(Vec<Duration>),
    /// None of its own: the next run of the channel's schedule.
    Runs,
}

/// How often and when: a value that cannot be made wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    attempts: u32,
    backoff: Backoff,
    jitter: f64,
    respect_retry_after: bool,
    max_interval: Duration,
    from_start: bool,
}

/// Why a policy cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RetryPolicyError {
    /// There must be a first attempt.
    #[error("attempts must be at least 1: the first attempt counts")]
    NoAttempts,
    /// Nothing says how long to wait.
    #[error("a schedule needs at least one wait")]
    EmptySchedule,
    /// Not a share.
    #[error("jitter is a share from 0 to 1")]
    Jitter,
    /// A wait is longer than allowed.
    #[error("a wait of {0:?} is longer than max_interval {1:?}")]
    TooLong(Duration, Duration),
}

impl RetryPolicy {
    /// A policy of `attempts` in all, the first included; `max_interval` bounds every wait, a `Retry-After` too.
    pub fn new(
        attempts: u32,
        backoff: Backoff,
        jitter: f64,
        respect_retry_after: bool,
        max_interval: Duration,
    ) -> Result<Self, RetryPolicyError> {
        if attempts == 0 {
            return Err(RetryPolicyError::NoAttempts);
        }
        if !(0.0..=1.0).contains(&jitter) {
            return Err(RetryPolicyError::Jitter);
        }
        let longest = match &backoff {
            Backoff::Interval(interval) => *interval,
            Backoff::Schedule(waits) => *waits.iter().max().ok_or(RetryPolicyError::EmptySchedule)?,
            Backoff::Runs => Duration::ZERO,
        };
        if longest > max_interval {
            return Err(RetryPolicyError::TooLong(longest, max_interval));
        }
        Ok(Self { attempts, backoff, jitter, respect_retry_after, max_interval, from_start: false })
    }

    /// The same, its waits counted from the start of the attempt before, or else from its end.
    #[must_use]
    pub const fn counted_from_start(mut self, from_start: bool) -> Self {
        self.from_start = from_start;
        self
    }

    /// Attempts in all, the first included.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The waits between them.
    pub const fn backoff(&self) -> &Backoff {
        &self.backoff
    }

    /// The share by which a wait may be shorter or longer.
    pub const fn jitter(&self) -> f64 {
        self.jitter
    }

    /// Whether the receiver's `Retry-After` is heeded.
    pub const fn respects_retry_after(&self) -> bool {
        self.respect_retry_after
    }

    /// How long to wait after the `made`th attempt of a round, or `None` when that was the last. `retry_after` is
    /// what the receiver asked for: never earlier than that, up to the longest wait allowed. `random` is from 0 to 1.
    /// In a channel with a schedule the attempt is made at the first run behind the wait.
    pub fn wait(&self, made: u32, retry_after: Option<Duration>, random: f64) -> Option<Duration> {
        self.wait_after(made, Duration::ZERO, retry_after, random)
    }

    /// The same from the end of an attempt that took `elapsed`: less by that where waits count from the start of an attempt.
    pub fn wait_after(
        &self,
        made: u32,
        elapsed: Duration,
        retry_after: Option<Duration>,
        random: f64,
    ) -> Option<Duration> {
        if made >= self.attempts {
            return None;
        }
        let base = match &self.backoff {
            Backoff::Interval(interval) => *interval,
            Backoff::Schedule(waits) => {
                let at = (made.max(1) - 1) as usize;
                waits.get(at).or(waits.last()).copied().unwrap_or_default()
            }
            Backoff::Runs => Duration::ZERO,
        };
        let spread = 1.0 + self.jitter * (2.0 * random.clamp(0.0, 1.0) - 1.0);
        let own = base.mul_f64(spread.max(0.0)).saturating_sub(if self.from_start { elapsed } else { Duration::ZERO });
        let asked = retry_after.filter(|_| self.respect_retry_after).unwrap_or_default();
        Some(own.max(asked).min(self.max_interval))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy() -> impl Strategy<Value = RetryPolicy> {
        let wait = 0u64..100_000;
        let backoff = prop_oneof![
            wait.clone().prop_map(|ms| Backoff::Interval(Duration::from_millis(ms))),
            proptest::collection::vec(wait, 1..10)
                .prop_map(|waits| Backoff::Schedule(waits.into_iter().map(Duration::from_millis).collect())),
        ];
        (1u32..30, backoff, 0.0f64..=1.0, any::<bool>(), 100_000u64..1_000_000).prop_map(
            |(attempts, backoff, jitter, respect, max)| {
                RetryPolicy::new(attempts, backoff, jitter, respect, Duration::from_millis(max)).expect("a policy")
            },
        )
    }

    proptest! {
        #[test]
        fn there_are_exactly_as_many_attempts_as_the_policy_says(policy in policy(), random in 0.0f64..=1.0) {
            let mut made = 1;
            while policy.wait(made, None, random).is_some() {
                made += 1;
            }
            prop_assert_eq!(made, policy.attempts());
        }

        #[test]
        fn a_wait_stays_within_its_jitter_and_the_longest_allowed(policy in policy(), made in 1u32..30, random in 0.0f64..=1.0) {
            if let Some(wait) = policy.wait(made, None, random) {
                let plain = policy.wait(made, None, 0.5).expect("the same attempt");
                prop_assert!(wait <= policy.max_interval);
                prop_assert!(wait.as_secs_f64() <= plain.as_secs_f64() * (1.0 + policy.jitter) + 1e-6);
                prop_assert!(wait.as_secs_f64() + 1e-6 >= plain.as_secs_f64() * (1.0 - policy.jitter));
            }
        }

        #[test]
        fn retry_after_only_makes_a_wait_longer_and_is_capped(policy in policy(), made in 1u32..30, asked in 0u64..10_000_000, random in 0.0f64..=1.0) {
            let asked = Duration::from_millis(asked);
            let (with, without) = (policy.wait(made, Some(asked), random), policy.wait(made, None, random));
            prop_assert_eq!(with.is_some(), without.is_some());
            if let (Some(with), Some(without)) = (with, without) {
                let floor = if policy.respect_retry_after { asked.min(policy.max_interval) } else { Duration::ZERO };
                prop_assert!(with >= floor && with >= without.min(policy.max_interval) && with <= policy.max_interval);
            }
        }
    }

    #[test]
    fn a_schedule_goes_on_with_its_last_wait() {
        let waits = [5, 300, 1800].map(Duration::from_secs).to_vec();
        let policy =
            RetryPolicy::new(6, Backoff::Schedule(waits), 0.0, true, Duration::from_secs(86_400)).expect("a policy");
        let got: Vec<_> = (1..=6).map(|made| policy.wait(made, None, 0.9).map(|wait| wait.as_secs())).collect();
        assert_eq!(got, [Some(5), Some(300), Some(1800), Some(1800), Some(1800), None]);
    }

    #[test]
    fn impossible_policies_cannot_be_made() {
        let second = Duration::from_secs(1);
        let interval = Backoff::Interval(second);
        assert_eq!(RetryPolicy::new(0, interval.clone(), 0.0, true, second), Err(RetryPolicyError::NoAttempts));
        assert_eq!(RetryPolicy::new(1, interval.clone(), 1.1, true, second), Err(RetryPolicyError::Jitter));
        assert_eq!(RetryPolicy::new(1, interval.clone(), f64::NAN, true, second), Err(RetryPolicyError::Jitter));
        assert_eq!(
            RetryPolicy::new(1, Backoff::Schedule(vec![]), 0.0, true, second),
            Err(RetryPolicyError::EmptySchedule)
        );
        assert!(RetryPolicy::new(1, Backoff::Interval(second * 2), 0.0, true, second).is_err());
    }
}
