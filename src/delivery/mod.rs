//! Delivering: a lane for each channel, attempts, their record.
//!
//! - `lane/`: what a channel holds, starts and claims: a state machine and the task that owns it.
//! - `request.rs`: from a channel and an event to a request.
//! - `attempt.rs`: one attempt, and what becomes of its delivery.
//! - `bucket.rs`: one attempt of several deliveries in one request.
//! - `suspects.rs`: deliveries that were under way when the process died.
//! - `health.rs`: how a channel's receiver fares. Pure, no I/O.
//! - `promises.rs`: deliveries that are late.
//! - `context.rs`: what all of them work with; changes of a channel's state.
//! - `reload.rs`: how lanes take up another configuration.
//! - `lanes.rs`: all lanes together: threads, hand-over, pause and resume, stop.
//!
//! A lane lives on one thread with a runtime of its own, so that a delivery is handed over once and then wakes nobody
//! across threads. Nothing is shared between lanes but the bound of `delivery.workers`, of which each lane has a share
//! that the others cannot take: a receiver that hangs holds up its own channel alone.

mod attempt;
mod bucket;
mod confirm;
mod context;
mod deps;
mod health;
mod lane;
mod lanes;
mod mail;
mod plan;
mod preview;
mod promises;
mod reload;
mod replicas;
mod request;
mod sender;
mod stats;
mod suspects;

pub use health::{Health, LastError};
pub use lane::{BreakerView, LaneView};
pub use lanes::{ChannelOverview, Lanes, LanesError, Parts};
pub use plan::{Planned, Planner};
pub use preview::{Preview, PreviewError, Previewer, Tested};
pub use reload::Prepared;
pub use stats::{Minutes, Rates};
