//! How a channel's receiver fares: since when it fails, its last success and error, and its last hour. Kept in the store, so that a restart
//! forgets none of it.

use serde::{Deserialize, Serialize};

use super::stats::LastHour;
use crate::domain::{Attempt, Code, Outcome, Timestamp};

/// Failures that begin again within this time of the last announcement are announced after it: a receiver that fails now and then
/// fills no log.
const QUIET: std::time::Duration = std::time::Duration::from_secs(60);

/// An attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// When it ended.
    pub at: Timestamp,
    /// The response's status, or why there was none.
    pub code: Code,
    /// What went wrong, in a sentence.
    pub error: String,
}

/// How a channel fares.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// When the first of an unbroken row of failures ended; `None` while it does not fail.
    pub failing_since: Option<Timestamp>,
    /// When an attempt last succeeded.
    pub last_success_at: Option<Timestamp>,
    /// The last attempt that failed.
    pub last_error: Option<LastError>,
    /// Whether the present row of failures has been announced.
    announced: bool,
    /// When the last row was.
    announced_at: Option<Timestamp>,
}

/// A change that people want to know of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The channel fails, since that time.
    Failing(Timestamp),
    /// It succeeds again, after failures since that time.
    Recovered(Timestamp),
}

impl Health {
    /// Takes the end of an attempt into account. An order that is refused, or of which no request can be built, says nothing about
    /// the receiver.
    pub(super) fn attempted(&mut self, now: Timestamp, attempt: &Attempt) -> Option<Turn> {
        match attempt.outcome {
            Outcome::Accepted | Outcome::Dispatched => {
                self.last_success_at = Some(now);
                let since = self.failing_since.take()?;
                std::mem::take(&mut self.announced).then_some(Turn::Recovered(since))
            }
            Outcome::Retry | Outcome::Failed | Outcome::Disable if attempt.code != Code::NOT_BUILT => {
                let error = attempt.error.clone().unwrap_or_default();
                self.last_error = Some(LastError { at: now, code: attempt.code, error });
                let since = *self.failing_since.get_or_insert(now);
                let quiet = self.announced_at.is_some_and(|at| now < at.after(QUIET));
                // Of a channel that it disables, that is news enough.
                if self.announced || quiet || attempt.outcome == Outcome::Disable {
                    return None;
                }
                (self.announced, self.announced_at) = (true, Some(now));
                Some(Turn::Failing(since))
            }
            Outcome::Rejected | Outcome::Retry | Outcome::Failed | Outcome::Disable => None,
        }
    }
}

impl Health {
    /// The wall clock was set back: a row of failures began as much earlier by it.
    pub(super) fn set_back(&mut self, by: std::time::Duration) {
        for at in [&mut self.failing_since, &mut self.announced_at] {
            *at = at.map(|at| at.before(by));
        }
    }
}

/// All that is known of how a channel fares, as it is kept.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    pub(super) health: Health,
    pub(super) hour: LastHour,
    /// Whether the store has not got it yet.
    #[serde(skip)]
    pub(super) changed: bool,
}

impl Record {
    /// What the store kept. What cannot be read is as if nothing had been: it is for show.
    pub(super) fn read(channel: &str, text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|error| {
            tracing::warn!(channel, %error, "the health record of the channel cannot be read, starting a new one");
            Self::default()
        })
    }

    /// As the store keeps it; `None` where it has it already.
    pub(super) fn take_changed(&mut self) -> Option<String> {
        std::mem::take(&mut self.changed).then(|| serde_json::to_string(self).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AttemptId, Exchange};

    fn attempt(code: u16, outcome: Outcome) -> Attempt {
        Attempt {
            id: AttemptId::from_u128(1),
            number: 1,
            started_at: Timestamp::default(),
            duration_ms: 5,
            code: Code::status(code),
            outcome,
            error: (code != 200).then(|| format!("the receiver answered {code}")),
            exchange: Exchange::default(),
        }
    }

    #[test]
    fn a_row_of_failures_is_announced_once_and_so_is_its_end() {
        let at = |secs: i64| Timestamp::from_millis(secs * 1000);
        let (bad, good) = (attempt(503, Outcome::Retry), attempt(200, Outcome::Accepted));
        let mut health = Health::default();
        assert_eq!(health.attempted(at(1), &good), None);
        assert_eq!(health.attempted(at(2), &bad), Some(Turn::Failing(at(2))));
        assert_eq!(health.attempted(at(900), &attempt(500, Outcome::Failed)), None);
        let error = LastError { at: at(900), code: Code::status(500), error: "the receiver answered 500".to_owned() };
        assert_eq!((health.failing_since, health.last_success_at), (Some(at(2)), Some(at(1))));
        assert_eq!(health.last_error, Some(error));
        assert_eq!(health.attempted(at(901), &good), Some(Turn::Recovered(at(2))));
        assert_eq!((health.failing_since, health.last_success_at), (None, Some(at(901))));
    }

    #[test]
    fn an_order_that_is_refused_or_cannot_be_built_is_no_failure_of_the_receiver() {
        let mut health = Health::default();
        let unbuilt = Attempt { code: Code::NOT_BUILT, ..attempt(200, Outcome::Failed) };
        for attempt in [attempt(400, Outcome::Rejected), unbuilt] {
            assert_eq!(health.attempted(Timestamp::default(), &attempt), None);
            assert_eq!(health, Health::default());
        }
    }

    #[test]
    fn failures_that_come_and_go_are_announced_once_a_minute() {
        let (bad, good) = (attempt(503, Outcome::Retry), attempt(200, Outcome::Accepted));
        let mut health = Health::default();
        let mut announced = 0;
        for second in 0..180 {
            let now = Timestamp::from_millis(second * 1000);
            announced += usize::from(health.attempted(now, &bad).is_some());
            health.attempted(now, &good);
        }
        assert_eq!(announced, 3);
    }

    #[test]
    fn what_is_kept_reads_back() {
        let mut record = Record::default();
        record.health.attempted(Timestamp::from_millis(5), &attempt(503, Outcome::Retry));
        record.hour.add(Timestamp::from_millis(5), false, 12);
        record.changed = true;
        let text = record.take_changed().expect("a change");
        assert_eq!(record.take_changed(), None);
        let read = Record::read("erp", &text);
        assert_eq!(read.health, record.health);
        assert_eq!(read.hour.rates(Timestamp::from_millis(6)), record.hour.rates(Timestamp::from_millis(6)));
        assert_eq!(Record::read("erp", "{nonsense").health, Health::default());
    }
}
