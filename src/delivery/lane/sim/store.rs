//! A model of the store: rows, leases and lines as `store::Queue` promises them, one commit at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::domain::{DeliveryId, Event, EventId, Origin, Subject, Timestamp};
use crate::store::{Lease, Leased, NextDue, Which};

/// How the model departs from what the store promises, to see that the simulation notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    /// Results count whatever their lease number is.
    NoFence,
    /// Deliveries with the same key can all be claimed.
    NoLines,
    /// What is put back stays leased.
    LostPutBacks,
    /// The lane does not learn of cancels.
    NoForget,
    /// Due times stay where they are when the wall clock is set back.
    NoSetBack,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Held,
    Waiting,
    Leased { replica: usize },
    Ended,
    Cancelled,
}

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) state: State,
    pub(super) lease: i64,
    pub(super) attempts: u32,
    pub(super) round_start: u32,
    pub(super) due_at: Timestamp,
    pub(super) key: Option<u8>,
    /// Whether it is in the line of its key.
    pub(super) in_line: bool,
}

#[derive(Debug)]
pub(super) struct Store {
    pub(super) rows: BTreeMap<u128, Row>,
    pub(super) flaw: Flaw,
    next: u128,
}

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    End,
    Wait(Timestamp),
    Keep(Timestamp),
}

impl Store {
    pub(super) fn new(flaw: Flaw) -> Self {
        Self { rows: BTreeMap::new(), flaw, next: 0 }
    }

    /// Inserts a delivery, leased to `replica` where it has room and the line is free.
    pub(super) fn insert(&mut self, key: Option<u8>, now: Timestamp, replica: Option<usize>) -> (u128, bool) {
        self.next += 1;
        let held = self.flaw != Flaw::NoLines && self.is_taken(key);
        let state = match replica {
            _ if held => State::Held,
            Some(replica) => State::Leased { replica },
            None => State::Waiting,
        };
        let lease = i64::from(matches!(state, State::Leased { .. }));
        let row = Row { state, lease, attempts: 0, round_start: 0, due_at: now, key, in_line: key.is_some() };
        self.rows.insert(self.next, row);
        (self.next, matches!(state, State::Leased { .. }))
    }

    fn is_taken(&self, key: Option<u8>) -> bool {
        key.is_some() && self.rows.values().any(|row| row.in_line && row.key == key)
    }

    /// Lets the head of a line go. Returns whether something can be claimed that could not be before.
    fn advance(&mut self, key: Option<u8>) -> bool {
        if key.is_none() || self.flaw == Flaw::NoLines {
            return false;
        }
        let in_line = |row: &Row| row.in_line && row.key == key;
        if self.rows.values().any(|row| in_line(row) && matches!(row.state, State::Leased { .. })) {
            return false;
        }
        let mut line = self.rows.values_mut().filter(|row| in_line(row));
        let Some(head) = line.next() else { return false };
        let released = head.state == State::Held;
        head.state = State::Waiting;
        line.filter(|row| row.state == State::Waiting).for_each(|row| row.state = State::Held);
        released
    }

    pub(super) fn next_due(&self) -> NextDue {
        let due = |retry: bool| {
            let waiting = self.rows.values().filter(|row| row.state == State::Waiting && (row.attempts > 0) == retry);
            waiting.map(|row| row.due_at).min()
        };
        NextDue { first: due(false), retry: due(true) }
    }

    pub(super) fn claim(&mut self, replica: usize, which: Which, now: Timestamp, limit: usize) -> Vec<Leased> {
        let fits = |row: &Row| {
            let kind = (row.attempts > 0) == (which == Which::Retries);
            row.state == State::Waiting && row.due_at <= now && kind
        };
        let mut due: Vec<_> =
            self.rows.iter().filter(|(_, row)| fits(row)).map(|(id, row)| (row.due_at, *id)).collect();
        due.sort_unstable();
        due.truncate(limit);
        due.into_iter().map(|(_, id)| self.lease(id, replica)).collect()
    }

    fn lease(&mut self, id: u128, replica: usize) -> Leased {
        let row = self.rows.get_mut(&id).expect("a row");
        row.state = State::Leased { replica };
        row.lease += 1;
        self.leased(id)
    }

