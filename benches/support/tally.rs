//! Who has seen which order: the generator marks those that were answered with 2xx, the sink those that arrived.
//!
//! An order counts once, and only with both marks. Every run takes numbers of its own, so that a straggler of an
//! earlier run cannot count for a later one.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use super::order;

/// Room for this many orders in one run; memory is touched as it is used.
const CAPACITY: u64 = 6_000_000;
const ACCEPTED: u8 = 1;
const DELIVERED: u8 = 2;

/// The first number that no run has taken yet.
static NEXT_RUN: AtomicU64 = AtomicU64::new(0);

/// The marks of one run.
#[derive(Debug)]
pub struct Tally {
    first: u64,
    next: AtomicU64,
    marks: Vec<AtomicU8>,
    accepted: AtomicU64,
    counted: AtomicU64,
    duplicates: AtomicU64,
    strays: AtomicU64,
}

/// What a tally says at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Count {
    /// Orders answered with 2xx.
    pub accepted: u64,
    /// Of those, the ones that arrived at the sink.
    pub delivered: u64,
    /// Arrivals of an order that had arrived before.
    pub duplicates: u64,
    /// Requests without an order of this run.
    pub strays: u64,
}

impl Tally {
    /// A tally with numbers that no other one has.
    pub fn new() -> Self {
        Self {
            first: NEXT_RUN.fetch_add(CAPACITY, Relaxed),
            next: AtomicU64::new(0),
            marks: (0..CAPACITY).map(|_| AtomicU8::new(0)).collect(),
            accepted: AtomicU64::new(0),
            counted: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            strays: AtomicU64::new(0),
        }
    }

    /// The number of the next order to send.
    pub fn number(&self) -> u64 {
        self.first + self.next.fetch_add(1, Relaxed)
    }

    /// Order `number` was answered with 2xx.
    pub fn accepted(&self, number: u64) {
        let Some(before) = self.mark(number, ACCEPTED) else { return };
        self.accepted.fetch_add(1, Relaxed);
        if before & DELIVERED != 0 {
            self.counted.fetch_add(1, Relaxed);
        }
    }

    /// `message` arrived at the sink.
    pub fn delivered(&self, message: &[u8]) {
        let Some(before) = order::number(message).and_then(|number| self.mark(number, DELIVERED)) else {
            self.strays.fetch_add(1, Relaxed);
            return;
        };
        if before & DELIVERED != 0 {
            self.duplicates.fetch_add(1, Relaxed);
        } else if before & ACCEPTED != 0 {
            self.counted.fetch_add(1, Relaxed);
        }
    }

    /// What there is to count now.
    pub fn count(&self) -> Count {
        Count {
            accepted: self.accepted.load(Relaxed),
            delivered: self.counted.load(Relaxed),
            duplicates: self.duplicates.load(Relaxed),
            strays: self.strays.load(Relaxed),
        }
    }

    fn mark(&self, number: u64, bit: u8) -> Option<u8> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.marks.get(index).map(|mark| mark.fetch_or(bit, Relaxed))
    }
}
