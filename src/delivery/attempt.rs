//! One attempt, and what becomes of its delivery.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::settings::Channel;
use crate::domain::event::is_own;
use crate::domain::{
    Attempt, AttemptId, Body, Code, DeliveryStatus, Event, EventId, Exchange, Origin, Outcome, Subject, Timestamp,
};
use crate::outbound::mail::Mail;
use crate::outbound::{self, MASK, Reply, Request, exchange, hide, text};
use crate::store::{Finished, Leased, NewDelivery, Next};
use crate::template::Scope;

use super::confirm;
use super::health::Turn;
use super::lane::Lane;
use super::lanes::Shared;
use super::mail;
use super::outlet::{Kit, Outlet};
use super::request::NotBuilt;
use super::suspects::{self, Watch};

/// A retry due within this time stays in memory; a later one waits in the store.
const SOON: Duration = Duration::from_secs(10);

/// How long an attempt waits that this machine could open no connection for.
const PUT_OFF: Duration = Duration::from_secs(1);

/// Bytes of a refused text that the record keeps.
const REFUSED_KEPT: usize = 60_000;

/// What is said of a 200 that `confirm_body` does not take for one.
const DENIED: &str = "the response says \"success\": false";

/// An attempt's end: the record, and the delivery itself where it stays.
pub(super) struct Ended {
    pub(super) finished: Finished,
    pub(super) delivery: Leased,
}

/// An attempt that has begun.
pub(super) struct Begun {
    pub(super) id: AttemptId,
    pub(super) started_at: Timestamp,
    pub(super) started: Instant,
    /// For the jitter of the wait behind it, where several deliveries have the same.
    chance: Option<f64>,
}

impl Begun {
    pub(super) fn now(kit: &Kit) -> Self {
        let (started_at, started) = (kit.clock.now(), Instant::now());
        Self { id: kit.ids.next(), started_at, started, chance: None }
    }

    /// The same for each of `count` deliveries of one request.
    pub(super) fn together(shared: &Shared, count: usize) -> Vec<Self> {
        let first = Self { chance: Some(shared.chance()), ..Self::now(shared) };
        (0..count).map(|_| Self { id: shared.ids.next(), ..first }).collect()
    }
}

/// What a request came to.
pub(super) struct Sent {
    pub(super) code: Code,
    auth: bool,
    /// This machine could open no connection: no attempt was made.
    pub(super) starved: bool,
    /// The body says that it was no success.
    denied: bool,
    /// The body's text, or why it is none, where the channel wants one.
    pub(super) said: Option<Result<String, String>>,
    retry_after: Option<Duration>,
    pub(super) error: Option<String>,
    pub(super) exchange: Exchange,
}

impl Sent {
    pub(super) fn reply(kit: &Kit, channel: &Channel, request: &Request, reply: &Reply) -> Self {
        let denied = channel.confirm_body && confirm::is_denied(reply);
        let wanted = (channel.require_text || channel.email.is_some()) && reply.error.is_none();
        Self {
            denied,
            said: wanted.then(|| text(&reply.headers, &reply.body)),
            code: reply.code,
            auth: reply.auth,
            starved: reply.starved,
            retry_after: reply.retry_after(kit.clock.now()),
            error: reply.error.clone().or_else(|| denied.then(|| DENIED.to_owned())),
            exchange: exchange(request, reply),
        }
    }

    /// A request that could not be built. The text that was refused stands in the record as its body, so that one
    /// sees what is wrong with it.
    pub(super) fn not_built(outlet: &Outlet, refused: NotBuilt) -> Self {
        let (channel, NotBuilt { error, text }) = (&outlet.channel, refused);
        let method = channel.method.as_str().to_owned();
        // As configured: what the environment fills in may be secret.
        let url =
            channel.shown.get("url").and_then(serde_json::Value::as_str).unwrap_or(channel.url.source()).to_owned();
        let request_body = Body::whole(outlet.client.shown(text, REFUSED_KEPT));
        let exchange = Exchange { method, url, request_body, ..Exchange::default() };
        Self {
            code: Code::NOT_BUILT,
            auth: false,
            starved: false,
            denied: false,
            said: None,
            retry_after: None,
            error: Some(error),
            exchange,
        }
    }

    /// What the channel's rules make of it.
    pub(super) fn judge(&mut self, channel: &Channel, mails: bool) -> Outcome {
        if self.denied {
            return Outcome::Retry;
        }
        let outcome = mail::outcomes(channel, mails).decide(self.code, self.auth);
        if !matches!(outcome, Outcome::Accepted | Outcome::Dispatched) && self.error.is_none() {
            self.error = Some(answered(self.code, mails));
        }
        if let (Outcome::Accepted, true, Some(Err(no_text))) = (outcome, channel.require_text, &self.said) {
            self.error = Some(no_text.clone());
            return Outcome::Retry;
        }
        outcome
    }

