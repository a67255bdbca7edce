//! `POST /v1/orders/{id}/deliver` and `/rerun`: something of an order once more.

use axum::extract::{Extension, Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;

use crate::domain::{DeliveryId, DeliveryStatus, OrderId};
use crate::intake::Answered;
use crate::store::Act;

use super::orders::find;
use super::path::Named;
use super::problem::Problem;
use super::state::Api;
use super::tokens::{Caller, author};
use super::{answer, audit, reason};

/// `POST /v1/orders/{id}/deliver`.
pub(super) async fn deliver(
    State(api): State<Api>,
    Named(name): Named,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    let (channel, reason) = reason::with(&api, request, "channel").await?;
    let order = find(&api, &name).await?;
    let ids = api.view().ingest.deliver(&order, &channel).await?;
    let cause = caller.cause(api.components.clock.now(), reason);
    let (id, by) = (order.summary.id, cause.by.as_deref());
    tracing::info!(order = %id, order_id = order.summary.order_id, channel, by, "order delivered once more by {}", author(&cause));
    let act = Act {
        channel: Some(channel.clone()),
        order: Some(id.to_string()),
        delivery: ids.first().map(ToString::to_string),
        count: Some(ids.len() as u64),
        ..Act::new("deliver", cause)
    };
    audit::keep(&api, act).await;
    let made = |id: &DeliveryId| Made { id: *id, channel: &channel, status: DeliveryStatus::Pending };
    let shape = Delivered { id, order_id: &order.summary.order_id, deliveries: ids.iter().map(made).collect() };
    let mut response = answer::json(&shape);
    *response.status_mut() = StatusCode::CREATED;
    let first = ids.first().and_then(|id| HeaderValue::try_from(format!("/v1/deliveries/{id}")).ok());
    response.headers_mut().extend(first.map(|first| (LOCATION, first)));
    Ok(response)
}

/// `POST /v1/orders/{id}/rerun`.
pub(super) async fn rerun(
    State(api): State<Api>,
    Named(name): Named,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    let reason = reason::read(&api, request).await?;
    let order = find(&api, &name).await?;
    let answer = api.view().ingest.rerun(&order).await?;
    let cause = caller.cause(api.components.clock.now(), reason);
    let (id, by) = (order.summary.id, cause.by.as_deref());
    tracing::info!(order = %id, order_id = order.summary.order_id, by, "chain of a rejected order run again by {}", author(&cause));
    audit::keep(&api, Act { order: Some(id.to_string()), ..Act::new("rerun", cause) }).await;
    Ok(answer::respond(Answered { answer, replayed: false }))
}

#[derive(Serialize)]
struct Delivered<'a> {
    id: OrderId,
    order_id: &'a str,
    deliveries: Vec<Made<'a>>,
}

#[derive(Serialize)]
struct Made<'a> {
    id: DeliveryId,
    channel: &'a str,
    status: DeliveryStatus,
}
