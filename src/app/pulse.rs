//! The pulse of this replica: shows that it lives, takes over what the dead have left, and ends its tenure where it cannot.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::{Clock, CorrectedClock, Setbacks};
use crate::store::StoreError;

use super::generation::Base;
use super::reload::Service;

/// How often a replica shows that it lives, and looks for the work of those that do not.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// The same where others wait for it.
const AMONG_OTHERS: Duration = Duration::from_secs(3);

/// A clock that is further off the store's is warned of.
const OFF: i64 = 1000;

/// Shows that this replica lives, and takes up interrupted chains, until the service stops, or the replica can no longer be sure of
/// what it holds: then `lost` is cancelled.
pub(super) async fn pulse(service: Arc<Service>, clock: CorrectedClock, lost: CancellationToken) {
    let Service { base, soft, lanes, .. } = &*service;
    let mut until: Option<Duration> = base.lease_until;
    let mut warned = false;
    let mut setbacks = Setbacks::new(base.clock.both());
    let mut behind = Duration::ZERO;
    while !soft.is_cancelled() {
        let (now, begun) = base.clock.both();
        if let Some(by) = setbacks.look((now, begun)) {
            tracing::warn!(?by, "the wall clock was set back: what is due keeps its pace");
            behind += by;
        }
        if !behind.is_zero() {
            match lanes.set_back(now, behind).await {
                Ok(()) => behind = Duration::ZERO,
                Err(error) => tracing::error!(%error, "due times could not follow the wall clock, trying again"),
            }
        }
        let left = until.map(|until| until.saturating_sub(begun));
        let beat = beat(&service, &clock, &mut warned);
        let beaten = match left {
            // A store that does not answer is as good as gone.
            Some(left) => tokio::time::timeout(left, beat)
                .await
                .unwrap_or_else(|_| Err(StoreError::Unavailable("it does not answer".to_owned()))),
            None => beat.await,
        };
        match beaten {
            Ok(lease) => {
                until = lease.map(|lease| begun + lease);
                base.tenure.extend(until);
            }
            Err(StoreError::Fenced) => {
                tracing::error!("another replica has declared this one dead: it gives up what it held and starts over");
                return lost.cancel();
            }
            Err(error) => tracing::error!(%error, "the heartbeat could not be stored, trying again"),
        }
        if until.is_some() && !base.tenure.holds() {
            tracing::error!(
                "the store did not take a heartbeat for too long: this replica stops delivering until the store is back, then starts over"
            );
            return lost.cancel();
        }
        let rest = match until {
            Some(until) => AMONG_OTHERS.min(until.saturating_sub(base.clock.elapsed())),
            None => HEARTBEAT,
        };
        let next = base.clock.elapsed() + rest;
        loop {
            let intake = Arc::clone(&service.current.load().intake);
            tokio::select! {
                () = sleep(&base.clock, next, soft) => break,
                () = lanes.missed() => break,
                () = intake.freed() => if let Err(error) = intake.resume().await {
                    tracing::error!(%error, "orders could not be resumed, trying again");
                    break sleep(&base.clock, next, soft).await;
                }
            }
        }
    }
}

/// One beat; returns how long from before it what this replica holds is safe.
async fn beat(service: &Service, clock: &CorrectedClock, warned: &mut bool) -> Result<Option<Duration>, StoreError> {
    let Base { store, replica, .. } = &service.base;
    let lanes = &service.lanes;
    let heartbeat = store.queue.heartbeat(*replica).await?;
    if let Some(ahead) = heartbeat.time.and_then(|time| clock.set(time))
        && ahead.abs() > OFF
        && !std::mem::replace(warned, true)
    {
        tracing::warn!(
            milliseconds = -ahead,
            "the clock of this machine is off the store's, which holds: synchronize both"
        );
    }
    if heartbeat.lease.is_some() {
        lanes.share_out(&heartbeat.alive).await?;
        lanes.follow_states().await?;
    }
    lanes.store_orderings().await;
    lanes.keep_health().await?;
    let freed = store.queue.release_expired(*replica).await?;
    if freed > 0 {
        tracing::warn!(freed, "took over the work of a replica that has been silent");
    }
    let intake = Arc::clone(&service.current.load().intake);
    intake.resume().await?;
    Ok(heartbeat.lease)
}

/// Waits until then by the monotonic clock, or the stop.
pub(super) async fn sleep(clock: &Arc<dyn Clock>, until: Duration, soft: &CancellationToken) {
    tokio::select! {
        () = clock.sleep_until(until) => {}
        () = soft.cancelled() => {}
    }
}
