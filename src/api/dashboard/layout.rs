//! What all pages share: the frame, and how a status, a code, a time and a text are shown.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use serde_json::Value;

use crate::domain::Timestamp;

use super::form::{Fields, encoded};
use super::state::{Failure, Visitor};

/// Characters of a text that a page shows at most.
const SHOWN: usize = 64 * 1024;

/// The content type of every page.
const HTML: (HeaderName, &str) = (CONTENT_TYPE, "text/html; charset=utf-8");

/// A page without the frame, such as the login.
pub(super) fn bare(title: &str, status: u16, body: &Markup) -> Response {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · orderhook" }
                link rel="stylesheet" href="/dashboard/style.css";
                // Pages work without it.
                script src="/dashboard/script.js" defer {}
            }
            body { (body) }
        }
    };
    let status = StatusCode::from_u16(status).unwrap_or_default();
    (status, [HTML], markup.into_string()).into_response()
}

/// The parts of the dashboard in its navigation.
const PARTS: [(&str, &str); 6] = [
    ("Home", "/"),
    ("Orders", "/dashboard/orders"),
    ("Deliveries", "/dashboard/deliveries"),
    ("Audit", "/dashboard/audit"),
    ("Configuration", "/dashboard/configuration"),
    ("About", "/dashboard/about"),
];

/// What is around the content of a page.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Frame<'a> {
    /// The path of the part of the navigation that the page belongs to.
    pub(super) part: &'a str,
    pub(super) title: &'a str,
    /// What was searched for.
    pub(super) q: &'a str,
    /// The query of `/dashboard/live` by which the page learns that it is out of date; `None`: it stays as it is.
    pub(super) live: Option<&'a str>,
}

/// A page of the part at `part`.
pub(super) fn page(visitor: &Visitor, part: &str, title: &str, body: &Markup) -> Response {
    framed(visitor, Frame { part, title, ..Frame::default() }, body)
}

pub(super) fn framed(visitor: &Visitor, frame: Frame<'_>, body: &Markup) -> Response {
    with_status(visitor, frame, 200, body)
}

fn with_status(visitor: &Visitor, frame: Frame<'_>, status: u16, body: &Markup) -> Response {
    let Frame { part, title, q, live } = frame;
    let live = live.map(|query| if query.is_empty() { LIVE.to_owned() } else { format!("{LIVE}?{query}") });
    let markup = html! {
        a.skip href="#main" { "Skip to the content" }
        header {
            a.brand href="/" { "orderhook" }
            nav aria-label="Pages" {
                @for (name, path) in PARTS {
                    a href=(path) aria-current=[(path == part).then_some("page")] { (name) }
                }
                a href="/docs" { "API" }
            }
            form.search role="search" method="get" action="/dashboard/search" {
                input type="search" name="q" value=(q) placeholder="Order id, ord_, dlv_, e-mail" aria-label="Search" required maxlength="200";
                button { "Search" }
            }
            @if let Some(name) = &visitor.name {
                form.who method="post" action="/dashboard/logout" {
                    (hidden(visitor))
                    span { (name) @if !visitor.may_act { " (read only)" } }
                    @if visitor.session.is_some() { button.link { "Log out" } }
                }
            }
        }
        main #main data-live=[live] data-now=(visitor.now.as_millis()) { (body) }
        footer {
            p { "Times in UTC. This page: " span data-fresh="now" { (exact(visitor.now)) } span #live role="status" {} ". " a href="/dashboard/about" { "orderhook " (env!("CARGO_PKG_VERSION")) } }
            p #keys hidden { kbd { "/" } " search, " kbd { "j" } " " kbd { "k" } " next and previous, " kbd { "r" } " to the retry button, or reload" }
        }
    };
    bare(title, status, &markup)
}

/// Where pages learn that they are out of date.
const LIVE: &str = "/dashboard/live";

/// The page of a call that did not succeed.
pub(super) fn failed(visitor: &Visitor, failure: &Failure) -> Response {
    let body = html! {
        h1 { (failure.title) }
        p.notice.bad role="alert" { (failure.detail) }
        @if !failure.errors.is_empty() {
            ul { @for wrong in &failure.errors { li { code { (wrong.path) } " " (wrong.message) } } }
        }
        p { a href="/" { "Home" } }
    };
    with_status(visitor, Frame { title: &failure.title, ..Frame::default() }, failure.status, &body)
}

/// Returns in words why a channel got nothing of an order.
pub(super) fn why(reason: &str) -> &str {
    match reason {
        "event" => "does not subscribe to the event",
        "when" => "its `when` does not hold",
        "filter" => "its `filter` does not hold",
        "product" => "no item is one of its products",
        "once_per" => "had its delivery for this value before",
        "relationship" => "the trading partners go to another channel",
        "disabled" => "switched off in the configuration",
        other => other,
    }
}

/// The field that shows that a form is of a page of this visitor.
pub(super) fn hidden(visitor: &Visitor) -> Markup {
    html! { input type="hidden" name="csrf" value=(visitor.csrf); }
}

/// A form of one button, for visitors who may act.
pub(super) fn button(visitor: &Visitor, path: &str, label: &str, style: &str) -> Markup {
    html! {
        @if visitor.may_act {
            form.act method="post" action=(path) {
                (hidden(visitor))
                button class=(style) { (label) }
            }
        }
    }
}

/// A time, to the second; the milliseconds show when it is pointed at.
pub(super) fn exact(at: Timestamp) -> Markup {
    let text = at.to_string();
    let shown = text.get(..19).map_or_else(|| text.clone(), |shown| format!("{} UTC", shown.replacen('T', " ", 1)));
    html! { time datetime=(text) title=(text) { (shown) } }
}

/// A time, and how far it is from now.
pub(super) fn time(at: Timestamp, visitor: &Visitor) -> Markup {
    html! { (exact(at)) " " span.ago data-at=(at.as_millis()) { (relative(at, visitor.now)) } }
}

pub(super) fn time_or_dash(at: Option<Timestamp>, visitor: &Visitor) -> Markup {
    html! { @match at { Some(at) => (time(at, visitor)), None => "–" } }
}

fn relative(at: Timestamp, now: Timestamp) -> String {
    let (span, ahead) = if at > now { (at.since(now), true) } else { (now.since(at), false) };
    let seconds = span.as_secs();
    let text = match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86400),
    };
    if ahead { format!("in {text}") } else { format!("{text} ago") }
}

