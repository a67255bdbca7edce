//! The lines of ordered channels: of the deliveries with one key, one at a time can be claimed.
//!
//! A delivery stays in the line of its key until it has ended, or, where a failure holds the key, until a person has settled it.
//! Whatever changes a delivery in a line ends with [`advance`], in the same transaction.

use rusqlite::params;

use super::db::Db;
use super::rows::state;
use crate::domain::Timestamp;
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
