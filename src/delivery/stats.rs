//! How a channel has fared in the last hour: counts by the minute.

use serde::{Deserialize, Serialize};

use crate::domain::Timestamp;

const MINUTES: usize = 60;

/// A ring of the last sixty minutes.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct LastHour {
    minutes: Vec<Minute>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
struct Minute {
    number: i64,
    attempts: u64,
    successes: u64,
    millis: u64,
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

impl LastHour {
    pub(super) fn add(&mut self, now: Timestamp, success: bool, millis: u64) {
        let number = now.as_secs() / 60;
        // Also where the store has kept another number of them.
        self.minutes.resize(MINUTES, Minute::default());
        let at = usize::try_from(number.rem_euclid(MINUTES as i64)).unwrap_or(0);
        if let Some(minute) = self.minutes.get_mut(at) {
            if minute.number != number {
                *minute = Minute { number, ..Minute::default() };
            }
            minute.attempts += 1;
            minute.successes += u64::from(success);
            minute.millis += millis;
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
}
