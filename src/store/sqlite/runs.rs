//! The runs of channels with a schedule: each goes on record as it begins, with what it takes.

use std::sync::Arc;

use rusqlite::params;

use super::claim::{PutBack, claim};
use super::db::Db;
use super::job::{Job, Task, Write};
use crate::domain::Timestamp;
use crate::store::{Claim, Leased, Run, StoreError};

/// [`crate::store::Queue::begin_run`].
pub(super) struct BeginRun {
    pub(super) run: Run,
    pub(super) claim: Claim,
}

impl Write for BeginRun {
    type Output = Option<Vec<Leased>>;

    fn apply(&self, db: &mut Db<'_>) -> Result<Option<Vec<Leased>>, StoreError> {
        let channel = db.channel(&self.claim.channel)?;
        let begun = db
            .conn
            .prepare_cached("UPDATE channels SET last_run = ?3 WHERE id = ?1 AND last_run = ?2")?
            .execute([channel, self.run.last.as_millis(), self.run.at.as_millis()])?;
        if begun == 0 { Ok(None) } else { claim(db, &self.claim).map(Some) }
    }

    fn unheard(&self, output: Option<Vec<Leased>>) -> Option<Box<dyn Job>> {
        let back = PutBack(output.iter().flatten().map(Leased::lease).collect());
        (!back.0.is_empty()).then(|| Box::new(Task::alone(back)) as Box<dyn Job>)
    }
}

/// [`crate::store::Queue::last_run`].
pub(super) struct LastRun {
    pub(super) channel: Arc<str>,
    pub(super) or: Timestamp,
}

impl Write for LastRun {
    type Output = Timestamp;

    fn apply(&self, db: &mut Db<'_>) -> Result<Timestamp, StoreError> {
        let channel = db.channel(&self.channel)?;
        db.conn
            .prepare_cached("UPDATE channels SET last_run = ?2 WHERE id = ?1 AND last_run IS NULL")?
            .execute(params![channel, self.or.as_millis()])?;
        let mut find = db.conn.prepare_cached("SELECT last_run FROM channels WHERE id = ?1")?;
        Ok(find.query_row([channel], |row| row.get(0).map(Timestamp::from_millis))?)
    }
}
