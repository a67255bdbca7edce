//! The names that templates and expressions can use.

use std::fmt;
use std::sync::{Arc, OnceLock};

use minijinja::Value;
use minijinja::value::{Enumerator, Object};

use super::{json, words};
use crate::domain::{DeliveryId, Event, SettleKeys, Timestamp};

/// What is known when a template is filled in:
///
/// | name | what |
/// |---|---|
/// | `order` | the order; the data of an event that has none |
/// | `context` | what the chain's steps gave |
/// | `event.id`, `event.type` | the event |
/// | `delivery.id` | the delivery, where there is one |
/// | `customer_email` | by the pointer of `orders.customer_email` |
/// | `accept_url` | where the receiver says later that it took the delivery, with a key of its own; where there is a delivery |
/// | `order_url` | where the API shows the order; missing for an event without one |
/// | `now` | the time of the attempt, RFC 3339 |
///
/// Built once for an event and cheap to clone; JSON is parsed at its first use.
#[derive(Clone)]
pub struct Scope {
    event: Arc<Known>,
    context: Arc<OnceLock<Value>>,
    delivery: Option<DeliveryId>,
    settle: Option<Arc<Settle>>,
    now: Timestamp,
}

struct Known {
    event: Event,
    public_url: Box<str>,
    customer_email: Box<str>,
    order: OnceLock<Value>,
}

/// What an `accept_url` is made of, and whether it was.
struct Settle {
    keys: Arc<SettleKeys>,
    used: OnceLock<String>,
}

impl Scope {
    /// The names of an event. `public_url` is `server.public_url`, `customer_email` the pointer of `orders`.
    pub fn new(event: &Event, public_url: &str, customer_email: &str, now: Timestamp) -> Self {
        let known = Known {
            event: event.clone(),
            public_url: public_url.into(),
            customer_email: customer_email.into(),
            order: OnceLock::new(),
        };
        Self { event: Arc::new(known), context: Arc::default(), delivery: None, settle: None, now }
    }

    /// The same, with `delivery.id`.
    #[must_use]
    pub fn with_delivery(&self, delivery: DeliveryId) -> Self {
        Self { delivery: Some(delivery), ..self.clone() }
    }

    /// The same, with `accept_url` where there is a delivery.
    #[must_use]
    pub fn with_settle_keys(&self, keys: &Arc<SettleKeys>) -> Self {
        let settle = Settle { keys: Arc::clone(keys), used: OnceLock::new() };
        Self { settle: Some(Arc::new(settle)), ..self.clone() }
    }

    /// The key that was filled in somewhere as a part of `accept_url`: whoever has it can settle the delivery, so it
    /// must not be shown.
    pub fn used_key(&self) -> Option<&str> {
        self.settle.as_ref()?.used.get().map(String::as_str)
    }

    /// The same at another time.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Self {
        Self { now, ..self.clone() }
    }

    /// The same with another context, as a chain gathers it. What is parsed of the order stays.
    #[must_use]
    pub fn with_context(&self, context: &serde_json::Map<String, serde_json::Value>) -> Self {
        Self { context: Arc::new(OnceLock::from(json::from_map(context))), ..self.clone() }
    }

    pub(super) fn root(&self) -> Value {
        Value::from_object(Root(self.clone()))
    }

    /// The order as [`super::PathFilter`] looks into it; `Err` where it cannot be read.
    pub(super) fn parsed_order(&self) -> Result<Value, minijinja::Error> {
        let order = self.order().clone();
        // A value that carries an error is how a template learns of it.
        if order.kind() == minijinja::value::ValueKind::Invalid {
            return json::parse(&self.event.event.subject.body);
        }
        Ok(order)
    }

    fn order(&self) -> &Value {
        self.event.order.get_or_init(|| json::parse(&self.event.event.subject.body).unwrap_or_else(Value::from))
    }

    fn find(&self, name: &str) -> Option<Value> {
        let event = &self.event.event;
        Some(match name {
            "order" => self.order().clone(),
            "context" => {
                let parsed = || json::parse(event.context.as_bytes()).unwrap_or_else(Value::from);
                self.context.get_or_init(parsed).clone()
            }
            "event" => Value::from_pairs([
                ("id", Value::from(event.id.to_string())),
                ("type", Value::from(Arc::clone(&event.kind))),
            ]),
            "delivery" => Value::from_pairs([("id", Value::from(self.delivery?.to_string()))]),
            "customer_email" => {
                let pointer = self.event.customer_email.strip_prefix('/')?;
                let mut value = self.order().clone();
                for part in pointer.split('/') {
                    let part = part.replace("~1", "/").replace("~0", "~");
                    value = match part.parse::<usize>() {
                        Ok(at) if value.as_object().is_some_and(|object| object.repr() != MAP) => {
                            value.get_item_by_index(at).ok()?
                        }
                        _ => value.get_attr(&part).ok()?,
                    };
                }
                value.as_str()?;
                value
            }
            "accept_url" => {
                let (id, settle) = (self.delivery?, self.settle.as_ref()?);
                let key = settle.used.get_or_init(|| settle.keys.key(id));
                Value::from(format!(
                    "{}/v1/deliveries/{id}/accept?key={key}",
                    self.event.public_url.trim_end_matches('/')
                ))
            }
            "order_url" => {
                let id = event.subject.order()?;
                Value::from(format!("{}/v1/orders/{id}", self.event.public_url.trim_end_matches('/')))
            }
            "now" => Value::from(self.now.to_string()),
            _ => return None,
        })
    }
}

const MAP: minijinja::value::ObjectRepr = minijinja::value::ObjectRepr::Map;

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("event", &self.event.event.id).finish_non_exhaustive()
    }
}

/// A scope as the engine looks names up in it.
#[derive(Debug)]
struct Root(Scope);

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.find(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.0.find(key)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(words::ROOTS)
    }
}
