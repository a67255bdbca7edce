//! Where lanes live: threads with a runtime each, so that a delivery is handed over once and then wakes nobody across
//! threads.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::super::context::Context;
use super::handle::Lane;
use super::recorder::recorder;
use super::task;
use crate::system;

/// Threads for which there need not be processors; more lanes than threads share them.
const LEAST: usize = 4;

/// How often a delivery thread shows that it moves.
const PULSE: Duration = Duration::from_secs(1);

/// How long a delivery thread may be silent before the service is no longer ready.
const STUCK: Duration = Duration::from_secs(10);

/// The delivery threads.
#[derive(Default)]
pub(in crate::delivery) struct Threads {
    running: Vec<Running>,
    /// Lanes so far.
    lanes: usize,
}

struct Running {
    handle: JoinHandle<()>,
    pulse: Arc<AtomicI64>,
    lanes: mpsc::UnboundedSender<Arc<Lane>>,
}

impl Threads {
    /// Starts as many threads as so many lanes are to have, if there are not that many yet.
    pub(in crate::delivery) fn grow(&mut self, lanes: usize, context: &Arc<Context>) -> Result<(), String> {
        for number in self.running.len()..count(lanes) {
            let pulse = Arc::new(AtomicI64::new(millis(context.begun)));
            let (sender, lanes) = mpsc::unbounded_channel();
            let thread = Thread { lanes, context: Arc::clone(context), pulse: Arc::clone(&pulse) };
            let handle = std::thread::Builder::new().name(format!("delivery-{number}")).spawn(move || thread.run());
            let handle = handle.map_err(|error| format!("a delivery thread could not be started: {error}"))?;
            self.running.push(Running { handle, pulse, lanes: sender });
        }
        Ok(())
    }

    /// Gives a lane its thread.
    pub(in crate::delivery) fn drive(&mut self, lane: Arc<Lane>) {
        if let Some(thread) = self.running.get(self.lanes % self.running.len().max(1)) {
            // It takes lanes until the stop.
            let _ = thread.lanes.send(lane);
        }
        self.lanes += 1;
    }

    /// Whether every thread has moved lately.
    pub(in crate::delivery) fn are_moving(&self, begun: Instant) -> bool {
        let now = millis(begun);
        self.running.iter().all(|thread| now - thread.pulse.load(Ordering::Relaxed) < STUCK.as_millis() as i64)
    }

    /// The threads, to be waited for.
    pub(in crate::delivery) fn take(&mut self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut self.running).into_iter().map(|thread| thread.handle).collect()
    }
}

/// One thread, one runtime, its lanes.
struct Thread {
    lanes: mpsc::UnboundedReceiver<Arc<Lane>>,
    context: Arc<Context>,
    pulse: Arc<AtomicI64>,
}

impl Thread {
    fn run(mut self) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "the runtime of a delivery thread could not be started"),
        };
        let hard = self.context.hard.clone();
        runtime.block_on(async move {
            let (recorder, records) = recorder();
            let mut records = tokio::spawn(records.run(Arc::clone(&self.context)));
            let mut recorder_ended = false;
            let mut lanes = tokio::task::JoinSet::new();
            let mut pulse = pin!(pulse(&hard, &self.pulse, self.context.begun));
            loop {
                tokio::select! {
                    Some(lane) = self.lanes.recv() => {
                        lanes.spawn(task::drive(lane, Arc::clone(&self.context), recorder.clone()));
                    }
                    Some(Err(_)) = lanes.join_next(), if !lanes.is_empty() => self.context.fail("a lane's task has panicked"),
                    _ = &mut records, if !recorder_ended => {
                        recorder_ended = true;
                        self.context.fail("the recorder of attempts has ended");
                    }
                    () = &mut pulse => break,
                }
            }
            while lanes.join_next().await.is_some() {}
            // What is in flight now is cut off with the runtime; what has come back is recorded first.
            drop(recorder);
            if !recorder_ended && records.await.is_err() {
                tracing::error!("the recorder had died");
            }
        });
        runtime.shutdown_background();
    }
}

/// Shows that the thread moves, until the stop's second stage.
async fn pulse(hard: &CancellationToken, pulse: &AtomicI64, begun: Instant) {
    loop {
        pulse.store(millis(begun), Ordering::Relaxed);
        tokio::select! {
            () = tokio::time::sleep(PULSE) => {}
            () = hard.cancelled() => return,
        }
    }
}

fn millis(since: Instant) -> i64 {
    i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX)
}

/// One for each lane, up to half as many as there are processors (the others serve and write), or four: a receiver may
/// send faster than it can be read, and then its thread does nothing else. More would let the memory grow that each
/// keeps of what such a flood took.
fn count(lanes: usize) -> usize {
    lanes.clamp(1, LEAST.max(system::processors() / 2))
}
