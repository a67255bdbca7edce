//! When a channel sends what waits: at the runs of a schedule, some deliveries at a time.

mod cron;

use std::fmt;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::clock::Timestamp;
pub use cron::Cron;

/// The runs of a channel, and how much each of them sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// When.
    pub runs: Runs,
    /// Deliveries of one run at most.
    pub batch: usize,
    /// Deliveries that go out in one request.
    pub bucket: usize,
}

impl Schedule {
    /// When a delivery whose next attempt is due at `due` is sent: at the first run then or later, but after `now`.
    pub fn run_for(&self, due: Timestamp, now: Timestamp) -> Timestamp {
        self.runs.after(due.before(Duration::from_millis(1)).max(now))
    }
}

/// The times of a schedule.
#[derive(Clone, PartialEq, Eq)]
pub enum Runs {
    /// Each time the seconds since 1970 are a multiple of a period: `15m` runs at the full quarters of each hour,
    /// whenever the service was started.
    Every(Duration),
    /// By a cron expression of five fields, in a time zone.
    Cron(Box<Cron>, TimeZone),
}

impl Runs {
    /// The runs of a cron expression: minute, hour, day of the month, month, day of the week, in the time zone of that IANA name.
    /// `Err` says what is wrong with the expression.
    pub fn cron(expression: &str, zone: TimeZone) -> Result<Self, String> {
        let cron = Cron::parse(expression)?;
        let runs = Self::Cron(Box::new(cron), zone);
        if runs.find_after(Timestamp::default()).is_none() {
            return Err("no day matches".to_owned());
        }
        Ok(runs)
    }

    /// The first run after `time`. Where there is none any more, a time that never comes.
    pub fn after(&self, time: Timestamp) -> Timestamp {
        self.find_after(time).unwrap_or(Timestamp::from_millis(i64::MAX))
    }

    fn find_after(&self, time: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(period) => {
                let period = i64::try_from(period.as_millis()).ok().filter(|period| *period > 0)?;
                let runs = time.as_millis().div_euclid(period).checked_add(1)?;
                runs.checked_mul(period).map(Timestamp::from_millis)
            }
            Self::Cron(cron, zone) => {
                let time = jiff::Timestamp::from_millisecond(time.as_millis()).ok()?;
                let mut civil = zone.to_datetime(time);
                loop {
                    civil = cron.next_after(civil)?;
                    // A time that the clocks skip is that much later; of one that they show twice, the first counts.
                    let next = zone.to_timestamp(civil).ok()?;
                    if next > time {
                        let again = if cron.is_steady() { shown_again(cron, zone, time, next) } else { None };
                        return Some(Timestamp::from_millis(again.unwrap_or(next).as_millisecond()));
                    }
                }
            }
        }
    }
}

/// The first run after `time` and before `next` in an hour that the clocks show a second time.
fn shown_again(cron: &Cron, zone: &TimeZone, time: jiff::Timestamp, next: jiff::Timestamp) -> Option<jiff::Timestamp> {
    // The clocks are set back by three hours at most.
    let (minute, most) = (jiff::SignedDuration::from_mins(1), 180);
    let set = zone.preceding(next).next()?.timestamp();
    let end = set.checked_add(minute * most).ok()?.min(next);
    let mut at = set.max(time.checked_add(minute).ok()?);
    at = jiff::Timestamp::from_second(at.as_second().div_euclid(60) * 60).ok()?;
    while at < end {
        if at > time && cron.runs_at(zone.to_datetime(at)) {
            return Some(at);
        }
        at = at.checked_add(minute).ok()?;
    }
    None
}

impl fmt::Debug for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(period) => write!(f, "every {period:?}"),
            Self::Cron(cron, zone) => write!(f, "cron {} {:?}", cron.as_str(), zone.iana_name()),
        }
    }
}

/// Keeps when a channel's next run is, given when its last one was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunClock {
    /// The last run as it is on record.
    pub recorded: Timestamp,
    last: Timestamp,
}

