//! Processes that are measured: none outlives the measurement, whatever ends it.

use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};

use super::{Failure, Result};

/// The children that run now, for [`bound_the_run`].
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// A process that is killed with this value.
#[derive(Debug)]
pub struct Owned {
    /// The process.
    pub child: Child,
}

impl Owned {
    /// Starts one.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let child = command.spawn()?;
        RUNNING.lock().push(child.id());
        Ok(Self { child })
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Errors
    /// It is still there after `patience`.
    pub fn terminate(&mut self, patience: Duration) -> Result<ExitStatus> {
        signal(self.child.id(), Signal::TERM);
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(Failure::new(format!("no end {patience:?} after SIGTERM")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // Both fail only where the process has already ended, which is what they are for.
        drop(self.child.kill());
        drop(self.child.wait());
        RUNNING.lock().retain(|id| *id != self.child.id());
    }
}

/// Ends this process and its children after `limit`, in case something waits for ever.
pub fn bound_the_run(limit: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        eprintln!("given up after {limit:?}");
        for id in RUNNING.lock().iter() {
            signal(*id, Signal::KILL);
        }
        std::process::exit(3);
    });
}

fn signal(id: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        // Fails where the process has already ended, which is as good.
        let _ended = kill_process(pid, signal);
    }
}
