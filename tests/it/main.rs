//! The tests that drive orderhook from outside, one file for each promise.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected has failed"
)]

mod config;
mod store_contract;
