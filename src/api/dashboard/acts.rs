//! What the buttons do: each makes a call of the API, and shows the page again.

use axum::body::Body;
use axum::extract::{Extension, RawPathParams, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde_json::{Map, Value};

use super::super::path::Named;
use super::super::problem::{Kind, Problem};
use super::form::{Fields, encoded};
use super::gate::{self, Guest};
use super::layout::failed;
use super::state::{Dashboard, Failure, Visitor};

/// What was done, as a page says it.
const DONE: [(&str, &str); 10] = [
    ("retry", "The next attempt is due now."),
    ("cancel", "The delivery is cancelled."),
    ("accept", "The delivery is accepted."),
    ("fail", "The delivery is marked as failed."),
    ("pause", "The channel is paused."),
    ("resume", "The channel is resumed."),
    ("move", "The deliveries are moved, but for those that are under way."),
    ("reload", "The configuration is reloaded."),
    ("rerun", "The chain runs again from the step that failed."),
    ("deliver", "A new delivery was made."),
];

/// What the button pressed on the page before has done.
pub(super) fn done(fields: &Fields) -> Markup {
    let said = fields.get("done").and_then(|act| DONE.iter().find(|(known, _)| *known == act));
    html! { @if let Some((_, said)) = said { p.notice.good role="status" { "✓ " (said) } } }
}

/// `POST /dashboard/deliveries/{id}/{act}`.
pub(super) async fn delivery(
    State(dashboard): State<Dashboard>,
    Extension(visitor): Guest,
    params: RawPathParams,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let acts = ["retry", "cancel", "accept", "fail"];
    of_path(&dashboard, &visitor, "deliveries", &params, &acts, &headers, body).await
}

/// `POST /dashboard/channels/{name}/{act}`.
pub(super) async fn channel(
    State(dashboard): State<Dashboard>,
    Extension(visitor): Guest,
    params: RawPathParams,
    headers: HeaderMap,
    body: Body,
) -> Response {
    of_path(&dashboard, &visitor, "channels", &params, &["pause", "resume", "move"], &headers, body).await
}

/// `POST /dashboard/orders/{id}/rerun`.
pub(super) async fn rerun(
    State(dashboard): State<Dashboard>,
    Extension(visitor): Guest,
    Named(id): Named,
    headers: HeaderMap,
    body: Body,
) -> Response {
    act(&dashboard, &visitor, "orders", &id, "rerun", &headers, body).await
}

/// `POST /dashboard/orders/{id}/deliver`.
pub(super) async fn deliver(
    State(dashboard): State<Dashboard>,
    Extension(visitor): Guest,
    Named(id): Named,
    headers: HeaderMap,
    body: Body,
) -> Response {
    act(&dashboard, &visitor, "orders", &id, "deliver", &headers, body).await
}

async fn of_path(
    dashboard: &Dashboard,
    visitor: &Visitor,
    things: &str,
    params: &RawPathParams,
    acts: &[&str],
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let mut params = params.iter().map(|(_, value)| value);
    match (params.next(), params.next()) {
        (Some(name), Some(wanted)) if acts.contains(&wanted) => {
            act(dashboard, visitor, things, name, wanted, headers, body).await
        }
        _ => failed(visitor, &Problem::new(Kind::UnknownRoute, format!("expected one of {}", acts.join(", "))).into()),
    }
}

/// Makes the call `/v1/{things}/{name}/{wanted}` with what the form holds.
async fn act(
    dashboard: &Dashboard,
    visitor: &Visitor,
    things: &str,
    name: &str,
    wanted: &str,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let made = async {
        let fields = gate::fields(dashboard, visitor, headers, body).await.map_err(Failure::from)?;
        let wanted_fields = fields.iter().filter(|(name, _)| ["reason", "channel", "to"].contains(name));
        let sent: Map<String, Value> = wanted_fields.map(|(name, value)| (name.to_owned(), value.into())).collect();
        dashboard.change(visitor, &format!("/v1/{things}/{}/{wanted}", encoded(name)), &Value::Object(sent)).await
    };
    match made.await {
        // See other: a reload of the page does nothing again.
        Ok(_) => Redirect::to(&format!("/dashboard/{things}/{}?done={wanted}", encoded(name))).into_response(),
        Err(failure) => failed(visitor, &failure),
    }
}
