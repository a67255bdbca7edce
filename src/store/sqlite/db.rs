//! The writer's connection with everything it keeps for its life: prepared statements, channel numbers, and the
//! count of pending deliveries.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Statement};

use super::room::Room;
use crate::domain::{DeliveryId, Timestamp};
use crate::store::StoreError;

/// The names of channels by their numbers, and how many deliveries of each are pending: as committed.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<HashMap<i64, (Arc<str>, i64)>>);

impl Tally {
    /// Counts what is there.
    pub(super) fn read(conn: &Connection) -> Result<Self, StoreError> {
        let mut tally = HashMap::new();
        let mut statement = conn.prepare("SELECT id, name FROM channels")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            tally.insert(row.get(0)?, (Arc::from(row.get::<_, String>(1)?), 0));
        }
        let mut statement = conn.prepare(
            "SELECT channel, count(*) FROM deliveries INDEXED BY deliveries_waiting WHERE state < 2 GROUP BY channel",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let channel: i64 = row.get(0)?;
            let (_, pending) =
                tally.get_mut(&channel).ok_or_else(|| super::fault::corrupt("channels", "id", channel))?;
            *pending = row.get(1)?;
        }
        Ok(Self(Mutex::new(tally)))
    }

    /// The name of a channel.
    pub(super) fn name(&self, channel: i64) -> Result<Arc<str>, StoreError> {
        let tally = self.0.lock();
        tally
            .get(&channel)
            .map(|(name, _)| Arc::clone(name))
            .ok_or_else(|| super::fault::corrupt("deliveries", "channel", channel))
    }

    /// All channels that have pending deliveries: number, name, how many.
    pub(super) fn pending(&self) -> Vec<(i64, Arc<str>, u64)> {
        let tally = self.0.lock();
        tally
            .iter()
            .filter_map(|(channel, (name, pending))| {
                u64::try_from(*pending).ok().filter(|count| *count > 0).map(|count| (*channel, Arc::clone(name), count))
            })
            .collect()
    }

    /// Whether there is a channel of that name.
    pub(super) fn knows(&self, name: &str) -> bool {
        let tally = self.0.lock();
        tally.values().any(|(known, _)| **known == *name)
    }

    /// The number of a channel.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        let tally = self.0.lock();
        tally.iter().find(|(_, (known, _))| **known == *name).map(|(number, _)| *number)
    }

    fn names(&self) -> HashMap<Arc<str>, i64> {
        let tally = self.0.lock();
        tally.iter().map(|(channel, (name, _))| (Arc::clone(name), *channel)).collect()
    }

    fn add(&self, fresh: impl Iterator<Item = (i64, Arc<str>)>, changes: impl Iterator<Item = (i64, i64)>) {
        let mut tally = self.0.lock();
        for (channel, name) in fresh {
            tally.entry(channel).or_insert((name, 0));
        }
        for (channel, change) in changes {
            if let Some((_, pending)) = tally.get_mut(&channel) {
                *pending += change;
            }
        }
    }
}

/// Orders whose own ids share a slot of the index. More make a page written for each order likelier, fewer make a
/// search longer.
const SLOT: u32 = 1024;

/// What a write learned that its caller does not: about deliveries in the lines of ordered channels.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Deliveries that were inserted as held.
    pub(super) held: Vec<DeliveryId>,
    /// Channels and due times of deliveries that can be claimed now.
    pub(super) waiting: Vec<(Arc<str>, Timestamp)>,
}

/// What holds for all of a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// The time.
    pub(super) now: Timestamp,
    /// Whether a receiver of new deliveries is connected.
    pub(super) connected: bool,
}

/// The statements of the hot path, prepared once.
pub(super) struct Hot<'c> {
    begin: Statement<'c>,
    commit: Statement<'c>,
    pub(super) insert_order: Statement<'c>,
    pub(super) insert_event: Statement<'c>,
    pub(super) insert_delivery: Statement<'c>,
    pub(super) find_delivery: Statement<'c>,
    pub(super) record: Statement<'c>,
    pub(super) insert_attempt: Statement<'c>,
}