    /// The same without a key that was filled in.
    pub(super) async fn hiding(mut self, key: Option<String>) -> Self {
        if let Some(key) = key {
            self.said = self.said.map(|said| said.map(|text| text.replace(&key, MASK)));
            (self.exchange, self.error) = hide(self.exchange, self.error, key).await;
        }
        self
    }
}

impl From<outbound::mail::Sent> for Sent {
    fn from(sent: outbound::mail::Sent) -> Self {
        let outbound::mail::Sent { code, auth, starved, error, exchange } = sent;
        Self { code, auth, starved, denied: false, said: None, retry_after: None, error, exchange }
    }
}

/// What is wrong with a response that came whole, in a sentence.
fn answered(code: Code, mails: bool) -> String {
    let code = code.as_i32();
    match code {
        _ if mails => format!("the mail server answered {code}"),
        301 | 302 | 303 | 307 | 308 => format!("the receiver answered {code}, and redirects are not followed"),
        _ => format!("the receiver answered {code}"),
    }
}

/// Makes one attempt.
pub(super) async fn run(shared: &Shared, lane: &Lane, outlet: &Outlet, delivery: Leased) -> Ended {
    let watch = Watch::begin(shared, std::iter::once(delivery.id)).await;
    let mut begun = Begun::now(shared);
    let mut sent = run_once(shared, outlet, &delivery, &begun, &watch).await;
    while sent.starved {
        put_off(shared, &delivery).await;
        begun = Begun::now(shared);
        sent = run_once(shared, outlet, &delivery, &begun, &watch).await;
    }
    watch.end(shared).await;
    end(shared, lane, outlet, delivery, &begun, sent)
}

/// Waits before an attempt that this machine could open no connection for begins again. Nothing of it is on record.
pub(super) async fn put_off(shared: &Shared, delivery: &Leased) {
    tracing::info!(channel = &*delivery.channel, delivery = %delivery.id, "an attempt begins again: this machine could open no connection");
    shared.clock.sleep_until(shared.clock.now().after(PUT_OFF)).await;
}

async fn run_once(shared: &Shared, outlet: &Outlet, delivery: &Leased, begun: &Begun, watch: &Watch<'_>) -> Sent {
    if watch.is_poisoned(delivery.id) {
        Sent::not_built(outlet, suspects::ERROR.to_owned().into())
    } else if mail::is_mail(&outlet.channel, delivery) {
        // In a box: requests, of which there are more, need not make room for it.
        Box::pin(send_mail(shared, outlet, delivery, begun)).await
    } else {
        let (request, key) = build(shared, outlet, delivery, begun);
        send(shared, outlet, request).await.hiding(key).await
    }
}

/// Sends a request, if it could be built.
pub(super) async fn send(kit: &Kit, outlet: &Outlet, request: Result<Request, NotBuilt>) -> Sent {
    match request {
        Err(refused) => Sent::not_built(outlet, refused),
        Ok(request) => Sent::reply(kit, &outlet.channel, &request, &outlet.client.send(&request).await),
    }
}

/// Sends the mail of an attempt, if it can be filled in.
pub(super) async fn send_mail(kit: &Kit, outlet: &Outlet, delivery: &Leased, begun: &Begun) -> Sent {
    let (draft, key) = draft(kit, outlet, delivery, begun);
    Sent::from(mail::send(outlet, draft).await).hiding(key).await
}

/// The mail of an attempt, or what cannot be filled in; and a key filled into it that no record shows.
pub(super) fn draft(
    kit: &Kit,
    outlet: &Outlet,
    delivery: &Leased,
    begun: &Begun,
) -> (Result<Mail, String>, Option<String>) {
    let scope = kit.router().scope(&delivery.event, begun.started_at);
    let scope = scope.with_delivery(delivery.id, delivery.parcel.as_ref()).with_settle_keys(&kit.settle_keys);
    (mail::draft(outlet, delivery, &scope), scope.used_key().map(str::to_owned))
}

/// The request of an attempt, or what cannot be built; and a key filled into it that no record shows.
pub(super) fn build(
    kit: &Kit,
    outlet: &Outlet,
    delivery: &Leased,
    begun: &Begun,
) -> (Result<Request, NotBuilt>, Option<String>) {
    let filled: OnceCell<Scope> = OnceCell::new();
    let scope = || {
        let scope = || {
            kit.router().scope(&delivery.event, begun.started_at).with_delivery(delivery.id, delivery.parcel.as_ref())
        };
        filled.get_or_init(|| scope().with_settle_keys(&kit.settle_keys)).clone()
    };
    let fault = delivery.parcel.as_deref().and_then(|parcel| parcel.fault.clone());
    let request = match (&outlet.blueprint, fault) {
        (_, Some(fault)) => Err(fault.into()),
        (Ok(blueprint), None) => blueprint.build(&outlet.channel, delivery, scope, begun.id, begun.started_at),
        (Err(error), None) => Err(error.clone().into()),
    };
    (request, filled.into_inner().and_then(|scope| scope.used_key().map(str::to_owned)))
}

