//! The tests that drive orderhook from outside, one file for each promise.

mod config;
