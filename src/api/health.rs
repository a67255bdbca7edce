//! What watches the service: liveness, readiness, metrics. None of it needs a token.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use crate::delivery::ChannelOverview;
use crate::store::{Backlog, ChannelState};
use crate::telemetry::VERSION;
use crate::telemetry::metrics::Gauges;

use super::answer;
use super::channels::REMOVED;
use super::limits::BREAKER_OPEN;
use super::problem::{Kind, Problem};
use super::state::Api;

/// The longest that the store may take to answer a probe.
const PATIENCE: Duration = Duration::from_secs(5);

/// `GET /healthz`: the process answers.
pub(super) async fn healthz() -> Response {
    answer::json(&json!({"status": "ok", "version": VERSION}))
}

/// `GET /readyz`: the store can write, and the workers move.
pub(super) async fn readyz(State(api): State<Api>) -> Result<Response, Problem> {
    if api.components.draining.is_cancelled() {
        return Err(Problem::new(Kind::NotReady, "the service was asked to stop"));
    }
    if !api.components.lanes.is_moving() {
        return Err(Problem::new(Kind::NotReady, "the delivery workers have stopped"));
    }
    match api.readiness.of(&*api.components.history, api.components.clock.now()).await {
        Ok(()) => Ok(answer::json(&json!({"status": "ready"}))),
        Err(reason) => Err(Problem::new(Kind::NotReady, reason)),
    }
}

/// The API of a service that waits for its store: it lives, and is not ready.
pub(crate) fn waiting() -> Router {
    let unready = || async { Problem::new(Kind::NotReady, "the store cannot be reached yet") };
    let refused = || async { Problem::new(Kind::StoreUnavailable, "the store cannot be reached yet; try again later") };
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(unready)).fallback(refused)
}

/// `GET /metrics`, in the text format of Prometheus. While the store does not answer, only its gauges are missing.
pub(super) async fn metrics(State(api): State<Api>) -> Response {
    let backlog = match tokio::time::timeout(PATIENCE, api.components.history.backlog()).await {
        Ok(Ok(backlog)) => Some(backlog),
        Ok(Err(error)) => {
            tracing::warn!(%error, "metrics without the store's");
            None
        }
        Err(_) => None,
    };
    let bytes = api.components.history.bytes().await.ok();
    let page = api.components.metrics.render(&gauges(&api, backlog), bytes);
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(CONTENT_TYPE, kind)], page).into_response()
}

/// The states of a channel in `orderhook_channel_state`.
const STATES: [&str; 4] =
    [ChannelState::Enabled.as_str(), ChannelState::Paused.as_str(), ChannelState::Disabled.as_str(), BREAKER_OPEN];

fn gauges(api: &Api, backlog: Option<Vec<Backlog>>) -> Vec<Gauges> {
    let Some(backlog) = backlog else { return Vec::new() };
    let now = api.components.clock.now();
    let waiting: HashMap<Arc<str>, Backlog> =
        backlog.into_iter().map(|waits| (Arc::clone(&waits.channel), waits)).collect();
    let lanes: HashMap<Arc<str>, ChannelOverview> =
        api.components.lanes.overview().into_iter().map(|lane| (Arc::clone(&lane.channel), lane)).collect();
    let gauge = |name: &Arc<str>| {
        let waits = waiting.get(name);
        let lane = lanes.get(name);
        let shown = lane.map_or(ChannelState::Disabled.as_str(), ChannelOverview::shown_state);
        let failing_since = lane.and_then(|lane| lane.health.failing_since);
        Gauges {
            channel: Arc::clone(name),
            pending: waits.map_or(0, |waits| waits.pending),
            lag: waits.and_then(|waits| waits.oldest_due).map_or(Duration::ZERO, |due| now.since(due)),
            failing: failing_since.map_or(Duration::ZERO, |since| now.since(since)),
            states: STATES.iter().map(|each| (*each, *each == shown)).collect(),
        }
    };
    let view = api.view();
    let configured = |name: &Arc<str>| view.channels.iter().any(|channel| channel.name == *name);
    let mut removed: Vec<_> = waiting.keys().filter(|name| !configured(name)).collect();
    removed.sort();
    let removed = removed.into_iter().map(|name| {
        let states = STATES.iter().map(|each| (*each, false));
        Gauges { states: states.chain([(REMOVED, true)]).collect(), ..gauge(name) }
    });
    view.channels.iter().map(|channel| gauge(&channel.name)).chain(removed).collect()
}
