//! Identifiers: UUIDv7 behind a prefix (`ord_018f…`), sortable by the time at which they were made (RFC 9562).
//!
//! The first 63 free bits of an id are 48 bits of milliseconds and a 15-bit counter. They are unique by themselves
//! within one process and rise with every id, so that a store can use them as an integer key ([`Id::sequence`]);
//! the other 59 bits are random.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::clock::{Clock, Timestamp};

/// What an id names: gives it its prefix, and keeps an order's id from being taken for a delivery's.
pub trait Kind {
    /// The letters in front of the underscore.
    const PREFIX: &'static str;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $alias:ident $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub enum $kind {}
        impl Kind for $kind {
            const PREFIX: &'static str = $prefix;
        }
        $(#[$doc])*
        pub type $alias = Id<$kind>;
    )*};
}

kinds! {
    /// An order: `ord_…`.
    OrderKind OrderId "ord";
    /// A delivery: `dlv_…`.
    DeliveryKind DeliveryId "dlv";
    /// An attempt of a delivery: `att_…`.
    AttemptKind AttemptId "att";
    /// An event: `evt_…`.
    EventKind EventId "evt";
}

/// A UUIDv7 of one kind.
pub struct Id<K>(u128, PhantomData<fn() -> K>);

impl<K> Id<K> {
    /// From the 128 bits of a UUID.
    pub const fn from_u128(bits: u128) -> Self {
        Self(bits, PhantomData)
    }

