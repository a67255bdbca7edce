//! A lane as the rest of the service holds it: messages go to its task, what can be seen of it is read here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::{Mutex, MutexGuard};

use crate::domain::{Attempt, Outcome, Timestamp};
use crate::store::ChannelState;
use crate::telemetry::metrics::ChannelMetrics;

use super::super::health::{Health, Record, Turn};
use super::super::sender::ChannelSender;
use super::super::stats::{Minutes, Rates};
use super::events::{LaneEvent, LaneSettings, LaneView};
use super::mailbox::Mailbox;
use super::share::Share;
use super::workers::Workers;

/// A channel's lane.
pub(in crate::delivery) struct Lane {
    pub(in crate::delivery) name: Arc<str>,
    pub(in crate::delivery) metrics: ChannelMetrics,
    pub(in crate::delivery) workers: Workers,
    pub(super) mailbox: Mailbox,
    /// What an attempt that starts now is made with; none once the channel is no longer configured.
    sender: ArcSwapOption<ChannelSender>,
    state: AtomicU8,
    view: Mutex<LaneView>,
    /// How it has fared.
    record: Mutex<Record>,
    share: Mutex<Share>,
    /// Held while the state changes, so that changes are stored in the order in which they take effect.
    pub(in crate::delivery) switching: tokio::sync::Mutex<()>,
}

impl Lane {
    /// A lane without a task yet, of a channel that is switched off.
    pub(in crate::delivery) fn new(name: &Arc<str>, metrics: ChannelMetrics, workers: Workers, record: Record) -> Self {
        Self {
            name: Arc::clone(name),
            metrics,
            workers,
            mailbox: Mailbox::default(),
            sender: ArcSwapOption::empty(),
            state: AtomicU8::new(ChannelState::Disabled as u8),
            view: Mutex::default(),
            record: Mutex::new(record),
            share: Mutex::default(),
            switching: tokio::sync::Mutex::new(()),
        }
    }

    /// Tells the lane what has happened.
    pub(in crate::delivery) fn post(&self, event: LaneEvent) {
        self.mailbox.post(event);
    }

    /// Waits until everything told before has taken effect.
    pub(in crate::delivery) async fn settle(&self) {
        self.mailbox.settle().await;
    }

    /// Makes further attempts with `sender`; those under way end as they began.
    pub(in crate::delivery) fn configure(&self, sender: ChannelSender) {
        let channel = &sender.channel;
        let settings = LaneSettings {
            concurrency: channel.concurrency,
            schedule: channel.schedule.clone(),
            rate_limit: channel.holding.rate_limit,
            breaker: channel.holding.breaker,
        };
        self.sender.store(Some(Arc::new(sender)));
        self.post(LaneEvent::Configure(Some(settings)));
    }

    /// Sets this replica's share of the channel. Returns whether it is any.
    pub(in crate::delivery) fn set_share(&self, share: Share) -> bool {
        let before = std::mem::replace(&mut *self.share.lock(), share);
        if before != share {
            self.post(LaneEvent::Share(share));
        }
        self.sender().is_some_and(|sender| {
            let channel = &sender.channel;
            share.attempts(channel.concurrency, channel.holding.rate_limit.is_some()) > 0
        })
    }

    /// Sets the bytes that the lane may hold.
    pub(in crate::delivery) fn set_memory(&self, bytes: usize) {
        self.post(LaneEvent::SetMemory(bytes));
    }

    /// Starts nothing any more: the channel is no longer configured. The lane gives back what it holds.
    pub(in crate::delivery) fn retire(&self) {
        self.set_state(ChannelState::Disabled, false);
        self.sender.store(None);
        self.post(LaneEvent::Configure(None));
    }

    /// Whether its channel is configured, and not switched off there.
    pub(in crate::delivery) fn is_on(&self) -> bool {
        self.sender.load().as_ref().is_some_and(|sender| sender.channel.enabled)
    }

    /// What an attempt that starts now is made with.
    pub(in crate::delivery) fn sender(&self) -> Option<Arc<ChannelSender>> {
        self.sender.load_full()
    }

    /// Whether attempts that start now are made with that.
    pub(in crate::delivery) fn uses(&self, sender: &Arc<ChannelSender>) -> bool {
        self.sender.load().as_ref().is_some_and(|now| Arc::ptr_eq(now, sender))
    }

    pub(in crate::delivery) fn state(&self) -> ChannelState {
        let state = self.state.load(Ordering::Acquire);
        ChannelState::ALL.iter().copied().find(|other| *other as u8 == state).unwrap_or(ChannelState::Enabled)
    }

    /// Changes the state. `gently`: attempts start slowly at first.
    pub(in crate::delivery) fn set_state(&self, state: ChannelState, gently: bool) {
        self.state.store(state as u8, Ordering::Release);
        self.post(LaneEvent::SetState { state, gently });
    }

    /// How it looks; a moment ago.
    pub(in crate::delivery) fn view(&self) -> LaneView {
        lock(&self.view).clone()
    }

    pub(super) fn show(&self, view: LaneView) {
        *lock(&self.view) = view;
    }

    pub(in crate::delivery) fn rates(&self, now: Timestamp) -> Rates {
        lock(&self.record).hour.rates(now)
    }

    /// How it has fared in each of the last sixty minutes.
    pub(in crate::delivery) fn minutes(&self, now: Timestamp) -> Minutes {
        lock(&self.record).hour.minutes(now)
    }

    /// How its receiver fares.
    pub(in crate::delivery) fn health(&self) -> Health {
        lock(&self.record).health.clone()
    }

    /// The record to be kept, where it has changed since the last time.
    pub(in crate::delivery) fn take_changed(&self) -> Option<String> {
        lock(&self.record).take_changed()
    }

    /// The store did not take the record: it is to be kept next time.
    pub(in crate::delivery) fn not_kept(&self) {
        lock(&self.record).changed = true;
    }

    /// The wall clock was set back by so much.
    pub(in crate::delivery) fn set_back(&self, by: Duration) {
        lock(&self.record).health.set_back(by);
    }

    /// Counts an attempt that has ended. Returns what it changes about how the receiver fares.
    pub(in crate::delivery) fn attempted(&self, now: Timestamp, attempt: &Attempt, took: Duration) -> Option<Turn> {
        let success = matches!(attempt.outcome, Outcome::Accepted | Outcome::Dispatched);
        self.metrics.attempt(attempt.outcome, took);
        let mut record = lock(&self.record);
        record.changed = true;
        record.hour.add(now, success, attempt.duration_ms);
        record.health.attempted(now, attempt)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}
