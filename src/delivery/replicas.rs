//! The lanes as one replica's among others: what is theirs alone, and what others have changed.

use std::sync::Arc;

use crate::domain::Timestamp;
use crate::store::{ChannelState, Lease, News, Replica, StoreError};

use super::lane::{LaneEvent, Share};
use super::lanes::Lanes;

impl Lanes {
    /// Shares the channels out among the replicas that are alive. Those whose pace one replica keeps are asked for.
    pub async fn share_out(&self, alive: &[Replica]) -> Result<(), StoreError> {
        let context = &self.context;
        let place = alive.iter().position(|replica| *replica == context.replica).unwrap_or(0);
        let known = self.known.load_full();
        let paced = known
            .ordered()
            .filter(|lane| lane.sender().is_some_and(|sender| sender.channel.holding.rate_limit.is_some()))
            .map(|lane| Arc::clone(&lane.name));
        let asked: Vec<Arc<str>> = paced.collect();
        let owned = context.store.queue.own_channels(context.replica, asked).await?;
        for lane in known.ordered() {
            let owns = owned.iter().any(|name| *name == lane.name);
            let served = lane.set_share(Share { place, of: alive.len().max(1), owns });
            context.memory.set_served(&lane.name, served);
        }
        Ok(())
    }

    /// Takes over states that other replicas have given to channels.
    pub async fn follow_states(&self) -> Result<(), StoreError> {
        let states = self.context.store.queue.channel_states().await?;
        for lane in self.known.load_full().ordered() {
            let state = states.iter().find(|(name, _)| *name == lane.name);
            self.follow(&lane.name, state.map_or(ChannelState::Enabled, |(_, state)| *state));
        }
        Ok(())
    }

    /// The store has that state for a channel.
    fn follow(&self, channel: &str, state: ChannelState) {
        let Some(lane) = self.lane(channel).filter(|lane| lane.is_on() && lane.state() != state) else { return };
        // Whoever changes it here is about to say so.
        let Ok(_switching) = lane.switching.try_lock() else { return };
        let enabled = state == ChannelState::Enabled;
        self.context.memory.set_open(channel, enabled && !self.context.soft.is_cancelled());
        lane.set_state(state, enabled);
        tracing::info!(channel, state = state.as_str(), "channel state changed by another replica");
    }

    /// Another replica has changed something.
    pub(super) fn hear(&self, news: News) {
        let post = |channel: &str, event: LaneEvent| {
            if let Some(lane) = self.lane(channel) {
                lane.post(event);
            }
        };
        match news {
            News::Waiting(channel, at) => post(&channel, LaneEvent::StoreHas(Timestamp::from_millis(at))),
            News::Cancelled(channel, delivery, number) => post(&channel, LaneEvent::Forget(Lease { delivery, number })),
            News::Hastened(channel, delivery) => post(&channel, LaneEvent::Hasten(delivery)),
            News::Changed(channel) => post(&channel, LaneEvent::Recall),
            News::State(channel, state) => self.follow(&channel, state),
            News::BreakerOpened(channel, at) => {
                post(&channel, LaneEvent::Breaker(Some(Timestamp::from_millis(at))));
            }
            News::BreakerClosed(channel) => post(&channel, LaneEvent::Breaker(None)),
            News::Missed => self.missed.notify_one(),
        }
    }

    /// Waits until something may have been missed that other replicas changed.
    pub async fn missed(&self) {
        self.missed.notified().await;
    }
}
