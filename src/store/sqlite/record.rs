//! What attempts came to: the delivery moves on, the attempt goes into the history.

use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{OptionalExtension, params};

use super::causes;
use super::change;
use super::db::{Db, Terms};
use super::handoff::Handoff;
use super::insert::{self, Insertion};
use super::job::Write;
use super::line::{self, Key};
use super::rows::{self, state};
use crate::domain::{Attempt, DeliveryStatus, Timestamp};
use crate::store::{Finished, Next, Recorded, StoreError};

/// [`crate::store::Queue::record`].
pub(super) struct Record(pub(super) Arc<Vec<Finished>>);

impl Write for Record {
    type Output = Vec<Recorded>;

    fn weight(&self) -> usize {
        self.0.iter().map(Finished::bytes).sum()
    }

    fn apply(&self, db: &mut Db<'_>) -> Result<Vec<Recorded>, StoreError> {
        self.0.iter().map(|one| record(db, one)).collect()
    }

    fn hand_off(&mut self, output: &Vec<Recorded>, _: Terms, handoff: &mut Handoff) {
        for (one, recorded) in self.0.iter().zip(output) {
            if *recorded == Recorded::Done {
                handoff.wait(&one.deliveries);
            }
        }
        // The caller has them too, and has more time to take them apart.
        self.0 = Arc::default();
    }
}

/// A delivery's row as a record finds it.
struct Found {
    channel: i64,
    state: i64,
    lease: i64,
    owner: Option<i64>,
    /// Where the delivery is in the line of a key.
    key: Option<String>,
}

fn record(db: &mut Db<'_>, one: &Finished) -> Result<Recorded, StoreError> {
    let attempt = &one.attempt;
    let seq = one.lease.delivery.sequence();
    let found: Option<Found> = db
        .hot
        .find_delivery
        .query_row([seq], |row| {
            let same = row.get::<_, [u8; 16]>(0)? == one.lease.delivery.to_bytes();
            let key = if row.get(6)? { row.get(5)? } else { None };
            let (channel, state, lease, owner) = (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
            Ok(same.then_some(Found { channel, state, lease, owner, key }))
        })
        .optional()?
        .flatten();
    let Some(found) = found else { return Ok(Recorded::Fenced) };
    let number = insert_attempt(db, one)?;
    if found.state != state::LEASED || found.lease != one.lease.number {
        keep_fenced(db, seq, number, found.state)?;
        return Ok(Recorded::Fenced);
    }
    let (next, owner, due_at) = match one.next {
        Next::End(DeliveryStatus::Dispatched) => {
            (change::early_state(db, seq, found.lease)?.unwrap_or(state::DISPATCHED), None, None)
        }
        Next::End(status) => (rows::states(status).first().copied().unwrap_or(state::FAILED), None, None),
        Next::Wait(at) => (state::RETRY, None, Some(at.as_millis())),
        Next::Keep(at) => (state::LEASED, found.owner, Some(at.as_millis())),
    };
    // Only an attempt under an older lease can have the number: it is none of this round.
    let others = number - attempt.number;
    db.hot.record.execute(params![
        seq,
        next,
        owner,
        number,
        due_at,
        ended_at(attempt),
        attempt.code.as_i32(),
        others,
        i64::from(matches!(one.next, Next::Keep(_))),
    ])?;
    if !state::is_pending(next) {
        db.count(found.channel, -1);
        if let Some(key) = &found.key {
            let key = Key { channel: found.channel, key };
            let failed = matches!(next, state::FAILED | state::REJECTED);
            if failed && one.holds_key { line::advance(db, key)? } else { line::leave(db, seq, key)? }
        }
    }
    if next == state::FAILED || next == state::REJECTED {
        let (code, likeness) = (Some(attempt.code), causes::of_attempt(attempt));
        causes::join(db, seq, found.channel, code, &likeness, Timestamp::from_millis(ended_at(attempt)))?;
    }
    insert::insert_unleased(db, &one.deliveries, Insertion { replica: None, inherited: None, listed: None })?;
    Ok(Recorded::Done)
}

/// Counts the attempt of a delivery that has moved on. Where that has ended (cancelled while under way), a further round does not
/// give the attempt's number away.
fn keep_fenced(db: &Db<'_>, seq: i64, number: u32, now_state: i64) -> Result<(), StoreError> {
    if !state::is_pending(now_state) {
        db.conn
            .prepare_cached("UPDATE deliveries SET attempts = max(attempts, ?2) WHERE seq = ?1")?
            .execute(params![seq, number])?;
    }
    Ok(())
}

/// Adds an attempt to the history. Returns its number there: the next free one where another attempt has its own.
fn insert_attempt(db: &mut Db<'_>, one: &Finished) -> Result<u32, StoreError> {
    let seq = one.lease.delivery.sequence();
    let number = one.attempt.number;
    if insert_as(db, one, number)? {
        return Ok(number);
    }
    let same = "SELECT 1 FROM attempts WHERE delivery = ?1 AND number = ?2 AND id = ?3";
    if db.exists(same, params![seq, number, one.attempt.id.to_bytes()])? {
        return Ok(number); // recorded before
    }
    let mut last = db.conn.prepare_cached("SELECT max(number) FROM attempts WHERE delivery = ?1")?;
    let number = last.query_row([seq], |row| row.get::<_, u32>(0))?.saturating_add(1);
    drop(last);
    insert_as(db, one, number)?;
    Ok(number)
}

fn insert_as(db: &mut Db<'_>, one: &Finished, number: u32) -> Result<bool, StoreError> {
    let attempt = &one.attempt;
    let body = &attempt.exchange.request_body;
    db.scratch.clear();
    serde_json::to_writer(&mut db.scratch, &attempt.exchange)
        .map_err(|error| StoreError::Corrupt(error.to_string()))?;
    let inserted = db.hot.insert_attempt.execute(params![
        one.lease.delivery.sequence(),
        number,
        attempt.id.to_bytes(),
        attempt.started_at.as_millis(),
        attempt.duration_ms as i64,
        attempt.code.as_i32(),
        attempt.outcome.as_str(),
        attempt.error,
        ToSqlOutput::Borrowed(ValueRef::Text(&db.scratch)),
        Some(&body.head[..]).filter(|head| !head.is_empty()),
        body.spliced.as_deref(),
        Some(&attempt.exchange.response_body[..]).filter(|body| !body.is_empty()),
    ])?;
    Ok(inserted == 1)
}

fn ended_at(attempt: &Attempt) -> i64 {
    attempt.started_at.after(std::time::Duration::from_millis(attempt.duration_ms)).as_millis()
}
