//! The interface of a plugin: the work of one step.

use async_trait::async_trait;
use serde_json::{Map, Value};

use crate::domain::order::RejectedBy;
use crate::domain::{Code, Subject};
use crate::template::Scope;

/// One kind of step. Runs once for each order and step, again after a crash that interrupted it.
#[async_trait]
pub trait Plugin: Send + Sync {
    /// Does the step's work for an order.
    async fn run(&self, call: Call<'_>) -> StepResult;
}

/// What a plugin is called with.
pub struct Call<'a> {
    /// The order.
    pub subject: &'a Subject,
    /// What earlier steps found out, a JSON object as text.
    pub context: &'a str,
    /// The names its templates can use, context included.
    pub scope: &'a Scope,
    /// The step's name.
    pub step: &'a str,
    /// 1, and one more each time that a crash interrupted the step.
    pub attempt: u32,
    /// The id of the step's span, the parent of what its receiver does.
    pub span: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct StepResult {
    /// The response's status, or why there was none.
    pub code: Option<Code>,
    /// Why the step failed; `None`: it passed.
    pub failure: Option<Failure>,
    /// The whole answer, kept as `context.<step>`.
    pub answer: Option<Value>,
    /// Names to be set in the context, by configuration.
    pub captured: Map<String, Value>,
}

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What by.
    pub by: RejectedBy,
    /// The text of the record, and of the answer where the step is critical.
    pub text: String,
}

/// A plugin cannot be built from its options.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct BuildError(pub String);
