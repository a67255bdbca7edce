//! A channel: its state and why, the limits in use, the keys that it holds back, its configuration.

use axum::extract::{Extension, RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};

use super::super::path::Named;
use super::acts::done;
use super::data::{Channel, Held, Limits};
use super::form::{Fields, encoded};
use super::gate::Guest;
use super::home::percent;
use super::layout::{self, badge, code, counted, delivery_link, exact, fact, failed, hidden, text, time, time_or_dash};
use super::state::{Dashboard, Visitor};

/// `GET /dashboard/channels/{name}`.
pub(super) async fn page(
    State(dashboard): State<Dashboard>,
    Extension(visitor): Guest,
    Named(name): Named,
    RawQuery(query): RawQuery,
) -> Response {
    let fields = Fields::of(query.as_deref().unwrap_or_default());
    match dashboard.read::<Channel>(&visitor, &format!("/v1/channels/{}", encoded(&name))).await {
        Ok(channel) => {
            let title = format!("Channel {}", channel.name);
            layout::page(&visitor, "", &title, &body(&channel, &fields, &visitor))
        }
        Err(failure) => failed(&visitor, &failure),
    }
}

fn body(channel: &Channel, fields: &Fields, visitor: &Visitor) -> Markup {
    let list = |status: &str| {
        let mut fields = Fields::default();
        fields.set("channel", channel.name.as_str());
        fields.set("status", status);
        fields.at("/dashboard/deliveries")
    };
    let hour = &channel.last_hour;
    html! {
        h1 { "Channel " (channel.name) " " (badge(&channel.state)) }
        (done(fields))
        @if let Some(since) = channel.failing_since { p.notice.bad { "Every attempt has failed since " (time(since, visitor)) "." } }
        @if channel.changed_at.is_some() || channel.reason.is_some() {
            p.notice.warn {
                (channel.state.replace('_', " "))
                @if let Some(at) = channel.changed_at { " since " (time(at, visitor)) }
                @if let Some(by) = &channel.changed_by { " by " (by) }
                @if let Some(reason) = &channel.reason { ": " (reason) }
            }
        }
        (switch(channel, visitor))
        dl.facts {
            (fact("Waiting", &html! { a href=(list("pending")) { (channel.waiting) } }))
            (fact("Under way", &html! { (channel.in_flight) }))
            (fact("Next attempt", &time_or_dash(channel.next_attempt_at, visitor)))
            @if let Some(run) = channel.next_run_at { (fact("Next run", &time(run, visitor))) }
            (fact("Last hour", &html! {
                (counted(hour.attempts, "attempt", "attempts"))
                @if let Some(rate) = hour.success_rate { ", " (percent(rate)) " succeeded" }
                @if let Some(ms) = hour.mean_ms { ", " (format!("{ms:.0} ms")) " on average" }
            }))
            (fact("Last success", &time_or_dash(channel.last_success_at, visitor)))
            @if let Some(error) = &channel.last_error {
                (fact("Last error", &html! { (code(Some(error.code))) ", " (exact(error.at)) br; (error.error) }))
            }
            (fact("Failed", &html! { a href=(list("failed")) { "list" } }))
        }
        @if let Some(limits) = &channel.limits { (in_force(limits, visitor)) }
        @if let Some(held) = &channel.held { (keys(held)) }
        @if let Some(config) = &channel.config {
            h2 { "Configuration in force" }
            p.muted { "Secrets are masked." }
            (text(&config.to_string(), None))
        }
    }
}

fn switch(channel: &Channel, visitor: &Visitor) -> Markup {
    let (act, label) = match channel.state.as_str() {
        "removed" => return html! { p.muted { "The channel is no longer configured." } },
        "paused" | "disabled" => ("resume", "Resume"),
        _ => ("pause", "Pause"),
    };
    html! {
        @if visitor.may_act {
            form.act method="post" action={ "/dashboard/channels/" (encoded(&channel.name)) "/" (act) } {
                (hidden(visitor))
                label { "Reason " input name="reason" maxlength="1000" size="30"; }
                button class=(if act == "pause" { "danger" } else { "primary" }) { (label) }
            }
        }
    }
}

fn in_force(limits: &Limits, visitor: &Visitor) -> Markup {
    let concurrency = &limits.concurrency;
    html! {
        h2 { "Limits in use" }
        dl.facts {
            (fact("Concurrency", &html! {
                (concurrency.in_use) " of " (concurrency.allowed)
                @if concurrency.allowed < concurrency.limit { " (starts slowly; " (concurrency.limit) " later)" }
                " " meter min="0" max=(concurrency.limit) value=(concurrency.in_use) { (concurrency.in_use) }
            }))
            @if let Some(rate) = &limits.rate_limit { (fact("Rate limit", &html! { (rate.rate) ", " (rate.left) " left now" })) }
            @if let Some(breaker) = &limits.breaker {
                (fact("Breaker", &html! {
                    (badge(&breaker.state)) " " (breaker.failures) " of " (breaker.limit) " failures"
                    @if breaker.code.is_some() { ", last " (code(breaker.code)) }
                    @if let Some(until) = breaker.open_until { ", open until " (time(until, visitor)) }
                }))
            }
            @if let Some(at) = limits.disables_at { (fact("Is disabled", &html! { (time(at, visitor)) ", if attempts go on failing" })) }
        }
    }
}

fn keys(held: &Held) -> Markup {
    html! {
        h2 { "Held keys" }
        p { (counted(held.keys, "key", "keys")) " held by a failure; " (counted(held.deliveries, "delivery waits", "deliveries wait")) " for another one." }
        @if !held.behind.is_empty() {
            div.wide { table {
                thead { tr { th { "Key" } th { "Failed delivery: retry, accept or cancel it" } th.number { "Waiting" } } }
                tbody { @for key in &held.behind {
                    tr { th scope="row" { code { (key.key) } } td { (delivery_link(&key.delivery_id)) } td.number { (key.waiting) } }
                } }
            } }
        }
    }
}