/// The clock may be set back by that much without a run being made again.
const SLACK: Duration = Duration::from_secs(60);

impl RunClock {
    /// A channel whose last run was at `recorded`.
    pub const fn new(recorded: Timestamp) -> Self {
        Self { recorded, last: recorded }
    }

    /// When the next run is to begin: in the past where one was missed. However many were missed, one makes up for them.
    /// A clock that was set back by more than a minute counts anew from there, so that it does not stop the channel.
    pub fn next(&mut self, runs: &Runs, now: Timestamp) -> Timestamp {
        if self.last > now.after(SLACK) {
            self.last = now;
        }
        runs.after(self.last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cron(expression: &str) -> Result<Runs, String> {
        Runs::cron(expression, TimeZone::UTC)
    }

    #[test]
    fn a_cron_expression_is_read_in_its_time_zone() {
        let zurich = TimeZone::get("Europe/Zurich").expect("a time zone");
        let runs = Runs::cron("30 2 * * *", zurich).expect("a cron expression");
        // Winter and summer time; the night in which 02:30 does not exist, and the one in which it comes twice.
        for (after, next) in [
            ("2026-01-10T12:00:00Z", "2026-01-11T01:30:00Z"),
            ("2026-07-10T12:00:00Z", "2026-07-11T00:30:00Z"),
            ("2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z"),
            ("2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
            ("2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
        ] {
            assert_eq!(runs.after(at(after)), at(next), "after {after}");
        }
    }

    #[test]
    fn a_schedule_by_the_minute_also_runs_in_the_hour_that_is_shown_twice() {
        let zurich = || TimeZone::get("Europe/Zurich").expect("a time zone");
        let runs = Runs::cron("*/20 * * * *", zurich()).expect("a cron expression");
        for night in ["2026-10-24T23:50:00Z", "2026-03-28T23:50:00Z", "2026-07-10T23:50:00Z"] {
            let mut last = at(night);
            for _ in 0..15 {
                let next = runs.after(last);
                assert!(next.since(last) <= Duration::from_secs(20 * 60), "{last} {next}");
                last = next;
            }
        }
        // Not one at a fixed time.
        let fixed = Runs::cron("30 2 * * *", zurich()).expect("a cron expression");
        assert_eq!(fixed.after(at("2026-10-25T00:30:00Z")), at("2026-10-26T01:30:00Z"));
        let hours = Runs::cron("30 */2 * * *", zurich()).expect("a cron expression");
        assert_eq!(hours.after(at("2026-10-25T00:30:00Z")), at("2026-10-25T01:30:00Z"), "02:30 a second time");
        assert_eq!(hours.after(at("2026-10-25T01:30:00Z")), at("2026-10-25T03:30:00Z"));
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn minutes(minutes: u64) -> Runs {
        Runs::Every(Duration::from_secs(60 * minutes))
    }

    #[test]
    fn a_period_runs_at_full_quarters_and_not_from_the_start_on() {
        for (now, next) in [
            ("2026-01-31T12:00:00Z", "2026-01-31T12:15:00Z"),
            ("2026-01-31T12:14:59.999Z", "2026-01-31T12:15:00Z"),
            ("2026-12-31T23:50:00Z", "2027-01-01T00:00:00Z"),
            ("1969-12-31T23:59:00Z", "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(minutes(15).after(at(now)), at(next), "{now}");
        }
        assert_eq!(minutes(24 * 60).after(at("2026-03-28T00:00:00Z")), at("2026-03-29T00:00:00Z"));
    }

    #[test]
    fn a_cron_expression_is_in_utc_without_summer_time() {
        let six = cron("0 6 * * *").expect("a cron expression");
        for day in ["2026-03-29", "2026-10-25", "2028-02-29", "2026-06-30"] {
            assert_eq!(six.after(at(&format!("{day}T05:59:59.999Z"))), at(&format!("{day}T06:00:00Z")));
        }
        assert_eq!(six.after(at("2026-12-31T06:00:00Z")), at("2027-01-01T06:00:00Z"));
        let leap = cron("30 0 29 2 *").expect("a cron expression");
        assert_eq!(leap.after(at("2026-01-01T00:00:00Z")), at("2028-02-29T00:30:00Z"));
        let mondays = cron("*/20 8-9 * * MON").expect("a cron expression");
        assert_eq!(mondays.after(at("2026-01-26T09:40:00Z")), at("2026-02-02T08:00:00Z"));
        assert_eq!(mondays.after(at("2026-01-26T08:01:00Z")), at("2026-01-26T08:20:00Z"));
    }

    #[test]
    fn a_wrong_cron_expression_says_what_is_wrong() {
        for (wrong, part) in [
            ("", "0 fields"),
            ("0 6 * *", "4 fields"),
            ("0 0 6 * * *", "6 fields"),
            ("61 6 * * *", "minute cannot be \"61\""),
            ("0 6 30 2 *", "no day"),
            ("0 6 * * MOO", "day of week cannot be \"MOO\""),
            ("@daily", "1 fields"),
        ] {
            let problem = cron(wrong).expect_err(wrong);
            assert!(problem.contains(part), "{wrong}: {problem}");
        }
        assert!(cron(&"1,".repeat(1000)).is_err());
    }

    #[test]
    fn one_run_makes_up_for_all_that_were_missed() {
        let runs = minutes(15);
        let mut clock = RunClock::new(at("2026-01-31T12:00:00Z"));
        assert_eq!(clock.next(&runs, at("2026-01-31T12:07:00Z")), at("2026-01-31T12:15:00Z"));
        let late = at("2026-02-03T07:08:00Z");
        assert!(clock.next(&runs, late) <= late);
        let mut clock = RunClock::new(late);
        assert_eq!(clock.next(&runs, late), at("2026-02-03T07:15:00Z"));
    }

    #[test]
    fn a_clock_set_back_neither_runs_twice_nor_stops_the_channel() {
        let runs = minutes(15);
        let mut clock = RunClock::new(at("2026-01-31T12:15:00.005Z"));
        let little = at("2026-01-31T12:14:59.990Z");
        assert_eq!(clock.next(&runs, little), at("2026-01-31T12:30:00Z"), "a correction by milliseconds");
        let much = at("2025-12-24T18:00:00Z");
        assert_eq!(clock.next(&runs, much), at("2025-12-24T18:15:00Z"));
        assert_eq!(clock.next(&runs, much.after(SLACK)), at("2025-12-24T18:15:00Z"), "it counts on from there");
    }

    #[test]
    fn a_delivery_waits_for_the_run_at_its_time_or_behind_it() {
        let schedule = Schedule { runs: minutes(15), batch: 60, bucket: 1 };
        let noon = at("2026-01-31T12:00:00Z");
        let quarter = at("2026-01-31T12:15:00Z");
        assert_eq!(schedule.run_for(noon, noon), quarter, "the run of this moment is over");
        assert_eq!(schedule.run_for(quarter, noon), quarter);
        assert_eq!(schedule.run_for(quarter.after(Duration::from_millis(1)), noon), at("2026-01-31T12:30:00Z"));
        assert_eq!(schedule.run_for(Timestamp::default(), noon), quarter);
    }

    proptest! {
        #[test]
        fn the_next_run_of_a_period_is_the_first_behind_now(now in -10_000_000_000_000i64..10_000_000_000_000, period in 1u64..1440) {
            let next = minutes(period).after(Timestamp::from_millis(now)).as_millis();
            let period = i64::try_from(period * 60_000).expect("a period");
            prop_assert!(next > now && next - now <= period && next % period == 0);
        }

        #[test]
        fn any_text_is_a_cron_expression_or_is_refused(text in "[0-9*/,LW#?@A-Z +-]{0,30}") {
            if let Ok(runs) = cron(&text) {
                let now = Timestamp::from_millis(1_769_860_800_000);
                prop_assert!(runs.after(now) > now);
            }
        }
    }
}
