//! What a configuration changes, for each channel: counts, and an example of each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use similar::TextDiff;

use super::order::{Recorded, Was};
use crate::config::settings::Settings;
use crate::delivery::Planner;
use crate::domain::order::SkipReason;
use crate::domain::{Exchange, Skip};

/// How long the difference of two bodies may take.
const DIFF: Duration = Duration::from_millis(200);

/// Lines of a difference that are shown.
const LINES: usize = 40;

/// Everything that is shown.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// Orders that were routed.
    pub(super) orders: u64,
    /// Orders that were not: they have not ended, or cannot be read.
    pub(super) left_out: u64,
    pub(super) channels: Vec<Channel>,
}

/// What changes for a channel.
#[derive(Debug, Default, Serialize)]
pub(super) struct Channel {
    pub(super) channel: String,
    /// Orders that it got, and would get.
    pub(super) before: u64,
    pub(super) after: u64,
    pub(super) gained: Tally,
    pub(super) lost: Tally,
    /// Requests that differ from those on record.
    pub(super) changed: Tally,
    /// Requests that cannot be built, and conditions that cannot be evaluated.
    pub(super) fails: Tally,
    /// Requests that are the same.
    pub(super) unchanged: u64,
    /// Requests that have no counterpart, mails, and requests for several deliveries.
    pub(super) not_compared: u64,
}

/// A count, and the first that was counted.
#[derive(Debug, Default, Serialize)]
pub(super) struct Tally {
    pub(super) count: u64,
    pub(super) example: Option<Value>,
}

impl Tally {
    fn add(&mut self, example: impl FnOnce() -> Value) {
        self.count += 1;
        self.example.get_or_insert_with(example);
    }
}

impl Report {
    /// Nothing counted yet, with the channels of the configuration in its order.
    pub(super) fn new(settings: &Settings) -> Self {
        let named = |name: &str| Channel { channel: name.to_owned(), ..Channel::default() };
        Self { channels: settings.channels.iter().map(|channel| named(&channel.name)).collect(), ..Self::default() }
    }

    /// Whether anything fails.
    pub(super) fn fails(&self) -> bool {
        self.channels.iter().any(|channel| channel.fails.count > 0)
    }

    /// An order was not routed.
    pub(super) fn leave_out(&mut self) {
        self.left_out += 1;
    }

    fn channel(&mut self, name: &str) -> Option<&mut Channel> {
        if !self.channels.iter().any(|channel| channel.channel == name) {
            self.channels.push(Channel { channel: name.to_owned(), ..Channel::default() });
        }
        self.channels.iter_mut().find(|channel| channel.channel == name)
    }

    /// Routes an order and fills its requests.
    pub(super) async fn add(&mut self, planner: &Planner, order: &Recorded) {
        self.orders += 1;
        let about = json!({"order": order.subject.id(), "order_id": order.subject.order_id});
        let mut was: Vec<&Was> = order.deliveries.iter().collect();
        let (mut routed, mut unclear) = (BTreeMap::new(), BTreeSet::new());
        let mut skipped: Vec<Skip> = Vec::new();
        let events = order.events(planner);
        for event in &events {
            let (deliveries, skips) = planner.route(event, &order.taken(event.id));
            for delivery in deliveries {
                let name = delivery.channel.to_string();
                let same = was.iter().position(|was| was.channel == name && *was.event == *event.kind);
                let before = same.map(|at| was.remove(at));
                let known = before.and_then(|was| was.attempt.as_ref().map(|(at, request)| (was, *at, request)));
                let filled = planner.fill(delivery, known.map(|(was, at, _)| (was.id, at))).await;
                let shown = filled.request.as_ref().ok().map(|request| format!("{} {}", request.method, request.url));
                let Some(channel) = self.channel(&name) else { continue };
                match (filled.request, known) {
                    (Err(error), _) => channel.fails.add(|| with(&about, json!({"error": error}))),
                    (Ok(request), Some((was, _, before))) if filled.comparable => match difference(before, &request) {
                        Some(changes) => {
                            channel.changed.add(|| with(&with(&about, json!({"delivery": was.id})), changes));
                        }
                        None => channel.unchanged += 1,
                    },
                    (Ok(_), _) => channel.not_compared += 1,
                }
                routed.entry(name).or_insert((&event.kind, shown));
            }
            for skip in skips.iter().filter(|skip| matches!(skip.reason, SkipReason::When | SkipReason::Filter)) {
                if let (Some(error), true) = (&skip.detail, unclear.insert(skip.channel.to_string())) {
                    let error = format!("{}: {error}", skip.reason);
                    if let Some(channel) = self.channel(&skip.channel) {
                        channel.fails.add(|| with(&about, json!({"error": error})));
                    }
                }
            }
            skipped = skips;
        }
        if let Some(received) = events.first() {
            planner.explain(&mut skipped, received, &order.taken(received.id));
        }
        for name in &order.routed {
            let gone = !planner.has(name);
            let reason = skipped.iter().find(|skip| *skip.channel == **name);
            let Some(channel) = self.channel(name) else { continue };
            channel.before += 1;
            if !routed.contains_key(name) {
                let (reason, detail) = match reason {
                    Some(skip) => (skip.reason.as_str(), skip.detail.as_deref()),
                    None => (if gone { "removed" } else { "event" }, None),
                };
                channel.lost.add(|| with(&about, json!({"reason": reason, "detail": detail})));
            }
        }
        for (name, (event, request)) in routed {
            let Some(channel) = self.channel(&name) else { continue };
            channel.after += 1;
            if !order.routed.contains(&name) {
                channel.gained.add(|| with(&about, json!({"event": &**event, "request": request})));
            }
        }
    }
}

/// The members of both.
fn with(about: &Value, more: Value) -> Value {
    let mut all = about.clone();
    if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
        all.extend(more);
    }
    all
}

/// What differs between the request on record and another one; `None`: nothing does.
fn difference(before: &Value, after: &Exchange) -> Option<Value> {
    let text = |name: &str| before.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut changes = serde_json::Map::new();
    for (name, after) in [("method", &after.method), ("url", &after.url)] {
        if text(name) != after {
            changes.insert(name.to_owned(), json!([text(name), after]));
        }
    }
    // Bytes that are not text are compared, and not shown.
    let (old, new) = (text("body"), String::from_utf8_lossy(&after.request_body.head));
    let encoded = before.get("encoding").is_some();
    match (serde_json::from_str::<Value>(old), serde_json::from_str::<Value>(&new)) {
        (Ok(old), Ok(new)) if old == new => {}
        (Ok(old), Ok(new)) => {
            changes.insert("body".to_owned(), lines(&format!("{old:#}\n"), &format!("{new:#}\n")).into());
        }
        _ if encoded || old == new => {}
        _ => {
            changes.insert("body".to_owned(), lines(old, &new).into());
        }
    }
    (!changes.is_empty()).then(|| changes.into())
}

/// The lines that differ, each with `-` or `+` in front, and some around them.
fn lines(old: &str, new: &str) -> String {
    let diff = TextDiff::configure().timeout(DIFF).diff_lines(old, new);
    let text = diff.unified_diff().context_radius(1).missing_newline_hint(false).to_string();
    let mut kept: Vec<&str> = text.lines().take(LINES).collect();
    if text.lines().count() > LINES {
        kept.push("…");
    }
    kept.join("\n")
}
