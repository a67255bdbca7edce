//! A channel: its state and why, its last hour, the limits in use, the keys that it holds back, its configuration.

use axum::extract::{Extension, RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};

use super::super::path::Named;
use super::acts::done;
use super::data::{Channel, Held, LastHour, Limits};
use super::form::{Fields, encoded};
use super::gate::{Guest, is_past};
use super::home::percent;
use super::layout::{
    Frame, badge, channel_query, code, counted, delivery_link, duration, fact, failed, framed, hidden, text, time,
    time_or_dash,
};
use super::preview;
use super::spark;
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
            let live = channel_query(&channel.name);
            let frame = Frame { title: &title, live: Some(&live), ..Frame::default() };
            framed(&visitor, frame, &body(&channel, &fields, &visitor))
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
    html! {
        div data-fresh="state" {
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
        }
        (switch(channel, visitor))
        div data-fresh="figures" {
            dl.facts {
                (fact("Waiting", &html! {
                    a href=(list("pending")) { (counted(channel.waiting, "delivery", "deliveries")) }
                    @if let Some(left) = drain(channel) { br; span.muted { "sent in about " (duration(left)) " at the pace of the last 10 minutes" } }
                }))
                (fact("Under way", &html! { (channel.in_flight) }))
                @let due = channel.next_attempt_at.is_some_and(|at| is_past(at, visitor));
                (fact(if due { "Oldest due" } else { "Next attempt" }, &time_or_dash(channel.next_attempt_at, visitor)))
                @if let Some(run) = channel.next_run_at { (fact("Next run", &time(run, visitor))) }
                (fact("Last success", &time_or_dash(channel.last_success_at, visitor)))
                @if let Some(error) = &channel.last_error {
                    (fact("Last error", &html! { (code(Some(error.code))) ", " (time(error.at, visitor)) br; (error.error) }))
                }
                (fact("Failed", &html! { a href=(list("failed")) { "deliveries that failed" } }))
            }
            (hour(&channel.last_hour))
            @if let Some(limits) = &channel.limits { (in_force(limits, visitor)) }
            @if let Some(held) = &channel.held { (keys(held)) }
        }
        @if channel.config.is_some() && visitor.may_act { (preview::form(&channel.name, &preview::Asked::default(), visitor)) }
        @if let Some(config) = &channel.config {
            h2 { "Configuration in force" }
            p.muted { "From " code { (channel.config_file.as_deref().unwrap_or("the defaults")) } ". Secrets are masked." }
            (text(&config.to_string(), None))
        }
    }
}

/// How long the waiting deliveries take at the pace of the last ten minutes, in milliseconds.
fn drain(channel: &Channel) -> Option<u64> {
    let minutes = channel.last_hour.per_minute.as_ref()?;
    let sent: u64 = minutes.successes.iter().rev().take(10).sum();
    (channel.waiting * 600_000).checked_div(sent).filter(|left| *left > 0)
}

fn hour(hour: &LastHour) -> Markup {
    html! {
        h2 { "Last hour" }
        @match hour.per_minute.as_ref().filter(|_| hour.attempts > 0) {
            Some(minutes) => dl.facts.sparks {
                (fact("Attempts", &html! { (hour.attempts) " " (spark::throughput(minutes)) }))
                (fact("Success", &html! { @if let Some(rate) = hour.success_rate { (percent(rate)) " " } (spark::success(minutes)) }))
                (fact("p95", &html! {
                    @if let Some(ms) = hour.p95_ms { (duration(ms)) }
                    @if let Some(ms) = hour.mean_ms { span.muted { ", " (format!("{ms:.0} ms")) " on average " } }
                    (spark::p95(minutes))
                }))
            },
            None => p.muted { "No attempt has ended in the last hour." },
        }
    }
}

fn switch(channel: &Channel, visitor: &Visitor) -> Markup {
    let (act, label) = match channel.state.as_str() {
        "removed" => return removed(channel, visitor),
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

/// What can be done to the deliveries of a channel that is no longer configured.
fn removed(channel: &Channel, visitor: &Visitor) -> Markup {
    let mut all = Fields::default();
    all.set("channel", channel.name.as_str());
    all.set("act", "cancel");
    html! {
        p.notice.warn { "The channel is no longer configured. Configure it again, or move or cancel what waits for it." }
        @if visitor.may_act {
            div.acts {
                form.act method="post" action={ "/dashboard/channels/" (encoded(&channel.name)) "/move" } {
                    (hidden(visitor))
                    label { "Move all to " input name="to" required size="16"; }
                    label { "Reason " input name="reason" maxlength="1000" size="20"; }
                    button.primary { "Move" }
                }
                a.button href=(all.at("/dashboard/deliveries/bulk")) { "Cancel…" }
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
                    tr data-item { th scope="row" { code { (key.key) } } td { (delivery_link(&key.delivery_id)) } td.number { (key.waiting) } }
                } }
            } }
        }
    }
}
