//! Deliveries that were under way when the process died: one of them may be why.

use std::collections::HashMap;

use parking_lot::Mutex;
use rusqlite::{Connection, params};

use super::db::Db;
use super::job::Write;
use crate::domain::DeliveryId;
use crate::store::StoreError;

/// In how many ends of the process each was under way.
pub(super) struct Suspects(Mutex<HashMap<i64, u32>>);

impl Suspects {
    /// Reads them.
    pub(super) fn read(conn: &Connection) -> Result<Self, StoreError> {
        let mut rows = conn.prepare("SELECT delivery, crashes FROM suspects")?;
        let found = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Self(Mutex::new(found.collect::<Result<_, _>>()?)))
    }

    /// In how many ends of the process a delivery was under way, without an attempt that ended since.
    pub(super) fn crashes(&self, delivery: DeliveryId) -> u32 {
        let known = self.0.lock();
        known.get(&delivery.sequence()).copied().unwrap_or(0)
    }

    /// Forgets a delivery.
    pub(super) fn clear(&self, delivery: DeliveryId) {
        self.0.lock().remove(&delivery.sequence());
    }
}

/// Counts an end of the process that did not close the file, and notes that the file is open again. To be called before
/// leases are released.
pub(super) fn note_start(conn: &Connection) -> Result<(), StoreError> {
    let cleanly: bool = conn.query_row("SELECT cleanly FROM ends", [], |row| row.get(0))?;
    if !cleanly {
        conn.execute("UPDATE suspects SET crashes = crashes + 1 WHERE begun", [])?;
        conn.execute(
            "INSERT OR IGNORE INTO suspects
                SELECT seq, 1, 0 FROM deliveries INDEXED BY deliveries_by_state WHERE state = 2 AND state <> 3",
            [],
        )?;
    }
    conn.execute("UPDATE suspects SET begun = 0 WHERE begun", [])?;
    conn.execute(
        "DELETE FROM suspects WHERE NOT EXISTS (SELECT 1 FROM deliveries WHERE seq = suspects.delivery AND state <= 2)",
        [],
    )?;
    conn.execute("UPDATE ends SET cleanly = 0", [])?;
    Ok(())
}

/// Notes that the file is closed.
pub(super) fn note_end(conn: &Connection) -> Result<(), StoreError> {
    conn.execute("UPDATE ends SET cleanly = 1", [])?;
    Ok(())
}

/// [`crate::store::Queue::begin_suspect`] and [`crate::store::Queue::clear_suspect`].
pub(super) struct Mark {
    pub(super) delivery: DeliveryId,
    pub(super) begun: bool,
}

impl Write for Mark {
    type Output = ();

    fn apply(&self, db: &mut Db<'_>) -> Result<(), StoreError> {
        let statement = if self.begun {
            "UPDATE suspects SET begun = 1 WHERE delivery = ?1"
        } else {
            "DELETE FROM suspects WHERE delivery = ?1"
        };
        db.conn.prepare_cached(statement)?.execute(params![self.delivery.sequence()])?;
        Ok(())
    }
}
