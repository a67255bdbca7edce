//! Changes of a delivery by a person or its receiver: accept, fail, retry and cancel.

use std::sync::Arc;

use axum::extract::{Extension, RawQuery, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use serde::Serialize;

use crate::config::settings::Scope;
use crate::domain::{DeliveryId, DeliveryStatus};
use crate::store::{Act, Change, Changed, Lease};

use super::deliveries::{id, not_found};
use super::path::Named;
use super::problem::{Kind, Problem};
use super::state::Api;
use super::tokens::{Caller, author};
use super::{answer, audit, query, reason};

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
        (Some(key), Ok(id)) if api.components.settle_keys.is_key(key, id) => {
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
    let cause = caller.cause(api.components.clock.now(), reason);
    let changed = api.components.queue.change(id, change, cause.clone()).await?;
    match changed.ok_or_else(|| not_found(name))? {
        Changed::Done(status, channel, number) => {
            let (by, reason) = (cause.by.as_deref(), cause.reason.as_deref());
            tracing::info!(delivery = %id, %channel, %status, by, reason, "delivery {} by {}", done(change), author(&cause));
            api.components.lanes.changed(&channel, change, Lease { delivery: id, number }).await;
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

/// What was done, for the log.
pub(super) const fn done(change: Change) -> &'static str {
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
