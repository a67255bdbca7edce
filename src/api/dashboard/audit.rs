//! The audit: every change that a call or a page made.

use axum::extract::{Extension, RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};

use super::configuration::changed;
use super::data::{Act, List};
use super::form::Fields;
use super::gate::Guest;
use super::layout::{channel_link, delivery_link, failed, further, order_link, page as framed, time};
use super::state::{Dashboard, Failure, Visitor};

const PATH: &str = "/dashboard/audit";

/// `GET /dashboard/audit`.
pub(super) async fn page(
    State(dashboard): State<Dashboard>,
    Extension(visitor): Guest,
    RawQuery(query): RawQuery,
) -> Response {
    let fields = Fields::of(query.as_deref().unwrap_or_default());
    match body(&dashboard, &visitor, &fields).await {
        Ok(body) => framed(&visitor, PATH, "Audit", &body),
        Err(failure) => failed(&visitor, &failure),
    }
}

async fn body(dashboard: &Dashboard, visitor: &Visitor, fields: &Fields) -> Result<Markup, Failure> {
    let list: List<Act> = dashboard.read(visitor, &fields.at("/v1/audit")).await?;
    let value = |name: &str| fields.get(name).unwrap_or_default().to_owned();
    Ok(html! {
        h1 { "Audit" }
        form.filters method="get" action=(PATH) {
            label { "Since (UTC)" input name="since" value=(value("since")) placeholder="2026-01-31T00:00:00Z" size="20"; }
            label { "Until (UTC)" input name="until" value=(value("until")) placeholder="2026-02-01T00:00:00Z" size="20"; }
            button.primary { "Filter" }
            @if !fields.is_empty() { a href=(PATH) { "Clear" } }
        }
        @if list.data.is_empty() {
            p.muted { "Nobody has changed anything" @if !fields.is_empty() { " in this period" } "." }
        } @else {
            div.wide { table {
                thead { tr { th { "When" } th { "Who" } th { "What" } th { "Of what" } th.number { "Count" } th { "Reason" } } }
                tbody { @for act in &list.data {
                    tr data-item {
                        td { (time(act.at, visitor)) }
                        td { (act.by.as_deref().unwrap_or("no token")) }
                        th scope="row" { (act.act) }
                        td { (target(act)) }
                        td.number { @match act.count { Some(count) => (count), None => "–" } }
                        td { (act.reason.as_deref().unwrap_or("–")) }
                    }
                } }
            } }
        }
        (further(PATH, fields, list.next_cursor.as_deref()))
    })
}

fn target(act: &Act) -> Markup {
    html! {
        @if let Some(channel) = &act.channel { (channel_link(channel)) " " }
        @if let Some(delivery) = &act.delivery { (delivery_link(delivery)) " " }
        @if let Some(order) = &act.order { (order_link(order, order)) " " }
        @if let Some(filter) = &act.filter {
            @let fields = Fields::of_json(filter);
            "filter " code { @for (name, value) in fields.iter() { (name) "=" (value) " " } }
        }
        @match &act.detail {
            Some(detail) if act.act == "reload" => (changed(Some(detail))),
            Some(detail) => code { (detail) },
            None => {}
        }
    }
}
