//! A channel tried out with an order: its request shown (preview), or sent once (test).

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use maud::{Markup, html};

use super::super::path::Named;
use super::data::{Order, Preview};
use super::delivery::{received, sent};
use super::form::encoded;
use super::gate::{self, Guest};
use super::layout::{badge, channel_link, code, duration, failed, hidden, page, why};
use super::state::{Dashboard, Failure, Visitor};

/// A form with an order may be this long, in bytes.
const LONGEST: usize = 4 * 1024 * 1024;

/// The order to try a channel with.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// The id of one that was received: its own, or `ord_…`.
    id: String,
    /// Its text. Where both are empty, the service has a sample.
    text: String,
}

/// `POST /dashboard/channels/{name}/preview`.
pub(super) async fn preview(
    State(dashboard): State<Dashboard>,
    Extension(visitor): Guest,
    Named(name): Named,
    headers: HeaderMap,
    body: Body,
) -> Response {
    run(&dashboard, &visitor, &name, "preview", &headers, body).await
}

/// `POST /dashboard/channels/{name}/test`.
pub(super) async fn test(
    State(dashboard): State<Dashboard>,
    Extension(visitor): Guest,
    Named(name): Named,
    headers: HeaderMap,
    body: Body,
) -> Response {
    run(&dashboard, &visitor, &name, "test", &headers, body).await
}

async fn run(
    dashboard: &Dashboard,
    visitor: &Visitor,
    name: &str,
    act: &str,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let made = async {
        let mut fields = gate::fields_up_to(dashboard, visitor, headers, body, LONGEST).await?;
        let mut field = |name: &str| fields.take(name).unwrap_or_default().trim().to_owned();
        let asked = Asked { id: field("order_id"), text: field("order") };
        let order = if asked.id.is_empty() {
            asked.text.clone()
        } else {
            let found: Order = dashboard.read(visitor, &format!("/v1/orders/{}", encoded(&asked.id))).await?;
            found.order.get().to_owned()
        };
        let preview: Preview = dashboard.post(visitor, &format!("/v1/channels/{}/{act}", encoded(name)), order).await?;
        Ok::<_, Failure>((preview, asked))
    };
    match made.await {
        Ok((preview, asked)) => {
            let title = if act == "test" { format!("Test of {name}") } else { format!("Preview of {name}") };
            page(visitor, "", &title, &shown(name, &preview, &asked, visitor))
        }
        Err(failure) => failed(visitor, &failure),
    }
}

/// The form that asks for an order.
pub(super) fn form(name: &str, asked: &Asked, visitor: &Visitor) -> Markup {
    let path = |act: &str| format!("/dashboard/channels/{}/{act}", encoded(name));
    html! {
        h2 { "Try it with an order" }
        form.trial method="post" action=(path("preview")) {
            (hidden(visitor))
            label { "An order that was received, by its id" input name="order_id" value=(asked.id) placeholder="SO-1000 or ord_…" size="30"; }
            label {
                "or its text; without either a sample is used"
                textarea name="order" rows="6" spellcheck="false" data-keep={ "order-" (name) } { (asked.text) }
            }
            div.acts {
                button.primary { "Preview" }
                button formaction=(path("test")) { "Send once as a test" }
                span.muted { "A preview sends nothing. A test sends the request to the receiver now and records no delivery." }
            }
        }
    }
}

fn shown(name: &str, preview: &Preview, asked: &Asked, visitor: &Visitor) -> Markup {
    html! {
        h1 {
            @if preview.outcome.is_some() { "Test of " } @else { "Preview of " } (channel_link(name)) " "
            @if let Some(outcome) = &preview.outcome { (badge(outcome)) }
        }
        @if let Some(skipped) = &preview.skipped {
            p.notice.warn {
                "The order itself would not go to this channel: " (why(skipped.reason.as_deref().unwrap_or_default()))
                @if let Some(detail) = &skipped.detail { " (" (detail) ")" }
            }
        }
        @if let Some(count) = preview.deliveries.filter(|count| *count > 1) { p { "The order makes " (count) " deliveries; this is the first." } }
        @if let Some(error) = &preview.error { p.notice.bad { (error) } }
        div.attempt {
            @if let (Some(at), Some(ms)) = (preview.code, preview.duration_ms) { p { (code(Some(at))) " in " (duration(ms)) } }
            div.exchange {
                section { h3 { "Request" } (sent(preview.request(), "request")) }
                @if preview.outcome.is_some() {
                    section { h3 { "Response" } (received(preview.code, preview.response.as_ref(), "response")) }
                }
            }
        }
        (form(name, asked, visitor))
    }
}