/// What an attempt makes of its delivery.
pub(super) fn end(
    shared: &Shared,
    lane: &Lane,
    outlet: &Outlet,
    delivery: Leased,
    begun: &Begun,
    mut sent: Sent,
) -> Ended {
    let channel = &outlet.channel;
    let took = begun.started.elapsed();
    let now = shared.clock.now();
    let number = delivery.attempts + 1;
    let mails = mail::is_mail(channel, &delivery);
    let mut outcome = sent.judge(channel, mails);
    let next = if let Some(status) = outcome.ends_as() {
        Next::End(status)
    } else {
        let chance = begun.chance.unwrap_or_else(|| shared.chance());
        let made = number - delivery.round_start;
        let elapsed = now.since(begun.started_at);
        match (channel.retry.wait_after(made, elapsed, sent.retry_after, chance), &channel.schedule) {
            (Some(wait), Some(schedule)) => Next::Wait(schedule.run_for(now.after(wait), now)),
            (Some(wait), None) if wait <= SOON => Next::Keep(now.after(wait)),
            (Some(wait), None) => Next::Wait(now.after(wait)),
            (None, _) => {
                outcome = Outcome::Failed;
                Next::End(DeliveryStatus::Failed)
            }
        }
    };
    let attempt = Attempt {
        id: begun.id,
        number,
        started_at: begun.started_at,
        duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        code: sent.code,
        outcome,
        error: sent.error,
        exchange: sent.exchange,
    };
    let turn = lane.attempted(now, &attempt, took);
    let mut deliveries = match next {
        Next::End(DeliveryStatus::Failed) => failure_event(shared, &delivery, &attempt, now),
        Next::End(DeliveryStatus::Accepted) if channel.email.is_some() && !mails => {
            vec![mail::of_response(shared, channel, &delivery, sent.said, now)]
        }
        _ => Vec::new(),
    };
    if let Some(turn) = turn {
        deliveries.extend(announce(shared, &delivery, &attempt, &turn, now));
    }
    Ended { finished: Finished { delivery: delivery.id, attempt, next, deliveries }, delivery }
}

/// Logs that a channel's receiver has begun to fail, or has recovered. Returns the deliveries of `channel.failing`.
fn announce(shared: &Shared, delivery: &Leased, attempt: &Attempt, turn: &Turn, now: Timestamp) -> Vec<NewDelivery> {
    const KIND: &str = "channel.failing";
    let channel = &*delivery.channel;
    let since = match turn {
        Turn::Failing(since) => since,
        Turn::Recovered(since) => {
            tracing::info!(channel, failing_since = %since, "channel recovered: deliveries succeed again");
            return Vec::new();
        }
    };
    let error = attempt.error.as_deref().unwrap_or_default();
    tracing::warn!(channel, delivery = %delivery.id, code = attempt.code.as_i32(), error, "channel failing");
    let data = serde_json::json!({
        "channel": channel,
        "failing_since": since,
        "delivery_id": delivery.id,
        "code": attempt.code,
        "error": error,
    });
    own_deliveries(shared, KIND, delivery, channel, &data, now)
}

/// The deliveries of an own event about a delivery; none where that is about such an event itself, so that there is no end to
/// none of them.
fn own_deliveries(
    shared: &Shared,
    kind: &str,
    about: &Leased,
    order_id: &str,
    data: &serde_json::Value,
    now: Timestamp,
) -> Vec<NewDelivery> {
    if is_own(&about.event.kind) || !shared.router().wants(kind) {
        return Vec::new();
    }
    let event = own_event(shared, kind, order_id, data, now);
    let mut deliveries = shared.router().plan(&event, now, now).deliveries;
    for delivery in &mut deliveries {
        // They are born with the record, which may have to be written more than once: they wait in the store.
        delivery.slot = None;
    }
    deliveries
}

/// The deliveries of `delivery.failed`.
fn failure_event(shared: &Shared, delivery: &Leased, attempt: &Attempt, now: Timestamp) -> Vec<NewDelivery> {
    const KIND: &str = "delivery.failed";
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
    own_deliveries(shared, KIND, delivery, &delivery.event.subject.order_id, &data, now)
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
        arrival: None,
    };
    Arc::new(Event {
        id,
        kind: Arc::from(kind),
        at: now,
        subject: Arc::new(subject),
        context: Arc::from("{}"),
        step: None,
        steps: Arc::default(),
    })
}
