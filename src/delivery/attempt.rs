//! One attempt, and what becomes of its delivery.

use std::cell::OnceCell;
use std::time::{Duration, Instant};

use crate::config::settings::Channel;
use crate::domain::event::is_own;
use crate::domain::{AfterFailure, Attempt, AttemptId, Body, Code, DeliveryStatus, Exchange, Outcome, Timestamp};
use crate::outbound::mail::Mail;
use crate::outbound::{self, MASK, Reply, Request, exchange, hide, text};
use crate::store::{Finished, Leased, NewDelivery, Next};
use crate::telemetry::spans;
use crate::template::Scope;

use super::confirm;
use super::context::Context;
use super::deps::Deps;
use super::health::Turn;
use super::lane::Lane;
use super::mail;
use super::request::NotBuilt;
use super::sender::ChannelSender;
use super::suspects::{self, Watch};

/// A retry due within this time stays in memory; a later one waits in the store.
const SOON: Duration = Duration::from_secs(10);

/// How long an attempt waits that this machine could open no connection for.
const PUT_OFF: Duration = Duration::from_secs(1);

/// Bytes of a refused text that the record keeps.
const REFUSED_KEPT: usize = 60_000;

/// What is said of a 200 that `confirm_body` does not take for one.
const DENIED: &str = "the response says \"success\": false";

/// An attempt that has begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct Started {
    pub(super) id: AttemptId,
    pub(super) started_at: Timestamp,
    pub(super) started: Instant,
    /// For the jitter of the wait behind it, where several deliveries have the same.
    chance: Option<f64>,
}

impl Started {
    pub(super) fn now(deps: &Deps) -> Self {
        let (started_at, started) = (deps.clock.now(), Instant::now());
        Self { id: deps.ids.next(), started_at, started, chance: None }
    }
}

/// Begins an attempt of `count` deliveries in one request.
pub(super) fn begin(context: &Context, count: usize) -> Vec<Started> {
    let first = Started::now(context);
    if count == 1 {
        return vec![first];
    }
    // Deliveries of one request are tried again together.
    let first = Started { chance: Some(context.random()), ..first };
    (0..count).map(|_| Started { id: context.ids.next(), ..first }).collect()
}

/// An attempt of a delivery, and what it came to.
pub(super) struct Tried {
    pub(super) begun: Started,
    pub(super) sent: Sent,
}

impl Tried {
    /// An attempt that ended by a panic.
    pub(super) fn panicked(begun: Started) -> Self {
        Self { begun, sent: Sent::internal() }
    }
}

/// What a request came to.
pub(super) struct Sent {
    pub(super) code: Code,
    auth: bool,
    /// This machine could open no connection: no attempt was made.
    pub(super) starved: bool,
    /// The failure is that of somebody else than the receiver, such as a proxy.
    elsewhere: bool,
    /// The body says that it was no success.
    denied: bool,
    /// The body's text, or why it is none, where the channel wants one.
    pub(super) said: Option<Result<String, String>>,
    retry_after: Option<Duration>,
    pub(super) error: Option<String>,
    pub(super) exchange: Exchange,
}

impl Sent {
    pub(super) fn reply(deps: &Deps, channel: &Channel, request: &Request, reply: &Reply) -> Self {
        let denied = channel.confirm_body && confirm::is_denied(reply);
        let wanted = (channel.require_text || channel.email.is_some()) && reply.error.is_none();
        Self {
            denied,
            said: wanted.then(|| text(&reply.headers, &reply.body)),
            code: reply.code,
            auth: reply.auth,
            starved: reply.starved,
            elsewhere: reply.elsewhere,
            retry_after: reply.retry_after(deps.clock.now()),
            error: reply.error.clone().or_else(|| denied.then(|| DENIED.to_owned())),
            exchange: exchange(request, reply),
        }
    }

    /// A request that could not be built. The text that was refused stands in the record as its body, so that one
    /// sees what is wrong with it.
    pub(super) fn not_built(sender: &ChannelSender, refused: NotBuilt) -> Self {
        let (channel, NotBuilt { error, text }) = (&sender.channel, refused);
        let method = channel.method.as_str().to_owned();
        // As configured: what the environment fills in may be secret.
        let url =
            channel.shown.get("url").and_then(serde_json::Value::as_str).unwrap_or(channel.url.source()).to_owned();
        let request_body = Body::whole(sender.client.shown(text, REFUSED_KEPT));
        let exchange = Exchange { method, url, request_body, ..Exchange::default() };
        Self::unsent(error, exchange)
    }

