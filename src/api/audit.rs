//! The audit: every change that a call made, with its author.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::Timestamp;
use crate::store::{Act, Page, Paged, Period};

use super::answer::raw;
use super::problem::Problem;
use super::state::Api;
use super::{list, query};

/// `GET /v1/audit`.
pub(super) async fn page(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let (period, act, page) = query::audit(query.as_deref())?;
    let page = match act {
        None => api.components.history.audited(period, page).await?,
        Some(act) => of_act(&api, period, &act, page).await?,
    };
    Ok(list::page(&page, false, Entry::of))
}

/// Entries that a call with `act` looks at; the next page continues from there.
const LOOKED_AT: usize = 5000;

/// The entries of one act among all.
async fn of_act(api: &Api, period: Period, act: &str, page: Page) -> Result<Paged<Act>, Problem> {
    let mut found = Paged { data: Vec::new(), next: page.before, searched_back_to: None };
    for _ in 0..LOOKED_AT / query::MAX_LIMIT {
        // No more than is wanted at a time: the cursor of a page is behind its last entry.
        let wanted = Page { limit: query::MAX_LIMIT, before: found.next };
        let mut read = api.components.history.audited(period, wanted).await?;
        let last_wanted = page.limit - found.data.len();
        let matching = read.data.iter().filter(|entry| entry.act == act).count();
        if matching > last_wanted {
            // Up to the entry that fills the page, so that the next page begins behind it.
            let nth = read.data.iter().enumerate().filter(|(_, entry)| entry.act == act).nth(last_wanted);
            let limit = nth.map_or(read.data.len(), |(at, _)| at);
            read = api.components.history.audited(period, Page { limit, before: found.next }).await?;
        }
        found.data.extend(read.data.into_iter().filter(|entry| entry.act == act));
        found.next = read.next;
        if found.next.is_none() || found.data.len() >= page.limit {
            break;
        }
    }
    Ok(found)
}

/// Keeps a change that was made. The change stands also where the store does not take its record.
pub(super) async fn keep(api: &Api, act: Act) {
    let what = act.act.clone();
    if let Err(error) = api.components.queue.audit(act).await {
        tracing::error!(act = what, %error, "a change could not be recorded in the audit");
    }
}

#[derive(Serialize)]
struct Entry<'a> {
    at: Timestamp,
    /// The name of the token; `null` where none is needed.
    by: Option<&'a str>,
    act: &'a str,
    channel: Option<&'a str>,
    delivery: Option<&'a str>,
    order: Option<&'a str>,
    filter: Option<&'a RawValue>,
    count: Option<u64>,
    reason: Option<&'a str>,
    detail: Option<&'a RawValue>,
}

impl<'a> Entry<'a> {
    fn of(act: &'a Act) -> Self {
        Self {
            at: act.cause.at,
            by: act.cause.by.as_deref(),
            act: &act.act,
            channel: act.channel.as_deref(),
            delivery: act.delivery.as_deref(),
            order: act.order.as_deref(),
            filter: act.filter.as_deref().and_then(raw),
            count: act.count,
            reason: act.cause.reason.as_deref(),
            detail: act.detail.as_deref().and_then(raw),
        }
    }
}
