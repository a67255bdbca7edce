//! What a lane's effects do to the store: claims, the runs of a schedule, deliveries that go back. Each ends as an event.

use std::sync::Arc;
use std::time::Duration;

use crate::store::{Claim, Leased, NextDue, StoreError, Which};

use super::super::context::Context;
use super::events::{LaneEffect, LaneEvent, RunRequest};
use super::handle::Lane;

/// How long to wait before a store is asked again that has failed. The lane goes on meanwhile.
const STORE_RETRY: Duration = Duration::from_millis(500);

/// Does what an effect asks for.
pub(super) async fn perform(lane: Arc<Lane>, context: Arc<Context>, effect: LaneEffect) -> Done {
    match effect {
        LaneEffect::PutBack(deliveries) => put_back(&lane, &context, deliveries).await,
        LaneEffect::Claim { epoch, first, retries, retry_bytes } => {
            let limits = Limits { first, retries, retry_bytes };
            match claim(&lane, &context, limits).await {
                Ok((deliveries, next)) => Done::Event(LaneEvent::Claimed { epoch, deliveries, next }),
                Err(error) => failed(&lane, &error).await,
            }
        }
        LaneEffect::Run { epoch, request } => match run(&lane, &context, epoch, request).await {
            Ok(event) => Done::Event(event),
            Err(error) => failed(&lane, &error).await,
        },
    }
}

/// What an effect has come to.
pub(super) enum Done {
    Event(LaneEvent),
    PutBack,
}

struct Limits {
    first: usize,
    retries: usize,
    retry_bytes: usize,
}

async fn failed(lane: &Lane, error: &StoreError) -> Done {
    tracing::error!(channel = &*lane.name, %error, "deliveries could not be claimed, trying again");
    tokio::time::sleep(STORE_RETRY).await;
    Done::Event(LaneEvent::ClaimFailed)
}

/// Claims what is due and wanted. Returns it with the times at which the next ones are due.
async fn claim(lane: &Lane, context: &Context, limits: Limits) -> Result<(Vec<Leased>, NextDue), StoreError> {
    let mut next = look(lane, context).await?;
    let mut claimed = Vec::new();
    for (which, limit, max_bytes) in
        [(Which::First, limits.first, usize::MAX), (Which::Retries, limits.retries, limits.retry_bytes)]
    {
        let now = context.clock.now();
        let due = if which == Which::First { next.first } else { next.retry };
        if limit == 0 || due.is_none_or(|at| at > now) || context.soft.is_cancelled() {
            continue;
        }
        let max_bytes = context.memory.room(&lane.name).min(max_bytes);
        let channel = Arc::clone(&lane.name);
        let claim = Claim { replica: context.replica, channel, which, now, limit, max_bytes };
        match context.store.queue.claim(claim).await {
            Ok(deliveries) => claimed.extend(with_slots(lane, context, deliveries)),
            Err(error) if claimed.is_empty() => return Err(error),
            Err(error) => {
                tracing::error!(channel = &*lane.name, %error, "retries could not be claimed, trying again");
                return Ok((claimed, next));
            }
        }
    }
    if !claimed.is_empty() {
        next = look(lane, context).await.unwrap_or(next);
    }
    Ok((claimed, next))
}

/// Asks when the next first attempt and the next retry are due. What is found of first attempts decides whether new deliveries
/// may come with room in memory.
async fn look(lane: &Lane, context: &Context) -> Result<NextDue, StoreError> {
    let (memory, channel) = (&context.memory, &lane.name);
    let scan = memory.begin_scan(channel);
    let next = context.store.queue.next_due(Arc::clone(channel)).await?;
    if next.first.is_some_and(|at| at <= context.clock.now()) {
        memory.mark_backlogged(channel);
    } else {
        memory.scan_empty(channel, scan);
    }
    Ok(next)
}

fn with_slots(lane: &Lane, context: &Context, claimed: Vec<Leased>) -> Vec<Leased> {
    let slot = |mut delivery: Leased| {
        delivery.slot = context.memory.hold(&lane.name, &delivery.event);
        delivery
    };
    claimed.into_iter().map(slot).collect()
}

async fn run(lane: &Lane, context: &Context, epoch: u64, request: RunRequest) -> Result<LaneEvent, StoreError> {
    let (queue, channel) = (&context.store.queue, &lane.name);
    let claim = |now, limit| Claim {
        replica: context.replica,
        channel: Arc::clone(channel),
        which: Which::Any,
        now,
        limit,
        max_bytes: context.memory.room(channel),
    };
    Ok(match request {
        RunRequest::Last(or) => LaneEvent::LastRun(queue.last_run(Arc::clone(channel), or).await?),
        RunRequest::Begin(run, limit) => {
            let deliveries = queue.begin_run(run, claim(run.at, limit)).await?;
            let deliveries = deliveries.map(|deliveries| with_slots(lane, context, deliveries));
            LaneEvent::RunBegun { epoch, run, deliveries }
        }
        RunRequest::More(at, limit) => {
            let deliveries = queue.claim(claim(at, limit)).await?;
            LaneEvent::RunClaimed { epoch, deliveries: with_slots(lane, context, deliveries) }
        }
    })
}

async fn put_back(lane: &Lane, context: &Context, deliveries: Vec<Leased>) -> Done {
    let leases = deliveries.iter().map(Leased::lease).collect();
    match context.store.queue.put_back(leases).await {
        Ok(()) => Done::PutBack,
        Err(error) => {
            tracing::error!(channel = &*lane.name, %error, "deliveries could not be put back, trying again");
            tokio::time::sleep(STORE_RETRY).await;
            Done::Event(LaneEvent::NotPutBack(deliveries))
        }
    }
}
