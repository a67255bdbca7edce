//! What needs a person, worst first.
//!
//! To add a kind of problem: a function beside [`channels`] and [`failures`] that returns its entries, one line in
//! [`page`], and a [`Severity`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};

use crate::delivery::ChannelOverview;
use crate::domain::{Code, DeliveryId, DeliveryStatus, Timestamp};
use crate::store::{Backlog, Cause, ChannelState, DeliveryFilter, HeldKeys, Page};

use super::channels::REMOVED;
use super::list::list;
use super::problem::Problem;
use super::query;
use super::state::Api;

/// How long the oldest due delivery of a channel may wait before that is a problem.
const WAITS: Duration = Duration::from_secs(60);

/// `GET /v1/problems`.
pub(super) async fn page(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let (since, page) = query::problems(query.as_deref())?;
    let mut entries = channels(&api).await?;
    entries.extend(failures(&api, since).await?);
    entries.extend(held(&api).await?);
    entries.extend(late(&api, since).await?);
    entries.sort_by_key(|entry| (entry.severity, std::cmp::Reverse(entry.count)));
    // The cursor is the number of entries seen.
    let seen = usize::try_from(page.before.unwrap_or(0)).unwrap_or(usize::MAX);
    let end = seen.saturating_add(page.limit);
    let next = (entries.len() > end).then(|| end.to_string());
    Ok(list(entries.into_iter().skip(seen).take(page.limit), next))
}

/// The order of problems: what stops deliveries comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    Disabled,
    Failing,
    Waiting,
    Held,
    Late,
    Failures,
    Removed,
    Paused,
}

/// Something that needs a person.
#[derive(Serialize)]
struct Entry {
    #[serde(skip)]
    severity: Severity,
    kind: &'static str,
    channel: Arc<str>,
    /// What is wrong, in a sentence.
    summary: String,
    /// How many deliveries.
    count: u64,
    /// Whether there are more than were counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    at_least: bool,
    first_at: Option<Timestamp>,
    last_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Code>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    example: Option<DeliveryId>,
    /// The filter of `/v1/deliveries` that finds them all.
    filter: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<Arc<str>>,
}

/// Channels that are not enabled, fail, or let deliveries wait.
async fn channels(api: &Api) -> Result<Vec<Entry>, Problem> {
    let history = &api.components.history;
    let backlog: HashMap<_, _> =
        history.backlog().await?.into_iter().map(|waits| (Arc::clone(&waits.channel), waits)).collect();
    let causes: HashMap<_, _> = history.channel_causes().await?.into_iter().collect();
    let (now, view) = (api.components.clock.now(), api.view());
    let mut entries: Vec<Entry> = Vec::new();
    for lane in api.components.lanes.overview() {
        let configured = view.channels.iter().any(|channel| channel.enabled && channel.name == lane.channel);
        if configured {
            entries.extend(of_lane(&lane, backlog.get(&lane.channel), causes.get(&lane.channel), now));
        }
    }
    for (name, waits) in &backlog {
        if !view.channels.iter().any(|channel| channel.name == *name) {
            let summary = format!("{name} is no longer configured, and {} for it", deliveries(waits.pending, "wait"));
            entries.push(Entry::of_channel(Severity::Removed, REMOVED, name, summary, waits.pending));
        }
    }
    Ok(entries)
}

fn of_lane(lane: &ChannelOverview, backlog: Option<&Backlog>, cause: Option<&Cause>, now: Timestamp) -> Option<Entry> {
    let (name, pending) = (&lane.channel, backlog.map_or(0, |backlog| backlog.pending));
    let due = backlog.and_then(|backlog| backlog.oldest_due).filter(|due| due.after(WAITS) < now);
    let waiting = deliveries(pending, "wait");
    let entry = |severity, kind, summary| Entry::of_channel(severity, kind, name, summary, pending);
    match (lane.state, lane.health.failing_since) {
        (ChannelState::Enabled, Some(since)) if pending > 0 => {
            let error = lane.health.last_error.as_ref();
            let said = error.map(|error| format!(", last with {}: {}", error.code, error.error)).unwrap_or_default();
            let summary = format!("every attempt of {name} fails{said}; {waiting}");
            Some(Entry {
                first_at: Some(since),
                last_at: error.map(|error| error.at),
                code: error.map(|error| error.code),
                ..entry(Severity::Failing, "failing", summary)
            })
        }
        (ChannelState::Enabled, _) => {
            let due = due?;
            let summary = format!("the oldest due delivery of {name} waits since {due}; {waiting}");
            Some(Entry { first_at: Some(due), ..entry(Severity::Waiting, "waiting", summary) })
        }
        (state, _) => {
            let severity = if state == ChannelState::Disabled { Severity::Disabled } else { Severity::Paused };
            let summary = format!("{name} is {}; {waiting}", state.as_str());
            Some(Entry {
                first_at: cause.map(|cause| cause.at),
                reason: cause.and_then(|cause| cause.reason.clone()),
                by: cause.and_then(|cause| cause.by.clone()),
                ..entry(severity, state.as_str(), summary)
            })
        }
    }
}

