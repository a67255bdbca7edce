//! `GET /v1/stream`: what happens, as it happens, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};
use tokio_util::sync::CancellationToken;

use crate::store::{Cause, DeliveryFilter, Happening};

use super::deliveries::known_channel;
use super::problem::{Kind, Problem};
use super::query::Query;
use super::state::{Api, STREAMS};

/// How often a stream on which nothing happens shows that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// `GET /v1/stream`.
pub(super) async fn get(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let mut query = Query::new(query.as_deref(), &["channel"]);
    let channel = query.one("channel");
    query.finish()?;
    let filter = DeliveryFilter { channel: channel.clone(), ..DeliveryFilter::default() };
    known_channel(&api, &filter, Kind::InvalidParameters).await?;
    let permit = Arc::clone(&api.streams).try_acquire_owned().map_err(|refused| match refused {
        TryAcquireError::NoPermits => {
            Problem::new(Kind::TooManyStreams, format!("{STREAMS} streams are open; close one and try again"))
        }
        TryAcquireError::Closed => Problem::new(Kind::ShuttingDown, "the service is shutting down"),
    })?;
    let happenings = api.components.history.watch().ok_or_else(Problem::internal)?;
    let stopping = api.components.stopping.clone();
    let watcher = Watcher { happenings, channel, stopping, begun: false, _permit: permit };
    let events = stream::unfold(watcher, Watcher::next);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive")).into_response())
}

/// One who watches.
struct Watcher {
    happenings: Receiver<Arc<Happening>>,
    channel: Option<String>,
    stopping: CancellationToken,
    begun: bool,
    _permit: OwnedSemaphorePermit,
}

impl Watcher {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if !self.begun {
            // So that the caller knows that nothing is missed from here on.
            self.begun = true;
            return Some((Ok(Event::default().comment("watching")), self));
        }
        loop {
            let happening = tokio::select! {
                () = self.stopping.cancelled() => return None,
                happening = self.happenings.recv() => happening,
            };
            let event = match happening {
                Ok(happening) if self.channel.is_none() || happening.channel() == self.channel.as_deref() => {
                    let (name, data) = shown(&happening);
                    Event::default().event(name).data(data.to_string())
                }
                Ok(_) => continue,
                Err(RecvError::Lagged(missed)) => {
                    Event::default().event("lagged").data(json!({"missed": missed}).to_string())
                }
                Err(RecvError::Closed) => return None,
            };
            return Some((Ok(event), self));
        }
    }
}

/// The name of an event, and its data.
fn shown(happening: &Happening) -> (&'static str, Value) {
    match happening {
        Happening::Order { at, id, order_id, kind, status } => {
            ("order", json!({"at": at, "id": id, "order_id": order_id, "type": kind, "status": status}))
        }
        Happening::Attempt {
            at,
            delivery,
            channel,
            order_id,
            number,
            code,
            outcome,
            error,
            duration_ms,
            status,
            next_attempt_at,
        } => (
            "attempt",
            json!({
                "at": at, "delivery": delivery, "channel": channel, "order_id": order_id, "number": number, "code": code,
                "outcome": outcome, "error": error, "duration_ms": duration_ms, "status": status,
                "next_attempt_at": next_attempt_at,
            }),
        ),
        Happening::Delivery { delivery, channel, act, status, cause } => {
            let data = json!({"delivery": delivery, "channel": channel, "act": act.as_str(), "status": status});
            ("delivery", with_cause(data, cause))
        }
        Happening::Deliveries { act, count, cause } => {
            ("deliveries", with_cause(json!({"act": act.as_str(), "count": count}), cause))
        }
        Happening::Channel { channel, state, cause } => {
            ("channel", with_cause(json!({"channel": channel, "state": state.as_str()}), cause))
        }
    }
}

fn with_cause(mut data: Value, cause: &Cause) -> Value {
    if let Some(members) = data.as_object_mut() {
        members.insert("at".to_owned(), cause.at.to_string().into());
        members.insert("by".to_owned(), cause.by.as_deref().into());
        members.insert("reason".to_owned(), cause.reason.as_deref().into());
    }
    data
}
