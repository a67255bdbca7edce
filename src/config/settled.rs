//! Reading files that somebody may be writing: a reload waits until a file is unchanged for a moment, so that it does
//! not take half of a file that an editor or a deployment is still writing.

use std::fs::{self, Metadata};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::domain::Clock;
use crate::system::SystemClock;

/// How long a file must be unchanged.
const UNCHANGED: Duration = Duration::from_millis(100);

/// How long to wait for that.
const PATIENCE: Duration = Duration::from_secs(10);

/// When the files of a configuration are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reading {
    /// Immediately: at a start.
    #[default]
    Now,
    /// Once each file is unchanged for 100 ms: at a reload. Blocks the thread meanwhile.
    Settled,
}

/// Reads a file whole.
pub(super) fn read(path: &Path, reading: Reading) -> io::Result<Vec<u8>> {
    if reading == Reading::Now {
        return fs::read(path);
    }
    let begun = Instant::now();
    loop {
        let before = fs::metadata(path)?;
        let wait = remaining(&before);
        if wait.is_zero() {
            let content = fs::read(path)?;
            if same(&before, &fs::metadata(path)?) {
                return Ok(content);
            }
        }
        if begun.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("it has kept changing for {PATIENCE:?}; reload once it is written")));
        }
        std::thread::sleep(wait);
    }
}

/// How long the file must stay as it is until it counts as unchanged. A time in the future says nothing of its age.
fn remaining(file: &Metadata) -> Duration {
    let Ok(Ok(modified)) = file.modified().map(|time| time.duration_since(std::time::UNIX_EPOCH)) else {
        return Duration::ZERO;
    };
    let now = Duration::from_millis(u64::try_from(SystemClock.now().as_millis()).unwrap_or(0));
    match now.checked_sub(modified) {
        Some(age) => UNCHANGED.saturating_sub(age),
        // The clock counts whole milliseconds.
        None if modified.saturating_sub(now) < Duration::from_millis(1) => UNCHANGED,
        None => Duration::ZERO,
    }
}

fn same(one: &Metadata, other: &Metadata) -> bool {
    one.len() == other.len() && one.modified().ok() == other.modified().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_under_way_is_read_once_it_is_unchanged() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("a.yaml");
        fs::write(&path, "").expect("a file");
        let writer = {
            let path = path.clone();
            std::thread::spawn(move || {
                for length in 1..=8 {
                    std::thread::sleep(Duration::from_millis(20));
                    fs::write(&path, "x".repeat(length)).expect("a file");
                }
            })
        };
        let content = read(&path, Reading::Settled).expect("the file");
        writer.join().expect("the writer");
        assert_eq!(content, b"xxxxxxxx");
    }

    #[test]
    fn a_file_that_is_old_or_of_the_future_is_read_immediately() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("a.yaml");
        fs::write(&path, "x").expect("a file");
        let now = fs::metadata(&path).and_then(|file| file.modified()).expect("a time");
        for time in [now - Duration::from_secs(1), now + Duration::from_secs(3600)] {
            fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(time)).expect("a time");
            assert_eq!(remaining(&fs::metadata(&path).expect("a file")), Duration::ZERO);
        }
        assert!(read(&home.path().join("none"), Reading::Settled).is_err());
    }
}