/// Deliveries that have failed or were rejected, by their causes.
async fn failures(api: &Api, since: Option<Timestamp>) -> Result<Vec<Entry>, Problem> {
    let causes = api.components.history.causes(since).await?;
    let entry = |cause: crate::store::FailureCause| {
        let (channel, code) = (&cause.channel, cause.code);
        let code_text = code.map(|code| format!(" with {code}")).unwrap_or_default();
        let at_least = if cause.more { "at least " } else { "" };
        let said = if cause.likeness.is_empty() { String::new() } else { format!(": {}", cause.likeness) };
        let summary = format!("{at_least}{} to {channel}{code_text}{said}", deliveries(cause.count, "failed"));
        let mut filter = json!({"channel": channel, "cause": cause.id});
        if let (Some(since), Some(members)) = (since, filter.as_object_mut()) {
            members.insert("since".to_owned(), since.to_string().into());
        }
        Entry {
            severity: Severity::Failures,
            kind: "failures",
            summary,
            count: cause.count,
            at_least: cause.more,
            first_at: Some(cause.first_at),
            last_at: Some(cause.last_at),
            code,
            example: Some(cause.example),
            filter,
            reason: None,
            by: None,
            channel: cause.channel,
            cause: Some(cause.likeness),
        }
    };
    Ok(causes.into_iter().map(entry).collect())
}

/// Keys of ordered channels that a failure holds: nothing goes on until a person settles it.
async fn held(api: &Api) -> Result<Vec<Entry>, Problem> {
    let mut entries = Vec::new();
    for channel in api.view().channels.iter().filter(|channel| channel.holding.ordering.is_some()) {
        let held = api.components.history.held(Arc::clone(&channel.name)).await?;
        let Some(first) = held.behind.first() else { continue };
        let (name, waiting) = (&channel.name, deliveries(held.deliveries, "wait"));
        let keys = if held.keys == 1 { "1 key is".to_owned() } else { format!("{} keys are", held.keys) };
        let summary =
            format!("{keys} held behind a failed delivery of {name}, and {waiting}; retry, accept or cancel it");
        entries.push(Entry {
            at_least: held.keys >= HeldKeys::MOST || held.deliveries >= HeldKeys::MOST,
            first_at: Some(first.delivery.time()),
            example: Some(first.delivery),
            filter: json!({"channel": name, "status": ["failed", "rejected"]}),
            ..Entry::of_channel(Severity::Held, "held", name, summary, held.deliveries)
        });
    }
    Ok(entries)
}

/// Late deliveries that are counted in a channel at most.
const LATE: usize = 250;

/// Deliveries that have missed their channel's promise and are still not accepted.
async fn late(api: &Api, since: Option<Timestamp>) -> Result<Vec<Entry>, Problem> {
    let status = vec![DeliveryStatus::Pending, DeliveryStatus::Failed, DeliveryStatus::Rejected];
    let mut entries = Vec::new();
    for channel in api.view().channels.iter().filter(|channel| channel.holding.promise.is_some()) {
        let name = &channel.name;
        let filter = DeliveryFilter {
            status: status.clone(),
            channel: Some(name.to_string()),
            late: Some(true),
            since,
            ..DeliveryFilter::default()
        };
        let found = api.components.history.deliveries(filter, Page { limit: LATE, before: None }).await?;
        let (Some(newest), Some(oldest)) = (found.data.first(), found.data.last()) else { continue };
        let count = found.data.len() as u64;
        let summary = format!("{} late on {name}", deliveries(count, if count == 1 { "is" } else { "are" }));
        entries.push(Entry {
            at_least: found.next.is_some(),
            first_at: Some(oldest.created_at),
            last_at: Some(newest.created_at),
            example: Some(oldest.id),
            filter: json!({"channel": name, "late": true, "status": ["pending", "failed", "rejected"]}),
            ..Entry::of_channel(Severity::Late, "late", name, summary, count)
        });
    }
    Ok(entries)
}

fn deliveries(count: u64, act: &str) -> String {
    match (count, act) {
        (0, _) => "no delivery waits".to_owned(),
        (1, "wait") => "1 delivery waits".to_owned(),
        (1, act) => format!("1 delivery {act}"),
        (count, act) => format!("{count} deliveries {act}"),
    }
}

impl Entry {
    /// A problem of a channel with pending deliveries.
    fn of_channel(severity: Severity, kind: &'static str, channel: &Arc<str>, summary: String, count: u64) -> Self {
        Self {
            severity,
            kind,
            channel: Arc::clone(channel),
            summary,
            count,
            at_least: false,
            first_at: None,
            last_at: None,
            code: None,
            cause: None,
            example: None,
            filter: json!({"channel": channel, "status": "pending"}),
            reason: None,
            by: None,
        }
    }
}
