//! The system's clock and randomness: the only module that reads either. Everything else takes a [`Clock`] and a seed.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, Rlimit, Signal, getegid, geteuid, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use tokio::signal::unix::{SignalKind, signal};

use crate::domain::clock::Sleep;
use crate::domain::{Clock, Timestamp};

/// The wall clock, with tokio's timers for waiting.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is where the wall clock is read")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn elapsed(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }

    fn is_of_day(&self) -> bool {
        true
    }

    fn both(&self) -> (Timestamp, Duration) {
        let mut before = self.elapsed();
        loop {
            let (now, after) = (self.now(), self.elapsed());
            // A thread that is held up between the two would look like a clock that was set.
            if after.saturating_sub(before) < Duration::from_millis(50) {
                return (now, after);
            }
            before = after;
        }
    }

    fn sleep_until(&self, at: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(at.saturating_sub(self.elapsed())))
    }
}

/// The error of a process that can open no further file, if it is so.
pub fn no_file_left() -> Option<io::Error> {
    std::fs::File::open("/dev/null").err().filter(|error| {
        rustix::io::Errno::from_io_error(error)
            .is_some_and(|code| matches!(code, rustix::io::Errno::MFILE | rustix::io::Errno::NFILE))
    })
}

/// The processor time of this thread.
pub fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Ends the process with status 1 if its thread panics: for threads without which nothing is safe any more.
#[must_use]
#[derive(Debug)]
pub struct EndsProcess(pub &'static str);

impl Drop for EndsProcess {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(thread = self.0, "a thread that nothing works without has panicked: the process ends");
            std::process::exit(1);
        }
    }
}

/// Panics once where the folder `ORDERHOOK_FAILPOINTS` has a file of this name, which goes away by that: so tests see what a
/// panic at a place comes to. Of debug builds only.
#[cfg(debug_assertions)]
pub fn failpoint(name: &str) {
    static FOLDER: LazyLock<Option<std::path::PathBuf>> =
        LazyLock::new(|| std::env::var_os("ORDERHOOK_FAILPOINTS").map(Into::into));
    let wanted = FOLDER.as_ref().is_some_and(|folder| std::fs::remove_file(folder.join(name)).is_ok());
    assert!(!wanted, "the failpoint {name} is set");
}

/// Nothing, in a release.
#[cfg(not(debug_assertions))]
pub const fn failpoint(_: &str) {}

/// Processors that the process may use, as far as the system says.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Raises the limit of open files as far as this process may. Returns the limit in force, or `None` where there is none.
pub fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // Where the system refuses, the limit stays as it is.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    open_files()
}

/// Returns how many files this process may have open, or `None` where there is no limit.
pub fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Returns how large a file of this process may become, or `None` where there is no limit.
pub fn file_size() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// Returns the user and the group that this process acts as.
pub fn user() -> (u32, u32) {
    (geteuid().as_raw(), getegid().as_raw())
}

/// Lets a write beyond the limit of a file's size fail, as on a full disk, instead of ending the process (SIGXFSZ).
///
/// # Errors
/// When the signal cannot be caught.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn survive_file_size_limit() -> io::Result<()> {
    // The handler stays when its receiver is dropped.
    signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).map(drop)
}

/// A number that the operating system chose at random, to seed generators with.
pub fn seed() -> u64 {
    RandomState::new().hash_one(())
}

/// Bytes that nobody can guess, for keys. `Err`: the operating system gives none.
pub fn secret() -> Result<[u8; 32], String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_a_guarded_thread_ends_the_process() {
        const CHILD: &str = "ORDERHOOK_TEST_GUARDED_THREAD";
        if std::env::var_os(CHILD).is_some() {
            let guarded = std::thread::spawn(|| {
                let _ends = EndsProcess("test");
                panic!("on purpose");
            });
            let _ = guarded.join();
            std::thread::sleep(Duration::from_secs(60));
            return;
        }
        let this = std::env::current_exe().expect("a path");
        let name = "system::tests::a_panic_in_a_guarded_thread_ends_the_process";
        let child = std::process::Command::new(this).args(["--exact", name]).env(CHILD, "1").output().expect("a child");
        assert_eq!(child.status.code(), Some(1), "{child:?}");
    }

    #[test]
    fn seeds_differ() {
        assert_ne!(seed(), seed());
        assert_ne!(secret(), secret());
    }

    #[tokio::test]
    async fn a_sleep_ends_when_its_time_has_come_and_not_before() {
        let clock = SystemClock;
        let at = clock.elapsed() + Duration::from_millis(20);
        clock.sleep_until(at).await;
        assert!(clock.elapsed() >= at);
        clock.sleep_until(Duration::ZERO).await;
    }
}
