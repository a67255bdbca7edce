//! Watches every request: refuses those that are not for this server, and counts and logs the answers.

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::telemetry::Throttle;

use super::problem::Kind;
use super::state::Api;

/// The route of requests that match none.
const UNMATCHED: &str = "unmatched";

/// Passes a request on, if it is for this server.
pub(super) async fn watch(State(api): State<Api>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let posts = request.method() == Method::POST;
    let checked = api.view().hosts.check(&request);
    let response = match checked {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let route = route.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    let (status, kind) = (response.status().as_u16(), response.extensions().get::<Kind>().copied());
    api.components.metrics.request(route, status);
    match kind {
        Some(Kind::StoreFull) => api.readiness.refused_as_full(api.components.clock.now()),
        Some(kind) => log_refusal(kind, route),
        None if posts && status < 300 => api.readiness.accepted(),
        None => {}
    }
    response
}

/// Logs that callers are refused for who they are or how often they call: one line per type in ten seconds.
fn log_refusal(kind: Kind, route: &str) {
    static LOGS: [Throttle; Kind::ALL.len()] = [const { Throttle::new() }; Kind::ALL.len()];
    let logged = matches!(
        kind,
        Kind::Unauthorized
            | Kind::Forbidden
            | Kind::CrossSite
            | Kind::BadSignature
            | Kind::MisdirectedRequest
            | Kind::TooManyRequests
    );
    if logged && let Some(suppressed) = LOGS.get(kind as usize).and_then(Throttle::admit) {
        tracing::warn!(problem = kind.slug(), status = kind.status(), route, suppressed, "refused a request");
    }
}