/// A status, an outcome or a state: a sign, a word and a colour.
pub(super) fn badge(word: &str) -> Markup {
    let (sign, style) = match word {
        "accepted" | "completed" | "passed" | "enabled" | "closed" | "done" => ("✓", "good"),
        "dispatched" | "processing" | "running" | "pending" | "retry" | "probing" => ("…", "busy"),
        "failed" | "rejected" | "disabled" | "disable" | "breaker_open" | "failing" | "failures" | "open" | "held" => {
            ("✕", "bad")
        }
        "paused" | "waiting" | "removed" | "late" => ("‖", "warn"),
        _ => ("–", "idle"),
    };
    html! { span class={ "badge " (style) } { span aria-hidden="true" { (sign) } " " (word.replace('_', " ")) } }
}

/// What a code says at sight.
pub(super) fn code(code: Option<i64>) -> Markup {
    let Some(code) = code else { return html! { "–" } };
    let word = match code {
        -1 => "no connection",
        -2 => "DNS",
        -3 => "TLS",
        -4 => "timeout while connecting",
        -5 => "timeout",
        -6 => "connection closed",
        -7 => "response too large",
        -8 => "refused by the egress guard",
        -9 => "authentication",
        -2000 => "not built",
        _ => "",
    };
    html! { span.code { (code) } @if !word.is_empty() { " " (word) } }
}

/// A milliseconds' count for people.
pub(super) fn duration(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{ms} ms"),
        10_000..120_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        120_000..7_200_000 if ms % 60_000 < 1000 => format!("{} min", ms / 60_000),
        120_000..7_200_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
        172_800_000.. if ms % 86_400_000 < 3_600_000 => format!("{} days", ms / 86_400_000),
        7_200_000..172_800_000 => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
        _ => format!("{} days {} h", ms / 86_400_000, ms % 86_400_000 / 3_600_000),
    }
}

/// A text in a box; JSON is laid out, its numbers as they came.
pub(super) fn text(text: &str, encoding: Option<&str>) -> Markup {
    let pretty = serde_json::from_str::<Value>(text).ok().filter(|value| value.is_object() || value.is_array());
    let shown = pretty.and_then(|value| serde_json::to_string_pretty(&value).ok()).unwrap_or_else(|| text.to_owned());
    let end = shown.char_indices().nth(SHOWN).map(|(end, _)| end);
    html! {
        @if shown.is_empty() {
            p.muted { "empty" }
        } @else {
            @if let Some(encoding) = encoding { p.muted { "in " (encoding) } }
            pre tabindex="0" { (end.and_then(|end| shown.get(..end)).unwrap_or(&shown)) }
            @if end.is_some() { p.muted { "Cut off here; the API has the whole." } }
        }
    }
}

/// A name and what it is, in a list of them.
pub(super) fn fact(name: &str, what: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (what) } } }
}

/// Whether a list begins with the newest entry, so that new ones belong to it.
pub(super) fn first_page(fields: &Fields) -> bool {
    fields.get("cursor").is_none()
}

/// The query of `/dashboard/live` for one channel.
pub(super) fn channel_query(channel: &str) -> String {
    format!("channel={}", encoded(channel))
}

/// The link to the next page of a list.
pub(super) fn further(path: &str, fields: &Fields, cursor: Option<&str>) -> Markup {
    let mut next = fields.clone();
    html! {
        @if let Some(cursor) = cursor {
            @let () = next.set("cursor", cursor);
            p.further { a.button rel="next" href=(next.at(path)) { "Older" } }
        }
    }
}

pub(super) fn order_link(id: &str, shown: &str) -> Markup {
    html! { a.id href={ "/dashboard/orders/" (encoded(id)) } { (shown) } }
}

pub(super) fn delivery_link(id: &str) -> Markup {
    html! { a.id href={ "/dashboard/deliveries/" (encoded(id)) } { (id) } }
}

/// The same where room is scarce: the end of the id, which tells it from others.
pub(super) fn short_link(id: &str) -> Markup {
    let end = id.char_indices().rev().nth(11).and_then(|(at, _)| id.get(at..)).unwrap_or(id);
    html! { a.id href={ "/dashboard/deliveries/" (encoded(id)) } title=(id) { "dlv_…" (end) } }
}

pub(super) fn channel_link(name: &str) -> Markup {
    html! { a href={ "/dashboard/channels/" (encoded(name)) } { (name) } }
}

/// "1 delivery", "2 deliveries".
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
