//! What a person or a receiver does to deliveries, one or many.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{OptionalExtension, params};

use super::causes;
use super::db::{Db, Terms};
use super::handoff::Handoff;
use super::insert::{self, Insertion};
use super::job::Write;
use super::line::{self, Key};
use super::rows::{self, state};
use crate::domain::likeness::likeness;
use crate::domain::{Code, DeliveryId, DeliveryStatus, Timestamp};
use crate::store::{Cause, Change, Changed, ChannelState, NewDelivery, StoreError};

/// [`crate::store::Queue::change`].
pub(super) struct ChangeOne {
    pub(super) delivery: DeliveryId,
    pub(super) change: Change,
    pub(super) cause: Cause,
}

impl Write for ChangeOne {
    type Output = Option<Changed>;

    fn apply(&self, db: &mut Db<'_>) -> Result<Option<Changed>, StoreError> {
        let id = self.delivery.to_bytes();
        let seq = self.delivery.sequence();
        let Some(row) = find(db, seq)?.filter(|row| row.id == id) else { return Ok(None) };
        if !row.allows(self.change) {
            if row.state == state::LEASED && self.cause.is_receiver() && self.change.settles() {
                keep_early(db, seq, row.lease, self.change, &self.cause)?;
                return Ok(Some(Changed::Kept(db.channel_name(row.channel)?)));
            }
            return Ok(Some(Changed::Refused(row.status)));
        }
        let lease = apply(db, seq, &row, self.change, &self.cause)?;
        Ok(Some(Changed::Done(self.change.makes(), db.channel_name(row.channel)?, lease)))
    }
}

/// One group of [`crate::store::Queue::change_all`].
pub(super) struct ChangeSome {
    /// Keys of deliveries that the filter took when the call began.
    pub(super) keys: Vec<i64>,
    /// The statuses that the filter takes; empty: any.
    pub(super) statuses: Arc<[DeliveryStatus]>,
    pub(super) change: Change,
    pub(super) cause: Cause,
}

impl Write for ChangeSome {
    /// The numbers of their channels, and how many of each.
    type Output = HashMap<i64, u64>;

    fn apply(&self, db: &mut Db<'_>) -> Result<HashMap<i64, u64>, StoreError> {
        let mut channels = HashMap::new();
        for seq in &self.keys {
            let Some(row) = find(db, *seq)? else { continue };
            let taken = self.statuses.is_empty() || self.statuses.contains(&row.status);
            if taken && row.allows(self.change) {
                apply(db, *seq, &row, self.change, &self.cause)?;
                *channels.entry(row.channel).or_default() += 1;
            }
        }
        Ok(channels)
    }
}

struct Found {
    id: [u8; 16],
    channel: i64,
    state: i64,
    status: DeliveryStatus,
    lease: i64,
    key: Option<String>,
    in_line: bool,
}

impl Found {
    /// A failed or rejected delivery that holds its key can be settled too: that opens the key.
    fn allows(&self, change: Change) -> bool {
        let closes = self.in_line && matches!(self.status, DeliveryStatus::Failed | DeliveryStatus::Rejected);
        change.allows(self.status) || closes && matches!(change, Change::Accept | Change::Cancel)
    }
}

fn find(db: &mut Db<'_>, seq: i64) -> Result<Option<Found>, StoreError> {
    let found = db.hot.find_delivery.query_row([seq], |row| {
        let (id, channel, state) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (lease, key, in_line) = (row.get(3)?, row.get(5)?, row.get(6)?);
        Ok(Found { id, channel, state, status: DeliveryStatus::Pending, lease, key, in_line })
    });
    let Some(found) = found.optional()? else { return Ok(None) };
    Ok(Some(Found { status: rows::delivery_status(found.state, seq)?, ..found }))
}

/// Verdicts of a delivery that are kept.
const VERDICTS: i64 = 100;

/// Keeps a verdict that came before the response of the attempt under way was recorded.
fn keep_early(db: &Db<'_>, seq: i64, lease: i64, change: Change, cause: &Cause) -> Result<(), StoreError> {
    insert_verdict(db, seq, change, cause)?;
    db.conn
        .prepare_cached("UPDATE deliveries SET early_state = ?2, early_lease = ?3 WHERE seq = ?1")?
        .execute(params![seq, rows::states(change.makes()).first(), lease])?;
    Ok(())
}

