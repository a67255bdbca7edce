//! Deliveries: listed, shown with their attempts, and changed by hand, one or many.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{Extension, RawQuery, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::config::settings::Scope;
use crate::domain::{
    Attempt, AttemptId, Code, DeliveryId, DeliveryStatus, EventId, Exchange, HeaderLines, OrderId, Outcome, Timestamp,
};
use crate::store::{Change, Changed, DeliveryDetail, DeliveryFilter, DeliverySummary, Verdict};

use super::path::Named;
use super::problem::{Fault, Kind, Problem};
use super::state::Api;
use super::tokens::{Caller, author};
use super::{answer, body, list, object, query, reason};

/// `GET /v1/deliveries`.
pub(super) async fn page(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let (filter, page) = query::deliveries(query.as_deref())?;
    known_channel(&api, &filter, Kind::InvalidParameters).await?;
    let searches = filter.q.is_some();
    let page = api.rooms.history.deliveries(filter, page).await?;
    Ok(list::page(&page, searches, Delivery::of))
}

/// Refuses a filter by a channel that is neither configured nor known to the store: most likely a slip.
async fn known_channel(api: &Api, filter: &DeliveryFilter, kind: Kind) -> Result<(), Problem> {
    let Some(name) = filter.channel.as_deref() else { return Ok(()) };
    let view = api.view();
    let mut configured = view.channels.iter().map(|channel| &*channel.name);
    if configured.any(|known| known == name) || api.rooms.history.knows_channel(name).await? {
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
    let delivery = api.rooms.history.delivery(id(&name)?).await?.ok_or_else(|| not_found(&name))?;
    Ok(answer::json(&Detail::of(&delivery)))
}

/// `POST /v1/deliveries/{id}/accept`.
pub(super) async fn accept(
    State(api): State<Api>,
    Named(name): Named,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    settle(&api, &name, query.as_deref(), request, Change::Accept).await
}

/// `POST /v1/deliveries/{id}/fail`.
pub(super) async fn fail(
    State(api): State<Api>,
    Named(name): Named,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    settle(&api, &name, query.as_deref(), request, Change::Fail).await
}

/// What a receiver says later: with the key of the delivery, or with a token as for any other change.
async fn settle(
    api: &Api,
    name: &str,
    query: Option<&str>,
    request: Request,
    verdict: Change,
) -> Result<Response, Problem> {
    let headers = request.headers();
    let key = query::settle_key(query)?;
    match (&key, name.parse()) {
        (Some(key), Ok(id)) if api.rooms.settle_keys.is_key(key, id) => {
            let reason = reason::of_receiver(api, request).await?;
            return change(api, name, verdict, Caller::receiver(), reason).await;
        }
        // A wrong key is a mistake also where no token is needed.
        (Some(_), _) if !headers.contains_key(AUTHORIZATION) => return Err(Problem::wrong_key()),
        _ => {}
    }
    let caller = Caller::of(api.view().tokens.caller(headers, Scope::Manage)?);
    let reason = reason::read(api, request).await?;
    change(api, name, verdict, caller, reason).await
}

/// `POST /v1/deliveries/{id}/retry`.
pub(super) async fn retry(
    State(api): State<Api>,
    Named(name): Named,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    let reason = reason::read(&api, request).await?;
    change(&api, &name, Change::Retry, caller, reason).await
}

/// `POST /v1/deliveries/{id}/cancel`.
pub(super) async fn cancel(
    State(api): State<Api>,
    Named(name): Named,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    let reason = reason::read(&api, request).await?;
    change(&api, &name, Change::Cancel, caller, reason).await
}

/// `POST /v1/deliveries/retry`.
pub(super) async fn retry_all(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    change_all(&api, caller, request, Change::Retry).await
}

/// `POST /v1/deliveries/cancel`.
pub(super) async fn cancel_all(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    change_all(&api, caller, request, Change::Cancel).await
}

fn not_found(name: &str) -> Problem {
    Problem::not_found("delivery", name)
}

/// An id that cannot be one is that of no delivery.
fn id(name: &str) -> Result<DeliveryId, Problem> {
    name.parse().map_err(|_| not_found(name))
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
        Changed::Done(status, channel) => {
            let (by, reason) = (cause.by.as_deref(), cause.reason.as_deref());
            tracing::info!(delivery = %id, %channel, %status, by, reason, "delivery {} by {}", done(change), author(&cause));
            match change {
                Change::Retry => api.rooms.lanes.hasten(&channel, id),
                Change::Cancel => api.rooms.lanes.forget(&[id]),
                Change::Accept | Change::Fail => {}
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
                Change::Accept | Change::Fail => "only one that is dispatched waits for this",
                Change::Retry | Change::Cancel => "it has ended",
            };
            let detail = format!("a delivery that is {status} cannot be changed by /{}: {why}", change.as_str());
            Err(Problem::new(Kind::Conflict, detail).member("delivery_status", status.as_str()))
        }
    }
}

async fn change_all(api: &Api, caller: Caller, request: Request, change: Change) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let typed = body::media(&head.headers)?;
    let view = api.view();
    let body = body::read(body, view.max_body, view.body_timeout).await?;
    if typed.is_none() && !body.is_empty() {
        return Err(body::untyped());
    }
    let query::Bulk { filter, dry_run, reason } = query::bulk(&body, change)?;
    known_channel(api, &filter, Kind::InvalidFields).await?;
    let cause = caller.cause(api.rooms.clock.now(), reason);
    let changed = api.rooms.queue.change_all(filter, change, cause.clone(), dry_run).await?;
    if !dry_run {
        let (count, by, reason) = (changed.count, cause.by.as_deref(), cause.reason.as_deref());
        tracing::info!(count, by, reason, "{count} deliveries {} by {}", done(change), author(&cause));
        for channel in &changed.channels {
            api.rooms.lanes.recall(channel);
        }
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
    /// `email` where it mails a response's text to the customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<&'a [u32]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantity: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<u64>,
}

#[derive(Serialize)]
struct Event<'a> {
    id: EventId,
    #[serde(rename = "type")]
    kind: &'a str,
}

impl<'a> Delivery<'a> {
    pub(super) fn of(delivery: &'a DeliverySummary) -> Self {
        let parcel = delivery.parcel.as_deref();
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
            kind: parcel.filter(|parcel| parcel.mail).map(|_| "email"),
            items: parcel.and_then(|parcel| parcel.items.as_deref()),
            quantity: parcel.and_then(|parcel| parcel.quantity),
            unit: parcel.and_then(|parcel| parcel.unit),
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
