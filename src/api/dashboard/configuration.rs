//! The configuration: what holds and from where, and each reload: who, when, what changed.

use axum::body::Body;
use axum::extract::{Extension, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::acts::done;
use super::data::{Act, List, Reloaded};
use super::form::Fields;
use super::gate::{self, Guest};
use super::layout::{badge, channel_link, failed, further, hidden, page as framed, time};
use super::state::{Dashboard, Failure, Visitor};

const PATH: &str = "/dashboard/configuration";

/// `GET /dashboard/configuration`.
pub(super) async fn page(
    State(dashboard): State<Dashboard>,
    Extension(visitor): Guest,
    RawQuery(query): RawQuery,
) -> Response {
    let fields = Fields::of(query.as_deref().unwrap_or_default());
    match body(&dashboard, &visitor, &fields).await {
        Ok(body) => framed(&visitor, PATH, "Configuration", &body),
        Err(failure) => failed(&visitor, &failure),
    }
}

/// `POST /dashboard/configuration/reload`.
pub(super) async fn reload(
    State(dashboard): State<Dashboard>,
    Extension(visitor): Guest,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let made = async {
        let fields = gate::fields(&dashboard, &visitor, &headers, body).await?;
        let force = fields.has("force", "true");
        dashboard.change(&visitor, "/v1/config/reload", &json!({"force": force})).await
    };
    match made.await {
        Ok(_) => Redirect::to(&format!("{PATH}?done=reload")).into_response(),
        Err(failure) => failed(&visitor, &failure),
    }
}

async fn body(dashboard: &Dashboard, visitor: &Visitor, fields: &Fields) -> Result<Markup, Failure> {
    let mut asked = Fields::default();
    asked.set("act", "reload");
    if let Some(cursor) = fields.get("cursor") {
        asked.set("cursor", cursor);
    }
    let reloads: List<Act> = dashboard.read(visitor, &asked.at("/v1/audit")).await?;
    let view = dashboard.api().view();
    Ok(html! {
        h1 { "Configuration" }
        (done(fields))
        @if visitor.may_act {
            form.act method="post" action="/dashboard/configuration/reload" {
                (hidden(visitor))
                button.primary { "Reload" }
                label.check { input type="checkbox" name="force" value="true"; " also if it removes the last token or most channels" }
            }
            p.muted { "The files are read again and checked whole. With an error, nothing changes." }
        }
        h2 { "In force" }
        p {
            @if view.about.chains.is_empty() { "No chain is configured." }
            @else { "Chains: " @for (at, chain) in view.about.chains.iter().enumerate() { @if at > 0 { ", " } code { (chain) } } "." }
        }
        @if view.channels.is_empty() {
            p.muted { "No channel is configured." }
        } @else {
            div.wide { table {
                thead { tr { th { "Channel" } th { "State" } th { "From" } } }
                tbody { @for channel in &view.channels {
                    tr data-item {
                        th scope="row" { (channel_link(&channel.name)) }
                        td { @if channel.enabled { "switched on" } @else { (badge("disabled")) } }
                        td { code { (channel.file) } }
                    }
                } }
            } }
        }
        h2 { "Reloads" }
        @if reloads.data.is_empty() {
            p.muted { "The configuration has not been reloaded as far back as the audit goes." }
        } @else {
            div.wide { table {
                thead { tr { th { "When" } th { "Who" } th { "What changed" } } }
                tbody { @for reload in &reloads.data {
                    tr data-item {
                        th scope="row" { (time(reload.at, visitor)) }
                        td { (reload.by.as_deref().or(reload.reason.as_deref()).unwrap_or("no token")) }
                        td { (changed(reload.detail.as_ref())) }
                    }
                } }
            } }
        }
        (further(PATH, &Fields::default(), reloads.next_cursor.as_deref()))
    })
}

/// The changes of a reload in words.
pub(super) fn changed(detail: Option<&Value>) -> Markup {
    let Some(changes) = detail.and_then(|detail| serde_json::from_value::<Reloaded>(detail.clone()).ok()) else {
        return html! { "–" };
    };
    let lists = [
        ("channels added", &changes.channels.added),
        ("channels changed", &changes.channels.changed),
        ("channels removed", &changes.channels.removed),
        ("chains added", &changes.chains.added),
        ("chains changed", &changes.chains.changed),
        ("chains removed", &changes.chains.removed),
        ("keys", &changes.keys),
    ];
    let lists: Vec<_> = lists.into_iter().filter(|(_, names)| !names.is_empty()).collect();
    html! {
        @if lists.is_empty() { "nothing" }
        @for (at, (what, names)) in lists.iter().enumerate() {
            @if at > 0 { br; }
            (what) ": " @for (at, name) in names.iter().enumerate() { @if at > 0 { ", " } code { (name) } }
        }
    }
}
