//! Channels: how each is configured and fares, and its pause.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Extension, RawQuery, Request, State};
use axum::response::Response;
use serde::Serialize;

use crate::config::settings::Channel;
use crate::delivery::{ChannelOverview, LastError, Minutes};
use crate::domain::Timestamp;
use crate::store::{Act, Backlog, Cause, ChannelState, HeldKeys};

use super::limits::{Held, Limits};
use super::list::list;
use super::path::Named;
use super::problem::{Fault, Kind, Problem};
use super::state::{Api, View};
use super::tokens::{Caller, author};
use super::{answer, audit, query, reason};

/// `GET /v1/channels`.
pub(super) async fn page(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let mut query = query::Query::new(query.as_deref(), &["limit", "cursor"]);
    let limit = query.limit();
    let cursor = query.cursor();
    query.finish()?;
    let view = api.view();
    let now = Now::of(&api).await?;
    let removed = now.removed(&view);
    let all: Vec<Shown<'_>> = view
        .channels
        .iter()
        .map(|channel| now.show(channel))
        .chain(removed.into_iter().map(Now::show_removed))
        .collect();
    // The cursor is the name of the last channel seen.
    let seen = cursor.map_or(Some(0), |last| all.iter().position(|shown| *shown.name == *last).map(|at| at + 1));
    let Some(seen) = seen else {
        let fault = Fault::new("cursor", "is not a cursor of this list");
        return Err(Problem::faults(Kind::InvalidParameters, vec![fault]));
    };
    let mut rest = all.into_iter().skip(seen);
    let shown: Vec<Shown<'_>> = rest.by_ref().take(limit).collect();
    let next = rest.next().and(shown.last()).map(|last| last.name.to_owned());
    Ok(list(shown.into_iter(), next))
}

/// `GET /v1/channels/{name}`.
pub(super) async fn one(
    State(api): State<Api>,
    Named(name): Named,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    query::Query::new(query.as_deref(), &[]).finish()?;
    let view = api.view();
    let now = Now::of(&api).await?;
    if let Some(backlog) = now.removed(&view).into_iter().find(|backlog| *backlog.channel == *name) {
        return Ok(answer::json(&Now::show_removed(backlog)));
    }
    Ok(answer::json(&now.show(&*find(&api, &name)?)))
}

/// `POST /v1/channels/{name}/pause`, which stops the channel, and `/resume`.
pub(super) async fn switch(
    State(api): State<Api>,
    Named(name): Named,
    Extension(caller): Extension<Caller>,
    request: Request,
    pause: bool,
) -> Result<Response, Problem> {
    let channel = switchable(&api, &name)?;
    let cause = caller.cause(api.components.clock.now(), reason::read(&api, request).await?);
    let lanes = &api.components.lanes;
    let (state, act, done) = if pause {
        (lanes.pause(&name, cause.clone()).await?, "pause", "paused")
    } else {
        (lanes.resume(&name, cause.clone()).await?, "resume", "resumed")
    };
    let state = state.ok_or_else(|| Problem::not_found("channel", &channel.name))?;
    let (by, reason) = (cause.by.as_deref(), cause.reason.as_deref());
    tracing::info!(channel = %channel.name, state = state.as_str(), by, reason, "channel {done} by {}", author(&cause));
    audit::keep(&api, Act { channel: Some(name), ..Act::new(act, cause) }).await;
    Ok(answer::json(&Now::of(&api).await?.show(&channel)))
}

fn find(api: &Api, name: &str) -> Result<Arc<Channel>, Problem> {
    let view = api.view();
    let found = view.channels.iter().find(|channel| &*channel.name == name);
    found.map(Arc::clone).ok_or_else(|| Problem::not_found("channel", name))
}

fn switchable(api: &Api, name: &str) -> Result<Arc<Channel>, Problem> {
    let channel = find(api, name)?;
    if channel.enabled {
        return Ok(channel);
    }
    Err(Problem::new(Kind::Conflict, "the channel is switched off in the configuration (enabled: false)"))
}

/// The state of a channel that is no longer configured and has pending deliveries.
pub(super) const REMOVED: &str = "removed";

/// How all channels fare at a moment.
struct Now {
    at: Timestamp,
    lanes: HashMap<Arc<str>, ChannelOverview>,
    backlog: HashMap<Arc<str>, Backlog>,
    causes: HashMap<Arc<str>, Cause>,
    held: HashMap<Arc<str>, HeldKeys>,
    minutes: HashMap<Arc<str>, Minutes>,
}

impl Now {
    async fn of(api: &Api) -> Result<Self, Problem> {
        let backlog = api.components.history.backlog().await?;
        let causes = api.components.history.channel_causes().await?;
        let lanes = api.components.lanes.overview();
        let minutes =
            |lane: &ChannelOverview| Some((Arc::clone(&lane.channel), api.components.lanes.minutes(&lane.channel)?));
        let minutes = lanes.iter().filter_map(minutes).collect();
        let mut held = HashMap::new();
        for channel in api.view().channels.iter().filter(|channel| channel.holding.ordering.is_some()) {
            let name = Arc::clone(&channel.name);
            held.insert(Arc::clone(&name), api.components.history.held(name).await?);
        }
        Ok(Self {
            at: api.components.clock.now(),
            lanes: lanes.into_iter().map(|lane| (Arc::clone(&lane.channel), lane)).collect(),
            backlog: backlog.into_iter().map(|waits| (Arc::clone(&waits.channel), waits)).collect(),
            causes: causes.into_iter().collect(),
            held,
            minutes,
        })
    }