    /// A delivery as whoever leased it holds it.
    pub(super) fn leased(&self, id: u128) -> Leased {
        let row = &self.rows[&id];
        let subject = Subject {
            origin: Origin::Event(EventId::from_u128(id)),
            order_id: String::new(),
            kind: String::new(),
            received_at: Timestamp::default(),
            chain: None,
            body: Bytes::new(),
            arrival: None,
        };
        Leased {
            id: DeliveryId::from_u128(id),
            channel: Arc::from("erp"),
            event: Arc::new(Event {
                id: EventId::from_u128(id),
                kind: Arc::from("a"),
                at: Timestamp::default(),
                subject: Arc::new(subject),
                context: Arc::from(""),
                step: None,
                steps: Arc::default(),
            }),
            prepared: None,
            due_at: row.due_at,
            attempts: row.attempts,
            round_start: row.round_start,
            lease: row.lease,
            slot: None,
        }
    }

    pub(super) fn is_current(&self, lease: Lease) -> bool {
        let row = &self.rows[&lease.delivery.as_u128()];
        matches!(row.state, State::Leased { .. }) && row.lease == lease.number
    }

    /// Records an attempt. Returns whether it counts, and whether something can be claimed that could not be before.
    pub(super) fn record(&mut self, lease: Lease, then: Then) -> (bool, bool) {
        if !self.is_current(lease) && self.flaw != Flaw::NoFence {
            return (false, false);
        }
        let row = self.rows.get_mut(&lease.delivery.as_u128()).expect("a row");
        row.attempts += 1;
        match then {
            Then::End => {
                row.state = State::Ended;
                row.in_line = false;
                let key = row.key;
                return (true, self.advance(key));
            }
            Then::Wait(at) => (row.state, row.due_at) = (State::Waiting, at),
            Then::Keep(at) => {
                row.due_at = at;
                row.lease += 1;
            }
        }
        (true, false)
    }

    pub(super) fn put_back(&mut self, lease: Lease) {
        if !self.is_current(lease) || self.flaw == Flaw::LostPutBacks {
            return;
        }
        let row = self.rows.get_mut(&lease.delivery.as_u128()).expect("a row");
        row.state = State::Waiting;
        let key = row.key;
        self.advance(key);
    }

    /// Cancels a delivery. Returns its new lease number, and whether something can be claimed that could not be before.
    pub(super) fn cancel(&mut self, id: u128) -> Option<(i64, bool)> {
        let row = self.rows.get_mut(&id)?;
        if matches!(row.state, State::Ended | State::Cancelled) {
            return None;
        }
        row.state = State::Cancelled;
        row.in_line = false;
        row.lease += 1;
        let (lease, key) = (row.lease, row.key);
        Some((lease, self.advance(key)))
    }

    /// Starts a new round of an ended delivery, or makes a pending one due.
    pub(super) fn retry(&mut self, id: u128, now: Timestamp) {
        let Some(row) = self.rows.get_mut(&id) else { return };
        row.due_at = row.due_at.min(now);
        if matches!(row.state, State::Ended | State::Cancelled) {
            row.due_at = now;
            row.lease += 1;
            row.round_start = row.attempts;
            row.in_line = row.key.is_some();
            row.state = if row.in_line && self.flaw != Flaw::NoLines { State::Held } else { State::Waiting };
            let key = row.key;
            self.advance(key);
        }
    }

    /// The wall clock was set back.
    pub(super) fn set_back(&mut self, now: Timestamp, by: Duration) {
        for row in self.rows.values_mut().filter(|row| row.due_at > now) {
            row.due_at = row.due_at.before(by);
        }
    }

    /// Frees what a dead replica held.
    pub(super) fn release(&mut self, replica: usize) {
        let dead = State::Leased { replica };
        let ids: Vec<_> = self.rows.iter().filter(|(_, row)| row.state == dead).map(|(id, _)| *id).collect();
        for id in ids {
            let row = self.rows.get_mut(&id).expect("a row");
            row.state = State::Waiting;
            let key = row.key;
            self.advance(key);
        }
    }

    /// An older delivery in the line of the same key that could be sent. One that is held was retried while this one was leased.
    pub(super) fn before_in_line(&self, id: u128) -> Option<u128> {
        let row = &self.rows[&id];
        row.key?;
        self.rows
            .range(..id)
            .find(|(_, other)| other.in_line && other.key == row.key && other.state != State::Held)
            .map(|(id, _)| *id)
    }

    pub(super) fn is_all_ended(&self) -> bool {
        self.rows.values().all(|row| matches!(row.state, State::Ended | State::Cancelled))
    }
}

/// Milliseconds, as a duration.
pub(super) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
