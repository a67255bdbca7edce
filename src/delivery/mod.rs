//! Delivering: a lane for each channel, attempts, their record.
//!
//! - `queue.rs`: what a lane holds in memory and what it starts next. Pure, no I/O.
//! - `lane.rs`: the task that drives a lane: starts attempts, claims from the store, waits for what is due.
//! - `claims.rs`: what a lane takes out of the store.
//! - `runs.rs`: what a lane with a schedule claims, and when. Pure, no I/O.
//! - `request.rs`: from a channel and an event to a request.
//! - `attempt.rs`: one attempt, and what becomes of its delivery.
//! - `bucket.rs`: one attempt of several deliveries in one request.
//! - `suspects.rs`: deliveries that were under way when the process died.
//! - `health.rs`: how a channel's receiver fares. Pure, no I/O.
//! - `reload.rs`: how lanes take up another configuration.
//! - `thread.rs`: where lanes live.
//! - `record.rs`: finished attempts on their way into the store, in groups.
//! - `lanes.rs`: all lanes together: threads, hand-over, pause and resume, stop.
//!
//! A lane lives on one thread with a runtime of its own, so that a delivery is handed over once and then wakes nobody
//! across threads. Nothing is shared between lanes but the bound of `delivery.workers`, of which each lane has a share
//! that the others cannot take: a receiver that hangs holds up its own channel alone.

mod attempt;
mod bucket;
mod claims;
mod confirm;
mod health;
mod lane;
mod lanes;
mod mail;
mod outlet;
mod queue;
mod record;
mod reload;
mod request;
mod runs;
mod stats;
mod suspects;
mod thread;
mod trial;
mod workers;

pub use health::{Health, LastError};
pub use lanes::{Lanes, Overview, Parts};
pub use reload::{LanesError, Prepared};
pub use trial::{Tested, Trial, TrialFault, Trials};