/// The state that a verdict makes of a delivery, where one came before the response of an attempt under this lease
/// was recorded.
pub(super) fn early_state(db: &Db<'_>, seq: i64, lease: i64) -> Result<Option<i64>, StoreError> {
    let early = db
        .conn
        .prepare_cached("SELECT early_state FROM deliveries WHERE seq = ?1 AND early_lease = ?2")?
        .query_row(params![seq, lease], |row| row.get(0))
        .optional()?;
    Ok(early.flatten())
}

fn insert_verdict(db: &Db<'_>, seq: i64, change: Change, cause: &Cause) -> Result<(), StoreError> {
    db.conn
        .prepare_cached(
            "INSERT INTO verdicts (delivery, number, at, act, author, reason) VALUES
                (?1, (SELECT ifnull(max(number), 0) + 1 FROM verdicts WHERE delivery = ?1), ?2, ?3, ?4, ?5)",
        )?
        .execute(params![seq, cause.at.as_millis(), change.as_str(), cause.by, cause.reason])?;
    db.conn
        .prepare_cached(
            "DELETE FROM verdicts WHERE delivery = ?1
                AND number <= (SELECT max(number) FROM verdicts WHERE delivery = ?1) - ?2",
        )?
        .execute([seq, VERDICTS])?;
    Ok(())
}

/// Makes a change that is allowed. Returns the number of the delivery's lease from now on.
fn apply(db: &mut Db<'_>, seq: i64, row: &Found, change: Change, cause: &Cause) -> Result<i64, StoreError> {
    insert_verdict(db, seq, change, cause)?;
    let now = cause.at;
    if change == Change::Retry && state::is_pending(row.state) {
        db.conn
            .prepare_cached("UPDATE deliveries SET due_at = ?2 WHERE seq = ?1 AND due_at > ?2")?
            .execute([seq, now.as_millis()])?;
        return Ok(row.lease);
    }
    if change == Change::Retry {
        causes::leave(db, seq)?;
        db.conn
            .prepare_cached(
                "UPDATE deliveries SET owner = NULL, round_start = attempts, due_at = ?2, lease = lease + 1,
                    state = CASE WHEN ordering_key IS NULL THEN (attempts > 0) ELSE -1 END,
                    line = CASE WHEN ordering_key IS NULL THEN NULL ELSE 1 END WHERE seq = ?1",
            )?
            .execute([seq, now.as_millis()])?;
        db.count(row.channel, 1);
        if let Some(key) = &row.key {
            line::advance(db, Key { channel: row.channel, key })?;
        }
        return Ok(row.lease + 1);
    }
    let next = rows::states(change.makes()).first().copied().unwrap_or(state::CANCELLED);
    db.conn
        .prepare_cached(
            "UPDATE deliveries SET state = ?2, owner = NULL, updated_at = ?3, lease = lease + 1,
                promised_at = CASE WHEN ?2 = 7 OR ?3 <= promised_at AND ?2 = 3 THEN NULL ELSE promised_at END
                WHERE seq = ?1",
        )?
        .execute(params![seq, next, now.as_millis()])?;
    if next == state::FAILED {
        let said = cause.reason.as_deref().unwrap_or("marked as failed");
        let code: Option<i32> = db
            .conn
            .prepare_cached("SELECT last_code FROM deliveries WHERE seq = ?1")?
            .query_row([seq], |row| row.get(0))?;
        causes::join(db, seq, row.channel, code.map(Code::from_i32), &likeness(said), now)?;
    }
    if state::is_pending(row.state) {
        db.count(row.channel, -1);
    }
    if let Some(key) = row.key.as_ref().filter(|_| row.in_line) {
        line::leave(db, seq, Key { channel: row.channel, key })?;
    }
    Ok(row.lease + 1)
}

/// [`crate::store::Queue::insert`].
pub(super) struct Insert(pub(super) Vec<NewDelivery>);

impl Write for Insert {
    type Output = ();

