//! Middleware that lets only callers with a scope through.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::config::settings::Scope;

use super::state::Api;
use super::tokens::Caller;

/// Lets only callers with the scope `read` through.
pub(super) async fn read(State(api): State<Api>, request: Request, next: Next) -> Response {
    check(&api, Scope::Read, request, next).await
}

/// Lets only callers with the scope `manage` through.
pub(super) async fn manage(State(api): State<Api>, request: Request, next: Next) -> Response {
    check(&api, Scope::Manage, request, next).await
}

async fn check(api: &Api, scope: Scope, mut request: Request, next: Next) -> Response {
    let caller = match api.view().tokens.caller_of(request.headers(), request.extensions(), scope) {
        Ok(known) => Caller::of(known),
        Err(problem) => return problem.into_response(),
    };
    request.extensions_mut().insert(caller);
    next.run(request).await
}
