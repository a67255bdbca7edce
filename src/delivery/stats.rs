//! How a channel has fared in the last hour: counts by the minute.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::Timestamp;

const MINUTES: usize = 60;

/// A ring of the last sixty minutes.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct LastHour {
    minutes: Vec<Minute>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Minute {
    number: i64,
    attempts: u64,
    successes: u64,
    millis: u64,
    /// How many attempts took how long: numbers of [`bucket`]s with their counts, in rising order.
    buckets: Vec<(u16, u32)>,
}

/// What the ring adds up to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    /// Attempts made.
    pub attempts: u64,
    /// The share of them that succeeded; `None` without attempts.
    pub success_rate: Option<f64>,
    /// How long one took on average, in milliseconds; `None` without attempts.
    pub mean_ms: Option<f64>,
}

/// The last sixty minutes one by one, the present one last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Minutes {
    /// When the first of them began.
    pub since: Timestamp,
    /// The time within which 95 of 100 attempts of the whole hour ended, in milliseconds, at most an eighth too high; `None`
    /// without attempts.
    pub hour_p95_ms: Option<u64>,
    /// Attempts that ended in each minute.
    pub attempts: Vec<u64>,
    /// Those that succeeded.
    pub successes: Vec<u64>,
    /// As for the whole hour.
    pub p95_ms: Vec<Option<u64>>,
}

impl LastHour {
    pub(super) fn add(&mut self, now: Timestamp, success: bool, millis: u64) {
        let number = now.as_secs() / 60;
        // Also where the store has kept another number of them.
        self.minutes.resize(MINUTES, Minute::default());
        if let Some(minute) = self.minutes.get_mut(position(number)) {
            if minute.number != number {
                let buckets = std::mem::take(&mut minute.buckets);
                *minute = Minute { number, buckets, ..Minute::default() };
                minute.buckets.clear();
            }
            minute.attempts += 1;
            minute.successes += u64::from(success);
            minute.millis += millis;
            let bucket = bucket(millis);
            match minute.buckets.binary_search_by_key(&bucket, |(known, _)| *known) {
                Ok(at) => {
                    if let Some((_, count)) = minute.buckets.get_mut(at) {
                        *count = count.saturating_add(1);
                    }
                }
                Err(at) => minute.buckets.insert(at, (bucket, 1)),
            }
        }
    }

    pub(super) fn rates(&self, now: Timestamp) -> Rates {
        let oldest = now.as_secs() / 60 - MINUTES as i64;
        let recent = || self.minutes.iter().filter(|minute| minute.number > oldest);
        let attempts: u64 = recent().map(|minute| minute.attempts).sum();
        if attempts == 0 {
            return Rates::default();
        }
        let share = |sum: u64| Some(sum as f64 / attempts as f64);
        Rates {
            attempts,
            success_rate: share(recent().map(|minute| minute.successes).sum()),
            mean_ms: share(recent().map(|minute| minute.millis).sum()),
        }
    }

    pub(super) fn minutes(&self, now: Timestamp) -> Minutes {
        let last = now.as_secs() / 60;
        let first = last - MINUTES as i64 + 1;
        let mut found = Minutes { since: Timestamp::from_millis(first * 60_000), ..Minutes::default() };
        let mut hour = BTreeMap::<u16, u64>::new();
        for number in first..=last {
            let minute = self.minutes.get(position(number)).filter(|minute| minute.number == number);
            found.attempts.push(minute.map_or(0, |minute| minute.attempts));
            found.successes.push(minute.map_or(0, |minute| minute.successes));
            let buckets = minute.map_or(&[][..], |minute| &minute.buckets);
            let counts = buckets.iter().map(|(bucket, count)| (*bucket, u64::from(*count)));
            found.p95_ms.push(p95(counts.clone()));
            counts.for_each(|(bucket, count)| *hour.entry(bucket).or_default() += count);
        }
        found.hour_p95_ms = p95(hour.iter().map(|(bucket, count)| (*bucket, *count)));
        found
    }
}

