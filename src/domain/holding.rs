//! How a channel's deliveries are held back: by the order of their keys, and by a receiver that fails.

use std::sync::Arc;
use std::time::Duration;

use super::code::Code;
use super::event::Event;
use super::pointer;

/// Which deliveries of a channel are sent one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderingPolicy {
    /// What the deliveries of one line have in common.
    pub by: OrderingKey,
    /// What becomes of a line when a delivery has failed.
    pub after_failure: AfterFailure,
}

/// What the deliveries of one line have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderingKey {
    /// The order's own id.
    Order,
    /// The channel: all its deliveries are one line.
    Channel,
    /// The event: the requests about its units are one line, and the mails of their responses another.
    Units,
    /// The value at a JSON pointer into the order (RFC 6901).
    Pointer(String),
}

/// What becomes of a key of an ordered channel when a delivery has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AfterFailure {
    /// The next delivery with the key is sent.
    Continue,
    /// The key is held until the delivery is retried, accepted or cancelled.
    Hold,
}

impl AfterFailure {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Continue, Self::Hold];

    /// The name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Hold => "hold",
        }
    }
}

/// The longest key that is kept as it is; of a longer one its beginning and a digest of all of it.
const LONGEST: usize = 200;

impl OrderingPolicy {
    /// The key of an event's deliveries; `None` where the order has no text, number or truth value at the pointer: such a
    /// delivery is sent alone.
    pub fn key(&self, event: &Event) -> Option<Arc<str>> {
        let subject = &event.subject;
        let key = match &self.by {
            OrderingKey::Channel => return Some(Arc::from("")),
            OrderingKey::Units => event.id.to_string(),
            OrderingKey::Order if subject.order_id.is_empty() => return None,
            OrderingKey::Order => subject.order_id.clone(),
            OrderingKey::Pointer(place) => {
                let found = pointer::find(std::str::from_utf8(&subject.body).ok()?, place)?;
                if found.starts_with(['{', '[']) || found == "null" || found == "\"\"" {
                    return None;
                }
                pointer::plain(found).map_or_else(|| found.to_owned(), std::borrow::Cow::into_owned)
            }
        };
        if key.len() <= LONGEST {
            return Some(key.into());
        }
        let digest = <sha2::Sha256 as sha2::Digest>::digest(key.as_bytes());
        let digest: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let beginning: String = key.chars().take(LONGEST / 5).collect();
        Some(format!("{beginning}…#{digest}").into())
    }

    /// The key of the mail of a response to one of an event's deliveries.
    pub fn mail_key(&self, event: &Event) -> Option<Arc<str>> {
        match self.by {
            // Requests that follow do not hold it up.
            OrderingKey::Units => Some(format!("{} mails", event.id).into()),
            OrderingKey::Order | OrderingKey::Channel | OrderingKey::Pointer(_) => self.key(event),
        }
    }

    /// How `check` shows it.
    pub fn describe(&self) -> String {
        let by = match &self.by {
            OrderingKey::Order => "order",
            OrderingKey::Channel => "channel",
            OrderingKey::Units => return "units of an order in sequence".to_owned(),
            OrderingKey::Pointer(place) => place,
        };
        match self.after_failure {
            AfterFailure::Continue => format!("ordered by {by}"),
            AfterFailure::Hold => format!("ordered by {by}, held after a failure"),
        }
    }
}

/// When attempts stop because the receiver fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Consecutive failures that open the breaker.
    pub failures: u32,
    /// How long it stays open before the first probe.
    pub cooldown: Duration,
}

/// What an attempt's code says about the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// The receiver does not answer, is overloaded or broken.
    Failure,
    /// The receiver answered.
    Answer,
    /// The receiver was not asked: nothing is known of it.
    None,
}

impl Sign {
    /// The sign of a code. `mails`: the code is a reply of a mail server, whose 4xx and 5xx are about one message.
    pub fn of(code: Code, mails: bool) -> Self {
        match code.http_status() {
            Some(_) if mails => Self::Answer,
            Some(429 | 500..=599) => Self::Failure,
            Some(_) => Self::Answer,
            None if matches!(code, Code::EGRESS | Code::AUTH | Code::NOT_BUILT) => Self::None,
            // The receiver answered, only more than is taken.
            None if code == Code::TOO_LARGE => Self::Answer,
            None => Self::Failure,
        }
    }
}
