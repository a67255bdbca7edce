//! A channel's circuit breaker: stops attempts while the receiver fails. Pure.

use std::time::Duration;

use crate::domain::{BreakerPolicy, Code, Sign, Timestamp};

use super::events::{BreakerView, Now};

/// The cooldown doubles with each failed probe, up to this many times the configured one.
const LONGEST: u32 = 10;

/// A breaker, and the failures it has counted.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    policy: Option<BreakerPolicy>,
    failures: u32,
    state: State,
    /// The last failure.
    code: Option<Code>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Closed,
    /// Nothing starts before `until`, by the monotonic clock.
    Open { until: Duration, shown: Timestamp, cooldown: Duration },
    /// One attempt is under way that decides.
    Probing { cooldown: Duration },
}

/// Whether an attempt may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// It may.
    Pass,
    /// It may, as the only one: the breaker waits for its end.
    Probe,
    /// Not before this time by the monotonic clock; `None`: not before the probe has ended.
    Shut(Option<Duration>),
}

/// What an attempt's end has made of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flip {
    Opened,
    Closed,
}

impl Breaker {
    /// Takes another policy. A breaker that is open stays so until its time, unless there is to be none.
    pub(super) fn configure(&mut self, policy: Option<BreakerPolicy>) {
        if policy.is_none() {
            *self = Self::default();
        }
        self.policy = policy;
    }

    /// Closes the breaker: a person has resumed the channel.
    pub(super) fn reset(&mut self) {
        *self = Self { policy: self.policy, ..Self::default() };
    }

    pub(super) fn gate(&self, now: Now) -> Gate {
        match self.state {
            State::Closed => Gate::Pass,
            State::Open { until, .. } if now.mono >= until => Gate::Probe,
            State::Open { until, .. } => Gate::Shut(Some(until)),
            State::Probing { .. } => Gate::Shut(None),
        }
    }

    /// An attempt starts. Returns `true` if it is the probe.
    pub(super) fn started(&mut self, now: Now) -> bool {
        match self.state {
            State::Open { until, cooldown, .. } if now.mono >= until => {
                self.state = State::Probing { cooldown };
                true
            }
            _ => false,
        }
    }

    /// An attempt has ended.
    pub(super) fn ended(&mut self, probe: bool, sign: Sign, code: Code, now: Now) -> Option<Flip> {
        let policy = self.policy?;
        match sign {
            Sign::Answer => {
                self.failures = 0;
                self.code = None;
                let was = std::mem::take(&mut self.state);
                (was != State::Closed).then_some(Flip::Closed)
            }
            Sign::Failure => {
                self.failures = self.failures.saturating_add(1);
                self.code = Some(code);
                let cooldown = match self.state {
                    State::Closed if self.failures >= policy.failures => policy.cooldown,
                    State::Probing { cooldown } if probe => (cooldown * 2).min(policy.cooldown * LONGEST),
                    _ => return None,
                };
                self.open(cooldown, now);
                Some(Flip::Opened)
            }
            Sign::None => {
                // The probe has shown nothing: the next attempt is one.
                if let (true, State::Probing { cooldown }) = (probe, self.state) {
                    self.state = State::Open { until: now.mono, shown: now.wall, cooldown };
                }
                None
            }
        }
    }

    fn open(&mut self, cooldown: Duration, now: Now) {
        self.state =
            State::Open { until: now.mono.saturating_add(cooldown), shown: now.wall.after(cooldown), cooldown };
    }

    /// Does as the breaker of another replica: it is open until then, or has closed.
    pub(super) fn follow(&mut self, until: Option<Timestamp>, now: Now) {
        let Some(policy) = self.policy else { return };
        match until {
            None => self.reset(),
            Some(until) => {
                let left = until.since(now.wall).min(policy.cooldown * LONGEST);
                self.state = State::Open {
                    until: now.mono.saturating_add(left),
                    shown: now.wall.after(left),
                    cooldown: policy.cooldown,
                };
            }
        }
    }

    pub(super) fn view(&self) -> Option<BreakerView> {
        self.policy?;
        let open_until = match self.state {
            State::Open { shown, .. } => Some(shown),
            _ => None,
        };
        let probing = matches!(self.state, State::Probing { .. });
        Some(BreakerView { failures: self.failures, code: self.code, open_until, probing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: BreakerPolicy = BreakerPolicy { failures: 3, cooldown: Duration::from_secs(30) };

    fn at(secs: u64) -> Now {
        Now { wall: Timestamp::from_millis(secs as i64 * 1000), mono: Duration::from_secs(secs) }
    }

    fn fails(breaker: &mut Breaker, probe: bool, now: Now) -> Option<Flip> {
        breaker.ended(probe, Sign::Failure, Code::status(503), now)
    }

    fn breaker() -> Breaker {
        let mut breaker = Breaker::default();
        breaker.configure(Some(POLICY));
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_any_answer_starts_the_count_again() {
        let mut breaker = breaker();
        assert_eq!(fails(&mut breaker, false, at(1)), None);
        assert_eq!(fails(&mut breaker, false, at(1)), None);
        assert_eq!(breaker.ended(false, Sign::Answer, Code::status(404), at(1)), None);
        assert_eq!(fails(&mut breaker, false, at(1)), None);
        assert_eq!(breaker.ended(false, Sign::None, Code::EGRESS, at(1)), None);
        assert_eq!(fails(&mut breaker, false, at(1)), None);
        assert_eq!(breaker.gate(at(1)), Gate::Pass);
        assert_eq!(fails(&mut breaker, false, at(1)), Some(Flip::Opened));
        assert_eq!(breaker.gate(at(2)), Gate::Shut(Some(Duration::from_secs(31))));
    }

    #[test]
    fn one_probe_decides_and_the_cooldown_doubles_up_to_ten_times() {
        let mut breaker = breaker();
        (0..3).for_each(|_| _ = fails(&mut breaker, false, at(0)));
        let mut now = 30;
        for cooldown in [60, 120, 240, 300, 300] {
            assert_eq!(breaker.gate(at(now)), Gate::Probe);
            assert!(breaker.started(at(now)));
            assert_eq!(breaker.gate(at(now)), Gate::Shut(None));
            assert_eq!(fails(&mut breaker, false, at(now)), None, "an attempt from before decides nothing");
            assert_eq!(fails(&mut breaker, true, at(now)), Some(Flip::Opened));
            assert_eq!(breaker.gate(at(now + cooldown - 1)), Gate::Shut(Some(Duration::from_secs(now + cooldown))));
            now += cooldown;
        }
        assert!(breaker.started(at(now)));
        assert_eq!(breaker.ended(true, Sign::None, Code::NOT_BUILT, at(now)), None);
        assert_eq!(breaker.gate(at(now)), Gate::Probe, "a probe that shows nothing is followed by another");
        assert!(breaker.started(at(now)));
        assert_eq!(breaker.ended(true, Sign::Answer, Code::status(200), at(now)), Some(Flip::Closed));
        assert_eq!(breaker.gate(at(now)), Gate::Pass);
        assert_eq!(breaker.view().map(|view| view.failures), Some(0));
    }

    #[test]
    fn without_a_policy_nothing_is_held_back() {
        let mut breaker = breaker();
        (0..3).for_each(|_| _ = fails(&mut breaker, false, at(0)));
        breaker.configure(None);
        (0..100).for_each(|_| _ = fails(&mut breaker, false, at(0)));
        assert_eq!((breaker.gate(at(0)), breaker.view()), (Gate::Pass, None));
    }
}
