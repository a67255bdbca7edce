//! Orders: taken in, listed, and shown with all that became of them.

use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::response::Response;

use crate::config::settings::Scope;
use crate::intake::Incoming;

use super::answer;
use super::body;
use super::problem::Problem;
use super::state::Api;

/// `POST /v1/orders`.
pub(super) async fn post(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let caller = api.tokens.caller(&head.headers, Scope::Ingest)?;
    if body::media(&head.headers)?.is_none() && !body.is_end_stream() {
        return Err(body::untyped());
    }
    let key = body::idempotency_key(&head.headers)?;
    let body = body::read(body, api.max_body, api.body_timeout).await?;
    let answered = api.rooms.ingest.order(Incoming { body, key, caller }).await?;
    Ok(answer::respond(answered))
}
