//! What Linux says about processes and the machine: memory, processor time, and whether somebody else is using it.

use std::fs;
use std::time::Duration;

use super::{Failure, Result};

/// Of the kernel's clock ticks in /proc, by its interface always a hundredth of a second.
const TICK: Duration = Duration::from_millis(10);

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Resident: what the figure is about.
    pub resident: u64,
    /// Of that, what is the process's own, without mapped files.
    pub anonymous: u64,
    /// The most that was ever resident.
    pub peak: u64,
}

impl Memory {
    /// Of process `id`.
    ///
    /// # Errors
    /// No such process.
    pub fn of(id: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kilobytes = value.and_then(|value| value.trim().trim_end_matches(" kB").parse::<u64>().ok());
            kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| Failure::new(format!("no {name} in /proc")))
        };
        Ok(Self { resident: line("VmRSS")?, anonymous: line("RssAnon")?, peak: line("VmHWM")? })
    }
}

/// Processor time at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    /// Of the measured process.
    pub child: Duration,
    /// Of this process: generator and sink.
    pub own: Duration,
    /// Of everything on the machine.
    pub machine: Duration,
}

impl Cpu {
    /// Now; `child` is the measured process, if there is one. Zero where Linux does not say.
    pub fn now(child: Option<u32>) -> Self {
        let of = |id: String| process(&id).unwrap_or_default();
        Self {
            child: child.map(|id| of(id.to_string())).unwrap_or_default(),
            own: of("self".into()),
            machine: machine().unwrap_or_default(),
        }
    }

    /// From an earlier moment to this one.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            child: self.child.saturating_sub(earlier.child),
            own: self.own.saturating_sub(earlier.own),
            machine: self.machine.saturating_sub(earlier.machine),
        }
    }

    /// What others used of this machine, as a share of `window` on one core: 1.0 is a whole core.
    pub fn others(&self, window: Duration) -> f64 {
        let theirs = self.machine.saturating_sub(self.child).saturating_sub(self.own);
        theirs.as_secs_f64() / window.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// utime and stime; the name in front of them may hold spaces, and ends with the last parenthesis.
fn process(id: &str) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks: u32 = fields.next()?.parse::<u32>().ok()? + fields.next()?.parse::<u32>().ok()?;
    Some(TICK * ticks)
}

/// Everything but idle, waiting for the disk, and guests (counted as user already).
fn machine() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let fields: Vec<u32> =
        stat.lines().next()?.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    let busy = fields
        .iter()
        .take(8)
        .enumerate()
        .filter(|(index, _)| ![3, 4].contains(index))
        .map(|(_, ticks)| ticks)
        .sum::<u32>();
    Some(TICK * busy)
}
