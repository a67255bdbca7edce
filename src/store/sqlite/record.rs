//! What attempts came to: the delivery moves on, the attempt goes into the history.

use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{OptionalExtension, params};

use super::born::{self, Birth, Born};
use super::causes;
use super::change;
use super::db::{Db, Terms};
use super::job::Write;
use super::rows::{self, state};
use crate::domain::{Attempt, DeliveryStatus, Timestamp};
use crate::store::{Finished, Next, Recorded, Replica, StoreError};

/// [`crate::store::Queue::record`].
pub(super) struct Record {
    pub(super) replica: Replica,
    pub(super) finished: Arc<Vec<Finished>>,
}

impl Write for Record {
    type Output = Vec<Recorded>;

    fn weight(&self) -> usize {
        let exchanges = self.finished.iter().map(|one| {
            let exchange = &one.attempt.exchange;
            let body =
                exchange.request_body.head.len() + exchange.request_body.spliced.as_ref().map_or(0, bytes::Bytes::len);
            1024 + body + exchange.response_body.len() + 512 * one.deliveries.len()
        });
        exchanges.sum()
    }

    fn apply(&self, db: &mut Db<'_>) -> Result<Vec<Recorded>, StoreError> {
        self.finished.iter().map(|one| self.one(db, one)).collect()
    }

    fn born(&mut self, output: &Vec<Recorded>, _: Terms, born: &mut Born) {
        for (one, recorded) in self.finished.iter().zip(output) {
            if *recorded == Recorded::Done {
                born.wait(&one.deliveries);
            }
        }
        // The caller has them too, and has more time to take them apart.
        self.finished = Arc::default();
    }
}

impl Record {
    fn one(&self, db: &mut Db<'_>, one: &Finished) -> Result<Recorded, StoreError> {
        let attempt = &one.attempt;
        let seq = one.delivery.sequence();
        let found: Option<(i64, i64, Option<i64>, u32)> = db
            .hot
            .find_delivery
            .query_row([seq], |row| {
                let same = row.get::<_, [u8; 16]>(0)? == one.delivery.to_bytes();
                Ok(same.then_some((row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
            })
            .optional()?
            .flatten();
        let Some((channel, now_state, owner, attempts)) = found else { return Ok(Recorded::Fenced) };
        let ours = now_state == state::LEASED && owner == Some(self.replica.0) && attempts + 1 == attempt.number;
        if !ours {
            keep_fenced(db, one, now_state)?;
            return Ok(Recorded::Fenced);
        }
        let (next, owner, due_at) = match one.next {
            Next::End(DeliveryStatus::Dispatched) => {
                (change::early_state(db, seq, attempt.number)?.unwrap_or(state::DISPATCHED), None, None)
            }
            Next::End(status) => (rows::states(status).first().copied().unwrap_or(state::FAILED), None, None),
            Next::Wait(at) => (state::RETRY, None, Some(at.as_millis())),
            Next::Keep(at) => (state::LEASED, owner, Some(at.as_millis())),
        };
        db.hot.record.execute(params![
            seq,
            next,
            owner,
            attempt.number,
            due_at,
            ended_at(attempt),
            attempt.code.as_i32(),
        ])?;
        insert_attempt(db, one)?;
        if !state::is_pending(next) {
            db.count(channel, -1);
        }
        if next == state::FAILED || next == state::REJECTED {
            let (code, likeness) = (Some(attempt.code), causes::of_attempt(attempt));
            causes::join(db, seq, channel, code, &likeness, Timestamp::from_millis(ended_at(attempt)))?;
        }
        born::insert_free(db, &one.deliveries, Birth { replica: None, inherited: None, listed: None })?;
        Ok(Recorded::Done)
    }
}

/// Keeps the attempt of a delivery that has moved on. Where that has ended (cancelled while under way), the attempt
/// counts, so that a further round does not give its number away.
fn keep_fenced(db: &mut Db<'_>, one: &Finished, now_state: i64) -> Result<(), StoreError> {
    let key = [one.delivery.sequence(), i64::from(one.attempt.number)];
    if db.exists("SELECT 1 FROM attempts WHERE delivery = ?1 AND number = ?2", key)? {
        return Ok(());
    }
    insert_attempt(db, one)?;
    if !state::is_pending(now_state) {
        db.conn.prepare_cached("UPDATE deliveries SET attempts = max(attempts, ?2) WHERE seq = ?1")?.execute(key)?;
    }
    Ok(())
}

fn insert_attempt(db: &mut Db<'_>, one: &Finished) -> Result<(), StoreError> {
    let attempt = &one.attempt;
    let body = &attempt.exchange.request_body;
    db.scratch.clear();
    serde_json::to_writer(&mut db.scratch, &attempt.exchange)
        .map_err(|error| StoreError::Corrupt(error.to_string()))?;
    db.hot.insert_attempt.execute(params![
        one.delivery.sequence(),
        attempt.number,
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
    Ok(())
}

fn ended_at(attempt: &Attempt) -> i64 {
    attempt.started_at.after(std::time::Duration::from_millis(attempt.duration_ms)).as_millis()
}