    /// The 128 bits of the UUID.
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// The 16 bytes, as stores keep them.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// From the 16 bytes a store kept.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes), PhantomData)
    }

    /// The id's rising 63-bit key: milliseconds, then counter.
    pub const fn sequence(self) -> i64 {
        let time = (self.0 >> 80) as u64;
        let counter_high = ((self.0 >> 64) & 0xfff) as u64;
        let counter_low = ((self.0 >> 59) & 0x7) as u64;
        ((time << 15) | (counter_high << 3) | counter_low) as i64
    }

    /// The lowest key an id made at `time` can have: where a range of ids by time begins.
    pub const fn sequence_at(time: Timestamp) -> i64 {
        let millis = time.as_millis();
        if millis < 0 { 0 } else { millis.saturating_mul(1 << 15) }
    }

    /// When ids of that key are made.
    pub const fn time_of(sequence: i64) -> Timestamp {
        Timestamp::from_millis(sequence >> 15)
    }

    /// What the key leaves of the id: its random bits.
    pub const fn rest(self) -> i64 {
        (self.0 & 0x07ff_ffff_ffff_ffff) as i64
    }

    /// From the key and the rest.
    pub const fn from_parts(sequence: i64, rest: i64) -> Self {
        let (sequence, rest) = (sequence as u64 as u128, (rest as u64 & 0x07ff_ffff_ffff_ffff) as u128);
        let (time, counter) = (sequence >> 15, sequence & 0x7fff);
        let bits = (time << 80) | (0x7 << 76) | ((counter >> 3) << 64) | (0b10 << 62) | ((counter & 0x7) << 59) | rest;
        Self::from_u128(bits)
    }

    /// When the id was made.
    pub const fn time(self) -> Timestamp {
        Timestamp::from_millis((self.0 >> 80) as i64)
    }

    /// The same bits under another kind: an order event's id is its order's.
    pub const fn cast<L>(self) -> Id<L> {
        Id(self.0, PhantomData)
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<K> Hash for Id<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        // prefix, underscore, 32 digits and four dashes
        let mut text = [b'-'; 40];
        let mut at = 0;
        for byte in K::PREFIX.bytes().chain(std::iter::once(b'_')) {
            if let Some(place) = text.get_mut(at) {
                *place = byte;
            }
            at += 1;
        }
        for digit in 0..32u32 {
            if matches!(digit, 8 | 12 | 16 | 20) {
                at += 1;
            }
            let nibble = ((self.0 >> (124 - 4 * digit)) & 0xf) as usize;
            if let (Some(place), Some(hex)) = (text.get_mut(at), HEX.get(nibble)) {
                *place = *hex;
            }
            at += 1;
        }
        f.write_str(std::str::from_utf8(text.get(..at).unwrap_or_default()).unwrap_or_default())
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no id of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {0}_ and a UUID")]
pub struct NotAnId(&'static str);

impl<K: Kind> FromStr for Id<K> {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let wrong = NotAnId(K::PREFIX);
        let uuid = text.strip_prefix(K::PREFIX).and_then(|rest| rest.strip_prefix('_')).ok_or(wrong.clone())?;
        let bytes = uuid.as_bytes();
        if bytes.len() != 36 {
            return Err(wrong);
        }
        let mut bits = 0u128;
        for (at, byte) in bytes.iter().enumerate() {
            if matches!(at, 8 | 13 | 18 | 23) {
                if *byte != b'-' {
                    return Err(wrong);
                }
                continue;
            }
            let digit = char::from(*byte).to_digit(16).ok_or(wrong.clone())?;
            bits = (bits << 4) | u128::from(digit);
        }
        Ok(Self::from_u128(bits))
    }
}

impl<K: Kind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, K: Kind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Makes ids, each with a higher [`Id::sequence`] than the one before, whatever the clock does.
#[derive(Debug, Clone)]
pub struct IdSource(Arc<Source>);

#[derive(Debug)]
struct Source {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last: u64,
    /// What the lowest bits of every key are, where several processes make ids for one store.
    number: Option<u64>,
    random: fastrand::Rng,
}

impl IdSource {
    /// The bits of a key that name the process, where several make ids for one store.
    pub const NUMBER_BITS: u32 = 6;

    /// Makes every further key end with a number, so that no other process makes the same: below 2 to the power of
    /// [`IdSource::NUMBER_BITS`].
    pub fn end_with(&self, number: u16) {
        self.0.state.lock().number = Some(u64::from(number) & ((1 << Self::NUMBER_BITS) - 1));
    }

    /// The key of the last id.
    pub fn last(&self) -> i64 {
        i64::try_from(self.0.state.lock().last).unwrap_or(i64::MAX)
    }

    /// A source on `clock`, with its randomness from `seed`.
    pub fn new(clock: Arc<dyn Clock>, seed: u64) -> Self {
        let state = State { last: 0, number: None, random: fastrand::Rng::with_seed(seed) };
        Self(Arc::new(Source { clock, state: Mutex::new(state) }))
    }

    /// Makes every further id greater than `sequence`: a store calls this with the last key it holds, so that a clock
    /// that was set back cannot make a key twice.
    pub fn continue_after(&self, sequence: i64) {
        let mut state = self.0.state.lock();
        state.last = state.last.max(u64::try_from(sequence).unwrap_or(0));
    }

    /// The next id.
    pub fn next<K>(&self) -> Id<K> {
        let millis = u64::try_from(self.0.clock.now().as_millis()).unwrap_or(0);
        let (sequence, random) = {
            let mut state = self.0.state.lock();
            state.last = match state.number {
                None => (state.last + 1).max(millis << 15),
                Some(number) => {
                    let next = (state.last >> Self::NUMBER_BITS) + 1;
                    next.max(millis << (15 - Self::NUMBER_BITS)) << Self::NUMBER_BITS | number
                }
            };
            (i64::try_from(state.last).unwrap_or(i64::MAX), (state.random.u64(..) >> 5) as i64)
        };
        Id::from_parts(sequence, random)
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::ManualClock;
    use super::*;

    #[test]
    fn ids_rise_even_when_the_clock_stands_still_or_goes_back() {
        let source = IdSource::new(Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000))), 1);
        let mut last = source.next::<OrderKind>();
        assert_eq!(last.time(), Timestamp::from_millis(1_700_000_000_000));
        for _ in 0..100_000 {
            let next = source.next::<OrderKind>();
            assert!(next > last && next.sequence() > last.sequence(), "{next} after {last}");
            assert_eq!(next.to_string().len(), 40);
            last = next;
        }
        source.continue_after(last.sequence() + 1_000_000);
        assert!(source.next::<OrderKind>().sequence() > last.sequence() + 1_000_000);
    }

    #[test]
    fn an_id_is_a_uuid_version_7_behind_its_prefix_and_reads_back() {
        let source = IdSource::new(Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000))), 7);
        let id = source.next::<DeliveryKind>();
        let text = id.to_string();
        assert!(text.starts_with("dlv_018bcfe5-6800-7"), "{text}");
        assert!(matches!(text.as_bytes().get(23), Some(b'8' | b'9' | b'a' | b'b')), "{text}");
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(DeliveryId::from_bytes(id.to_bytes()), id);
        assert!(text.replace("dlv", "ord").parse::<DeliveryId>().is_err());
        assert!("dlv_".parse::<DeliveryId>().is_err());
        assert!(id.sequence() >= DeliveryId::sequence_at(id.time()));
    }
}
