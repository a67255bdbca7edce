//! The form of every list: `{"data": […], "next_cursor": …}`.

use axum::response::Response;
use serde::Serialize;

use crate::domain::Timestamp;
use crate::store::Paged;

use super::answer;

#[derive(Serialize)]
struct List<T> {
    data: Vec<T>,
    next_cursor: Option<String>,
    #[serde(flatten)]
    searched: Option<Searched>,
}

/// How far back a text search looked; `null` where it looked at everything.
#[derive(Serialize)]
struct Searched {
    searched_back_to: Option<Timestamp>,
}

/// A page of a list, and the cursor of the next one where there is one.
pub(super) fn list<T: Serialize>(entries: impl Iterator<Item = T>, next_cursor: Option<String>) -> Response {
    answer::json(&List { data: entries.collect(), next_cursor, searched: None })
}

/// A page of a list in the store. That of a text search says how far back bodies were searched.
pub(super) fn page<'a, S, T: Serialize>(page: &'a Paged<S>, searches: bool, show: fn(&'a S) -> T) -> Response {
    answer::json(&List {
        data: page.data.iter().map(show).collect(),
        next_cursor: page.next.map(|next| next.to_string()),
        searched: searches.then_some(Searched { searched_back_to: page.searched_back_to }),
    })
}
