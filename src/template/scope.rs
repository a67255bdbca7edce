//! The names that templates and expressions can use.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use minijinja::Value;
use minijinja::value::{Enumerator, Object, ValueKind};

use super::{Bounds, json, meter, words};
use crate::domain::event::EventStep;
use crate::domain::{DeliveryId, Event, PreparedDelivery, SettleKeys, Timestamp};

/// What is known when a template is filled in:
///
/// | name | what |
/// |---|---|
/// | `order` | the order; the data of an event that has none |
/// | `context` | what the chain's steps gave |
/// | `event.id`, `event.type`, `event.time` | the event, and when it happened, RFC 3339 |
/// | `event.steps` | of an order's event: each step that has ended, with `step`, `status` and `code` |
/// | `event.step`, `event.plugin`, `event.code`, `event.error` | of `order.rejected` and `order.step_failed`: the step that failed, and why |
/// | `order_id` | by the pointer of `orders.id`, else the server's own id |
/// | `delivery.id` | the delivery, where there is one |
/// | `items`, `item` | the items that the delivery is about, and the first of them |
/// | `quantity`, `unit` | how many units it is about; which one, where each has a delivery of its own |
/// | `product_id` | the first item's product, else the order's, by the pointers of `orders.product` |
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
    prepared: Option<Arc<PreparedDelivery>>,
    now: Timestamp,
}

struct Known {
    event: Event,
    places: Arc<Places>,
    order: OnceLock<Value>,
}

/// What an `accept_url` is made of, and whether it was.
struct Settle {
    keys: Arc<SettleKeys>,
    used: OnceLock<String>,
}

/// Where names are found: the same for all events of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// `server.public_url`.
    pub public_url: String,
    /// The pointer of `orders.customer_email`.
    pub customer_email: String,
    /// The pointer of `orders.items`.
    pub items: String,
    /// The pointers of `orders.product`.
    pub product: Vec<String>,
    /// How long a template or condition may take.
    pub bounds: Bounds,
}

impl Scope {
    /// The names of an event.
    pub fn new(event: &Event, places: &Arc<Places>, now: Timestamp) -> Self {
        let known = Known { event: event.clone(), places: Arc::clone(places), order: OnceLock::new() };
        Self { event: Arc::new(known), context: Arc::default(), delivery: None, settle: None, prepared: None, now }
    }

