//! What goes out.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Row;

use super::connections::Connections;
use super::news::Sender;
use super::remove::{DropOldest, Oldest, Records, Remove, RemoveAudited};
use super::tx::Writes;
use super::{Postgres, backlog, change, claim, cluster, details, finished, partitions, record, settle};
use crate::domain::{AfterFailure, DeliveryId, OrderId, Timestamp};
use crate::store::{
    Act, BulkChanged, Cause, Change, Changed, ChannelState, Claim, DeliveryFilter, DeliverySummary, Finished, Handover,
    Happening, Heartbeat, Lease, Leased, NewDelivery, News, NextDue, Queue, Recorded, Replica, Run, StoreError,
};

/// Deliveries that one commit of a bulk change takes at most.
const BULK: usize = 1000;

/// Orders that one commit of a removal takes at most.
const REMOVE: usize = 500;

/// Entries of the audit that one commit removes at most.
const REMOVE_AUDITED: i64 = 1000;

/// How much earlier than others may take it over a replica gives up what it holds.
const MARGIN: Duration = Duration::from_secs(3);

#[async_trait]
impl Queue for Postgres {
    fn connect(&self, handover: Arc<dyn Handover>) {
        let _ = self.writes.handover.set(handover);
    }

    async fn heartbeat(&self, replica: Replica) -> Result<Heartbeat, StoreError> {
        let now = self.clock.now();
        let loan = self.loan().await?;
        let connection = loan.connection()?;
        if !self.joined.lock().contains(&replica) {
            let joined = cluster::join(connection, replica, self.size, self.ttl, now).await?;
            tracing::debug!(number = joined.0, "joined the replicas");
            self.joined.lock().push(replica);
        }
        let watermark = self.watermark();
        let time = cluster::beat(connection, replica, watermark, self.ttl, now).await?.ok_or(StoreError::Fenced)?;
        partitions::make_around(connection, now).await?;
        self.close_ended(&loan).await?;
        let alive = cluster::alive(connection).await?;
        Ok(Heartbeat { alive, lease: Some(self.ttl.saturating_sub(MARGIN)), time: Some(time) })
    }

    async fn retire(&self, replica: Replica, cleanly: bool) -> Result<(), StoreError> {
        cluster::retire(self.loan().await?.connection()?, replica, cleanly).await
    }

    async fn release_expired(&self, _: Replica) -> Result<u64, StoreError> {
        let mut released = 0;
        while let Some((freed, waiting)) = self.write(cluster::Reap).await? {
            released += freed;
            self.tell(waiting);
        }
        Ok(released)
    }

    async fn own_channels(&self, replica: Replica, channels: Vec<Arc<str>>) -> Result<Vec<Arc<str>>, StoreError> {
        let owned = self.write(settle::OwnChannels { replica, channels: channels.clone() }).await?;
        Ok(channels.into_iter().filter(|channel| owned.iter().any(|name| **name == **channel)).collect())
    }

