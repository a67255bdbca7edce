//! Time, injected: [`Timestamp`] as a value, [`Clock`] as its source, [`ManualClock`] for tests.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time, to the millisecond, in UTC. Written as RFC 3339 (`2026-01-31T12:00:00.000Z`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This time and `duration` more; stops at the far end instead of wrapping.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This time less `duration`.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long since `earlier`; zero when `earlier` is in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no RFC 3339 time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time such as 2026-01-31T12:00:00Z")]
pub struct NotATime;

impl FromStr for Timestamp {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        let time: jiff::Timestamp = text.parse().map_err(|_| NotATime)?;
        Ok(Self(time.as_millisecond()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A future that ends when its time has come.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where time comes from. The service runs on the system's; tests move a [`ManualClock`] by hand.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time now.
    fn now(&self) -> Timestamp;
    /// Returns how much time has passed since some fixed moment: a monotonic clock, which nobody sets.
    fn elapsed(&self) -> Duration;
    /// Reads both clocks at the same moment.
    fn both(&self) -> (Timestamp, Duration) {
        (self.now(), self.elapsed())
    }
    /// Waits until [`Clock::elapsed`] comes to `at`; ends immediately if it has. Where the wall clock is set meanwhile does not matter.
    fn sleep_until(&self, at: Duration) -> Sleep;
    /// Whether it shows the time of day, as other machines' clocks do.
    fn is_of_day(&self) -> bool {
        false
    }
}

/// A clock that goes as another one, corrected by a difference.
#[derive(Debug, Clone)]
pub struct CorrectedClock {
    inner: Arc<dyn Clock>,
    /// Milliseconds.
    ahead: Arc<AtomicI64>,
}

impl CorrectedClock {
    /// A clock without a correction so far.
    pub fn new(inner: Arc<dyn Clock>) -> Self {
        Self { inner, ahead: Arc::default() }
    }

    /// Goes by `time` from now on. Returns how many milliseconds that is ahead of the inner clock, where it is one of the time of day.
    pub fn set(&self, time: Timestamp) -> Option<i64> {
        if !self.inner.is_of_day() {
            return None;
        }
        let ahead = time.as_millis().saturating_sub(self.inner.now().as_millis());
        self.ahead.store(ahead, Ordering::Relaxed);
        Some(ahead)
    }

    fn ahead(&self) -> i64 {
        self.ahead.load(Ordering::Relaxed)
    }
}

impl Clock for CorrectedClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.inner.now().0.saturating_add(self.ahead()))
    }

    fn elapsed(&self) -> Duration {
        self.inner.elapsed()
    }

    fn both(&self) -> (Timestamp, Duration) {
        let (now, elapsed) = self.inner.both();
        (Timestamp(now.0.saturating_add(self.ahead())), elapsed)
    }

    fn sleep_until(&self, at: Duration) -> Sleep {
        self.inner.sleep_until(at)
    }

    fn is_of_day(&self) -> bool {
        self.inner.is_of_day()
    }
}

/// The least that a wall clock is set back by to be noticed: less is no delay that matters.
const NOTICED: Duration = Duration::from_secs(1);

/// Notices that the wall clock was set back, by the monotonic one next to it. Times that are kept, such as those at which
/// deliveries are due, then lie too far in the future by as much.
#[derive(Debug, Clone, Copy)]
pub struct Setbacks {
    /// By how much the wall clock is ahead of the monotonic one, in milliseconds.
    ahead: i64,
}

impl Setbacks {
    /// Starts to look at both clocks.
    pub fn new((wall, elapsed): (Timestamp, Duration)) -> Self {
        Self { ahead: ahead(wall, elapsed) }
    }

    /// By how much the wall clock was set back since the last look, if it was.
    pub fn look(&mut self, (wall, elapsed): (Timestamp, Duration)) -> Option<Duration> {
        let ahead = ahead(wall, elapsed);
        let by = Duration::from_millis(u64::try_from(self.ahead.saturating_sub(ahead)).unwrap_or(0));
        // Small steps add up until they are noticed.
        if ahead >= self.ahead || by >= NOTICED {
            self.ahead = ahead;
        }
        (by >= NOTICED).then_some(by)
    }
}

