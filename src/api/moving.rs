//! `POST /v1/channels/{name}/move`: pending deliveries of a channel go to another one.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, Request, State};
use axum::response::Response;
use serde::Serialize;

use crate::store::Act;

use super::object;
use super::path::Named;
use super::problem::{Kind, Problem};
use super::state::Api;
use super::tokens::{Caller, author};
use super::{answer, audit, reason};

/// How long deliveries that wait in memory have to go back to the store, and how often that is looked at.
const RECALL: (u32, Duration) = (40, Duration::from_millis(25));

/// `POST /v1/channels/{name}/move`.
pub(super) async fn post(
    State(api): State<Api>,
    Named(from): Named,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    let (to, reason) = reason::with(&api, request, "to").await?;
    let view = api.view();
    let configured = |name: &str| view.channels.iter().find(|channel| &*channel.name == name);
    if configured(&from).is_none() && !api.components.history.knows_channel(&from).await? {
        return Err(Problem::not_found("channel", &from));
    }
    let target = configured(&to).ok_or_else(|| {
        Problem::new(Kind::UnknownChannel, format!("no channel {:?} is configured", object::shown(&to)))
    })?;
    if !target.enabled {
        let detail = format!("the channel {to} is switched off in the configuration (enabled: false)");
        return Err(Problem::new(Kind::Conflict, detail));
    }
    if from == to {
        return Err(Problem::new(Kind::Conflict, format!("the deliveries already belong to {to}")));
    }
    let cause = caller.cause(api.components.clock.now(), reason);
    let (source, target) = (Arc::<str>::from(&*from), Arc::<str>::from(&*to));
    let mut moved = 0;
    for _ in 0..RECALL.0 {
        // What a lane holds in memory goes back to the store first; what is being sent stays.
        api.components.lanes.recall(&from);
        moved += api.components.queue.move_pending(Arc::clone(&source), Arc::clone(&target), cause.clone()).await?;
        if pending(&api, &from).await? <= in_flight(&api, &from) {
            break;
        }
        tokio::time::sleep(RECALL.1).await;
    }
    api.components.lanes.recall(&to);
    let left = pending(&api, &from).await?;
    let (by, why) = (cause.by.as_deref(), cause.reason.as_deref());
    tracing::info!(from, to, count = moved, left, by, reason = why, "deliveries moved by {}", author(&cause));
    let act = Act { channel: Some(from), count: Some(moved), ..Act::new("move", cause) };
    audit::keep(&api, act.with_detail(&To { to: &to })).await;
    Ok(answer::json(&Moved { count: moved, left }))
}

/// A channel's pending deliveries.
async fn pending(api: &Api, channel: &str) -> Result<u64, Problem> {
    let backlog = api.components.history.backlog().await?;
    Ok(backlog.iter().find(|waits| &*waits.channel == channel).map_or(0, |waits| waits.pending))
}

/// Its attempts under way.
fn in_flight(api: &Api, channel: &str) -> u64 {
    let lanes = api.components.lanes.overview();
    lanes.iter().find(|lane| &*lane.channel == channel).map_or(0, |lane| lane.lane.in_flight as u64)
}

#[derive(Serialize)]
struct To<'a> {
    to: &'a str,
}

#[derive(Serialize)]
struct Moved {
    /// How many.
    count: u64,
    /// How many stay, as an attempt of them is under way.
    left: u64,
}
