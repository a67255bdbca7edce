//! The list of orders.

use axum::extract::{Extension, RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};

use crate::domain::OrderStatus;

use super::data::{List, Listed};
use super::form::Fields;
use super::gate::Guest;
use super::layout::{Frame, badge, exact, failed, first_page, framed, further, order_link, time, time_or_dash};
use super::state::{Dashboard, Failure, Visitor};

const PATH: &str = "/dashboard/orders";

/// `GET /dashboard/orders`.
pub(super) async fn page(
    State(dashboard): State<Dashboard>,
    Extension(visitor): Guest,
    RawQuery(query): RawQuery,
) -> Response {
    let fields = Fields::of(query.as_deref().unwrap_or_default());
    match body(&dashboard, &visitor, &fields).await {
        Ok(body) => {
            let live = first_page(&fields).then_some("");
            framed(&visitor, Frame { part: PATH, title: "Orders", q: fields.get("q").unwrap_or_default(), live }, &body)
        }
        Err(failure) => failed(&visitor, &failure),
    }
}

async fn body(dashboard: &Dashboard, visitor: &Visitor, fields: &Fields) -> Result<Markup, Failure> {
    let list: List<Listed> = dashboard.read(visitor, &fields.at("/v1/orders")).await?;
    Ok(html! {
        h1 { "Orders" }
        (filters(fields))
        @if list.data.is_empty() {
            p.muted {
                @if fields.is_empty() { "There are no orders yet. Send one with POST /v1/orders." }
                @else { "No order matches these filters. " a href=(PATH) { "Show all" } }
            }
        } @else {
            div.wide data-fresh="list" {
                table {
                    thead { tr { th { "Order" } th { "Type" } th { "Status" } th { "Received" } th { "Ended" } th { "Id" } } }
                    tbody {
                        @for order in &list.data {
                            tr data-item {
                                th scope="row" { (order_link(&order.id, &order.order_id)) }
                                td { (order.kind) }
                                td { (badge(&order.status)) }
                                td { (time(order.received_at, visitor)) }
                                td { (time_or_dash(order.ended_at, visitor)) }
                                td { (order_link(&order.id, &order.id)) }
                            }
                        }
                    }
                }
            }
        }
        @if let Some(back) = list.searched_back_to { p.muted { "Bodies were searched back to " (exact(back)) "." } }
        (further(PATH, fields, list.next_cursor.as_deref()))
    })
}

fn filters(fields: &Fields) -> Markup {
    let value = |name: &str| fields.get(name).unwrap_or_default().to_owned();
    html! {
        form.filters method="get" action=(PATH) {
            fieldset {
                legend { "Status" }
                @for status in OrderStatus::ALL {
                    label.check {
                        input type="checkbox" name="status" value=(status.as_str()) checked[fields.has("status", status.as_str())];
                        (status.as_str())
                    }
                }
            }
            label { "Type" input name="type" value=(value("type")) size="10"; }
            label { "Order id" input name="order_id" value=(value("order_id")) size="16"; }
            label { "Text" input name="q" value=(value("q")) size="16"; }
            label { "Since (UTC)" input name="since" value=(value("since")) placeholder="2026-01-31T00:00:00Z" size="20"; }
            label { "Until (UTC)" input name="until" value=(value("until")) placeholder="2026-02-01T00:00:00Z" size="20"; }
            button.primary { "Filter" }
            @if !fields.is_empty() { a href=(PATH) { "Clear" } }
        }
    }
}
