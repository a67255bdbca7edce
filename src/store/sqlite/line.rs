//! The lines of ordered channels: of the deliveries with one key, one at a time can be claimed.
//!
//! A delivery stays in the line of its key until it has ended, or, where a failure holds the key, until a person has settled it.
//! Whatever changes a delivery in a line ends with [`advance`], in the same transaction.

use std::sync::Arc;

use rusqlite::{OptionalExtension, params};

use super::db::Db;
use super::job::Write;
use super::rows::state;
use crate::domain::{AfterFailure, Timestamp};
use crate::store::StoreError;

/// A key of a channel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key<'a> {
    pub(super) channel: i64,
    pub(super) key: &'a str,
}

/// Whether another delivery is in the line of this key.
pub(super) fn is_taken(db: &Db<'_>, Key { channel, key }: Key<'_>) -> Result<bool, StoreError> {
    db.exists(
        "SELECT 1 FROM deliveries INDEXED BY deliveries_in_line
            WHERE channel = ?1 AND ordering_key = ?2 AND line IS NOT NULL",
        params![channel, key],
    )
}

/// Takes a delivery out of the line of its key.
pub(super) fn leave(db: &mut Db<'_>, seq: i64, key: Key<'_>) -> Result<(), StoreError> {
    db.conn.prepare_cached("UPDATE deliveries SET line = NULL WHERE seq = ?1")?.execute([seq])?;
    advance(db, key)
}

/// Lets the first delivery of the line be claimed, unless one is leased or has closed the line; holds the others.
pub(super) fn advance(db: &mut Db<'_>, Key { channel, key }: Key<'_>) -> Result<(), StoreError> {
    let mut first = db.conn.prepare_cached(
        "SELECT min(seq) FROM deliveries INDEXED BY deliveries_in_line
            WHERE channel = ?1 AND ordering_key = ?2 AND line IS NOT NULL AND state = ?3",
    )?;
    let mut first = |state: i64| first.query_row(params![channel, key, state], |row| row.get::<_, Option<i64>>(0));
    if first(state::LEASED)?.is_some() {
        return Ok(());
    }
    let mut firsts = Vec::with_capacity(state::IN_LINE.len());
    for state in state::IN_LINE {
        firsts.extend(first(state)?.map(|seq| (seq, state)));
    }
    let Some((head, head_state)) = firsts.iter().copied().min() else { return Ok(()) };
    for (seq, state) in firsts {
        if seq != head && (state == state::FIRST || state == state::RETRY) {
            db.conn.prepare_cached("UPDATE deliveries SET state = -1 WHERE seq = ?1")?.execute([seq])?;
        }
    }
    if head_state == state::HELD {
        let due: i64 = db
            .conn
            .prepare_cached("UPDATE deliveries SET state = (attempts > 0) WHERE seq = ?1 RETURNING due_at")?
            .query_row([head], |row| row.get(0))?;
        let name = db.channel_name(channel)?;
        db.notes.waiting.push((name, Timestamp::from_millis(due)));
    }
    Ok(())
}

/// [`crate::store::Queue::set_ordering`], some deliveries at a time.
pub(super) struct SetOrdering {
    pub(super) channel: Arc<str>,
    pub(super) after_failure: Option<AfterFailure>,
    pub(super) limit: usize,
}

impl Write for SetOrdering {
    /// How many deliveries have left their lines.
    type Output = usize;

    fn apply(&self, db: &mut Db<'_>) -> Result<usize, StoreError> {
        let channel = db.channel(&self.channel)?;
        let found = {
            let sql = match self.after_failure {
                None => {
                    "SELECT seq, ordering_key FROM deliveries INDEXED BY deliveries_in_line
                        WHERE channel = ?1 AND line IS NOT NULL LIMIT ?2"
                }
                Some(AfterFailure::Continue) => {
                    "SELECT seq, ordering_key FROM deliveries INDEXED BY deliveries_closing
                        WHERE channel = ?1 AND line IS NOT NULL AND state > 4 LIMIT ?2"
                }
                Some(AfterFailure::Hold) => return Ok(0),
            };
            let mut statement = db.conn.prepare_cached(sql)?;
            let rows = statement.query_map([channel, self.limit as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<Vec<(i64, String)>, _>>()?
        };
        for (seq, key) in &found {
            if self.after_failure.is_some() {
                leave(db, *seq, Key { channel, key })?;
                continue;
            }
            let due: Option<i64> = db
                .conn
                .prepare_cached(
                    "UPDATE deliveries SET line = NULL, state = CASE state WHEN -1 THEN (attempts > 0) ELSE state END
                        WHERE seq = ?1 RETURNING CASE WHEN state < 2 THEN due_at END",
                )?
                .query_row([seq], |row| row.get(0))
                .optional()?
                .flatten();
            db.notes.waiting.extend(due.map(|due| (Arc::clone(&self.channel), Timestamp::from_millis(due))));
        }
        Ok(found.len())
    }
}
