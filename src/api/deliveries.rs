//! Deliveries: listed, and shown with their attempts.

use std::borrow::Cow;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::domain::{
    Attempt, AttemptId, Code, DeliveryId, DeliveryStatus, EventId, Exchange, HeaderLines, OrderId, Outcome, Times,
    Timestamp,
};
use crate::store::{DeliveryDetail, DeliveryFilter, DeliverySummary, Verdict};

use super::path::Named;
use super::problem::{Fault, Kind, Problem};
use super::state::Api;
use super::{answer, list, object, query};

/// `GET /v1/deliveries`.
pub(super) async fn page(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let (filter, page) = query::deliveries(query.as_deref())?;
    known_channel(&api, &filter, Kind::InvalidParameters).await?;
    let searches = filter.q.is_some();
    let page = api.components.history.deliveries(filter, page).await?;
    Ok(list::page(&page, searches, Delivery::of))
}

/// Refuses a filter by a channel that is neither configured nor known to the store: most likely a slip.
pub(super) async fn known_channel(api: &Api, filter: &DeliveryFilter, kind: Kind) -> Result<(), Problem> {
    let Some(name) = filter.channel.as_deref() else { return Ok(()) };
    let view = api.view();
    let mut configured = view.channels.iter().map(|channel| &*channel.name);
    if configured.any(|known| known == name) || api.components.history.knows_channel(name).await? {
        return Ok(());
    }
    let names: Vec<&str> = view.channels.iter().map(|channel| &*channel.name).collect();
    let message = format!("{:?} is not a known channel{}", object::shown(name), object::guess(name, &names));
    Err(Problem::faults(kind, vec![Fault::new("channel", message)]))
}

/// `GET /v1/deliveries/{id}`.
pub(super) async fn one(
    State(api): State<Api>,
    Named(name): Named,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    query::Query::new(query.as_deref(), &[]).finish()?;
    let delivery = api.components.history.delivery(id(&name)?).await?.ok_or_else(|| not_found(&name))?;
    Ok(answer::json(&Detail::of(&delivery)))
}

/// A delivery of that name does not exist.
pub(super) fn not_found(name: &str) -> Problem {
    Problem::not_found("delivery", name)
}

/// The id of a delivery; a name that cannot be an id is that of no delivery.
pub(super) fn id(name: &str) -> Result<DeliveryId, Problem> {
    name.parse().map_err(|_| not_found(name))
}

/// A delivery in a list.
#[derive(Serialize)]
pub(super) struct Delivery<'a> {
    id: DeliveryId,
    channel: &'a str,
    status: DeliveryStatus,
    event: Event<'a>,
    order: Option<OrderId>,
    order_id: Option<&'a str>,
    created_at: Timestamp,
    updated_at: Timestamp,
    attempt_count: u32,
    next_attempt_at: Option<Timestamp>,
    last_code: Option<Code>,
    /// Whether it has missed its channel's promise.
    late: bool,
    /// The key by which an ordered channel sends it in sequence.
    #[serde(skip_serializing_if = "Option::is_none")]
    ordering_key: Option<&'a str>,
    /// `email` where it mails a response's text to the customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<&'a [u32]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantity: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    units: Option<u64>,
}

#[derive(Serialize)]
struct Event<'a> {
    id: EventId,
    #[serde(rename = "type")]
    kind: &'a str,
}

impl<'a> Delivery<'a> {
    pub(super) fn of(delivery: &'a DeliverySummary) -> Self {
        let prepared = delivery.prepared.as_deref();
        Self {
            id: delivery.id,
            channel: &delivery.channel,
            status: delivery.status,
            event: Event { id: delivery.event.0, kind: &delivery.event.1 },
            order: delivery.order,
            order_id: delivery.order_id.as_deref(),
            created_at: delivery.created_at,
            updated_at: delivery.updated_at,
            attempt_count: delivery.attempts,
            next_attempt_at: delivery.next_attempt_at,
            last_code: delivery.last_code,
            late: delivery.late,
            ordering_key: delivery.ordering_key.as_deref(),
            kind: prepared.filter(|prepared| prepared.mail).map(|_| "email"),
            items: prepared.and_then(|prepared| prepared.items.as_deref()),
            quantity: prepared.and_then(|prepared| prepared.quantity),
            unit: prepared.and_then(|prepared| prepared.unit),
            units: prepared.and_then(|prepared| prepared.units),
        }
    }
}

