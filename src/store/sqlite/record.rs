//! What attempts came to: the delivery moves on, the attempt goes into the history.

use std::sync::Arc;

use rusqlite::{OptionalExtension, params};

use super::born::{self, Born};
use super::db::{Db, Terms};
use super::job::Write;
use super::rows::{self, state};
use crate::domain::Attempt;
use crate::store::{Finished, Next, Recorded, Replica, StoreError};

/// [`crate::store::Queue::record`].
pub(super) struct Record {
    replica: Replica,
    finished: Arc<Vec<Finished>>,
    /// Each exchange's method, URL and headers as JSON: written by the caller, to spare the writer.
    exchanges: Vec<String>,
}

impl Record {
    /// Results of a replica's attempts.
    pub(super) fn new(replica: Replica, finished: Arc<Vec<Finished>>) -> Result<Self, StoreError> {
        let exchanges = finished.iter().map(|one| {
            serde_json::to_string(&one.attempt.exchange).map_err(|error| StoreError::Corrupt(error.to_string()))
        });
        Ok(Self { replica, exchanges: exchanges.collect::<Result<_, _>>()?, finished })
    }
}

impl Write for Record {
    type Output = Vec<Recorded>;

    fn weight(&self) -> usize {
        let exchanges = self.finished.iter().zip(&self.exchanges).map(|(one, text)| {
            let exchange = &one.attempt.exchange;
            let body =
                exchange.request_body.head.len() + exchange.request_body.spliced.as_ref().map_or(0, bytes::Bytes::len);
            256 + text.len() + body + exchange.response_body.len() + 512 * one.deliveries.len()
        });
        exchanges.sum()
    }

    fn apply(&self, db: &mut Db<'_>) -> Result<Vec<Recorded>, StoreError> {
        self.finished.iter().zip(&self.exchanges).map(|(one, exchange)| self.one(db, one, exchange)).collect()
    }

    fn born(&mut self, output: &Vec<Recorded>, _: Terms, born: &mut Born) {
        for (one, recorded) in self.finished.iter().zip(output) {
            if *recorded == Recorded::Done {
                born.wait(&one.deliveries);
            }
        }
    }
}

impl Record {
    fn one(&self, db: &mut Db<'_>, one: &Finished, exchange: &str) -> Result<Recorded, StoreError> {
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
            keep_fenced(db, one, exchange, now_state)?;
            return Ok(Recorded::Fenced);
        }
        let (next, owner, due_at) = match one.next {
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
        insert_attempt(db, one, exchange)?;
        if !state::is_pending(next) {
            db.count(channel, -1);
        }
        born::insert_all(db, &one.deliveries, None, None)?;
        Ok(Recorded::Done)
    }
}

/// Keeps the attempt of a delivery that has moved on. Where that has ended (cancelled while under way), the attempt
/// counts, so that a further round does not give its number away.
fn keep_fenced(db: &mut Db<'_>, one: &Finished, exchange: &str, now_state: i64) -> Result<(), StoreError> {
    let key = [one.delivery.sequence(), i64::from(one.attempt.number)];
    if db.exists("SELECT 1 FROM attempts WHERE delivery = ?1 AND number = ?2", key)? {
        return Ok(());
    }
    insert_attempt(db, one, exchange)?;
    if !state::is_pending(now_state) {
        db.conn.prepare_cached("UPDATE deliveries SET attempts = max(attempts, ?2) WHERE seq = ?1")?.execute(key)?;
    }
    Ok(())
}

fn insert_attempt(db: &mut Db<'_>, one: &Finished, exchange: &str) -> Result<(), StoreError> {
    let attempt = &one.attempt;
    let body = &attempt.exchange.request_body;
    db.hot.insert_attempt.execute(params![
        one.delivery.sequence(),
        attempt.number,
        attempt.id.to_bytes(),
        attempt.started_at.as_millis(),
        attempt.duration_ms as i64,
        attempt.code.as_i32(),
        attempt.outcome.as_str(),
        attempt.error,
        exchange,
        Some(&body.head[..]).filter(|head| !head.is_empty()),
        body.spliced.as_deref(),
        Some(&attempt.exchange.response_body[..]).filter(|body| !body.is_empty()),
    ])?;
    Ok(())
}

fn ended_at(attempt: &Attempt) -> i64 {
    attempt.started_at.after(std::time::Duration::from_millis(attempt.duration_ms)).as_millis()
}
