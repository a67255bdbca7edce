//! A bound for log lines that callers or faults can cause without end.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The shortest time between two lines.
const INTERVAL: Duration = Duration::from_secs(10);

/// Lets one log line through in ten seconds and counts the others.
#[derive(Debug)]
pub struct Throttle(Mutex<State>);

#[derive(Debug)]
struct State {
    last: Option<Instant>,
    suppressed: u64,
}

impl Throttle {
    /// A throttle that lets the first line through.
    pub const fn new() -> Self {
        Self(Mutex::new(State { last: None, suppressed: 0 }))
    }

    /// Returns how many lines were suppressed since the last one, if this one may be written.
    pub fn admit(&self) -> Option<u64> {
        self.admit_at(Instant::now())
    }

    fn admit_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock();
        if state.last.is_some_and(|last| now.duration_since(last) < INTERVAL) {
            state.suppressed += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

impl Default for Throttle {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_ten_seconds_says_how_many_were_suppressed() {
        let (throttle, start) = (Throttle::new(), Instant::now());
        let at = |millis| throttle.admit_at(start + Duration::from_millis(millis));
        assert_eq!(
            [at(0), at(1), at(9_999), at(10_000), at(10_001), at(20_000)],
            [Some(0), None, None, Some(2), None, Some(1)]
        );
    }
}
