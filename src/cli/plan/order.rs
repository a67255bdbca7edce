//! One order on record, as the API shows it, and the events that it made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::delivery::Planner;
use crate::domain::event::EventStep;
use crate::domain::{
    DeliveryId, Event, EventId, OrderId, OrderStatus, Origin, StepRecord, StepStatus, Subject, Timestamp,
};
use crate::store::OnceConflict;

/// An order that has ended.
pub(super) struct Recorded {
    pub(super) subject: Arc<Subject>,
    /// Its channels with a delivery.
    pub(super) routed: BTreeSet<String>,
    pub(super) deliveries: Vec<Was>,
    /// Its channels without one, and the reason.
    skipped: BTreeMap<String, String>,
    status: OrderStatus,
    context: Arc<str>,
    steps: Vec<StepRecord>,
    ended_at: Timestamp,
}

/// A delivery on record.
pub(super) struct Was {
    pub(super) id: DeliveryId,
    pub(super) channel: String,
    /// The type of its event.
    pub(super) event: String,
    event_id: Option<EventId>,
    /// The last attempt with a request.
    pub(super) attempt: Option<(Timestamp, Value)>,
}

impl Was {
    fn read(delivery: &Value) -> Option<Self> {
        let text = |pointer: &str| delivery.pointer(pointer).and_then(Value::as_str);
        if text("/kind") == Some("email") {
            return None; // made of a response, which a plan does not have
        }
        Some(Self {
            id: text("/id")?.parse().ok()?,
            channel: text("/channel")?.to_owned(),
            event: text("/event/type")?.to_owned(),
            event_id: text("/event/id").and_then(|id| id.parse().ok()),
            attempt: None,
        })
    }

    /// Adds the request of the last attempt, from the delivery as the API shows it.
    pub(super) fn add_attempt(&mut self, delivery: &Value) {
        let attempts = delivery.get("attempts").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        self.attempt = attempts.iter().rev().find_map(|attempt| {
            let request = attempt.get("request").filter(|request| request.is_object())?;
            Some((attempt.get("started_at")?.as_str()?.parse().ok()?, request.clone()))
        });
    }

    /// The time of the event, where the body says it.
    fn event_at(&self) -> Option<Timestamp> {
        let (_, request) = self.attempt.as_ref()?;
        let body: Value = serde_json::from_str(request.get("body")?.as_str()?).ok()?;
        body.get("timestamp")?.as_str()?.parse().ok()
    }
}

impl Recorded {
    /// Reads an order as the API shows it. `None` where it has not ended or cannot be read.
    pub(super) fn read(order: &Value) -> Option<Self> {
        let text = |name: &str| order.get(name).and_then(Value::as_str);
        let list = |name: &str| order.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let id: OrderId = text("id")?.parse().ok()?;
        let status = OrderStatus::from_name(text("status")?).filter(|status| *status != OrderStatus::Processing)?;
        let body = order.get("order").filter(|body| body.is_object())?;
        let received_at: Timestamp = text("received_at")?.parse().ok()?;
        let (mut routed, mut skipped) = (BTreeSet::new(), BTreeMap::new());
        for channel in list("channels") {
            let text = |name: &str| channel.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            if text("status") == "routed" {
                routed.insert(text("channel"));
            } else {
                skipped.insert(text("channel"), text("reason"));
            }
        }
        let mut deliveries: Vec<Was> = list("deliveries").iter().filter_map(Was::read).collect();
        deliveries.sort_by_key(|delivery| delivery.id.sequence());
        let subject = Subject {
            origin: Origin::Order(id),
            order_id: text("order_id")?.to_owned(),
            kind: text("type")?.to_owned(),
            received_at,
            chain: text("chain").map(str::to_owned),
            body: body.to_string().into(),
            arrival: None,
        };
        let steps = list("steps").iter().filter_map(|step| serde_json::from_value(step.clone()).ok()).collect();
        Some(Self {
            subject: Arc::new(subject),
            routed,
            deliveries,
            skipped,
            status,
            context: order.get("context").filter(|it| it.is_object()).map_or("{}".into(), |it| it.to_string().into()),
            steps,
            ended_at: text("ended_at").and_then(|at| at.parse().ok()).unwrap_or(received_at),
        })
    }

    /// The event of its arrival, those of steps that failed, and that of its end, which is the last.
    pub(super) fn events(&self, planner: &Planner) -> Vec<Arc<Event>> {
        let failed = self.steps.iter().filter(|step| step.status == StepStatus::Failed);
        let mut events = vec![self.event(planner, "order.received", self.subject.received_at, "{}".into(), None)];
        for step in failed.clone().filter(|step| !step.critical) {
            let context = Arc::clone(&self.context);
            events.push(self.event(planner, "order.step_failed", step.started_at, context, Some(&step.step)));
        }
        let (kind, step) = match self.status {
            OrderStatus::Rejected => ("order.rejected", failed.clone().find(|step| step.critical)),
            _ => ("order.completed", None),
        };
        let step = step.map(|step| &*step.step);
        events.push(self.event(planner, kind, self.ended_at, Arc::clone(&self.context), step));
        events
    }

    fn event(&self, planner: &Planner, kind: &str, at: Timestamp, context: Arc<str>, step: Option<&str>) -> Arc<Event> {
        let mut same = self.deliveries.iter().filter(|delivery| delivery.event == kind);
        // Steps that failed have an event each.
        let known = same.clone().find_map(|delivery| delivery.event_id).filter(|_| kind != "order.step_failed");
        Arc::new(Event {
            id: known.unwrap_or_else(|| planner.event_id()),
            kind: Arc::from(kind),
            at: same.find_map(Was::event_at).unwrap_or(at),
            subject: Arc::clone(&self.subject),
            context,
            step: step.map(Arc::from),
            steps: if kind == "order.received" {
                Arc::default()
            } else {
                self.steps.iter().map(EventStep::from).collect()
            },
        })
    }

    /// The channels whose one-off went to another order.
    pub(super) fn taken(&self, event: EventId) -> OnceConflict {
        let once = self.skipped.iter().filter(|(_, reason)| *reason == "once_per");
        once.map(|(channel, _)| (Arc::from(channel.as_str()), event)).collect()
    }
}
