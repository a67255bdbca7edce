//! A delivery: where it is on its way, its attempts with their requests and responses, and what people did to it.

use axum::extract::{Extension, RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use serde_json::{Map, Value};

use super::super::path::Named;
use super::acts::done;
use super::data::{Attempt, Delivery};
use super::deliveries::acts;
use super::form::{Fields, encoded};
use super::gate::{Guest, is_past};
use super::layout::{
    self, badge, channel_link, code, duration, exact, fact, failed, order_link, text, time, time_or_dash,
};
use super::state::{Dashboard, Visitor};

/// `GET /dashboard/deliveries/{id}`.
pub(super) async fn page(
    State(dashboard): State<Dashboard>,
    Extension(visitor): Guest,
    Named(id): Named,
    RawQuery(query): RawQuery,
) -> Response {
    let fields = Fields::of(query.as_deref().unwrap_or_default());
    match dashboard.read::<Delivery>(&visitor, &format!("/v1/deliveries/{}", encoded(&id))).await {
        Ok(delivery) => {
            let title = format!("Delivery to {}", delivery.channel);
            layout::page(&visitor, "/dashboard/deliveries", &title, &body(&delivery, &fields, &visitor))
        }
        Err(failure) => failed(&visitor, &failure),
    }
}

fn body(delivery: &Delivery, fields: &Fields, visitor: &Visitor) -> Markup {
    html! {
        h1 { "Delivery to " (channel_link(&delivery.channel)) " " (badge(&delivery.status)) }
        (done(fields))
        p.id { (delivery.id) }
        div.acts { (acts(delivery, visitor)) }
        dl.facts {
            @if let Some(order) = &delivery.order {
                (fact("Order", &order_link(order, delivery.order_id.as_deref().unwrap_or(order))))
            }
            (fact("Event", &html! { (delivery.event.kind) br; span.id { (delivery.event.id) } }))
            (fact("Created", &time(delivery.created_at, visitor)))
            (fact("Last change", &time(delivery.updated_at, visitor)))
            @if let Some(next) = delivery.next_attempt_at {
                (fact("Next attempt", &html! { (time(next, visitor)) @if is_past(next, visitor) { " (due)" } }))
            }
            (fact("Attempts", &html! { (delivery.attempt_count) }))
            (fact("Last code", &code(delivery.last_code)))
            @if delivery.late { (fact("Promise", &html! { span.badge.warn { "late" } })) }
            @if let Some(key) = &delivery.ordering_key { (fact("Ordering key", &html! { code { (key) } })) }
            @if let Some(items) = &delivery.items { (fact("Items", &html! { (format!("{items:?}")) })) }
        }
        @if !delivery.verdicts.is_empty() {
            h2 { "Changed by people and the receiver" }
            ul {
                @for verdict in &delivery.verdicts {
                    li {
                        b { (verdict.act) } " by " (verdict.by.as_deref().unwrap_or("a caller without a token")) ", " (exact(verdict.at))
                        @if let Some(reason) = &verdict.reason { ": " (reason) }
                    }
                }
            }
        }
        h2 { "Attempts" }
        @if delivery.attempts.is_empty() { p.muted { "None so far. " @if delivery.next_attempt_at.is_some() { "The first is due " (time_or_dash(delivery.next_attempt_at, visitor)) "." } } }
        @for (position, attempt) in delivery.attempts.iter().rev().enumerate() { (tried(attempt, position == 0)) }
    }
}

fn tried(attempt: &Attempt, open: bool) -> Markup {
    html! {
        details.attempt open[open] {
            summary {
                b { "Attempt " (attempt.number) } " " (badge(&attempt.outcome)) " " (code(Some(attempt.code)))
                " " span.muted { (exact(attempt.started_at)) ", " (duration(attempt.duration_ms)) }
            }
            @if let Some(error) = &attempt.error { p.notice.bad { (error) } }
            div.exchange {
                section {
                    h3 { "Request" }
                    @match &attempt.request {
                        Some(request) => {
                            p { b { (request.method) } " " code { (request.url) } }
                            (headers(&request.headers))
                            (text(&request.body, request.encoding.as_deref()))
                        }
                        None => p.muted { "None was built." },
                    }
                }
                section {
                    h3 { "Response" }
                    @match &attempt.response {
                        Some(response) => {
                            p { b { (code(Some(attempt.code))) } }
                            (headers(&response.headers))
                            (text(&response.body, response.encoding.as_deref()))
                            @if response.truncated { p.muted { "The rest of the response was not kept." } }
                        }
                        None => p.muted { "There was none." },
                    }
                }
            }
        }
    }
}

fn headers(headers: &Map<String, Value>) -> Markup {
    html! {
        @if !headers.is_empty() {
            details {
                summary { "Headers (" (headers.len()) ")" }
                table.headers { tbody {
                    @for (name, value) in headers {
                        tr { th scope="row" { (name) } td { (value.as_str().unwrap_or_default()) } }
                    }
                } }
            }
        }
    }
}