    /// The channels that are no longer configured and have pending deliveries, by name.
    fn removed(&self, view: &View) -> Vec<&Backlog> {
        let configured = |name: &str| view.channels.iter().any(|channel| *channel.name == *name);
        let mut removed: Vec<_> = self.backlog.values().filter(|backlog| !configured(&backlog.channel)).collect();
        removed.sort_by(|one, other| one.channel.cmp(&other.channel));
        removed
    }

    fn show_removed(backlog: &Backlog) -> Shown<'_> {
        let last_hour = LastHour { attempts: 0, success_rate: None, mean_ms: None, p95_ms: None, per_minute: None };
        Shown {
            name: &backlog.channel,
            state: REMOVED,
            cause: None,
            waiting: backlog.pending,
            in_flight: 0,
            next_attempt_at: backlog.oldest_due,
            next_run_at: None,
            failing_since: None,
            last_success_at: None,
            last_error: None,
            last_hour,
            limits: None,
            held: None,
            config: None,
            config_file: None,
        }
    }

    fn show<'a>(&'a self, channel: &'a Channel) -> Shown<'a> {
        let lane = self.lanes.get(&channel.name);
        let state = lane.map_or(ChannelState::Disabled, |lane| lane.state);
        let cause = self.causes.get(&channel.name).filter(|_| state != ChannelState::Enabled);
        let in_flight = lane.map_or(0, |lane| lane.lane.in_flight);
        let backlog = self.backlog.get(&channel.name);
        let pending = backlog.map_or(0, |backlog| backlog.pending);
        let health = lane.map(|lane| &lane.health);
        let minutes = self.minutes.get(&channel.name);
        Shown {
            name: &channel.name,
            state: lane.map_or(state.as_str(), ChannelOverview::shown_state),
            cause: cause.map(Switched::of),
            waiting: pending.saturating_sub(in_flight as u64),
            in_flight,
            next_attempt_at: backlog.and_then(|backlog| backlog.oldest_due),
            next_run_at: channel.schedule.as_ref().map(|schedule| schedule.runs.after(self.at)),
            failing_since: health.and_then(|health| health.failing_since),
            last_success_at: health.and_then(|health| health.last_success_at),
            last_error: health.and_then(|health| health.last_error.clone()),
            last_hour: LastHour {
                attempts: lane.map_or(0, |lane| lane.rates.attempts),
                success_rate: lane.and_then(|lane| lane.rates.success_rate),
                mean_ms: lane.and_then(|lane| lane.rates.mean_ms),
                p95_ms: minutes.and_then(|minutes| minutes.hour_p95_ms),
                per_minute: minutes.map(PerMinute::of),
            },
            limits: lane.map(|lane| Limits::of(channel, lane)),
            held: self.held.get(&channel.name).map(Held::of),
            config: Some(&channel.shown),
            config_file: Some(&channel.file),
        }
    }
}

/// A channel.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    state: &'static str,
    /// Why it is paused or disabled.
    #[serde(flatten)]
    cause: Option<Switched<'a>>,
    waiting: u64,
    in_flight: usize,
    /// When the next of its pending deliveries is due; in the past for one that is under way or could be.
    next_attempt_at: Option<Timestamp>,
    /// When its schedule runs next; `null` for a channel without one.
    next_run_at: Option<Timestamp>,
    /// Since when every attempt has failed; null while it does not fail.
    failing_since: Option<Timestamp>,
    last_success_at: Option<Timestamp>,
    last_error: Option<LastError>,
    last_hour: LastHour<'a>,
    /// The limits in force, and how much of each is used; `null` for a channel that is no longer configured.
    limits: Option<Limits>,
    /// Deliveries that wait for another one with their key; `null` for a channel without `ordering`.
    held: Option<Held>,
    /// As configured, secrets masked; `null` for a channel that is no longer configured.
    config: Option<&'a serde_json::Value>,
    /// The file or variable that the configuration is from.
    config_file: Option<&'a str>,
}

/// Why a channel is paused or disabled, since when and by whom.
#[derive(Serialize)]
struct Switched<'a> {
    reason: Option<&'a str>,
    changed_at: Timestamp,
    changed_by: Option<&'a str>,
}

impl<'a> Switched<'a> {
    fn of(cause: &'a Cause) -> Self {
        Self { reason: cause.reason.as_deref(), changed_at: cause.at, changed_by: cause.by.as_deref() }
    }
}

#[derive(Serialize)]
struct LastHour<'a> {
    attempts: u64,
    success_rate: Option<f64>,
    mean_ms: Option<f64>,
    p95_ms: Option<u64>,
    per_minute: Option<PerMinute<'a>>,
}

/// The last sixty minutes one by one.
#[derive(Serialize)]
struct PerMinute<'a> {
    since: Timestamp,
    attempts: &'a [u64],
    successes: &'a [u64],
    p95_ms: &'a [Option<u64>],
}

impl<'a> PerMinute<'a> {
    fn of(minutes: &'a Minutes) -> Self {
        let Minutes { since, attempts, successes, p95_ms, .. } = minutes;
        Self { since: *since, attempts, successes, p95_ms }
    }
}
