//! The tools of the performance harness: who sends, who receives, what is compared with, and what the system says.

pub mod baseline;
pub mod ceiling;
pub mod children;
pub mod disk;
pub mod generator;
pub mod http;
pub mod latency;
pub mod order;
pub mod plan;
pub mod proc;
pub mod report;
pub mod service;
pub mod sink;
pub mod tally;

use std::error::Error;
use std::fmt;

/// What ends a measurement early.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    /// With its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// No `Error` for `Failure` itself: that would collide with the conversion from every other error.
impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// The result of whatever can end a measurement.
pub type Result<T> = std::result::Result<T, Failure>;