    fn weight(&self) -> usize {
        self.0.iter().map(|delivery| 512 + delivery.event.subject.body.len()).sum()
    }

    fn apply(&self, db: &mut Db<'_>) -> Result<(), StoreError> {
        insert::insert_unleased(db, &self.0, Insertion { replica: None, inherited: None, listed: None })
    }

    fn hand_off(&mut self, (): &(), _: Terms, handoff: &mut Handoff) {
        handoff.wait(&self.0);
        self.0.clear();
    }
}

/// [`crate::store::Queue::set_channel_state`].
pub(super) struct SetChannelState {
    pub(super) channel: Arc<str>,
    pub(super) state: ChannelState,
    pub(super) cause: Cause,
    /// Of the event that goes with it.
    pub(super) deliveries: Vec<NewDelivery>,
}

impl Write for SetChannelState {
    type Output = ();

    fn apply(&self, db: &mut Db<'_>) -> Result<(), StoreError> {
        let channel = db.channel(&self.channel)?;
        let state = Some(self.state.as_str()).filter(|_| self.state != ChannelState::Enabled);
        let cause = state.map(|_| &self.cause);
        db.conn
            .prepare_cached(
                "UPDATE channels SET state = ?2, state_at = ?3, state_author = ?4, state_reason = ?5 WHERE id = ?1",
            )?
            .execute(params![
                channel,
                state,
                cause.map(|cause| cause.at.as_millis()),
                cause.and_then(|cause| cause.by.as_deref()),
                cause.and_then(|cause| cause.reason.as_deref()),
            ])?;
        insert::insert_unleased(db, &self.deliveries, Insertion { replica: None, inherited: None, listed: None })
    }

    fn hand_off(&mut self, (): &(), _: Terms, handoff: &mut Handoff) {
        handoff.wait(&self.deliveries);
        self.deliveries.clear();
    }
}

/// [`crate::store::Queue::mark_late`].
pub(super) struct MarkLate {
    pub(super) now: Timestamp,
    pub(super) late: Vec<DeliveryId>,
    pub(super) deliveries: Vec<NewDelivery>,
}

impl Write for MarkLate {
    /// Those that this write has marked.
    type Output = Vec<DeliveryId>;

    fn apply(&self, db: &mut Db<'_>) -> Result<Vec<DeliveryId>, StoreError> {
        let mut marked = Vec::new();
        {
            let mut mark = db.conn.prepare_cached(
                "UPDATE deliveries SET broke_promise = 1, promised_at = NULL
                    WHERE seq = ?1 AND id = ?2 AND promised_at <= ?3",
            )?;
            for id in &self.late {
                if mark.execute(params![id.sequence(), id.to_bytes(), self.now.as_millis()])? == 1 {
                    marked.push(*id);
                }
            }
        }
        if marked.len() == self.late.len() {
            insert::insert_unleased(db, &self.deliveries, Insertion { replica: None, inherited: None, listed: None })?;
        }
        Ok(marked)
    }

    fn hand_off(&mut self, marked: &Vec<DeliveryId>, _: Terms, handoff: &mut Handoff) {
        if marked.len() == self.late.len() {
            handoff.wait(&self.deliveries);
        }
        self.deliveries.clear();
    }
}

/// [`crate::store::Queue::keep_health`].
pub(super) struct KeepHealth(pub(super) Vec<(Arc<str>, String)>);

impl Write for KeepHealth {
    type Output = ();

    fn apply(&self, db: &mut Db<'_>) -> Result<(), StoreError> {
        for (name, health) in &self.0 {
            let channel = db.channel(name)?;
            db.conn
                .prepare_cached("UPDATE channels SET health = ?2 WHERE id = ?1")?
                .execute(params![channel, health])?;
        }
        Ok(())
    }
}

/// [`crate::store::History::ping`].
pub(super) struct Ping;

impl Write for Ping {
    /// Whether there is room for orders and events.
    type Output = bool;

    fn apply(&self, db: &mut Db<'_>) -> Result<bool, StoreError> {
        db.conn.prepare_cached("UPDATE pings SET at = ?1")?.execute([db.terms.now.as_millis()])?;
        Ok(db.room.is_left())
    }
}
