//! The list of deliveries: its filters are those of the API, in the page's address.

use std::sync::Arc;

use axum::extract::{Extension, RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};

use crate::domain::DeliveryStatus;

use super::data::{Delivery, List};
use super::form::{Fields, encoded};
use super::gate::Guest;
use super::layout::{
    Frame, badge, button, channel_link, channel_query, code, exact, failed, first_page, framed, further, hidden,
    order_link, short_link, time, time_or_dash,
};
use super::state::{Dashboard, Failure, Visitor};

const PATH: &str = "/dashboard/deliveries";

/// `GET /dashboard/deliveries`.
pub(super) async fn page(
    State(dashboard): State<Dashboard>,
    Extension(visitor): Guest,
    RawQuery(query): RawQuery,
) -> Response {
    let fields = Fields::of(query.as_deref().unwrap_or_default());
    match body(&dashboard, &visitor, &fields).await {
        Ok(body) => {
            let live = first_page(&fields).then(|| fields.get("channel").map(channel_query).unwrap_or_default());
            let (q, live) = (fields.get("q").unwrap_or_default(), live.as_deref());
            framed(&visitor, Frame { part: PATH, title: "Deliveries", q, live }, &body)
        }
        Err(failure) => failed(&visitor, &failure),
    }
}

async fn body(dashboard: &Dashboard, visitor: &Visitor, fields: &Fields) -> Result<Markup, Failure> {
    let list: List<Delivery> = dashboard.read(visitor, &fields.at("/v1/deliveries")).await?;
    let mut filter = fields.clone();
    filter.take("cursor");
    filter.take("limit");
    Ok(html! {
        h1 { "Deliveries" }
        (filters(fields, &dashboard.channels()))
        @if visitor.may_act && !filter.is_empty() { (for_all(&filter)) }
        @if list.data.is_empty() {
            p.muted {
                @if filter.is_empty() { "There are no deliveries yet." } @else { "No delivery matches these filters. " a href=(PATH) { "Show all" } }
            }
        } @else {
            (table(&list.data, visitor, true))
            @if visitor.may_act {
                form #selected .act method="post" action="/dashboard/deliveries/selected" {
                    (hidden(visitor))
                    @for (name, value) in filter.iter() { input type="hidden" name=(name) value=(value); }
                    span.muted { "Those that are ticked: " }
                    button name="act" value="retry" { "Retry" }
                    button.danger name="act" value="cancel" { "Cancel" }
                }
            }
        }
        @if let Some(back) = list.searched_back_to { p.muted { "Bodies were searched back to " (exact(back)) "." } }
        (further(PATH, fields, list.next_cursor.as_deref()))
    })
}

/// What can be done to all that the filters match.
fn for_all(filter: &Fields) -> Markup {
    let link = |act: &str| {
        let mut fields = filter.clone();
        fields.set("act", act);
        fields.at("/dashboard/deliveries/bulk")
    };
    html! {
        p.acts {
            span.muted { "All that match: " }
            a.button href=(link("retry")) { "Retry…" } " "
            a.button href=(link("cancel")) { "Cancel…" }
        }
    }
}

fn filters(fields: &Fields, channels: &[Arc<str>]) -> Markup {
    let value = |name: &str| fields.get(name).unwrap_or_default().to_owned();
    html! {
        form.filters method="get" action=(PATH) {
            fieldset {
                legend { "Status" }
                @for status in DeliveryStatus::ALL {
                    label.check {
                        input type="checkbox" name="status" value=(status.as_str()) checked[fields.has("status", status.as_str())];
                        (status.as_str())
                    }
                }
            }
            label { "Channel" select name="channel" {
                option value="" { "any" }
                @for channel in channels {
                    option value=(channel) selected[fields.has("channel", channel)] { (channel) }
                }
                // One that is not configured any more, and may still have deliveries.
                @if let Some(other) = fields.get("channel").filter(|name| channels.iter().all(|known| **known != **name)) {
                    option value=(other) selected { (other) }
                }
            } }
            label { "Code" input name="code" value=(value("code")) placeholder="503, 5xx, -5" size="10"; }
            label { "Order" input name="order_id" value=(value("order_id")) size="16"; }
            label { "Late" select name="late" {
                option value="" { "any" }
                option value="true" selected[fields.has("late", "true")] { "late" }
                option value="false" selected[fields.has("late", "false")] { "not late" }
            } }
            label { "Text" input name="q" value=(value("q")) size="16"; }
            label { "Since (UTC)" input name="since" value=(value("since")) placeholder="2026-01-31T00:00:00Z" size="20"; }
            label { "Until (UTC)" input name="until" value=(value("until")) placeholder="2026-02-01T00:00:00Z" size="20"; }
            @if let Some(cause) = fields.get("cause") { label { "Cause" input name="cause" value=(cause) size="6"; } }
            button.primary { "Filter" }
            @if !fields.is_empty() { a href=(PATH) { "Clear" } }
        }
    }
}

/// Deliveries in lines; they can be ticked for the form `selected`.
pub(super) fn table(deliveries: &[Delivery], visitor: &Visitor, ticked: bool) -> Markup {
    let ticked = ticked && visitor.may_act;
    html! {
        div.wide data-fresh="list" {
            table {
                thead { tr {
                    @if ticked { th { span.hidden { "Ticked" } } }
                    th { "Delivery" } th { "Order" } th { "Channel" } th { "Event" } th { "Status" } th { "Last code" }
                    th.number { "Attempts" } th { "Created" } th { "Next attempt" }
                    @if visitor.may_act { th { "Actions" } }
                } }
                tbody {
                    @for delivery in deliveries {
                        tr data-item {
                            @if ticked {
                                td { input type="checkbox" form="selected" name="id" value=(delivery.id) aria-label={ "Tick " (delivery.id) }; }
                            }
                            th scope="row" { (short_link(&delivery.id)) }
                            td { @match (&delivery.order, &delivery.order_id) {
                                (Some(id), own) => (order_link(id, own.as_deref().unwrap_or(id))),
                                _ => "–",
                            } }
                            td { (channel_link(&delivery.channel)) }
                            td { (delivery.event.kind) @if delivery.kind.is_some() { " (mail)" } }
                            td { (badge(&delivery.status)) @if delivery.late { " " span.badge.warn { "late" } } }
                            td { (code(delivery.last_code)) }
                            td.number { (delivery.attempt_count) }
                            td { (time(delivery.created_at, visitor)) }
                            td { (time_or_dash(delivery.next_attempt_at, visitor)) }
                            @if visitor.may_act { td.acts { (acts(delivery, visitor)) } }
                        }
                    }
                }
            }
        }
    }
}

/// The buttons for what the status of a delivery allows.
pub(super) fn acts(delivery: &Delivery, visitor: &Visitor) -> Markup {
    let path = |act: &str| format!("{PATH}/{}/{act}", encoded(&delivery.id));
    let (retry, settle, cancel) = match delivery.status.as_str() {
        "pending" => (Some("Try now"), false, true),
        "dispatched" => (Some("Retry"), true, true),
        _ => (Some("Retry"), false, false),
    };
    html! {
        @if settle {
            (button(visitor, &path("accept"), "Accept", ""))
            (button(visitor, &path("fail"), "Fail", "danger"))
        }
        @if let Some(label) = retry { (button(visitor, &path("retry"), label, "")) }
        @if cancel { (button(visitor, &path("cancel"), "Cancel", "danger")) }
    }
}
