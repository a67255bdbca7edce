//! Orders: taken in, listed, and shown with all that became of them.

use std::collections::BTreeMap;

use axum::body::HttpBody;
use axum::extract::{RawQuery, Request, State};
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::{DeliveryId, DeliveryStatus, OrderId, OrderStatus, Timestamp};
use crate::intake::Incoming;
use crate::store::{OrderDetail, OrderKey, OrderSummary};

use super::answer::{self, Ran, raw};
use super::deliveries::Delivery;
use super::path::Named;
use super::problem::Problem;
use super::state::Api;
use super::{body, cloudevents, list, query};

/// `POST /v1/orders`.
pub(super) async fn post(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let view = api.view();
    let caller = view.tokens.sender(&head.headers)?;
    if body::media(&head.headers)?.is_none() && !body.is_end_stream() {
        return Err(body::untyped());
    }
    let key = body::idempotency_key(&head.headers)?;
    let body = body::read_signed(body, view.max_body, view.body_timeout).await?;
    let signed = view.verify(&head.headers, &body, &api.components.clock)?;
    let body = body::without_bom(body);
    let answered = view
        .ingest
        .order(Incoming {
            signed,
            trace: body::trace(&head.headers),
            attributes: cloudevents::attributes(&head.headers),
            body,
            key,
            caller,
        })
        .await?;
    Ok(answer::respond(answered))
}

/// `GET /v1/orders`.
pub(super) async fn page(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let (filter, page) = query::orders(query.as_deref())?;
    let searches = filter.q.is_some();
    let page = api.components.history.orders(filter, page).await?;
    Ok(list::page(&page, searches, Listed::of))
}

/// `GET /v1/orders/{id}`.
pub(super) async fn one(
    State(api): State<Api>,
    Named(name): Named,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let granularity = query::order(query.as_deref())?;
    let mut order = find(&api, &name).await?;
    if let Some(granularity) = granularity {
        let trimmed = granularity.trim(&order.body).map_err(|error| unreadable(order.summary.id, &error))?;
        order.body = Bytes::from(trimmed);
    }
    Ok(answer::json(&Whole::of(&order)))
}

/// The order of an `ord_…`, or the newest with that id of its own.
pub(super) async fn find(api: &Api, name: &str) -> Result<OrderDetail, Problem> {
    let history = &api.components.history;
    let mut found = match name.parse() {
        Ok(id) => history.order(OrderKey::Id(id)).await?,
        Err(_) => None,
    };
    if found.is_none() {
        // Also an own id that looks like one of ours.
        found = history.order(OrderKey::Own(name.to_owned())).await?;
    }
    found.ok_or_else(|| Problem::not_found("order", name))
}

/// Logs that what the store has of an order cannot be read.
fn unreadable(order: OrderId, error: &dyn std::fmt::Display) -> Problem {
    tracing::error!(%order, %error, "the stored order cannot be read");
    Problem::internal()
}

/// An order of the store as `GET /v1/orders/{id}` shows it.
pub fn order_json(order: &OrderDetail) -> serde_json::Value {
    serde_json::to_value(Whole::of(order)).unwrap_or_default()
}

/// An order in a list.
#[derive(Serialize)]
struct Listed<'a> {
    id: OrderId,
    order_id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    status: OrderStatus,
    chain: Option<&'a str>,
    received_at: Timestamp,
    ended_at: Option<Timestamp>,
}

impl<'a> Listed<'a> {
    fn of(order: &'a OrderSummary) -> Self {
        Self {
            id: order.id,
            order_id: &order.order_id,
            kind: &order.kind,
            status: order.status,
            chain: order.chain.as_deref(),
            received_at: order.received_at,
            ended_at: order.ended_at,
        }
    }
}

/// An order by itself.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    summary: Listed<'a>,
    /// As received.
    order: &'a RawValue,
    context: &'a RawValue,
    steps: Vec<Ran<'a>>,
    deliveries: Vec<Delivery<'a>>,
    channels: Vec<Got<'a>>,
    /// Earlier orders with the same own id, newest first.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    same_id: &'a [OrderId],
    /// Which of `order` and `context` the store cannot give back: they are null here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<&'static str>,
}

/// What an order made for a channel.
#[derive(Serialize)]
struct Got<'a> {
    channel: &'a str,
    status: &'static str,
    /// Why it was skipped.
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    deliveries: Vec<Made>,
}

/// A delivery of a channel, and where it is on its way.
#[derive(Serialize)]
struct Made {
    id: DeliveryId,
    status: DeliveryStatus,
}

impl<'a> Whole<'a> {
    fn of(order: &'a OrderDetail) -> Self {
        let body = std::str::from_utf8(&order.body).ok().and_then(raw);
        let context = raw(&order.context);
        Self {
            summary: Listed::of(&order.summary),
            order: body.unwrap_or(RawValue::NULL),
            context: context.unwrap_or(RawValue::NULL),
            unreadable: [("order", body), ("context", context)]
                .into_iter()
                .filter_map(|(name, found)| found.is_none().then_some(name))
                .collect(),
            steps: order.steps.iter().map(Ran::whole).collect(),
            deliveries: order.deliveries.iter().map(Delivery::of).collect(),
            channels: channels(order),
            same_id: &order.same_id,
        }
    }
}

/// Each channel once: `routed` where the order made a delivery for it, else `skipped`.
fn channels(order: &OrderDetail) -> Vec<Got<'_>> {
    let mut channels: BTreeMap<&str, Got<'_>> = BTreeMap::new();
    for delivery in &order.deliveries {
        let channel = &*delivery.channel;
        let entry = channels.entry(channel).or_insert_with(|| Got {
            channel,
            status: "routed",
            reason: None,
            detail: None,
            deliveries: Vec::new(),
        });
        entry.deliveries.push(Made { id: delivery.id, status: delivery.status });
    }
    for skip in &order.skipped {
        channels.entry(&skip.channel).or_insert_with(|| Got {
            channel: &skip.channel,
            status: "skipped",
            reason: Some(skip.reason.as_str()),
            detail: skip.detail.as_deref(),
            deliveries: Vec::new(),
        });
    }
    channels.into_values().collect()
}