/// Where a minute is in the ring.
fn position(number: i64) -> usize {
    usize::try_from(number.rem_euclid(MINUTES as i64)).unwrap_or(0)
}

/// The bucket of a duration: eight for each doubling.
fn bucket(millis: u64) -> u16 {
    let value = millis.saturating_add(1);
    let exponent = value.ilog2();
    let eighth = if exponent >= 3 { value >> (exponent - 3) } else { value << (3 - exponent) } & 7;
    u16::try_from(u64::from(exponent) * 8 + eighth).unwrap_or(u16::MAX)
}

/// The longest duration in a bucket.
fn longest(bucket: u16) -> u64 {
    let (exponent, eighth) = (u32::from(bucket / 8).min(64), u128::from(bucket % 8));
    let value = (((9 + eighth) << exponent) - 1) / 8;
    u64::try_from(value).unwrap_or(u64::MAX).saturating_sub(1)
}

/// The time within which 95 of 100 ended; the counts come in rising order of their buckets.
fn p95(counts: impl Iterator<Item = (u16, u64)> + Clone) -> Option<u64> {
    let all: u64 = counts.clone().map(|(_, count)| count).sum();
    let mut left = (all * 95).div_ceil(100);
    for (bucket, count) in counts {
        left = left.saturating_sub(count);
        if left == 0 && count > 0 {
            return Some(longest(bucket));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_hour_counts() {
        let mut hour = LastHour::default();
        let at = |minute: i64| Timestamp::from_millis(minute * 60_000);
        assert_eq!(hour.rates(at(1000)), Rates::default());
        hour.add(at(1000), true, 10);
        hour.add(at(1030), false, 30);
        assert_eq!(hour.rates(at(1031)), Rates { attempts: 2, success_rate: Some(0.5), mean_ms: Some(20.0) });
        assert_eq!(hour.rates(at(1060)), Rates { attempts: 1, success_rate: Some(0.0), mean_ms: Some(30.0) });
        hour.add(at(1060), true, 10);
        assert_eq!(hour.rates(at(1060)).attempts, 2);
        assert_eq!(hour.rates(at(1200)).attempts, 0);
    }

    #[test]
    fn the_minutes_come_in_sequence_with_the_time_of_95_of_100() {
        let mut hour = LastHour::default();
        let at = |minute: i64| Timestamp::from_millis(minute * 60_000 + 30_000);
        for millis in 1..=100 {
            hour.add(at(1000), millis % 2 == 0, millis);
        }
        hour.add(at(1002), true, 20_000);
        let minutes = hour.minutes(at(1003));
        assert_eq!(minutes.since, Timestamp::from_millis(944 * 60_000));
        assert_eq!((minutes.attempts.len(), minutes.successes.len(), minutes.p95_ms.len()), (60, 60, 60));
        assert_eq!((&minutes.attempts[56..], &minutes.successes[56..]), (&[100, 0, 1, 0][..], &[50, 0, 1, 0][..]));
        for p95 in [minutes.p95_ms[56], minutes.hour_p95_ms] {
            let p95 = p95.expect("attempts");
            assert!((95..=107).contains(&p95), "{p95}");
        }
        assert_eq!((minutes.p95_ms[55], minutes.p95_ms[57]), (None, None));
        assert_eq!(hour.minutes(at(1100)).attempts, [0; 60]);
    }

    #[test]
    fn a_bucket_is_at_most_an_eighth_wide() {
        let mut before = 0;
        for millis in (0..2000).chain([100_000, 7_200_000, u64::MAX / 2]) {
            let bucket = bucket(millis);
            assert!(bucket >= before, "{millis}");
            before = bucket;
            let longest = longest(bucket);
            assert!(longest >= millis && longest as f64 <= (millis as f64 + 1.0) * 1.125, "{millis}: {longest}");
        }
    }
}
