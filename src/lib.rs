//! orderhook: order callouts and webhook delivery from one binary with an embedded store.
//!
//! The rooms, in the order of their rank: a room uses only rooms above it in this list. `docs/architecture.md` walks
//! an order through them.

pub mod domain;

pub mod semaphore;
pub mod system;
pub mod telemetry;
pub mod template;

pub mod config;

pub mod store;

pub mod outbound;

pub mod routing;

pub mod chain;

pub mod delivery;
pub mod intake;

pub mod api;

pub mod app;

pub mod cli;
