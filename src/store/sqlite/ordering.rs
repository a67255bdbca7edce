//! A change of a channel's `ordering`, applied to the deliveries that wait in lines.

use std::sync::Arc;

use rusqlite::OptionalExtension;

use super::db::Db;
use super::job::Write;
use super::line::{Key, leave};
use crate::domain::{AfterFailure, Timestamp};
use crate::store::StoreError;

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
