//! Pending deliveries of one channel become those of another.

use std::sync::Arc;

use rusqlite::params;

use super::db::Db;
use super::job::Write;
use crate::store::{Cause, StoreError};

/// Deliveries that one commit moves at most.
pub(super) const GROUP: usize = 1000;

/// One group of [`crate::store::Queue::move_pending`]. Those that belong to a replica stay.
pub(super) struct Move {
    pub(super) from: Arc<str>,
    pub(super) to: Arc<str>,
    pub(super) cause: Cause,
}

impl Write for Move {
    type Output = usize;

    fn apply(&self, db: &mut Db<'_>) -> Result<usize, StoreError> {
        let (from, to) = (db.channel(&self.from)?, db.channel(&self.to)?);
        // The keys of an ordered channel mean nothing in another. What has been tried before begins a round of its own with the other channel.
        let moved = db
            .conn
            .prepare_cached(
                "UPDATE deliveries SET channel = ?2, round_start = attempts, ordering_key = NULL, line = NULL,
                    state = iif(state = -1, attempts > 0, state),
                    due_at = iif(state = 1, min(due_at, ?3), due_at)
                    WHERE seq IN (SELECT seq FROM deliveries INDEXED BY deliveries_waiting
                        WHERE channel = ?1 AND state IN (-1, 0, 1) AND state < 2 LIMIT ?4)",
            )?
            .execute(params![from, to, self.cause.at.as_millis(), GROUP as i64])?;
        let count = i64::try_from(moved).unwrap_or(i64::MAX);
        db.count(from, -count);
        db.count(to, count);
        Ok(moved)
    }
}
