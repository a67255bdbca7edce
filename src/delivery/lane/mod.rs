//! A channel's lane: what it holds, starts and claims.
//!
//! - `machine.rs` decides, over `queue.rs`, `runs.rs`, `breaker.rs` and `pace.rs`; `events.rs` is its language. Pure.
//! - `task.rs` owns the machine and does what it says; `claims.rs` asks the store.
//! - `recorder.rs` has ended attempts recorded, in groups.
//! - `handle.rs` and `mailbox.rs` are how the rest of the service reaches a lane.
//! - `thread.rs` is where lanes run, `workers.rs` the bound on attempts that they share.

mod breaker;
mod claims;
mod events;
mod handle;
mod machine;
mod mailbox;
mod pace;
mod progress;
mod queue;
mod recorder;
mod runs;
mod share;
#[cfg(test)]
mod sim;
mod task;
mod thread;
mod workers;

pub(super) use events::LaneEvent;
pub use events::{BreakerView, LaneView};
pub(super) use handle::Lane;
pub(super) use share::Share;
pub(super) use thread::Threads;
pub(super) use workers::Pool;
