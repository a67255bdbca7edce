//! One attempt, and what becomes of its delivery.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::domain::{Attempt, Code, DeliveryStatus, Event, EventId, Exchange, Origin, Outcome, Subject, Timestamp};
use crate::outbound::{MASK, exchange, hide, text};
use crate::store::{Finished, Leased, NewDelivery, Next};
use crate::template::Scope;

use super::confirm;
use super::lane::Lane;
use super::lanes::Shared;

/// A retry due within this time stays in memory; a later one waits in the store.
const SOON: Duration = Duration::from_secs(10);

/// What is said of a 200 that `confirm_body` does not take for one.
const DENIED: &str = "the response says \"success\": false";

/// An attempt's end: the record, and the delivery itself where it stays.
pub(super) struct Ended {
    pub(super) finished: Finished,
    pub(super) delivery: Leased,
}

/// Makes one attempt.
pub(super) async fn run(shared: &Shared, lane: &Lane, delivery: Leased) -> Ended {
    let started_at = shared.clock.now();
    let started = Instant::now();
    let id = shared.ids.next();
    let channel = &lane.channel;
    let filled: OnceCell<Scope> = OnceCell::new();
    let scope = || {
        let scope =
            || shared.router.scope(&delivery.event, started_at).with_delivery(delivery.id, delivery.parcel.as_ref());
        filled.get_or_init(|| scope().with_settle_keys(&shared.settle_keys)).clone()
    };
    let mut no_text = None;
    let fault = delivery.parcel.as_deref().and_then(|parcel| parcel.fault.clone());
    let request = match (&lane.blueprint, fault) {
        (_, Some(fault)) => Err(fault),
        (Ok(blueprint), None) => blueprint.build(channel, &delivery, scope, id, started_at),
        (Err(error), None) => Err(error.clone()),
    };
    let key = filled.into_inner().and_then(|scope| scope.used_key().map(str::to_owned));
    let mut denied = false;
    let (code, auth, retry_after, mut error, mut exchange) = match request {
        Err(error) => {
            let method = channel.method.as_str().to_owned();
            let exchange = Exchange { method, url: channel.url.source().to_owned(), ..Exchange::default() };
            (Code::NOT_BUILT, false, None, Some(error), exchange)
        }
        Ok(request) => {
            let reply = lane.client.send(&request).await;
            if channel.require_text && reply.error.is_none() {
                no_text = text(&reply.headers, &reply.body).err();
            }
            let exchange = exchange(&request, &reply);
            denied = channel.confirm_body && confirm::is_denied(&reply);
            let error = reply.error.clone().or_else(|| denied.then(|| DENIED.to_owned()));
            (reply.code, reply.auth, reply.retry_after(shared.clock.now()), error, exchange)
        }
    };
    if let Some(key) = key {
        hide(&mut exchange, &key);
        error = error.map(|error| error.replace(&key, MASK));
    }
    let took = started.elapsed();
    let now = shared.clock.now();
    let number = delivery.attempts + 1;
    let mut outcome = if denied { Outcome::Retry } else { channel.outcomes.decide(code, auth) };
    if outcome == Outcome::Accepted && no_text.is_some() {
        (outcome, error) = (Outcome::Retry, no_text);
    }
    let next = match outcome.ends_as() {
        Some(status) => Next::End(status),
        None => match channel.retry.wait(number - delivery.round_start, retry_after, shared.chance()) {
            Some(wait) if wait <= SOON => Next::Keep(now.after(wait)),
            Some(wait) => Next::Wait(now.after(wait)),
            None => {
                outcome = Outcome::Failed;
                Next::End(DeliveryStatus::Failed)
            }
        },
    };
    lane.attempted(now, outcome, took);
    let attempt = Attempt {
        id,
        number,
        started_at,
        duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        code,
        outcome,
        error,
        exchange,
    };
    let deliveries = if next == Next::End(DeliveryStatus::Failed) {
        failure_event(shared, &delivery, &attempt, now)
    } else {
        Vec::new()
    };
    Ended { finished: Finished { delivery: delivery.id, attempt, next, deliveries }, delivery }
}

/// The deliveries of `delivery.failed`. A failed delivery of such an event makes no further one.
fn failure_event(shared: &Shared, delivery: &Leased, attempt: &Attempt, now: Timestamp) -> Vec<NewDelivery> {
    const KIND: &str = "delivery.failed";
    if &*delivery.event.kind == KIND || !shared.router.wants(KIND) {
        return Vec::new();
    }
    let data = serde_json::json!({
        "delivery_id": delivery.id,
        "channel": &*delivery.channel,
        "event": &*delivery.event.kind,
        "id": delivery.event.subject.id(),
        "order_id": delivery.event.subject.order_id,
        "attempts": attempt.number,
        "code": attempt.code,
        "error": attempt.error,
    });
    let event = own_event(shared, KIND, &delivery.event.subject.order_id, &data, now);
    let mut deliveries = shared.router.plan(&event, now, now).deliveries;
    for delivery in &mut deliveries {
        // They are born with the record, which may have to be written more than once: they wait in the store.
        delivery.slot = None;
    }
    deliveries
}

/// An event of the product's own.
pub(super) fn own_event(
    shared: &Shared,
    kind: &str,
    order_id: &str,
    data: &serde_json::Value,
    now: Timestamp,
) -> Arc<Event> {
    let id: EventId = shared.ids.next();
    let subject = Subject {
        origin: Origin::Event(id),
        order_id: order_id.to_owned(),
        kind: kind.to_owned(),
        received_at: now,
        chain: None,
        body: data.to_string().into(),
    };
    Arc::new(Event {
        id,
        kind: Arc::from(kind),
        at: now,
        subject: Arc::new(subject),
        context: Arc::from("{}"),
        step: None,
    })
}
