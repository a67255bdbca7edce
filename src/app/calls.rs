//! Threads on which callouts and tests of channels are made, apart from those of the API: what comes back belongs to
//! somebody else, and may come faster than it can be read.

use tokio::runtime::{Builder, Handle, Runtime};

use crate::system;

/// Threads at least: where one is kept busy by what it reads, the others go on.
const LEAST: usize = 2;

/// The threads. They end with this value, and what they still do with them.
pub(super) struct Calls(Option<Runtime>, Handle);

impl Calls {
    /// One for every two processors.
    pub(super) fn start() -> std::io::Result<Self> {
        let threads = (system::processors() / 2).max(LEAST);
        let runtime = Builder::new_multi_thread().worker_threads(threads).thread_name("calls").enable_all().build()?;
        let handle = runtime.handle().clone();
        Ok(Self(Some(runtime), handle))
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.1
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Without waiting: the last owner may be a task.
            runtime.shutdown_background();
        }
    }
}
