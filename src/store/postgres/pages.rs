//! Pages of keys: whether there is a next one, and from where.

use super::sources::{BUDGET, Window};
use crate::store::{Page, Paged};

/// What a page looks for, to know whether there is a next one.
pub(super) fn one_more(page: Page) -> Page {
    Page { limit: page.limit.saturating_add(1), ..page }
}

/// A page of what was found by [`one_more`].
pub(super) fn paged(found: Window, page: Page) -> Paged<i64> {
    let Window { mut keys, looked_at, last } = found;
    let next = if keys.len() > page.limit {
        keys.truncate(page.limit);
        keys.last().copied()
    } else {
        last.filter(|_| looked_at >= BUDGET)
    };
    keys.dedup();
    Paged { data: keys, next, searched_back_to: None }
}
