//! A delivery: where it is on its way, its attempts with their requests and responses, and what people did to it.

use axum::extract::{Extension, RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use serde_json::{Map, Value};

use crate::domain::Times;

use super::super::path::Named;
use super::acts::done;
use super::curl;
use super::data::{Attempt, Delivery, Received, Sent};
use super::deliveries::acts;
use super::difference;
use super::form::{Fields, encoded};
use super::gate::{Guest, is_past};
use super::layout::{
    Frame, badge, channel_link, code, duration, fact, failed, framed, order_link, text, time, time_or_dash,
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
            let live = format!("delivery={}", encoded(&delivery.id));
            let frame = Frame { part: "/dashboard/deliveries", title: &title, live: Some(&live), ..Frame::default() };
            framed(&visitor, frame, &body(&delivery, &fields, &visitor))
        }
        Err(failure) => failed(&visitor, &failure),
    }
}

fn body(delivery: &Delivery, fields: &Fields, visitor: &Visitor) -> Markup {
    html! {
        div data-fresh="delivery" {
            h1 { "Delivery to " (channel_link(&delivery.channel)) " " (badge(&delivery.status)) @if delivery.late { " " (badge("late")) } }
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
                (fact("Attempts", &html! { (delivery.attempt_count) @if delivery.last_code.is_some() { ", last with " (code(delivery.last_code)) } }))
                @if delivery.late { (fact("Promise", &html! { "missed" })) }
                @if let Some(key) = &delivery.ordering_key { (fact("Ordering key", &html! { code { (key) } })) }
                @if let Some(items) = &delivery.items { (fact("Items", &html! { (format!("{items:?}")) })) }
            }
            @if !delivery.verdicts.is_empty() {
                h2 { "Changed by people and the receiver" }
                ul {
                    @for verdict in &delivery.verdicts {
                        li {
                            b { (verdict.act) } " by " (verdict.by.as_deref().unwrap_or("a caller without a token")) ", " (time(verdict.at, visitor))
                            @if let Some(reason) = &verdict.reason { ": " (reason) }
                        }
                    }
                }
            }
            h2 { "Attempts" }
            @if delivery.attempts.is_empty() {
                p.muted {
                    "None so far. "
                    @if delivery.next_attempt_at.is_some() { "The first is due " (time_or_dash(delivery.next_attempt_at, visitor)) "." }
                }
            }
            @let before = std::iter::once(None).chain(delivery.attempts.iter().map(Some));
            @let attempts: Vec<_> = delivery.attempts.iter().zip(before).collect();
            @for (position, (attempt, before)) in attempts.into_iter().rev().enumerate() {
                (tried(attempt, before, position == 0, visitor))
            }
        }
    }
}

fn tried(attempt: &Attempt, before: Option<&Attempt>, open: bool, visitor: &Visitor) -> Markup {
    let key = |part: &str| format!("{part}-{}", attempt.number);
    html! {
        details.attempt open[open] data-key=(key("attempt")) data-item {
            summary {
                b { "Attempt " (attempt.number) } " " (badge(&attempt.outcome)) " " (code(Some(attempt.code)))
                " " span.muted { (time(attempt.started_at, visitor)) ", took " (duration(attempt.duration_ms)) }
            }
            @if let Some(error) = &attempt.error { p.notice.bad { (error) } }
            @if let Some(times) = &attempt.times { (spent(times)) }
            div.exchange {
                section { h3 { "Request" } (sent(attempt.request.as_ref(), &key("request-headers"))) }
                section { h3 { "Response" } (received(Some(attempt.code), attempt.response.as_ref(), &key("response-headers"))) }
            }
            @if let Some(before) = before { (difference::between(before, attempt)) }
            // Mails are no requests of HTTP.
            @if let Some(request) = attempt.request.as_ref().filter(|request| request.url.starts_with("http")) {
                (as_curl(request, &key("curl")))
            }
        }
    }
}

/// Where the time of an attempt went.
fn spent(times: &Times) -> Markup {
    let Times { connect_ms, first_byte_ms, body_ms } = *times;
    let all = (connect_ms.unwrap_or(0) + first_byte_ms + body_ms).max(1);
    let parts = [("connect", connect_ms.unwrap_or(0)), ("wait", first_byte_ms), ("body", body_ms)];
    let mut from = 0;
    html! {
        p.spent {
            svg.bar viewBox="0 0 1000 20" preserveAspectRatio="none" aria-hidden="true" {
                @for (name, ms) in parts {
                    @let (start, width) = (from * 1000 / all, ms * 1000 / all);
                    @let () = from += ms;
                    rect class=(name) x=(start) y="3" width=(width) height="14" {}
                }
            }
            @match connect_ms {
                Some(ms) => { "Connection (DNS, TCP, TLS) " (duration(ms)) },
                None => "Connection kept from an earlier request",
            }
            ", first byte " (duration(first_byte_ms)) ", body " (duration(body_ms))
        }
    }
}

/// A request; its headers are open or not by `key`.
pub(super) fn sent(request: Option<&Sent>, key: &str) -> Markup {
    html! {
        @match request {
            Some(request) => {
                p { b { (request.method) } " " code { (request.url) } }
                (headers(&request.headers, key))
                (text(&request.body, request.encoding.as_deref()))
            }
            None => p.muted { "None was built." },
        }
    }
}

/// A response, as [`sent`].
pub(super) fn received(status: Option<i64>, response: Option<&Received>, key: &str) -> Markup {
    html! {
        @match response {
            Some(response) => {
                p { b { (code(status)) } }
                (headers(&response.headers, key))
                (text(&response.body, response.encoding.as_deref()))
                @if response.truncated { p.muted { "The rest of the response was not kept." } }
            }
            None => p.muted { "There was none." },
        }
    }
}

fn as_curl(request: &Sent, key: &str) -> Markup {
    let (command, variables) = curl::command(request);
    html! {
        details data-key=(key) {
            summary { "As a curl command" }
            @if !variables.is_empty() {
                p.muted {
                    "Secrets are not kept; set these variables first: "
                    @for (at, variable) in variables.iter().enumerate() { @if at > 0 { ", " } code { (variable) } } "."
                }
            }
            p { button data-copy=(key) hidden { "Copy" } }
            pre tabindex="0" id=(key) { (command) }
        }
    }
}

fn headers(headers: &Map<String, Value>, key: &str) -> Markup {
    html! {
        @if !headers.is_empty() {
            details data-key=(key) {
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
