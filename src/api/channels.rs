//! Channels: how each is configured and fares, and its pause.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;

use crate::config::settings::Channel;
use crate::store::{Backlog, ChannelState};

use super::list::list;
use super::path::Named;
use super::problem::{Fault, Kind, Problem};
use super::state::{Api, ChannelOverview};
use super::{answer, query};

/// `GET /v1/channels`.
pub(super) async fn page(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let mut query = query::Query::new(query.as_deref(), &["limit", "cursor"]);
    let limit = query.limit();
    let cursor = query.cursor();
    query.finish()?;
    // The cursor is the name of the last channel seen.
    let view = api.view();
    let behind =
        cursor.map_or(Some(0), |last| view.channels.iter().position(|channel| *channel.name == *last).map(|at| at + 1));
    let Some(behind) = behind else {
        let fault = Fault::new("cursor", "is none that this list has given");
        return Err(Problem::faults(Kind::InvalidParameters, vec![fault]));
    };
    let now = Now::of(&api).await?;
    let mut rest = view.channels.iter().skip(behind);
    let shown: Vec<Shown<'_>> = rest.by_ref().take(limit).map(|channel| now.show(channel)).collect();
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
    let channel = find(&api, &name)?;
    Ok(answer::json(&Now::of(&api).await?.show(&channel)))
}

/// `POST /v1/channels/{name}/pause`.
pub(super) async fn pause(State(api): State<Api>, Named(name): Named) -> Result<Response, Problem> {
    let channel = switchable(&api, &name)?;
    moved(&api, &channel, api.rooms.lanes.pause(&name).await?).await
}

/// `POST /v1/channels/{name}/resume`.
pub(super) async fn resume(State(api): State<Api>, Named(name): Named) -> Result<Response, Problem> {
    let channel = switchable(&api, &name)?;
    moved(&api, &channel, api.rooms.lanes.resume(&name).await?).await
}

async fn moved(api: &Api, channel: &Channel, state: Option<ChannelState>) -> Result<Response, Problem> {
    let state = state.ok_or_else(|| Problem::not_found("channel", &channel.name))?;
    tracing::info!(channel = %channel.name, state = state.as_str(), "a channel was changed by hand");
    Ok(answer::json(&Now::of(api).await?.show(channel)))
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

/// How all channels fare at a moment.
struct Now {
    lanes: HashMap<Arc<str>, ChannelOverview>,
    backlog: HashMap<Arc<str>, Backlog>,
}

impl Now {
    async fn of(api: &Api) -> Result<Self, Problem> {
        let backlog = api.rooms.history.backlog().await?;
        let lanes = api.rooms.lanes.overview();
        Ok(Self {
            lanes: lanes.into_iter().map(|lane| (Arc::clone(&lane.channel), lane)).collect(),
            backlog: backlog.into_iter().map(|waits| (Arc::clone(&waits.channel), waits)).collect(),
        })
    }

    fn show<'a>(&self, channel: &'a Channel) -> Shown<'a> {
        let lane = self.lanes.get(&channel.name);
        let in_flight = lane.map_or(0, |lane| lane.in_flight);
        let pending = self.backlog.get(&channel.name).map_or(0, |backlog| backlog.pending);
        Shown {
            name: &channel.name,
            state: lane.map_or(ChannelState::Disabled, |lane| lane.state).as_str(),
            waiting: pending.saturating_sub(in_flight as u64),
            in_flight,
            last_hour: LastHour {
                attempts: lane.map_or(0, |lane| lane.attempts),
                success_rate: lane.and_then(|lane| lane.success_rate),
                mean_ms: lane.and_then(|lane| lane.mean_ms),
            },
            config: &channel.shown,
        }
    }
}

/// A channel.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    state: &'static str,
    waiting: u64,
    in_flight: usize,
    last_hour: LastHour,
    /// As configured, secrets masked.
    config: &'a serde_json::Value,
}

#[derive(Serialize)]
struct LastHour {
    attempts: u64,
    success_rate: Option<f64>,
    mean_ms: Option<f64>,
}
