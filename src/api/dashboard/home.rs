//! The home page: what needs a person, worst first, and how the channels have fared in the last hour.

use axum::extract::{Extension, State};
use axum::response::Response;
use maud::{Markup, html};

use super::data::{Channel, List, Trouble};
use super::form::{Fields, encoded};
use super::gate::Guest;
use super::layout::{
    Frame, badge, button, channel_link, code, counted, delivery_link, duration, failed, framed, time, time_or_dash,
};
use super::spark;
use super::state::{Dashboard, Failure, Visitor};

/// Problems that the page shows.
const PROBLEMS: usize = 50;

/// `GET /`.
pub(in crate::api) async fn home(State(dashboard): State<Dashboard>, Extension(visitor): Guest) -> Response {
    match body(&dashboard, &visitor).await {
        Ok(body) => framed(&visitor, Frame { part: "/", title: "Home", live: Some(""), ..Frame::default() }, &body),
        Err(failure) => failed(&visitor, &failure),
    }
}

async fn body(dashboard: &Dashboard, visitor: &Visitor) -> Result<Markup, Failure> {
    let problems: List<Trouble> = dashboard.read(visitor, &format!("/v1/problems?limit={PROBLEMS}")).await?;
    let channels: List<Channel> = dashboard.read(visitor, "/v1/channels?limit=250").await?;
    let more = if problems.next_cursor.is_some() { " or more" } else { "" };
    let number = problems.data.len() as u64;
    Ok(html! {
        div data-fresh="problems" {
            @if problems.data.is_empty() {
                h1 { "Home" }
                p.notice.good { "✓ Nothing needs you." }
            } @else {
                h1 { (number) (more) @if number == 1 { " thing needs you" } @else { " things need you" } }
                ol.problems {
                    @for problem in &problems.data { (trouble(problem, visitor)) }
                }
            }
        }
        h2 { "Channels" }
        @if channels.data.is_empty() {
            p.muted { "No channel is configured. Orders are accepted, and nothing is delivered." }
        } @else {
            div.wide data-fresh="channels" {
                table.channels {
                    thead { tr {
                        th { "Channel" } th { "State" } th.number { "Waiting" } th.number { "Under way" }
                        th { "Attempts in the last hour" } th { "Success" } th { "p95" } th { "Next attempt" }
                    } }
                    tbody { @for channel in &channels.data { (line(channel, visitor)) } }
                }
            }
            @if channels.next_cursor.is_some() { p.muted { "The first 250 channels are shown." } }
        }
    })
}

fn trouble(problem: &Trouble, visitor: &Visitor) -> Markup {
    let filter = Fields::of_json(&problem.filter);
    let mut bulk = filter.clone();
    bulk.set("act", "retry");
    let at_least = if problem.at_least { "at least " } else { "" };
    html! {
        li.problem data-item {
            div.head {
                (badge(&problem.kind)) " " b { (channel_link(&problem.channel)) }
                @if problem.code.is_some() { " " (code(problem.code)) }
                span.count { a href=(filter.at("/dashboard/deliveries")) { (at_least) (counted(problem.count, "delivery", "deliveries")) } }
            }
            p { (problem.summary) }
            @if let Some(reason) = &problem.reason { p { "Reason: " (reason) } }
            p.muted {
                @if let Some(first) = problem.first_at { "since " (time(first, visitor)) }
                @if let Some(last) = problem.last_at { ", last " (time(last, visitor)) }
                @if let Some(by) = &problem.by { ", by " (by) }
                @if let Some(example) = &problem.example { ", for example " (delivery_link(example)) }
            }
            div.acts {
                @match problem.kind.as_str() {
                    "failures" if visitor.may_act => a.button href=(bulk.at("/dashboard/deliveries/bulk")) { "Retry them…" },
                    "paused" | "disabled" => (button(visitor, &act(&problem.channel, "resume"), "Resume", "")),
                    "failing" | "waiting" => (button(visitor, &act(&problem.channel, "pause"), "Pause", "")),
                    "held" | "removed" => a.button href={ "/dashboard/channels/" (encoded(&problem.channel)) } {
                        @if problem.kind == "held" { "Show the keys" } @else { "Move or cancel them…" }
                    },
                    "late" => a.button href=(filter.at("/dashboard/deliveries")) { "Show them" },
                    _ => {}
                }
            }
        }
    }
}

fn act(channel: &str, act: &str) -> String {
    format!("/dashboard/channels/{}/{act}", encoded(channel))
}

fn line(channel: &Channel, visitor: &Visitor) -> Markup {
    let hour = &channel.last_hour;
    let mut waiting = Fields::default();
    waiting.set("channel", channel.name.as_str());
    waiting.set("status", "pending");
    html! {
        tr data-item {
            th scope="row" { (channel_link(&channel.name)) }
            td { (badge(&channel.state)) @if channel.failing_since.is_some() { " " (badge("failing")) } }
            td.number { a href=(waiting.at("/dashboard/deliveries")) { (channel.waiting) } }
            td.number { (channel.in_flight) }
            @let drawn = hour.per_minute.as_ref().filter(|_| hour.attempts > 0);
            td.sparked { @if let Some(minutes) = drawn { (spark::throughput(minutes)) } " " (hour.attempts) }
            td.sparked {
                @if let Some(minutes) = drawn { (spark::success(minutes)) } " "
                @match hour.success_rate { Some(rate) => (percent(rate)), None => "–" }
            }
            td.sparked {
                @if let Some(minutes) = drawn { (spark::p95(minutes)) } " "
                @match hour.p95_ms { Some(ms) => { (duration(ms)) }, None => "–" }
            }
            td { (time_or_dash(channel.next_attempt_at, visitor)) }
        }
    }
}

/// A share in percent. Only all is 100 %.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", (share * 1000.0).floor() / 10.0)
}