    /// The same, with `delivery.id` and what the delivery carries.
    #[must_use]
    pub fn with_delivery(&self, delivery: DeliveryId, prepared: Option<&Arc<PreparedDelivery>>) -> Self {
        Self { delivery: Some(delivery), prepared: prepared.cloned(), ..self.clone() }
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

    /// How long a template or condition may take.
    pub(super) fn bounds(&self) -> Bounds {
        self.event.places.bounds
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
        let parsed = || json::parse(&self.event.event.subject.body).unwrap_or_else(Value::from);
        self.event.order.get_or_init(|| meter::aside(parsed))
    }

    /// The value of a name: of one at the root of paths, or of `order_id`, the order's own id.
    pub(super) fn find(&self, name: &str) -> Option<Value> {
        let event = &self.event.event;
        let places = &self.event.places;
        Some(match name {
            "order" => self.order().clone(),
            "context" => {
                let parsed = || json::parse(event.context.as_bytes()).unwrap_or_else(Value::from);
                self.context.get_or_init(|| meter::aside(parsed)).clone()
            }
            "event" => happened(event),
            "delivery" => Value::from_pairs([("id", Value::from(self.delivery?.to_string()))]),
            "items" => self.items()?.into(),
            "item" => self.item()?,
            "quantity" => self.prepared.as_ref()?.quantity?.into(),
            "unit" => self.prepared.as_ref()?.unit?.into(),
            "units" => self.prepared.as_ref()?.units?.into(),
            "product_id" => {
                let product = |within: &Value| {
                    let mut found = places.product.iter().filter_map(|pointer| at(within, pointer));
                    found.find(|value| value.as_str().is_some_and(|text| !text.is_empty()) || is_number(value))
                };
                self.item().as_ref().and_then(product).or_else(|| product(self.order()))?
            }
            "customer_email" => at(self.order(), &places.customer_email).filter(|value| value.as_str().is_some())?,
            "accept_url" => {
                let (id, settle) = (self.delivery?, self.settle.as_ref()?);
                let key = settle.used.get_or_init(|| settle.keys.key(id));
                Value::from(format!("{}/v1/deliveries/{id}/accept?key={key}", places.public_url.trim_end_matches('/')))
            }
            "order_url" => {
                let id = event.subject.order()?;
                Value::from(format!("{}/v1/orders/{id}", places.public_url.trim_end_matches('/')))
            }
            "order_id" => Value::from(event.subject.order_id.as_str()),
            "now" => Value::from(self.now.to_string()),
            _ => return None,
        })
    }

    /// The items of the delivery; the order itself where it has no list of them.
    fn items(&self) -> Option<Vec<Value>> {
        let positions = self.prepared.as_ref()?.items.as_ref()?;
        if positions.is_empty() {
            return Some(vec![self.order().clone()]);
        }
        let list = at(self.order(), &self.event.places.items)?;
        Some(positions.iter().filter_map(|position| list.get_item_by_index(*position as usize).ok()).collect())
    }

    fn item(&self) -> Option<Value> {
        let positions = self.prepared.as_ref()?.items.as_ref()?;
        match positions.first() {
            None => Some(self.order().clone()),
            Some(first) => at(self.order(), &self.event.places.items)?.get_item_by_index(*first as usize).ok(),
        }
    }
}

/// The names below `event`.
///
/// A CloudEvent has its attributes too, where they do not bear one of these names; all of them are below `cloudevent`.
fn happened(event: &Event) -> Value {
    let code = |step: &EventStep| step.code.map_or(Value::from(()), |code| Value::from(code.as_i32()));
    let mut names = vec![
        ("id", Value::from(event.id.to_string())),
        ("type", Value::from(Arc::clone(&event.kind))),
        ("time", Value::from(event.at.to_string())),
    ];
    if event.subject.order().is_some() {
        let steps = event.steps.iter().map(|step| {
            Value::from_pairs([
                ("step", Value::from(step.step.as_str())),
                ("status", Value::from(step.status.as_str())),
                ("code", code(step)),
            ])
        });
        names.push(("steps", steps.collect::<Vec<_>>().into()));
    }
    if let Some(step) = event.failed() {
        names.extend([
            ("step", Value::from(step.step.as_str())),
            ("plugin", Value::from(step.plugin.as_str())),
            ("code", code(step)),
            ("error", Value::from(step.error.as_deref().unwrap_or_default())),
        ]);
    }
    let Some(attributes) = event.subject.cloudevent() else { return Value::from_pairs(names) };
    let mut all: BTreeMap<&str, Value> =
        attributes.iter().map(|(name, value)| (name.as_str(), json::from_tree(value))).collect();
    all.insert("cloudevent", json::from_map(attributes));
    all.extend(names);
    Value::from_pairs(all)
}

/// What stands at a JSON pointer.
fn at(value: &Value, pointer: &str) -> Option<Value> {
    let mut found = value.clone();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        found = match part.parse::<usize>() {
            Ok(at) if found.as_object().is_some_and(|object| object.repr() != MAP) => {
                found.get_item_by_index(at).ok()?
            }
            _ => found.get_attr(&part).ok()?,
        };
    }
    (!found.is_undefined() && !found.is_none()).then_some(found)
}

/// Whether it is a number, one that no machine type holds too.
fn is_number(value: &Value) -> bool {
    value.kind() == ValueKind::Number || value.downcast_object_ref::<json::LongNumber>().is_some()
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
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let found = self.0.find(key)?;
        // The names that are put together at each use cost what they have.
        let made = if matches!(key, "items" | "event") { meter::shallow(&found) } else { 0 };
        Some(meter::charge(made + meter::ELEMENT).map_or_else(Value::from, |()| found))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(words::ROOTS)
    }
}
