//! Changes of deliveries by a person or their receiver: accept, fail, retry and cancel, of one or many.

use std::sync::Arc;

use axum::extract::{Extension, RawQuery, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use serde::Serialize;

use crate::config::settings::Scope;
use crate::domain::{DeliveryId, DeliveryStatus};
use crate::store::{Act, Change, Changed, Lease};

use super::deliveries::{Delivery, id, known_channel, not_found};
use super::path::Named;
use super::problem::{Kind, Problem};
use super::state::Api;
use super::tokens::{Caller, author};
use super::{answer, audit, body, query, reason};

/// `POST /v1/deliveries/{id}/accept` and `/fail`: with the key of the delivery, or with a token as for any other change.
pub(super) async fn settle(
    State(api): State<Api>,
    Named(name): Named,
    RawQuery(query): RawQuery,
    request: Request,
    verdict: Change,
) -> Result<Response, Problem> {
    let headers = request.headers();
    let key = query::settle_key(query.as_deref())?;
    match (&key, name.parse()) {
        (Some(key), Ok(id)) if api.rooms.settle_keys.is_key(key, id) => {
            let reason = reason::of_receiver(&api, request).await?;
            return change(&api, &name, verdict, Caller::receiver(), reason).await;
        }
        // A wrong key is a mistake also where no token is needed.
        (Some(_), _) if !headers.contains_key(AUTHORIZATION) => return Err(Problem::wrong_key()),
        _ => {}
    }
    let caller = Caller::of(api.view().tokens.caller_of(headers, request.extensions(), Scope::Manage)?);
    let reason = reason::read(&api, request).await?;
    change(&api, &name, verdict, caller, reason).await
}

/// `POST /v1/deliveries/{id}/retry` and `/cancel`.
pub(super) async fn one(
    State(api): State<Api>,
    Named(name): Named,
    Extension(caller): Extension<Caller>,
    request: Request,
    wanted: Change,
) -> Result<Response, Problem> {
    let reason = reason::read(&api, request).await?;
    change(&api, &name, wanted, caller, reason).await
}

async fn change(
    api: &Api,
    name: &str,
    change: Change,
    caller: Caller,
    reason: Option<Arc<str>>,
) -> Result<Response, Problem> {
    let id = id(name)?;
    let cause = caller.cause(api.rooms.clock.now(), reason);
    let changed = api.rooms.queue.change(id, change, cause.clone()).await?;
    match changed.ok_or_else(|| not_found(name))? {
        Changed::Done(status, channel, number) => {
            let (by, reason) = (cause.by.as_deref(), cause.reason.as_deref());
            tracing::info!(delivery = %id, %channel, %status, by, reason, "delivery {} by {}", done(change), author(&cause));
            api.rooms.lanes.changed(&channel, change, Lease { delivery: id, number }).await;
            // Each receiver's verdict is on its delivery.
            if !cause.is_receiver() {
                let (channel, delivery) = (Some(channel.to_string()), Some(id.to_string()));
                audit::keep(api, Act { channel, delivery, count: Some(1), ..Act::new(change.as_str(), cause) }).await;
            }
            Ok(answer::json(&Settled { id, channel: &channel, status }))
        }
        Changed::Kept(channel) => {
            let reason = cause.reason.as_deref();
            tracing::info!(delivery = %id, %channel, reason, "verdict of the receiver kept until its response is recorded");
            Ok(answer::accepted(&Settled { id, channel: &channel, status: DeliveryStatus::Pending }))
        }
        Changed::Refused(status) => {
            let why = match change {
                Change::Accept | Change::Fail => "only a dispatched delivery can be settled",
                Change::Retry | Change::Cancel => "it has ended",
            };
            let detail = format!("a delivery that is {status} cannot be changed by /{}: {why}", change.as_str());
            Err(Problem::new(Kind::Conflict, detail).member("delivery_status", status.as_str()))
        }
    }
}

/// `POST /v1/deliveries/retry` and `/cancel`.
pub(super) async fn all(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    request: Request,
    change: Change,
) -> Result<Response, Problem> {
    let body = body::typed(&api, request).await?;
    let query::Bulk { filter, dry_run, reason } = query::bulk(&body, change)?;
    known_channel(&api, &filter, Kind::InvalidFields).await?;
    let cause = caller.cause(api.rooms.clock.now(), reason);
    let changed = api.rooms.queue.change_all(filter, change, cause.clone(), dry_run).await?;
    if !dry_run {
        let (count, by, reason) = (changed.count, cause.by.as_deref(), cause.reason.as_deref());
        tracing::info!(count, by, reason, "{count} deliveries {} by {}", done(change), author(&cause));
        for (channel, count) in &changed.channels {
            api.rooms.lanes.changed_all(channel, change, *count).await;
        }
        let act = Act { filter: query::filter_of(&body), count: Some(count), ..Act::new(change.as_str(), cause) };
        audit::keep(&api, act).await;
    }
    let examples = dry_run.then(|| changed.examples.iter().map(Delivery::of).collect());
    Ok(answer::json(&Count { count: changed.count, dry_run, examples }))
}

/// What was done, for the log.
const fn done(change: Change) -> &'static str {
    match change {
        Change::Accept => "accepted",
        Change::Fail => "marked as failed",
        Change::Retry => "retried",
        Change::Cancel => "cancelled",
    }
}

#[derive(Serialize)]
struct Settled<'a> {
    id: DeliveryId,
    channel: &'a str,
    status: DeliveryStatus,
}

#[derive(Serialize)]
struct Count<'a> {
    count: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    /// Three of them, where nothing was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    examples: Option<Vec<Delivery<'a>>>,
}
