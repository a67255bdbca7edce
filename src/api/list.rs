//! The form of every list: `{"data": […], "next_cursor": …}`.

use axum::response::Response;
use serde::Serialize;

use super::answer;

#[derive(Serialize)]
struct List<T> {
    data: Vec<T>,
    next_cursor: Option<String>,
}

/// A page of a list, and the cursor of the next one where there is one.
pub(super) fn list<T: Serialize>(entries: impl Iterator<Item = T>, next_cursor: Option<String>) -> Response {
    answer::json(&List { data: entries.collect(), next_cursor })
}
