//! An order: a timeline of its steps and deliveries, the channels, the context, the body.

use std::sync::Arc;

use axum::extract::{Extension, RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};

use super::super::path::Named;
use super::acts::done;
use super::data::Order;
use super::form::{Fields, encoded};
use super::gate::Guest;
use super::layout::{Frame, badge, button, fact, failed, framed, hidden, order_link, text, time, time_or_dash};
use super::state::{Dashboard, Visitor};
use super::timeline;

/// `GET /dashboard/orders/{id}`.
pub(super) async fn page(
    State(dashboard): State<Dashboard>,
    Extension(visitor): Guest,
    Named(id): Named,
    RawQuery(query): RawQuery,
) -> Response {
    let fields = Fields::of(query.as_deref().unwrap_or_default());
    match dashboard.read::<Order>(&visitor, &format!("/v1/orders/{}", encoded(&id))).await {
        Ok(order) => {
            let title = format!("Order {}", order.order_id);
            let live = format!("order={}", encoded(&order.order_id));
            let frame = Frame { part: "/dashboard/orders", title: &title, live: Some(&live), ..Frame::default() };
            framed(&visitor, frame, &body(&order, &dashboard.channels(), &fields, &visitor))
        }
        Err(failure) => failed(&visitor, &failure),
    }
}

fn body(order: &Order, channels: &[Arc<str>], fields: &Fields, visitor: &Visitor) -> Markup {
    let path = format!("/dashboard/orders/{}", encoded(&order.id));
    html! {
        div data-fresh="order" {
            h1 { "Order " (order.order_id) " " (badge(&order.status)) }
            (done(fields))
            p.id { (order.id) }
            dl.facts {
                (fact("Type", &html! { (order.kind) }))
                (fact("Chain", &html! { (order.chain.as_deref().unwrap_or("–")) }))
                (fact("Received", &time(order.received_at, visitor)))
                (fact("Ended", &time_or_dash(order.ended_at, visitor)))
                @if !order.same_id.is_empty() {
                    (fact("Earlier with this id", &html! { @for id in &order.same_id { (order_link(id, id)) br; } }))
                }
            }
        }
        @if visitor.may_act {
            div.acts {
                @if order.status == "rejected" { (button(visitor, &format!("{path}/rerun"), "Run the failed step again", "")) }
                @if !channels.is_empty() {
                    form.act method="post" action={ (path) "/deliver" } {
                        (hidden(visitor))
                        label { "Deliver once more to " select name="channel" {
                            @for channel in channels { option value=(channel) { (channel) } }
                        } }
                        button { "Deliver" }
                    }
                }
            }
        }
        div data-fresh="timeline" {
            h2 { "Timeline" }
            (timeline::table(order, visitor))
            h2 { "Context" }
            (text(order.context.get(), None))
        }
        h2 { "Body" }
        (text(order.order.get(), None))
        details {
            summary { "As received, byte for byte" }
            pre tabindex="0" { (order.order.get()) }
        }
    }
}
