//! The trait of what goes out: deliveries are claimed, attempted, changed and removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::{
    Act, BulkChanged, Cause, Change, Changed, ChannelState, Claim, DeliveryFilter, DeliverySummary, Finished,
    Heartbeat, Lease, Leased, NewDelivery, News, NextDue, Recorded, Replica, Run, StoreError,
};
use crate::domain::{AfterFailure, DeliveryId, Timestamp};

/// Takes deliveries that have just become durable and belong to this replica, in the order in which they did.
/// Called from the store's writer: must not block.
pub trait Handover: Send + Sync {
    /// Takes them.
    fn hand_over(&self, deliveries: Vec<Leased>);

    /// A delivery of that channel has just become durable that belongs to nobody and is due at `due_at`.
    fn waiting(&self, channel: &str, due_at: Timestamp);

    /// Another replica has changed something.
    fn news(&self, _news: News) {}
}

/// Deliveries, on their way.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Sets the receiver of new deliveries that have a slot. Until then they are inserted as waiting.
    fn connect(&self, handover: Arc<dyn Handover>);

    /// Shows that a replica is alive, and goes on living by being called again. [`StoreError::Fenced`]: it was declared dead, and
    /// what it held belongs to others.
    async fn heartbeat(&self, replica: Replica) -> Result<Heartbeat, StoreError>;

    /// Has a replica that has stopped, or is to be given up, count as dead from now on. `cleanly`: nothing was under way.
    async fn retire(&self, replica: Replica, cleanly: bool) -> Result<(), StoreError>;

    /// Frees the orders and deliveries of replicas that have been silent past their time, whatever clock tells so; never those of
    /// the caller, which is alive. Returns how many.
    async fn release_expired(&self, caller: Replica) -> Result<u64, StoreError>;

    /// Asks to be the only replica that delivers for each of these channels, and gives up the others. Returns those that it is
    /// for, until it dies.
    async fn own_channels(&self, _replica: Replica, channels: Vec<Arc<str>>) -> Result<Vec<Arc<str>>, StoreError> {
        Ok(channels)
    }

    /// The wall clock of this process was set back by so much, and shows `now`: moves what is due or promised after that to as
    /// much earlier. Nothing to do for a store whose due times follow another clock.
    async fn set_back(&self, _now: Timestamp, _by: Duration) -> Result<(), StoreError> {
        Ok(())
    }

    /// When the store was last in use before this process opened it, as far as it knows; by a few seconds it may have been earlier.
    fn last_used(&self) -> Option<Timestamp> {
        None
    }

    /// Lets the lanes of other replicas know something.
    fn publish(&self, _news: News) {}

    /// Takes deliveries of a channel that are due at `now` and belong to nobody, the longest due first; they now
    /// belong to `replica`. At most `limit`, and no more than `max_bytes` of order bodies but for the first.
    async fn claim(&self, claim: Claim) -> Result<Vec<Leased>, StoreError>;

    /// The same as a run of the channel's schedule begins, which goes on record in the same commit: so it begins once,
    /// whatever becomes of the process. `Ok(None)`: the last run on record is another one, and nothing is taken.
    async fn begin_run(&self, run: Run, claim: Claim) -> Result<Option<Vec<Leased>>, StoreError>;

    /// When the last run of a channel's schedule began. Where none is on record, `or` goes on record as one.
    async fn last_run(&self, channel: Arc<str>, or: Timestamp) -> Result<Timestamp, StoreError>;

    /// When the next waiting delivery of a channel is due, first attempts and retries apart.
    async fn next_due(&self, channel: Arc<str>) -> Result<NextDue, StoreError>;

    /// Records attempts and what becomes of their deliveries, all in one commit; answers for each, in order.
    /// A result under an older lease than the delivery's is fenced: its attempt is kept in the history, the delivery is left
    /// alone (but for its count of attempts, where it has ended: a further round does not give the number away). An
    /// attempt whose number is taken gets the next free one.
    async fn record(&self, finished: Arc<Vec<Finished>>) -> Result<Vec<Recorded>, StoreError>;

    /// Puts deliveries back as waiting, as they were, without an attempt (a stop, a paused or removed channel).
    /// Those whose lease has an older number are left alone.
    async fn put_back(&self, leases: Vec<Lease>) -> Result<(), StoreError>;

    /// Makes deliveries durable that belong to no new order: the product's own events. They wait in the store, and
    /// slots are given back. A one-off that its channel had before is left out, here and in [`Queue::record`].
    async fn insert(&self, deliveries: Vec<NewDelivery>) -> Result<(), StoreError>;

    /// Ends, settles or restarts one delivery. `Ok(None)`: there is none of that id.
    async fn change(&self, delivery: DeliveryId, change: Change, cause: Cause) -> Result<Option<Changed>, StoreError>;

    /// Changes every delivery that the filter takes and the change allows, in groups of commits. With `dry_run` it
    /// changes nothing, counts them and shows the newest three.
    async fn change_all(
        &self,
        filter: DeliveryFilter,
        change: Change,
        cause: Cause,
        dry_run: bool,
    ) -> Result<BulkChanged, StoreError>;

    /// The same, and adds the deliveries of each group to `done` once it is committed.
    async fn change_all_watched(
        &self,
        filter: DeliveryFilter,
        change: Change,
        cause: Cause,
        done: Arc<AtomicU64>,
    ) -> Result<BulkChanged, StoreError> {
        let changed = self.change_all(filter, change, cause, false).await?;
        done.fetch_add(changed.count, Ordering::Relaxed);
        Ok(changed)
    }

    /// Removes finished orders and events that came in before `before` and have no open delivery, and their
    /// deliveries with them, in groups. Returns how many orders and events.
    async fn remove_finished(&self, before: Timestamp) -> Result<u64, StoreError>;

    /// Keeps a channel's run-time state, and its cause unless the state is `enabled`, in one commit with the deliveries of the
    /// event that goes with it; their slots are given back.
    async fn set_channel_state(
        &self,
        channel: Arc<str>,
        state: ChannelState,
        cause: Cause,
        deliveries: Vec<NewDelivery>,
    ) -> Result<(), StoreError>;

    /// Makes deliveries go by what a channel's `ordering` has become: with `None` all leave the lines of their keys, with
    /// [`AfterFailure::Continue`] those whose failure holds a key. Others are not concerned.
    async fn set_ordering(&self, channel: Arc<str>, after_failure: Option<AfterFailure>) -> Result<(), StoreError>;

    /// Returns up to `limit` deliveries that have broken their channel's promise and are not marked as late yet, the longest
    /// overdue first.
    async fn overdue(&self, now: Timestamp, limit: usize) -> Result<Vec<DeliverySummary>, StoreError>;

    /// Marks deliveries as late and inserts the deliveries of the events about that, in one commit, each once: where another
    /// call has marked one of them meanwhile, nothing is inserted. Returns those that this call has marked.
    async fn mark_late(
        &self,
        now: Timestamp,
        late: Vec<DeliveryId>,
        deliveries: Vec<NewDelivery>,
    ) -> Result<Vec<DeliveryId>, StoreError>;

    /// Gives the pending deliveries of a channel that belong to no replica to another channel. Returns how many.
    async fn move_pending(&self, from: Arc<str>, to: Arc<str>, cause: Cause) -> Result<u64, StoreError>;

    /// Keeps a change that a caller made, as of now. A store for one run need not.
    async fn audit(&self, _act: Act) -> Result<(), StoreError> {
        Ok(())
    }

    /// Removes what [`Queue::audit`] kept before that time. Returns how many.
    async fn remove_audited(&self, _before: Timestamp) -> Result<u64, StoreError> {
        Ok(0)
    }

    /// Keeps how channels fare, each as a text of the lanes' own. A store for one run need not.
    async fn keep_health(&self, _health: Vec<(Arc<str>, String)>) -> Result<(), StoreError> {
        Ok(())
    }

    /// Returns what was last kept of how channels fare.
    async fn health(&self) -> Result<Vec<(Arc<str>, String)>, StoreError> {
        Ok(Vec::new())
    }

    /// Returns at how many ends of the process, none of which closed the store, a delivery was under way without an attempt that
    /// ended since. Reads no file. A store for one run knows of none.
    fn crashes(&self, _delivery: DeliveryId) -> u32 {
        0
    }

    /// Marks that an attempt of a delivery begins that was under way when the process died.
    async fn begin_suspect(&self, _delivery: DeliveryId) -> Result<(), StoreError> {
        Ok(())
    }

    /// Marks that the attempt has ended, whatever it came to: the delivery is no longer counted.
    async fn clear_suspect(&self, _delivery: DeliveryId) -> Result<(), StoreError> {
        Ok(())
    }

    /// The states kept, of channels that are not simply enabled.
    async fn channel_states(&self) -> Result<Vec<(Arc<str>, ChannelState)>, StoreError>;

    /// Random bytes that were made with the store and never change: the same for every replica and after every
    /// start. What is derived from them is in no other store.
    async fn secret(&self) -> Result<[u8; 32], StoreError>;

    /// Finishes what was asked for so far, and gives the store up: every further call answers
    /// [`StoreError::Closed`]. A store with nothing of its own to finish need not do anything.
    async fn close(&self) {}
}
