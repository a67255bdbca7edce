//! What a delivery failed by: what all backends go by when they count failures.

use crate::domain::Attempt;
use crate::domain::likeness::likeness;

/// Likenesses kept apart for a channel and code; further ones are one cause.
pub(super) const APART: i64 = 50;
/// The likeness of those.
pub(super) const OTHERS: &str = "other responses";

/// What an attempt failed by.
pub(super) fn of_attempt(attempt: &Attempt) -> String {
    let response = &attempt.exchange.response_body;
    let error = attempt.error.as_deref().unwrap_or_default();
    if attempt.code.http_status().is_none() || response.is_empty() {
        return likeness(error);
    }
    let head = response.get(..4096).unwrap_or(response);
    likeness(&String::from_utf8_lossy(head))
}