    /// Whether its failure is that of somebody else than the receiver.
    pub(super) fn is_not_the_receiver(&self) -> bool {
        self.elsewhere
    }

    /// A panic of our own.
    fn internal() -> Self {
        Self::unsent("internal error: the attempt panicked; see the log".to_owned(), Exchange::default())
    }

    /// An attempt without a request on its way.
    fn unsent(error: String, exchange: Exchange) -> Self {
        Self {
            code: Code::NOT_BUILT,
            auth: false,
            starved: false,
            elsewhere: false,
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
        let (elsewhere, denied) = (false, false);
        Self { code, auth, starved, elsewhere, denied, said: None, retry_after: None, error, exchange }
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
pub(super) async fn run(context: &Context, sender: &ChannelSender, delivery: &Leased, begun: &Started) -> Tried {
    let watch =
        Watch::begin(&context.suspects, &*context.store.queue, &context.clock, std::iter::once(delivery.id)).await;
    let mut begun = *begun;
    let mut sent = run_once(context, sender, delivery, &begun, &watch).await;
    while sent.starved {
        put_off(context, delivery).await;
        begun = Started::now(context);
        sent = run_once(context, sender, delivery, &begun, &watch).await;
    }
    watch.end(&*context.store.queue).await;
    Tried { begun, sent }
}

/// Waits before an attempt that this machine could open no connection for begins again. Nothing of it is on record.
pub(super) async fn put_off(context: &Context, delivery: &Leased) {
    tracing::info!(channel = &*delivery.channel, delivery = %delivery.id, "attempt restarted: this machine could not open a connection");
    context.clock.sleep_until(context.clock.elapsed() + PUT_OFF).await;
}

async fn run_once(
    context: &Context,
    sender: &ChannelSender,
    delivery: &Leased,
    begun: &Started,
    watch: &Watch<'_>,
) -> Sent {
    if watch.is_poisoned(delivery.id) {
        Sent::not_built(sender, suspects::ERROR.to_owned().into())
    } else if mail::is_mail(&sender.channel, delivery) {
        // In a box: requests, of which there are more, need not make room for it.
        Box::pin(send_mail(context, sender, delivery, begun)).await
    } else {
        let (request, key) = build(context, sender, delivery, begun);
        send(context, sender, request).await.hiding(key).await
    }
}

/// Sends a request, if it could be built.
pub(super) async fn send(deps: &Deps, sender: &ChannelSender, request: Result<Request, NotBuilt>) -> Sent {
    match request {
        Err(refused) => Sent::not_built(sender, refused),
        Ok(request) => Sent::reply(deps, &sender.channel, &request, &sender.client.send(&request).await),
    }
}

/// Sends the mail of an attempt, if it can be filled in.
pub(super) async fn send_mail(deps: &Deps, sender: &ChannelSender, delivery: &Leased, begun: &Started) -> Sent {
    let (draft, key) = draft(deps, sender, delivery, begun);
    Sent::from(mail::send(sender, draft).await).hiding(key).await
}

/// The mail of an attempt, or what cannot be filled in; and a key filled into it that no record shows.
pub(super) fn draft(
    deps: &Deps,
    sender: &ChannelSender,
    delivery: &Leased,
    begun: &Started,
) -> (Result<Mail, String>, Option<String>) {
    let scope = deps.router().scope(&delivery.event, begun.started_at);
    let scope = scope.with_delivery(delivery.id, delivery.prepared.as_ref()).with_settle_keys(&deps.settle_keys);
    (mail::draft(sender, delivery, &scope), scope.used_key().map(str::to_owned))
}

/// The request of an attempt, or what cannot be built; and a key filled into it that no record shows.
pub(super) fn build(
    deps: &Deps,
    sender: &ChannelSender,
    delivery: &Leased,
    begun: &Started,
) -> (Result<Request, NotBuilt>, Option<String>) {
    let filled: OnceCell<Scope> = OnceCell::new();
    let scope = || {
        let scope = || {
            deps.router()
                .scope(&delivery.event, begun.started_at)
                .with_delivery(delivery.id, delivery.prepared.as_ref())
        };
        filled.get_or_init(|| scope().with_settle_keys(&deps.settle_keys)).clone()
    };
    let fault = delivery.prepared.as_deref().and_then(|prepared| prepared.fault.clone());
    let request = match (&sender.request_template, fault) {
        (_, Some(fault)) => Err(fault.into()),
        (Ok(request_template), None) => {
            request_template.build(&sender.channel, delivery, scope, begun.id, begun.started_at)
        }
        (Err(error), None) => Err(error.clone().into()),
    };
    (request, filled.into_inner().and_then(|scope| scope.used_key().map(str::to_owned)))
}

/// What an attempt makes of its delivery. `keep`: the lane has room for it if it is tried again soon.
pub(super) fn end(
    context: &Context,
    lane: &Lane,
    sender: &ChannelSender,
    delivery: &Leased,
    tried: Tried,
    keep: bool,
) -> Finished {
    let Tried { begun, mut sent } = tried;
    let channel = &sender.channel;
    let took = begun.started.elapsed();
    let now = context.clock.now();
    let number = delivery.attempts + 1;
    let mails = mail::is_mail(channel, delivery);
    let mut outcome = sent.judge(channel, mails);
    let next = if let Some(status) = outcome.ends_as() {
        Next::End(status)
    } else {
        let chance = begun.chance.unwrap_or_else(|| context.random());
        let made = number - delivery.round_start;
        let elapsed = now.since(begun.started_at);
        match (channel.retry.wait_after(made, elapsed, sent.retry_after, chance), &channel.schedule) {
            (Some(wait), Some(schedule)) => Next::Wait(schedule.run_for(now.after(wait), now)),
            (Some(wait), None) if wait <= SOON && keep => Next::Keep(now.after(wait)),
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
    record_span(context, delivery, &attempt, mails);
    let turn = lane.attempted(now, &attempt, took);
    let mut deliveries = match next {
        Next::End(DeliveryStatus::Failed) => failure_event(context, delivery, &attempt, now),
        Next::End(DeliveryStatus::Accepted) if channel.email.is_some() && !mails => {
            vec![mail::of_response(context, channel, delivery, sent.said, now)]
        }
        _ => Vec::new(),
    };
    if let Some(turn) = turn {
        deliveries.extend(announce(context, delivery, &attempt, &turn, now));
    }
    let holds_key = channel.holding.ordering.as_ref().is_some_and(|it| it.after_failure == AfterFailure::Hold);
    Finished { lease: delivery.lease(), attempt, next, holds_key, deliveries }
}

fn record_span(context: &Context, delivery: &Leased, attempt: &Attempt, mail: bool) {
    let event = &delivery.event;
    let of =
        || spans::Delivery { delivery: delivery.id.to_string(), channel: &delivery.channel, event: &event.kind, mail };
    context.tracer.attempt(&event.subject, attempt, of);
}

/// Logs that a channel's receiver has begun to fail, or has recovered. Returns the deliveries of `channel.failing`.
fn announce(context: &Context, delivery: &Leased, attempt: &Attempt, turn: &Turn, now: Timestamp) -> Vec<NewDelivery> {
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
    own_deliveries(context, KIND, delivery, channel, &data, now)
}

/// The deliveries of an own event about a delivery; none where that is about such an event itself, so that there is no end to
/// none of them.
fn own_deliveries(
    context: &Context,
    kind: &str,
    about: &Leased,
    order_id: &str,
    data: &serde_json::Value,
    now: Timestamp,
) -> Vec<NewDelivery> {
    if is_own(&about.event.kind) || !context.router().wants(kind) {
        return Vec::new();
    }
    let event = context.own_event(kind, order_id, data, now);
    let mut deliveries = context.router().plan(&event, now, now).deliveries;
    for delivery in &mut deliveries {
        // They are born with the record, which may have to be written more than once: they wait in the store.
        delivery.slot = None;
    }
    deliveries
}

/// The deliveries of `delivery.failed`.
fn failure_event(context: &Context, delivery: &Leased, attempt: &Attempt, now: Timestamp) -> Vec<NewDelivery> {
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
    own_deliveries(context, KIND, delivery, &delivery.event.subject.order_id, &data, now)
}
