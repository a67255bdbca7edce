//! Bulk changes that run in the background: the jobs of this process.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;

use crate::domain::Timestamp;
use crate::store::{Cause, Change};

use super::problem::{Kind, Problem};

/// Jobs that are remembered; further ones push out the oldest.
const REMEMBERED: usize = 100;

/// Jobs that may run at the same time.
const RUNNING: usize = 4;

/// The jobs of this process.
#[derive(Default)]
pub(super) struct Jobs(Mutex<Known>);

#[derive(Default)]
struct Known {
    last: u64,
    jobs: VecDeque<Arc<Job>>,
}

/// A bulk change that runs in the background.
pub(super) struct Job {
    pub(super) id: String,
    pub(super) change: Change,
    pub(super) by: Option<Arc<str>>,
    pub(super) begun: Timestamp,
    /// How many deliveries there were when it began; 0 until they are counted.
    pub(super) total: AtomicU64,
    pub(super) done: Arc<AtomicU64>,
    pub(super) end: Mutex<Option<End>>,
}

/// The end of a job.
pub(super) struct End {
    pub(super) at: Timestamp,
    pub(super) error: Option<String>,
}

impl Jobs {
    /// Begins a job, unless too many are running.
    pub(super) fn begin(&self, change: Change, cause: &Cause) -> Result<Arc<Job>, Problem> {
        let mut known = self.0.lock();
        let running = known.jobs.iter().filter(|job| job.end.lock().is_none()).count();
        if running >= RUNNING {
            let detail = format!("{RUNNING} bulk changes are running; wait until one of them has ended");
            return Err(Problem::new(Kind::Conflict, detail));
        }
        known.last += 1;
        // With the time of its beginning, a number is not that of a job before a restart.
        let id = format!("{}-{}", cause.at.as_millis(), known.last);
        let (by, begun) = (cause.by.clone(), cause.at);
        let job = Arc::new(Job {
            id,
            change,
            by,
            begun,
            total: AtomicU64::new(0),
            done: Arc::default(),
            end: Mutex::new(None),
        });
        known.jobs.push_back(Arc::clone(&job));
        if known.jobs.len() > REMEMBERED {
            known.jobs.pop_front();
        }
        Ok(job)
    }

    /// Finds a job by its id.
    pub(super) fn find(&self, id: &str) -> Option<Arc<Job>> {
        self.0.lock().jobs.iter().find(|job| job.id == id).map(Arc::clone)
    }
}