/// A delivery by itself.
#[derive(Serialize)]
struct Detail<'a> {
    #[serde(flatten)]
    summary: Delivery<'a>,
    attempts: Vec<Tried<'a>>,
    verdicts: Vec<Judged<'a>>,
}

/// What somebody did to a delivery.
#[derive(Serialize)]
struct Judged<'a> {
    at: Timestamp,
    act: &'static str,
    by: Option<&'a str>,
    reason: Option<&'a str>,
}

impl<'a> Judged<'a> {
    fn of(Verdict { act, cause }: &'a Verdict) -> Self {
        Self { at: cause.at, act: act.as_str(), by: cause.by.as_deref(), reason: cause.reason.as_deref() }
    }
}

impl<'a> Detail<'a> {
    fn of(delivery: &'a DeliveryDetail) -> Self {
        let attempts = delivery.attempts.iter().map(Tried::of).collect();
        let verdicts = delivery.verdicts.iter().map(Judged::of).collect();
        Self { summary: Delivery::of(&delivery.summary), attempts, verdicts }
    }
}

/// An attempt.
#[derive(Serialize)]
struct Tried<'a> {
    id: AttemptId,
    number: u32,
    started_at: Timestamp,
    duration_ms: u64,
    code: Code,
    outcome: Outcome,
    error: Option<&'a str>,
    /// Where the time went; absent where no response began.
    #[serde(skip_serializing_if = "Option::is_none")]
    times: Option<Times>,
    /// `null` where no request could be built.
    request: Option<Sent<'a>>,
    /// `null` where there was none.
    response: Option<Received<'a>>,
}

/// A request as it went out, or would.
#[derive(Serialize)]
pub(super) struct Sent<'a> {
    method: &'a str,
    url: &'a str,
    headers: Headers<'a>,
    #[serde(flatten)]
    body: Text<'a>,
}

/// What came back for it.
#[derive(Serialize)]
pub(super) struct Received<'a> {
    headers: Headers<'a>,
    #[serde(flatten)]
    body: Text<'a>,
    truncated: bool,
}

impl<'a> Sent<'a> {
    pub(super) fn of(exchange: &'a Exchange) -> Self {
        let Exchange { method, url, request_headers, request_body, .. } = exchange;
        Self { method, url, headers: Headers(request_headers), body: Text::of(&request_body.head) }
    }
}

impl<'a> Received<'a> {
    /// `None` where nothing came back.
    pub(super) fn of(code: Code, exchange: &'a Exchange) -> Option<Self> {
        let Exchange { response_headers, response_body, truncated, .. } = exchange;
        let answered = code.http_status().is_some() || !response_headers.is_empty() || !response_body.is_empty();
        answered.then(|| Self {
            headers: Headers(response_headers),
            body: Text::of(response_body),
            truncated: *truncated,
        })
    }
}

/// A delivery of the store as `GET /v1/deliveries/{id}` shows it.
pub fn delivery_json(delivery: &DeliveryDetail) -> serde_json::Value {
    serde_json::to_value(Detail::of(delivery)).unwrap_or_default()
}

impl<'a> Tried<'a> {
    fn of(attempt: &'a Attempt) -> Self {
        let exchange = &attempt.exchange;
        let request = (!exchange.method.is_empty()).then(|| Sent::of(exchange));
        let response = Received::of(attempt.code, exchange);
        Self {
            id: attempt.id,
            number: attempt.number,
            started_at: attempt.started_at,
            duration_ms: attempt.duration_ms,
            code: attempt.code,
            outcome: attempt.outcome,
            error: attempt.error.as_deref(),
            times: exchange.times,
            request,
            response,
        }
    }
}

/// A body: as text where it is UTF-8, else in base64, which `encoding` then says.
#[derive(Serialize)]
struct Text<'a> {
    body: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
}

impl<'a> Text<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self { body: text.into(), encoding: None },
            Err(_) => Self { body: STANDARD.encode(bytes).into(), encoding: Some("base64") },
        }
    }
}

/// Headers as an object; the values of a repeated one are joined by commas, as HTTP allows.
struct Headers<'a>(&'a HeaderLines);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (at, (name, _)) in self.0.iter().enumerate() {
            let same = |other: &str| other.eq_ignore_ascii_case(name);
            if self.0.iter().take(at).any(|(other, _)| same(other)) {
                continue;
            }
            let values: Vec<&str> = self.0.iter().filter(|(other, _)| same(other)).map(|(_, value)| value).collect();
            map.serialize_entry(name, &values.join(", "))?;
        }
        map.end()
    }
}