    fn publish(&self, news: News) {
        self.news.send(news);
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<Leased>, StoreError> {
        let (writes, connections, news) = (Arc::clone(&self.writes), Arc::clone(&self.connections), self.news.clone());
        let (sent, claimed) = tokio::sync::oneshot::channel();
        self.handle.spawn(async move {
            let work = claim::ClaimDue(claim.clone());
            let rows = writes.run(&work).await;
            let read = read_claimed(&writes, &connections, &news, &claim, rows.map(Some)).await;
            give(&writes, &news, sent, read).await;
        });
        let (leased, suspects) = claimed.await.map_err(|_| StoreError::Closed)??.unwrap_or_default();
        self.suspects.lock().extend(suspects);
        Ok(leased)
    }

    async fn begin_run(&self, run: Run, claim: Claim) -> Result<Option<Vec<Leased>>, StoreError> {
        let (writes, connections, news) = (Arc::clone(&self.writes), Arc::clone(&self.connections), self.news.clone());
        let (sent, claimed) = tokio::sync::oneshot::channel();
        self.handle.spawn(async move {
            let work = claim::BeginRun { run, claim: claim.clone() };
            let rows = writes.run(&work).await;
            let read = read_claimed(&writes, &connections, &news, &claim, rows).await;
            give(&writes, &news, sent, read).await;
        });
        let Some((leased, suspects)) = claimed.await.map_err(|_| StoreError::Closed)?? else { return Ok(None) };
        self.suspects.lock().extend(suspects);
        Ok(Some(leased))
    }

    async fn last_run(&self, channel: Arc<str>, or: Timestamp) -> Result<Timestamp, StoreError> {
        self.write(claim::LastRun { channel, or }).await
    }

    async fn next_due(&self, channel: Arc<str>) -> Result<NextDue, StoreError> {
        backlog::next_due(&self.loan().await?, &channel).await
    }

    async fn record(&self, finished: Arc<Vec<Finished>>) -> Result<Vec<Recorded>, StoreError> {
        let told = self.feed.is_watched().then(|| Arc::clone(&finished));
        let writes = Arc::clone(&self.writes);
        let outcome = self.finish(async move {
            let work = record::Record(finished);
            let outcome = writes.run(&work).await?;
            writes.tracker.close(outcome.closed.iter().copied());
            Ok((outcome.recorded, outcome.waiting))
        });
        let (recorded, waiting) = outcome.await?;
        self.tell(waiting);
        if let Some(finished) = told {
            self.show(&finished, &recorded).await;
        }
        Ok(recorded)
    }

    async fn put_back(&self, leases: Vec<Lease>) -> Result<(), StoreError> {
        let (writes, news) = (Arc::clone(&self.writes), self.news.clone());
        self.finish(async move { put_back(&writes, &news, leases).await }).await
    }

    async fn insert(&self, deliveries: Vec<NewDelivery>) -> Result<(), StoreError> {
        let waiting = self.write(settle::Insert(deliveries)).await?;
        self.tell(waiting);
        Ok(())
    }

    async fn change(&self, delivery: DeliveryId, change: Change, cause: Cause) -> Result<Option<Changed>, StoreError> {
        let (changed, waiting) = self.write(change::ChangeOne { delivery, change, cause: cause.clone() }).await?;
        self.tell(waiting);
        if let Some(Changed::Done(status, channel, lease)) = &changed {
            match change {
                Change::Retry => self.news.send(News::Hastened(Arc::clone(channel), delivery)),
                Change::Cancel => {
                    self.writes.tracker.close([delivery.sequence()]);
                    self.news.send(News::Cancelled(Arc::clone(channel), delivery, *lease));
                }
                Change::Accept | Change::Fail => {}
            }
            let (channel, status) = (Arc::clone(channel), *status);
            self.feed.tell(Happening::Delivery { delivery, channel, act: change, status, cause });
        }
        Ok(changed)
    }

    async fn change_all(
        &self,
        filter: DeliveryFilter,
        change: Change,
        cause: Cause,
        dry_run: bool,
    ) -> Result<BulkChanged, StoreError> {
        self.change_matching(filter, change, cause, dry_run, None).await
    }

    async fn change_all_watched(
        &self,
        filter: DeliveryFilter,
        change: Change,
        cause: Cause,
        done: Arc<AtomicU64>,
    ) -> Result<BulkChanged, StoreError> {
        self.change_matching(filter, change, cause, false, Some(&done)).await
    }

    async fn remove_finished(&self, before: Timestamp) -> Result<u64, StoreError> {
        let before = OrderId::sequence_at(before);
        let (mut removed, mut after) = (0, -1);
        while let Some(oldest) = self.write(DropOldest { after, before }).await? {
            match oldest {
                Oldest::Dropped { first, records } => (removed, after) = (removed + records, first),
                Oldest::Open { first } => after = first,
            }
        }
        for records in [Records::Orders, Records::Events] {
            let mut after = 0;
            loop {
                let (keys, next) = finished::find_finished(&self.loan().await?, records, after, before).await?;
                for keys in keys.chunks(REMOVE) {
                    removed += self.write(Remove { records, keys: keys.to_vec() }).await?;
                }
                let Some(next) = next else { break };
                after = next;
            }
        }
        Ok(removed)
    }

    async fn set_channel_state(
        &self,
        channel: Arc<str>,
        state: ChannelState,
        cause: Cause,
        deliveries: Vec<NewDelivery>,
    ) -> Result<(), StoreError> {
        let work = settle::SetChannelState { channel: Arc::clone(&channel), state, cause: cause.clone(), deliveries };
        let waiting = self.write(work).await?;
        self.tell(waiting);
        self.news.send(News::State(Arc::clone(&channel), state));
        self.feed.tell(Happening::Channel { channel, state, cause });
        Ok(())
    }

    async fn move_pending(&self, from: Arc<str>, to: Arc<str>, cause: Cause) -> Result<u64, StoreError> {
        let mut moved = 0;
        loop {
            let work = claim::Move { from: Arc::clone(&from), to: Arc::clone(&to), cause: cause.clone() };
            let group = self.write(work).await?;
            moved += group;
            if group < claim::GROUP {
                self.tell(vec![(to, cause.at)]);
                return Ok(moved);
            }
        }
    }

    async fn set_ordering(&self, channel: Arc<str>, after_failure: Option<AfterFailure>) -> Result<(), StoreError> {
        loop {
            let work = settle::SetOrdering { channel: Arc::clone(&channel), after_failure, limit: BULK };
            let (group, waiting) = self.write(work).await?;
            self.tell(waiting);
            if group < BULK {
                return Ok(());
            }
        }
    }

    async fn overdue(&self, now: Timestamp, limit: usize) -> Result<Vec<DeliverySummary>, StoreError> {
        backlog::overdue(&self.loan().await?, now, limit).await
    }

    async fn mark_late(
        &self,
        now: Timestamp,
        late: Vec<DeliveryId>,
        deliveries: Vec<NewDelivery>,
    ) -> Result<Vec<DeliveryId>, StoreError> {
        let (marked, waiting) = self.write(settle::MarkLate { now, late, deliveries }).await?;
        self.tell(waiting);
        Ok(marked)
    }

    async fn audit(&self, act: Act) -> Result<(), StoreError> {
        self.write(settle::Audit(act)).await
    }

    async fn remove_audited(&self, before: Timestamp) -> Result<u64, StoreError> {
        let before = DeliveryId::sequence_at(before);
        let mut removed = 0;
        loop {
            let group = self.write(RemoveAudited { before, limit: REMOVE_AUDITED }).await?;
            removed += group;
            if i64::try_from(group).unwrap_or(i64::MAX) < REMOVE_AUDITED {
                return Ok(removed);
            }
        }
    }

    async fn keep_health(&self, health: Vec<(Arc<str>, String)>) -> Result<(), StoreError> {
        if health.is_empty() {
            return Ok(());
        }
        self.write(settle::KeepHealth(health)).await
    }

    async fn health(&self) -> Result<Vec<(Arc<str>, String)>, StoreError> {
        backlog::health(&self.loan().await?).await
    }

    fn crashes(&self, delivery: DeliveryId) -> u32 {
        self.suspects.lock().get(&delivery).copied().unwrap_or(0)
    }

    async fn begin_suspect(&self, delivery: DeliveryId) -> Result<(), StoreError> {
        self.write(settle::Suspect { delivery, begun: true }).await
    }

    async fn clear_suspect(&self, delivery: DeliveryId) -> Result<(), StoreError> {
        self.suspects.lock().remove(&delivery);
        self.write(settle::Suspect { delivery, begun: false }).await
    }

    async fn channel_states(&self) -> Result<Vec<(Arc<str>, ChannelState)>, StoreError> {
        backlog::channel_states(&self.loan().await?).await
    }

    async fn secret(&self) -> Result<[u8; 32], StoreError> {
        backlog::secret(&self.loan().await?).await
    }

    async fn close(&self) {
        self.connections.close();
    }
}

/// What was claimed, with what is known of crashes; `None`: the run on record is another one.
type Given = Result<Option<claim::Claimed>, StoreError>;

/// Reads what was claimed; what cannot be read now goes back.
async fn read_claimed(
    writes: &Arc<Writes>,
    connections: &Arc<Connections>,
    news: &Sender,
    claim: &Claim,
    rows: Result<Option<Vec<Row>>, StoreError>,
) -> Given {
    let Some(rows) = rows? else { return Ok(None) };
    if rows.is_empty() {
        return Ok(Some((Vec::new(), Vec::new())));
    }
    let read = async { claim::read_all(&connections.get().await?, claim, &rows).await };
    match read.await {
        Ok(claimed) => Ok(Some(claimed)),
        Err(error) => {
            put_back(writes, news, claim::leases(&rows)?).await?;
            Err(error)
        }
    }
}

/// Gives what was claimed to its caller; where that has gone away, it goes back.
async fn give(writes: &Arc<Writes>, news: &Sender, caller: tokio::sync::oneshot::Sender<Given>, given: Given) {
    if let Err(Ok(Some((leased, _)))) = caller.send(given)
        && !leased.is_empty()
        && let Err(error) = put_back(writes, news, leased.iter().map(Leased::lease).collect()).await
    {
        tracing::error!(%error, "deliveries that nobody waits for stay leased until this replica ends");
    }
}

async fn put_back(writes: &Arc<Writes>, news: &Sender, leases: Vec<Lease>) -> Result<(), StoreError> {
    if leases.is_empty() {
        return Ok(());
    }
    let keys: Vec<i64> = leases.iter().map(|lease| lease.delivery.sequence()).collect();
    let waiting = writes.run(&claim::PutBack(leases)).await?;
    writes.tracker.close(keys);
    // Lanes of this process have just put them back: only others are to know.
    news.waiting(waiting);
    Ok(())
}

impl Postgres {
    /// Shows attempts that were recorded to those who watch.
    async fn show(&self, finished: &[Finished], recorded: &[Recorded]) {
        let done = finished.iter().zip(recorded).filter(|(_, recorded)| **recorded == Recorded::Done);
        let done: Vec<&Finished> = done.map(|(one, _)| one).collect();
        let keys: Vec<i64> = done.iter().map(|one| one.lease.delivery.sequence()).collect();
        let read = async { details::summaries(&self.loan().await?, &keys).await };
        match read.await {
            Ok(found) => done.into_iter().zip(found).for_each(|(one, delivery)| self.feed.attempted(one, delivery)),
            Err(error) => tracing::debug!(%error, "attempts are not shown to watchers"),
        }
    }

    /// Forgets deliveries that were born here and have a row in `states` by now, or an attempt: others have changed them.
    async fn close_ended(&self, loan: &super::connections::Loan) -> Result<(), StoreError> {
        let oldest = self.writes.tracker.oldest(OrderId::sequence_at(self.clock.now().before(super::SLACK)));
        if oldest.is_empty() {
            return Ok(());
        }
        let rows = loan.query("SELECT delivery FROM states WHERE delivery = ANY ($1)", &[&oldest]).await?;
        let gone: Vec<i64> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        self.writes.tracker.close(gone);
        Ok(())
    }
}