impl<'c> Hot<'c> {
    fn prepare(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            begin: conn.prepare("BEGIN IMMEDIATE")?,
            commit: conn.prepare("COMMIT")?,
            insert_order: conn.prepare(
                "INSERT INTO orders (seq, id, status, owner, resumed, received_at, ended_at, kind, chain, order_id, slot,
                    key, skipped, deliveries, body, email, arrival)
                    VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
            )?,
            insert_event: conn.prepare(
                "INSERT INTO events (seq, id, received_at, kind, chain, order_id, key, deliveries, body, arrival,
                    own_key)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (seq) DO NOTHING",
            )?,
            insert_delivery: conn.prepare(
                "INSERT INTO deliveries (seq, id, channel, state, origin, owner, attempts, round_start, due_at, updated_at,
                    event_id, event_type, event_at, step, context, late, parcel, mail, steps, lease, ordering_key, line, promised_at)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)",
            )?,
            find_delivery: conn.prepare(
                "SELECT id, channel, state, lease, owner, ordering_key, line IS NOT NULL FROM deliveries WHERE seq = ?1",
            )?,
            record: conn.prepare(
                "UPDATE deliveries SET state = ?2, owner = ?3, attempts = ?4, due_at = ifnull(?5, due_at), updated_at = ?6,
                    last_code = ?7, round_start = round_start + ?8, lease = lease + ?9,
                    promised_at = CASE WHEN ?2 IN (3, 4) AND ?6 <= promised_at THEN NULL ELSE promised_at END
                    WHERE seq = ?1",
            )?,
            insert_attempt: conn.prepare(
                "INSERT INTO attempts (delivery, number, id, started_at, duration_ms, code, outcome, error,
                    exchange, request_head, request_tail, response_body)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT DO NOTHING",
            )?,
        })
    }
}

/// The writer's connection within a transaction.
pub(super) struct Db<'c> {
    pub(super) conn: &'c Connection,
    pub(super) hot: Hot<'c>,
    pub(super) terms: Terms,
    /// What is left for orders and events.
    pub(super) room: Room,
    /// Of the write that is being applied.
    pub(super) notes: Notes,
    tally: Arc<Tally>,
    channels: HashMap<Arc<str>, i64>,
    fresh: Vec<Arc<str>>,
    changes: HashMap<i64, i64>,
    slot: i64,
    in_slot: u32,
    /// For JSON on its way into a row.
    pub(super) scratch: Vec<u8>,
}

impl<'c> Db<'c> {
    /// Prepares everything.
    pub(super) fn new(conn: &'c Connection, tally: Arc<Tally>, room: Room) -> Result<Self, StoreError> {
        conn.set_prepared_statement_cache_capacity(64);
        Ok(Self {
            conn,
            hot: Hot::prepare(conn)?,
            terms: Terms { now: Timestamp::default(), connected: false },
            notes: Notes::default(),
            channels: tally.names(),
            room,
            tally,
            fresh: Vec::new(),
            changes: HashMap::new(),
            slot: conn.query_row(
                "SELECT ifnull(max(slot), 0) + 1 FROM orders INDEXED BY orders_by_own_id WHERE slot IS NOT NULL",
                [],
                |row| row.get(0),
            )?,
            in_slot: 0,
            scratch: Vec::new(),
        })
    }

    /// Begins a transaction.
    pub(super) fn begin(&mut self, terms: Terms) -> Result<(), StoreError> {
        self.terms = terms;
        self.hot.begin.execute([])?;
        self.room.measure(self.conn)?;
        Ok(())
    }

    /// Makes the transaction durable, and its counts visible.
    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        self.hot.commit.execute([])?;
        let fresh = self.fresh.drain(..).filter_map(|name| self.channels.get(&name).map(|channel| (*channel, name)));
        self.tally.add(fresh, self.changes.drain());
        Ok(())
    }

    /// Undoes the transaction, if it has not undone itself.
    pub(super) fn rollback(&mut self) {
        if !self.conn.is_autocommit()
            && let Err(error) = self.conn.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
        for name in self.fresh.drain(..) {
            self.channels.remove(&name);
        }
        self.changes.clear();
        self.notes = Notes::default();
    }

    /// The number of a channel, made on first use.
    pub(super) fn channel(&mut self, name: &Arc<str>) -> Result<i64, StoreError> {
        if let Some(channel) = self.channels.get(name) {
            return Ok(*channel);
        }
        self.conn.prepare_cached("INSERT INTO channels (name) VALUES (?1)")?.execute([name])?;
        let channel = self.conn.last_insert_rowid();
        self.channels.insert(Arc::clone(name), channel);
        self.fresh.push(Arc::clone(name));
        Ok(channel)
    }

    /// The name of a channel.
    pub(super) fn channel_name(&self, channel: i64) -> Result<Arc<str>, StoreError> {
        match self.fresh.iter().find(|name| self.channels.get(*name) == Some(&channel)) {
            Some(name) => Ok(Arc::clone(name)),
            None => self.tally.name(channel),
        }
    }

    /// The slot for another order's own id.
    pub(super) fn slot(&mut self) -> i64 {
        self.in_slot += 1;
        if self.in_slot > SLOT {
            self.in_slot = 1;
            self.slot += 1;
        }
        self.slot
    }

    /// Counts a channel's pending deliveries up or down, once the transaction is durable.
    pub(super) fn count(&mut self, channel: i64, change: i64) {
        *self.changes.entry(channel).or_default() += change;
    }

    /// Whether a row is there: for writes that must check before they change anything.
    pub(super) fn exists(&self, sql: &str, params: impl rusqlite::Params) -> Result<bool, StoreError> {
        Ok(self.conn.prepare_cached(sql)?.query_row(params, |_| Ok(())).optional()?.is_some())
    }
}
