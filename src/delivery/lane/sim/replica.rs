//! A replica's lane in the simulation: its machine, what it has been sent, and what it has under way.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::domain::DeliveryId;
use crate::store::{ChannelState, Lease, Leased};

use super::super::events::{LaneEvent, LaneSettings, Now, Ticket};
use super::super::machine::LaneMachine;
use super::store::Then;

/// An attempt under way.
pub(super) struct Attempt {
    pub(super) ticket: Ticket,
    pub(super) delivery: Leased,
    pub(super) probe_allowed: bool,
}

/// A message to a lane: an event, or a cancel's caller who waits for what came before to take effect.
pub(super) enum Message {
    Event(LaneEvent),
    Cancelled(Lease),
    Paused,
}

/// A write on its way to the store.
pub(super) enum Write {
    Claim { epoch: u64, first: usize, retries: usize },
    PutBack(Vec<Leased>),
    Record { delivery: Leased, then: Then },
}

pub(super) struct Replica {
    pub(super) number: usize,
    pub(super) machine: LaneMachine,
    pub(super) mailbox: VecDeque<Message>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) writes: Vec<Write>,
    pub(super) settings: LaneSettings,
    pub(super) state: ChannelState,
    /// Whether a pause has been answered.
    pub(super) paused: bool,
    /// The breaker, kept independently: consecutive failures, and since when it is open.
    pub(super) failures: u32,
    pub(super) opened: Option<Duration>,
    pub(super) starts: VecDeque<Duration>,
}

impl Replica {
    /// Reads the mailbox.
    pub(super) fn take_in(&mut self, now: Now, cancelled: &mut HashMap<DeliveryId, i64>) {
        while let Some(message) = self.mailbox.pop_front() {
            match message {
                Message::Event(event) => {
                    if let LaneEvent::Configure(Some(settings)) = &event {
                        self.settings = settings.clone();
                        self.starts.clear();
                    }
                    if let LaneEvent::SetState { state: ChannelState::Enabled, .. } = event {
                        (self.paused, self.failures, self.opened) = (false, 0, None);
                    }
                    self.machine.step(event, now);
                }
                Message::Cancelled(lease) => _ = cancelled.insert(lease.delivery, lease.number),
                Message::Paused => self.paused = self.state != ChannelState::Enabled,
            }
        }
    }
}
