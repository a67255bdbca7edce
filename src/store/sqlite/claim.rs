//! Deliveries change hands: claimed from the store, put back, freed from replicas that are gone.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::db::Db;
use super::fault::corrupt;
use super::job::{Job, Task, Write};
use super::line::{self, Key};
use super::rows::{self, state};
use crate::domain::{DeliveryId, Event, EventId, Subject};
use crate::store::{Claim, Lease, Leased, Replica, StoreError, Which};

/// [`crate::store::Queue::claim`].
pub(super) struct ClaimDue(pub(super) Claim);

impl Write for ClaimDue {
    type Output = Vec<Leased>;

    fn apply(&self, db: &mut Db<'_>) -> Result<Vec<Leased>, StoreError> {
        claim(db, &self.0)
    }

    fn unheard(&self, output: Vec<Leased>) -> Option<Box<dyn Job>> {
        let back = PutBack(output.iter().map(Leased::lease).collect());
        (!back.0.is_empty()).then(|| Box::new(Task::alone(back)) as Box<dyn Job>)
    }
}

/// What of a row [`claim`] reads.
macro_rules! claimed {
    ($from:literal) => {
        concat!(
            "SELECT seq, id, origin, attempts, round_start, due_at, event_id, event_type, event_at, step, context, parcel, mail, steps, lease
                FROM deliveries ",
            $from,
            " ORDER BY due_at, seq LIMIT ?4"
        )
    };
}

const ONE_STATE: &str =
    claimed!("INDEXED BY deliveries_waiting WHERE channel = ?1 AND state = ?2 AND state < 2 AND due_at <= ?3");

/// The index has each state's rows apart: as many of each are found as are wanted in all.
const ANY_STATE: &str = claimed!(
    "WHERE seq IN (
        SELECT seq FROM (SELECT seq FROM deliveries INDEXED BY deliveries_waiting
            WHERE channel = ?1 AND state = 0 AND state < 2 AND due_at <= ?3 ORDER BY due_at, seq LIMIT ?4)
        UNION ALL SELECT seq FROM (SELECT seq FROM deliveries INDEXED BY deliveries_waiting
            WHERE channel = ?1 AND state = 1 AND state < 2 AND due_at <= ?3 ORDER BY due_at, seq LIMIT ?4))"
);

/// Leases what a claim asks for.
pub(super) fn claim(db: &mut Db<'_>, claim: &Claim) -> Result<Vec<Leased>, StoreError> {
    let channel = db.channel(&claim.channel)?;
    let mut leased = Vec::new();
    {
        let mut statement = db.conn.prepare_cached(match claim.which {
            Which::First | Which::Retries => ONE_STATE,
            Which::Any => ANY_STATE,
        })?;
        let mut found = statement.query(params![
            channel,
            if claim.which == Which::Retries { state::RETRY } else { state::FIRST },
            claim.now.as_millis(),
            claim.limit as i64
        ])?;
        let mut origin: Option<(i64, Arc<Subject>, Arc<str>)> = None;
        let mut bytes = 0usize;
        while let Some(row) = found.next()? {
            let seq: i64 = row.get(0)?;
            let key: i64 = row.get(2)?;
            let (subject, inherited) = match &origin {
                Some((same, subject, context)) if *same == key => (Arc::clone(subject), Arc::clone(context)),
                _ => {
                    let (subject, context) =
                        load_origin(db.conn, key)?.ok_or_else(|| corrupt("deliveries", "origin", seq))?;
                    origin = Some((key, Arc::clone(&subject), Arc::clone(&context)));
                    (subject, context)
                }
            };
            let own_context: Option<String> = row.get(10)?;
            let context = own_context.map_or(inherited, Arc::from);
            let mail: Option<String> = row.get(12)?;
            let carried = mail.as_deref().map_or(0, str::len);
            bytes = bytes.saturating_add(subject.body.len() + context.len() + carried);
            if bytes > claim.max_bytes && !leased.is_empty() {
                break;
            }
            let event_id: Option<[u8; 16]> = row.get(6)?;
            leased.push(Leased {
                id: DeliveryId::from_bytes(row.get(1)?),
                channel: Arc::clone(&claim.channel),
                event: Arc::new(Event {
                    id: event_id.map_or_else(|| rows::origin_id(subject.origin), EventId::from_bytes),
                    kind: rows::event_kind(row.get_ref(7)?, &subject.kind, seq)?,
                    at: rows::time(row, 8)?,
                    context,
                    step: row.get::<_, Option<String>>(9)?.map(Arc::from),
                    steps: rows::steps(row.get(13)?, seq)?,
                    subject,
                }),
                prepared: rows::prepared(row.get(11)?, mail, seq)?,
                due_at: rows::time(row, 5)?,
                attempts: row.get(3)?,
                round_start: row.get(4)?,
                lease: row.get::<_, i64>(14)? + 1,
                slot: None,
            });
        }
    }
    let mut lease = db.conn.prepare_cached("UPDATE deliveries SET state = 2, owner = ?2, lease = ?3 WHERE seq = ?1")?;
    for delivery in &leased {
        lease.execute([delivery.id.sequence(), claim.replica.0, delivery.lease])?;
    }
    Ok(leased)
}

