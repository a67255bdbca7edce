//! How orders and events are answered: JSON written once, straight from what intake knows, and kept with the
//! idempotency key as the bytes that went out.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::domain::order::RejectedBy;
use crate::domain::{
    Code, DeliveryId, DeliveryStatus, EventId, OrderId, OrderStatus, StepRecord, StepStatus, Subject, Timestamp, json,
};
use crate::intake::{Answered, Answering, EventDeliveries, OrderView};
use crate::store::Answer;

use super::problem::{Kind, PROBLEM_JSON, Problem};

/// The content type of everything that is no error.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Answers as the API's callers get them.
#[derive(Debug, Clone, Copy, Default)]
pub struct JsonAnswers;

impl Answering for JsonAnswers {
    fn order(&self, order: &OrderView<'_>) -> Answer {
        let subject = order.subject;
        let id = subject.id();
        let steps = order.steps.iter().map(Ran::brief);
        if let Some(rejection) = order.rejection {
            let kind = match rejection.by {
                RejectedBy::Status => Kind::OrderRejected,
                RejectedBy::Timeout => Kind::StepTimeout,
                RejectedBy::NoResponse => Kind::StepNoResponse,
            };
            let steps = serde_json::to_value(steps.collect::<Vec<_>>()).unwrap_or_default();
            let problem = Problem::new(kind, rejection.detail.clone())
                .member("step", rejection.step.as_str())
                .member("plugin", rejection.plugin.as_str())
                .member("id", id)
                .member("order_id", subject.order_id.as_str())
                .member("order_status", order.status.as_str())
                .member("context", written_value(order.context))
                .member("steps", steps);
            return Answer { status: kind.status(), location: None, body: problem.to_json().into() };
        }
        let shape = Accepted {
            order_id: &subject.order_id,
            kind: &subject.kind,
            status: order.status,
            context: raw(order.context).unwrap_or(RawValue::NULL),
            steps: Each(steps),
            deliveries: Each(order.deliveries.iter().map(|(id, channel, status)| Delivery {
                id: *id,
                channel,
                status: *status,
            })),
            id: &id,
        };
        let body = written(&shape, 256 + order.context.len() + 256 * order.steps.len() + 128 * order.deliveries.len());
        let status = if order.status == OrderStatus::Processing { 202 } else { 201 };
        Answer { status, location: subject.order().map(order_location), body: body.into() }
    }

    fn unroutable(&self, subject: &Subject, detail: &str) -> Answer {
        let kind = Kind::PartnersUnreadable;
        let problem = Problem::new(kind, detail.to_owned())
            .member("id", subject.id())
            .member("order_id", subject.order_id.as_str())
            .member("order_status", OrderStatus::Rejected.as_str());
        let location = subject.order().map(order_location);
        Answer { status: kind.status(), location, body: problem.to_json().into() }
    }

    fn event(&self, event: &EventDeliveries) -> Answer {
        Answer { status: 202, location: None, body: written(&Event::of(event), 256).into() }
    }

    fn batch(&self, events: &[&Answer]) -> Answer {
        let bodies: Vec<&[u8]> = events.iter().map(|answer| &answer.body[..]).collect();
        let body = [br#"{"data":["#, bodies.join(&b',').as_slice(), b"]}"].concat();
        Answer { status: 202, location: None, body: body.into() }
    }
}

fn order_location(id: OrderId) -> String {
    format!("/v1/orders/{id}")
}

/// A JSON text as it stands; `None` where it is not JSON.
pub(super) fn raw(text: &str) -> Option<&RawValue> {
    serde_json::from_str(text).ok()
}

/// The value of a JSON text that this process wrote.
fn written_value(text: &str) -> Value {
    json::read(text.as_bytes(), json::MAX_DEPTH).unwrap_or_else(|error| {
        tracing::error!(%error, "a context cannot be read");
        Value::Null
    })
}

fn written(shape: &impl Serialize, capacity: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(capacity);
    // Writing into memory fails only on a map whose keys are no text, and there is none here.
    if let Err(error) = serde_json::to_writer(&mut body, shape) {
        tracing::error!(%error, "an answer could not be written");
    }
    body
}

/// An answer on the wire.
pub(super) fn respond(answered: Answered) -> Response {
    let Answered { answer, replayed } = answered;
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, if answer.status < 400 { JSON } else { PROBLEM_JSON });
    if let Some(location) = answer.location.and_then(|location| HeaderValue::try_from(location).ok()) {
        headers.insert(LOCATION, location);
    }
    if replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// 200 with `shape` as JSON.
pub(super) fn json(shape: &impl Serialize) -> Response {
    let mut response = Response::new(Body::from(written(shape, 1024)));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// 202 with `shape` as JSON.
pub(super) fn accepted(shape: &impl Serialize) -> Response {
    let mut response = json(shape);
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

#[derive(Serialize)]
#[serde(bound(serialize = "Each<S>: Serialize, Each<D>: Serialize"))]
struct Accepted<'a, S, D> {
    id: &'a str,
    order_id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    status: OrderStatus,
    context: &'a RawValue,
    steps: Each<S>,
    deliveries: Each<D>,
}

/// A step as answers show it.
#[derive(Serialize)]
pub(super) struct Ran<'a> {
    step: &'a str,
    plugin: &'a str,
    critical: bool,
    status: StepStatus,
    code: Option<Code>,
    error: Option<&'a str>,
    duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
}

impl<'a> Ran<'a> {
    fn brief(record: &'a StepRecord) -> Self {
        Self {
            step: &record.step,
            plugin: &record.plugin,
            critical: record.critical,
            status: record.status,
            code: record.code,
            error: record.error.as_deref(),
            duration_ms: record.duration_ms,
            started_at: None,
        }
    }

    /// With the time at which it began.
    pub(super) fn whole(record: &'a StepRecord) -> Self {
        Self { started_at: Some(record.started_at), ..Self::brief(record) }
    }
}

#[derive(Serialize)]
struct Delivery<'a> {
    id: DeliveryId,
    channel: &'a str,
    status: DeliveryStatus,
}

#[derive(Serialize)]
struct Event<'a> {
    id: EventId,
    deliveries: Vec<Delivery<'a>>,
}

impl<'a> Event<'a> {
    fn of((id, deliveries): &'a (EventId, Vec<(DeliveryId, Arc<str>)>)) -> Self {
        let delivery =
            |(id, channel): &'a (DeliveryId, Arc<str>)| Delivery { id: *id, channel, status: DeliveryStatus::Pending };
        Self { id: *id, deliveries: deliveries.iter().map(delivery).collect() }
    }
}

/// An array written as it is walked through.
struct Each<I>(I);

impl<I: Iterator + Clone> Serialize for Each<I>
where
    I::Item: Serialize,
{
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.clone())
    }
}
