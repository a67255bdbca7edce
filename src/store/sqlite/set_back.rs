//! The wall clock was set back: what is due at a time by the old clock is due as much earlier by the new one.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::params;

use super::db::Db;
use super::job::Write;
use super::rows::state;
use crate::domain::Timestamp;
use crate::store::StoreError;

/// [`crate::store::Queue::set_back`].
pub(super) struct SetBack {
    pub(super) now: Timestamp,
    pub(super) by: Duration,
}

impl Write for SetBack {
    type Output = ();

    fn apply(&self, db: &mut Db<'_>) -> Result<(), StoreError> {
        let (now, by) = (self.now.as_millis(), i64::try_from(self.by.as_millis()).unwrap_or(i64::MAX));
        let mut due = Vec::new();
        {
            let mut earlier = db.conn.prepare_cached(
                "UPDATE deliveries INDEXED BY deliveries_by_state SET due_at = due_at - ?3
                    WHERE state = ?1 AND state <> 3 AND due_at > ?2 RETURNING channel, due_at",
            )?;
            for state in [state::HELD, state::FIRST, state::RETRY, state::LEASED] {
                let moved = earlier.query_map(params![state, now, by], |row| Ok((row.get(0)?, row.get(1)?)))?;
                for moved in moved {
                    let (channel, at): (i64, i64) = moved?;
                    match due.iter_mut().find(|(known, _)| *known == channel) {
                        Some((_, first)) => *first = at.min(*first),
                        None => due.push((channel, at)),
                    }
                }
            }
            db.conn
                .prepare_cached(
                    "UPDATE deliveries INDEXED BY deliveries_promised SET promised_at = promised_at - ?2
                        WHERE promised_at IS NOT NULL AND promised_at > ?1",
                )?
                .execute(params![now, by])?;
        }
        for (channel, at) in due {
            let name: Arc<str> = db.channel_name(channel)?;
            db.notes.waiting.push((name, Timestamp::from_millis(at)));
        }
        Ok(())
    }
}
