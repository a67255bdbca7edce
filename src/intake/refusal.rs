//! The reasons why an order or event is refused.

use crate::store::StoreError;

/// Why nothing was accepted. Nothing of the request is kept then.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The body is no JSON.
    #[error("the body is not valid JSON: {0}")]
    NotJson(String),
    /// The body is JSON, but no object.
    #[error("an order is a JSON object, this is {0}")]
    NotAnObject(&'static str),
    /// A field of the order cannot be used.
    #[error("{path}: {message}")]
    BadField {
        /// The JSON pointer of the field.
        path: String,
        /// What is wrong with it.
        message: String,
    },
    /// The body is nested too deeply.
    #[error("the body is nested more than {0} levels deep (server.max_depth)")]
    TooDeep(usize),
    /// The idempotency key was used with another body.
    #[error("this Idempotency-Key was used before with another body or other ce- headers")]
    KeyMismatch,
    /// The `when` of a chain cannot be evaluated for the order.
    #[error("{0}")]
    Condition(String),
    /// The trading partners of an event cannot be read.
    #[error("{0}")]
    Partners(String),
    /// The event's id was used before with other content.
    #[error("an event with the id {0:?} was accepted before, with other content; give each event an id of its own")]
    EventIdMismatch(String),
    /// A signed request with the same `webhook-id` was accepted before.
    #[error(
        "a request with this webhook-id was accepted before; sign each request with an id of its own, and repeat one with the Idempotency-Key that it had"
    )]
    SignedBefore,
    /// The first request with the key has no answer yet.
    #[error("the first request with this Idempotency-Key is still under way")]
    KeyUnderWay,
    /// The service is stopping.
    #[error("the service is shutting down")]
    Stopping,
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}