fn ahead(wall: Timestamp, elapsed: Duration) -> i64 {
    wall.as_millis().saturating_sub(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}

/// A clock that stands still until [`ManualClock::advance`] moves it.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<Manual>>);

#[derive(Debug)]
struct Manual {
    now: Timestamp,
    /// By how much the wall clock was set: forward, or back where it is negative.
    set: i64,
    sleepers: Vec<(Timestamp, Waker)>,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Manual { now, set: 0, sleepers: Vec::new() })))
    }

    /// Sets the wall clock forward by so many milliseconds, or back where they are negative. Time does not pass by that.
    pub fn set(&self, by: i64) {
        self.0.lock().set += by;
    }

    /// Moves time on and wakes whoever waited for it.
    pub fn advance(&self, by: Duration) {
        let due: Vec<Waker> = {
            let mut inner = self.0.lock();
            inner.now = inner.now.after(by);
            let now = inner.now;
            let (due, rest) = std::mem::take(&mut inner.sleepers).into_iter().partition(|(at, _)| *at <= now);
            inner.sleepers = rest;
            let due: Vec<(Timestamp, Waker)> = due;
            due.into_iter().map(|(_, waker)| waker).collect()
        };
        due.into_iter().for_each(Waker::wake);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.both().0
    }

    fn elapsed(&self) -> Duration {
        self.both().1
    }

    fn both(&self) -> (Timestamp, Duration) {
        let manual = self.0.lock();
        (Timestamp::from_millis(manual.now.as_millis() + manual.set), manual.now.since(Timestamp::default()))
    }

    fn sleep_until(&self, at: Duration) -> Sleep {
        Box::pin(ManualSleep { clock: Arc::clone(&self.0), at: Timestamp::default().after(at) })
    }
}

struct ManualSleep {
    clock: Arc<Mutex<Manual>>,
    at: Timestamp,
}

impl Future for ManualSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.clock.lock();
        if inner.now >= self.at {
            return Poll::Ready(());
        }
        let at = self.at;
        if !inner.sleepers.iter().any(|(time, waker)| *time == at && waker.will_wake(context.waker())) {
            inner.sleepers.push((at, context.waker().clone()));
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339_in_utc_and_read_back() {
        let time = Timestamp::from_millis(1_769_860_800_123);
        assert_eq!(time.to_string(), "2026-01-31T12:00:00.123Z");
        assert_eq!("2026-01-31T13:00:00.123+01:00".parse(), Ok(time));
        assert_eq!("yesterday".parse::<Timestamp>(), Err(NotATime));
        assert_eq!(Timestamp::from_millis(1_769_860_800_000).to_string(), "2026-01-31T12:00:00.000Z");
    }

    #[test]
    fn a_clock_that_is_set_back_is_noticed_and_one_that_is_set_forward_is_not() {
        let (seconds, at) = (Duration::from_secs, |seconds: i64| Timestamp::from_millis(seconds * 1000));
        let mut setbacks = Setbacks::new((at(1000), seconds(0)));
        assert_eq!(setbacks.look((at(1010), seconds(10))), None);
        assert_eq!(setbacks.look((at(4610), seconds(10))), None, "forward by an hour");
        assert_eq!(setbacks.look((at(1011), seconds(11))), Some(seconds(3600)), "back again");
        assert_eq!(setbacks.look((at(1012), seconds(12))), None);
        let mut by = Vec::new();
        for step in 1..=4i64 {
            // Three tenths of a second at a time.
            let wall = Timestamp::from_millis(1_012_000 + step * 700);
            by.extend(setbacks.look((wall, seconds(12 + step.unsigned_abs()))));
        }
        assert_eq!(by, [Duration::from_millis(1200)]);
    }

    #[test]
    fn a_manual_clock_wakes_only_those_whose_time_has_come() {
        let clock = ManualClock::new(Timestamp::from_millis(0));
        let mut early = clock.sleep_until(Duration::from_millis(10));
        let mut late = clock.sleep_until(Duration::from_millis(20));
        let mut context = Context::from_waker(Waker::noop());
        assert!(early.as_mut().poll(&mut context).is_pending());
        assert!(late.as_mut().poll(&mut context).is_pending());
        clock.advance(Duration::from_millis(10));
        assert!(early.as_mut().poll(&mut context).is_ready());
        assert!(late.as_mut().poll(&mut context).is_pending());
    }
}
