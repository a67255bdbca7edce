//! Changes of many deliveries: made while the caller waits, or in the background as a job that can be asked how far it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Extension, RawQuery, Request, State};
use axum::http::HeaderValue;
use axum::http::header::LOCATION;
use axum::response::Response;
use serde::Serialize;

use crate::domain::Timestamp;
use crate::store::{Act, BulkChanged, Cause, Change, DeliveryFilter};

use super::bulk_jobs::{End, Job};
use super::changes::done;
use super::deliveries::{Delivery, known_channel};
use super::path::Named;
use super::problem::{Kind, Problem};
use super::state::Api;
use super::tokens::{Caller, author};
use super::{answer, audit, body, query};

/// `POST /v1/deliveries/retry` and `/cancel`.
pub(super) async fn post(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    request: Request,
    change: Change,
) -> Result<Response, Problem> {
    let body = body::typed(&api, request).await?;
    let query::Bulk { filter, dry_run, background, reason } = query::bulk(&body, change)?;
    known_channel(&api, &filter, Kind::InvalidFields).await?;
    let cause = caller.cause(api.components.clock.now(), reason);
    if dry_run {
        let changed = api.components.queue.change_all(filter, change, cause, true).await?;
        let examples = changed.examples.iter().map(Delivery::of).collect();
        return Ok(answer::json(&Count { count: changed.count, dry_run, examples: Some(examples) }));
    }
    let written = query::filter_of(&body);
    if !background {
        let changed = make(&api, filter, change, cause, written, Arc::default()).await?;
        return Ok(answer::json(&Count { count: changed.count, dry_run, examples: None }));
    }
    let job = api.jobs.begin(change, &cause)?;
    let (shared, worked) = (api.clone(), Arc::clone(&job));
    tokio::spawn(async move {
        let made = run(&shared, &worked, filter, change, cause, written).await;
        let error = made.err().map(|problem| problem.to_string());
        *worked.end.lock() = Some(End { at: shared.components.clock.now(), error });
    });
    let mut response = answer::accepted(&Shown::of(&job));
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/bulk/{}", job.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

async fn run(
    api: &Api,
    job: &Job,
    filter: DeliveryFilter,
    change: Change,
    cause: Cause,
    written: Option<String>,
) -> Result<(), Problem> {
    let found = api.components.queue.change_all(filter.clone(), change, cause.clone(), true).await?;
    job.total.store(found.count, Ordering::Relaxed);
    make(api, filter, change, cause, written, Arc::clone(&job.done)).await?;
    Ok(())
}

async fn make(
    api: &Api,
    filter: DeliveryFilter,
    change: Change,
    cause: Cause,
    written: Option<String>,
    so_far: Arc<AtomicU64>,
) -> Result<BulkChanged, Problem> {
    let changed = api.components.queue.change_all_watched(filter, change, cause.clone(), so_far).await?;
    let (count, by, reason) = (changed.count, cause.by.as_deref(), cause.reason.as_deref());
    tracing::info!(count, by, reason, "{count} deliveries {} by {}", done(change), author(&cause));
    for (channel, count) in &changed.channels {
        api.components.lanes.changed_all(channel, change, *count).await;
    }
    let act = Act { filter: written, count: Some(count), ..Act::new(change.as_str(), cause) };
    audit::keep(api, act).await;
    Ok(changed)
}

/// `GET /v1/bulk/{id}`.
pub(super) async fn get(
    State(api): State<Api>,
    Named(id): Named,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    query::Query::new(query.as_deref(), &[]).finish()?;
    let job = api.jobs.find(&id).ok_or_else(|| Problem::not_found("bulk change", &id))?;
    Ok(answer::json(&Shown::of(&job)))
}

/// A job as it is shown.
#[derive(Serialize)]
struct Shown<'a> {
    id: &'a str,
    act: &'static str,
    by: Option<&'a str>,
    status: &'static str,
    total: u64,
    done: u64,
    error: Option<String>,
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
}

impl<'a> Shown<'a> {
    fn of(job: &'a Job) -> Self {
        let end = job.end.lock();
        let error = end.as_ref().and_then(|end| end.error.clone());
        let status = match (&*end, &error) {
            (None, _) => "running",
            (Some(_), None) => "done",
            (Some(_), Some(_)) => "failed",
        };
        let done = job.done.load(Ordering::Relaxed);
        Self {
            id: &job.id,
            act: job.change.as_str(),
            by: job.by.as_deref(),
            status,
            // More may have come to match meanwhile.
            total: job.total.load(Ordering::Relaxed).max(done),
            done,
            error,
            started_at: job.begun,
            ended_at: end.as_ref().map(|end| end.at),
        }
    }
}

#[derive(Serialize)]
struct Count<'a> {
    count: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    /// Three of them, where nothing was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    examples: Option<Vec<Delivery<'a>>>,
}
