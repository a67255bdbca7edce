//! What every lane works with: the store, the clock, and what attempts are made with.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::{Attempt, DeliveryId, Event, EventId, Origin, Subject, Tenure, Timestamp};
use crate::routing::LaneMemory;
use crate::store::{Cause, ChannelState, Replica, Store, StoreError};
use crate::telemetry::spans::Tracer;

use super::deps::Deps;
use super::lane::Lane;

/// What every lane works with.
pub(super) struct Context {
    pub(super) store: Store,
    pub(super) deps: Deps,
    pub(super) memory: Arc<LaneMemory>,
    pub(super) replica: Replica,
    /// How long this replica may act on what it holds.
    pub(super) tenure: Tenure,
    /// The stop's first stage: nothing starts any more.
    pub(super) soft: CancellationToken,
    /// Its second stage: what is under way is cut off.
    pub(super) hard: CancellationToken,
    /// Attempts under way.
    pub(super) tasks: TaskTracker,
    pub(super) random: Mutex<fastrand::Rng>,
    pub(super) begun: Instant,
    /// What has failed for good: the service is not ready any more.
    pub(super) failure: OnceLock<&'static str>,
    pub(super) tracer: Tracer,
}

impl Deref for Context {
    type Target = Deps;

    fn deref(&self) -> &Deps {
        &self.deps
    }
}

impl Context {
    /// A random number from 0 to 1.
    pub(super) fn random(&self) -> f64 {
        self.random.lock().f64()
    }

    /// Something has failed that only a restart mends.
    pub(super) fn fail(&self, what: &'static str) {
        if self.failure.set(what).is_ok() {
            tracing::error!(what, "delivery is impaired: the service is not ready until a restart");
        }
    }

    /// Disables a channel because of an attempt: its deliveries stay pending until `/resume`.
    pub(super) async fn disable(&self, lane: &Lane, delivery: DeliveryId, attempt: &Attempt, why: &str) {
        if lane.state() == ChannelState::Disabled {
            return;
        }
        let (channel, code) = (&lane.name, attempt.code);
        tracing::error!(channel = &**channel, %delivery, code = code.as_i32(), "channel disabled: {why}; resume the channel once its receiver accepts deliveries again");
        let data = serde_json::json!({ "channel": &**channel, "delivery_id": delivery, "code": code, "reason": why });
        let cause = Cause { reason: Some(Arc::from(why)), ..self.clock.now().into() };
        if let Err(error) =
            self.change_state(lane, ChannelState::Disabled, cause, Some(("channel.disabled", data))).await
        {
            tracing::error!(channel = &**channel, %error, "the channel is disabled until the next restart only");
            self.memory.set_open(channel, false);
            lane.set_state(ChannelState::Disabled, false);
        }
    }

    /// Changes a channel's state: in the store first, with the event about it in one commit, then in the lane. Changes of one
    /// channel take effect in the order in which they are stored. Once this returns nothing starts that the state forbids.
    pub(super) async fn change_state(
        &self,
        lane: &Lane,
        state: ChannelState,
        cause: Cause,
        event: Option<(&str, serde_json::Value)>,
    ) -> Result<(), StoreError> {
        let channel = &lane.name;
        let switching = lane.switching.lock().await;
        if state == ChannelState::Enabled && !lane.is_on() {
            return Ok(()); // a reload has just switched it off
        }
        let deliveries = match event {
            Some((kind, data)) if self.router().wants(kind) => {
                let now = self.clock.now();
                let event = self.own_event(kind, channel, &data, now);
                self.router().plan(&event, now, now).deliveries
            }
            _ => Vec::new(),
        };
        self.store.queue.set_channel_state(Arc::clone(channel), state, cause, deliveries).await?;
        self.memory.set_open(channel, state == ChannelState::Enabled && !self.soft.is_cancelled());
        lane.set_state(state, state == ChannelState::Enabled);
        drop(switching);
        Ok(())
    }

    /// Makes an event of the service's own.
    pub(super) fn own_event(&self, kind: &str, order_id: &str, data: &serde_json::Value, now: Timestamp) -> Arc<Event> {
        let id: EventId = self.ids.next();
        let subject = Subject {
            origin: Origin::Event(id),
            order_id: order_id.to_owned(),
            kind: kind.to_owned(),
            received_at: now,
            chain: None,
            body: data.to_string().into(),
            arrival: None,
        };
        self.tracer.event(&subject, now);
        Arc::new(Event {
            id,
            kind: Arc::from(kind),
            at: now,
            subject: Arc::new(subject),
            context: Arc::from("{}"),
            step: None,
            steps: Arc::default(),
        })
    }
}