/// A subject, and the context that its deliveries inherit.
type Shared = (Arc<Subject>, Arc<str>);

/// What deliveries are about: the subject of a `deliveries.origin`, and the context they inherit from it.
pub(super) fn load_origin(conn: &Connection, origin: i64) -> Result<Option<Shared>, StoreError> {
    let found = if origin >= 0 {
        conn.prepare_cached(
            "SELECT id, order_id, kind, received_at, chain, body, arrival, context FROM orders WHERE seq = ?1",
        )?
        .query_row([origin], |row| Ok((Arc::new(rows::order_subject(row)?), rows::context(row.get(7)?))))
    } else {
        conn.prepare_cached("SELECT id, order_id, kind, received_at, chain, body, arrival FROM events WHERE seq = ?1")?
            .query_row([-origin], |row| Ok((Arc::new(rows::event_subject(row)?), rows::context(None))))
    };
    Ok(found.optional()?)
}

/// [`crate::store::Queue::put_back`].
pub(super) struct PutBack(pub(super) Vec<Lease>);

impl Write for PutBack {
    type Output = ();

    fn apply(&self, db: &mut Db<'_>) -> Result<(), StoreError> {
        let mut lines = Vec::new();
        {
            let mut free = db.conn.prepare_cached(
                "UPDATE deliveries SET state = (attempts > 0), owner = NULL
                    WHERE seq = ?1 AND id = ?2 AND state = 2 AND lease = ?3
                    RETURNING channel, CASE WHEN line IS NOT NULL THEN ordering_key END",
            )?;
            for Lease { delivery, number } in &self.0 {
                let line =
                    free.query_row(params![delivery.sequence(), delivery.to_bytes(), number], in_line).optional()?;
                lines.extend(line.flatten());
            }
        }
        advance(db, &lines)
    }
}

/// A channel's number and the key in whose line the row is, where it is in one.
fn in_line(row: &Row<'_>) -> rusqlite::Result<Option<(i64, String)>> {
    let channel = row.get(0)?;
    Ok(row.get::<_, Option<String>>(1)?.map(|key| (channel, key)))
}

/// An older delivery may have been retried while these were leased.
fn advance(db: &mut Db<'_>, lines: &[(i64, String)]) -> Result<(), StoreError> {
    lines.iter().try_for_each(|(channel, key)| line::advance(db, Key { channel: *channel, key }))
}

/// [`crate::store::Queue::heartbeat`] and [`crate::store::Queue::retire`].
pub(super) struct Beat {
    pub(super) replica: Replica,
    pub(super) lease: Duration,
}

impl Write for Beat {
    type Output = ();

    fn apply(&self, db: &mut Db<'_>) -> Result<(), StoreError> {
        db.conn
            .prepare_cached(
                "INSERT INTO replicas (id, alive_until) VALUES (?1, ?2)
                    ON CONFLICT (id) DO UPDATE SET alive_until = excluded.alive_until",
            )?
            .execute(params![self.replica.0, db.terms.now.after(self.lease).as_millis()])?;
        Ok(())
    }
}

/// [`crate::store::Queue::release_expired`], some at a time.
pub(super) struct ReleaseExpired {
    pub(super) caller: Replica,
    pub(super) limit: usize,
}

impl Write for ReleaseExpired {
    type Output = usize;

    fn apply(&self, db: &mut Db<'_>) -> Result<usize, StoreError> {
        let now = db.terms.now.as_millis();
        // A store has leased rows by the thousand and silent replicas hardly ever.
        let caller = self.caller.0;
        if !db.exists("SELECT 1 FROM replicas WHERE alive_until <= ?1 AND id <> ?2", [now, caller])? {
            return Ok(0);
        }
        let lines = {
            let mut free = db.conn.prepare_cached(
                "UPDATE deliveries SET state = (attempts > 0), owner = NULL WHERE seq IN
                    (SELECT seq FROM deliveries INDEXED BY deliveries_by_state WHERE state = 2 AND state <> 3
                        AND owner IN (SELECT id FROM replicas WHERE alive_until <= ?1 AND id <> ?3) LIMIT ?2)
                    RETURNING channel, CASE WHEN line IS NOT NULL THEN ordering_key END",
            )?;
            let freed = free.query_map(params![now, self.limit as i64, caller], in_line)?;
            freed.collect::<Result<Vec<_>, _>>()?
        };
        let deliveries = lines.len();
        let lines: Vec<_> = lines.into_iter().flatten().collect();
        advance(db, &lines)?;
        let orders = db
            .conn
            .prepare_cached(
                "UPDATE orders SET status = 0, owner = NULL WHERE seq IN
                    (SELECT seq FROM orders INDEXED BY orders_by_status WHERE status = 1 AND status <> 2
                        AND owner IN (SELECT id FROM replicas WHERE alive_until <= ?1 AND id <> ?3) LIMIT ?2)",
            )?
            .execute(params![now, self.limit as i64, caller])?;
        Ok(deliveries + orders)
    }
}
