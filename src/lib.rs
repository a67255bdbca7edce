//! orderhook: order callouts and webhook delivery from one binary with an embedded store.
//!
//! The rooms, in the order of their rank: a room uses only rooms above it in this list. `docs/architecture.md` walks
//! an order through them.

pub mod api;
pub mod config;
pub mod domain;
pub mod intake;
pub mod store;
pub mod telemetry;
pub mod template;
