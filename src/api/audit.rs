//! The audit: every change that a call made, with its author.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::Timestamp;
use crate::store::Act;

use super::answer::raw;
use super::problem::Problem;
use super::state::Api;
use super::{list, query};

/// `GET /v1/audit`.
pub(super) async fn page(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let (period, page) = query::audit(query.as_deref())?;
    let page = api.rooms.history.audited(period, page).await?;
    Ok(list::page(&page, false, Entry::of))
}

/// Keeps a change that was made. The change stands also where the store does not take its record.
pub(super) async fn keep(api: &Api, act: Act) {
    let what = act.act.clone();
    if let Err(error) = api.rooms.queue.audit(act).await {
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
