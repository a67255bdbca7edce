//! The section `limits`: what no channel may exceed.

use std::time::Duration;

use super::field::Field;
use super::read::Reader;

/// Limits that no channel may exceed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// `max_attempts`.
    pub(crate) attempts: Limit<u32>,
    /// `max_interval`.
    pub(crate) interval: Limit<Duration>,
}

/// A ceiling, and which key says so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit<T> {
    /// The most that is allowed.
    pub(crate) max: T,
    /// What a message calls it.
    pub(crate) by: &'static str,
}

impl<T: PartialOrd> Limit<T> {
    /// The stricter of this one and another.
    fn or_stricter(self, max: Option<T>, by: &'static str) -> Self {
        match max {
            Some(max) if max < self.max => Self { max, by },
            _ => self,
        }
    }
}

impl Limits {
    /// These, or what a channel's own `limits` say where that is stricter.
    pub(crate) fn within(self, channel: &Reader<'_>) -> Option<Self> {
        let Some(field) = channel.get("limits") else { return Some(self) };
        let own = field.block()?;
        let attempts = own.optional("max_attempts", Field::integer);
        let interval = own.optional("max_interval", Field::duration);
        Some(Self {
            attempts: self.attempts.or_stricter(attempts?, "the channel's limits.max_attempts"),
            interval: self.interval.or_stricter(interval?, "the channel's limits.max_interval"),
        })
    }
}

/// Reads the section.
pub(crate) fn limits(block: &Reader<'_>) -> Option<Limits> {
    let attempts = block.get("max_attempts").and_then(Field::integer);
    let interval = block.get("max_interval").and_then(Field::duration);
    Some(Limits {
        attempts: Limit { max: attempts?, by: "limits.max_attempts" },
        interval: Limit { max: interval?, by: "limits.max_interval" },
    })
}
