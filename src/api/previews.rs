//! `POST /v1/channels/{name}/preview` and `/test`: what a channel would send, and what comes back for it.

use std::sync::Arc;

use axum::body::HttpBody;
use axum::extract::{Extension, Request, State};
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use tokio_util::task::AbortOnDropHandle;

use crate::delivery::{Preview, PreviewError, Tested};
use crate::domain::{Code, Outcome, Skip};
use crate::store::Act;

use super::deliveries::{Received, Sent};
use super::path::Named;
use super::problem::{Kind, Problem};
use super::state::{Api, View};
use super::tokens::Caller;
use super::{answer, audit, body};

/// `POST /v1/channels/{name}/preview`.
pub(super) async fn preview(State(api): State<Api>, Named(name): Named, request: Request) -> Result<Response, Problem> {
    let view = api.view();
    let order = order(&view, request).await?;
    let preview = view.previewer.preview(&name, order).await?;
    Ok(answer::json(&Previewed::of(&preview)))
}

/// `POST /v1/channels/{name}/test`.
pub(super) async fn test(
    State(api): State<Api>,
    Named(name): Named,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    let view = api.view();
    let order = order(&view, request).await?;
    let (previewer, channel) = (Arc::clone(&view.previewer), name.clone());
    // It ends with the call: a caller that hangs up waits for nothing.
    let call = AbortOnDropHandle::new(api.components.calls.spawn(async move { previewer.test(&channel, order).await }));
    let tested = call.await.map_err(|_| Problem::internal())??;
    tracing::info!(channel = name, code = tested.code.as_i32(), "a channel was tested by hand");
    let cause = caller.cause(api.components.clock.now(), None);
    audit::keep(&api, Act { channel: Some(name), ..Act::new("test", cause) }).await;
    Ok(answer::json(&Outcomes::of(&tested)))
}

/// The order to try; `None` for an empty body, which asks for the sample.
async fn order(view: &View, request: Request) -> Result<Option<Bytes>, Problem> {
    let (head, body) = request.into_parts();
    if body::media(&head.headers)?.is_none() && !body.is_end_stream() {
        return Err(body::untyped());
    }
    let body = body::read(body, view.max_body, view.body_timeout).await?;
    Ok(Some(body).filter(|body| !body.is_empty()))
}

impl From<PreviewError> for Problem {
    fn from(fault: PreviewError) -> Self {
        match fault {
            PreviewError::NoChannel(name) => Self::not_found("channel", &name),
            PreviewError::NotAnOrder(_) => Self::new(Kind::InvalidJson, fault.to_string()),
            PreviewError::NotBuilt(_) => Self::new(Kind::NotBuilt, fault.to_string()),
        }
    }
}

#[derive(Serialize)]
struct Previewed<'a> {
    #[serde(flatten)]
    request: Sent<'a>,
    /// How many deliveries the order would make for this channel.
    deliveries: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<&'a Skip>,
}

impl<'a> Previewed<'a> {
    fn of(preview: &'a Preview) -> Self {
        Self { request: Sent::of(&preview.exchange), deliveries: preview.deliveries, skipped: preview.skipped.as_ref() }
    }
}

#[derive(Serialize)]
struct Outcomes<'a> {
    request: Sent<'a>,
    code: Code,
    response: Option<Received<'a>>,
    outcome: Outcome,
    error: Option<&'a str>,
    duration_ms: u64,
    /// The mail that the response would make; it is not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    mail: Option<Sent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mail_error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<&'a Skip>,
}

impl<'a> Outcomes<'a> {
    fn of(tested: &'a Tested) -> Self {
        let exchange = &tested.preview.exchange;
        Self {
            request: Sent::of(exchange),
            code: tested.code,
            response: Received::of(tested.code, exchange),
            outcome: tested.outcome,
            error: tested.error.as_deref(),
            duration_ms: tested.duration_ms,
            mail: tested.mail.as_ref().and_then(|mail| mail.as_ref().ok()).map(Sent::of),
            mail_error: tested.mail.as_ref().and_then(|mail| mail.as_ref().err()).map(String::as_str),
            skipped: tested.preview.skipped.as_ref(),
        }
    }
}
