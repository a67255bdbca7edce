//! Preview and test of a channel: the request that an order would make, and what comes back for it. Nothing is
//! stored, no delivery is made, and nothing that a channel has learned about its receiver is touched.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::config;
use crate::config::settings::{Channel, Settings};
use crate::domain::{
    Clock, Code, DeliveryStatus, Event, EventId, Exchange, IdSource, OrderId, Origin, Outcome, SettleKeys, Skip,
    Subject, json, pointer,
};
use crate::outbound::{Request, hide};
use crate::routing::{LaneMemory, Router};
use crate::store::Leased;

use super::attempt::{self, Started};
use super::deps::Deps;
use super::request::NotBuilt;
use super::sender::ChannelSender;
use super::{bucket, mail};

/// Tries channels out.
pub struct Previewer {
    pub(super) settings: Arc<Settings>,
    pub(super) channels: HashMap<Arc<str>, Arc<Channel>>,
    pub(super) deps: Deps,
}

/// What a preview is of.
#[derive(Debug)]
pub struct Preview {
    /// What would go out, or did, secrets masked; the body whole.
    pub exchange: Exchange,
    /// Why the order would not reach the channel, where a condition of the channel says so.
    pub skipped: Option<Skip>,
    /// Deliveries that the order would make for the channel; this is the first of them.
    pub deliveries: usize,
}

/// What a test came to.
#[derive(Debug)]
pub struct Tested {
    /// What went out, and what came back.
    pub preview: Preview,
    /// The response's status, or why there was none.
    pub code: Code,
    /// What the channel's rules make of it.
    pub outcome: Outcome,
    /// What went wrong, in a sentence.
    pub error: Option<String>,
    /// The mail that the response would make, which is not sent. `Err` says why there can be none.
    pub mail: Option<Result<Exchange, String>>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// Why there is nothing to try.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PreviewError {
    /// The order cannot be read.
    #[error("the order is not a JSON object: {0}")]
    NotAnOrder(String),
    /// The channel would make no request of it.
    #[error("{0}")]
    NotBuilt(String),
    /// There is no such channel.
    #[error("no channel {0:?} is configured")]
    NoChannel(String),
}

/// All that a preview takes.
struct Prepared {
    sender: ChannelSender,
    delivery: Leased,
    begun: Started,
    preview: Preview,
}

impl Previewer {
    /// Tries the channels of these settings.
    pub fn new(
        settings: Arc<Settings>,
        router: Arc<Router>,
        clock: Arc<dyn Clock>,
        ids: IdSource,
        settle_keys: Arc<SettleKeys>,
    ) -> Self {
        let channels = settings.channels.iter().map(|channel| (Arc::clone(&channel.name), Arc::clone(channel)));
        Self { channels: channels.collect(), settings, deps: Deps::new(router, clock, ids, settle_keys) }
    }

    /// Tries the channels of these settings without a service and its store.
    pub fn alone(settings: Settings, clock: Arc<dyn Clock>, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let ids = IdSource::new(Arc::clone(&clock), random.u64(..));
        let names = settings.channels.iter().map(|channel| Arc::clone(&channel.name));
        let memory = Arc::new(LaneMemory::new(names, settings.delivery.lane_memory));
        let router = Arc::new(Router::new(&settings, ids.clone(), memory, Arc::default()));
        // Of no service's keys: nothing that is tried can be settled.
        let settle_keys = Arc::new(SettleKeys::new(&std::array::from_fn(|_| random.u8(..))));
        Self::new(Arc::new(settings), router, clock, ids, settle_keys)
    }

    /// The request that `order`, or else the preset's sample order, would make.
    pub async fn preview(&self, channel: &str, order: Option<Bytes>) -> Result<Preview, PreviewError> {
        let Prepared { sender, delivery, begun, preview } = self.prepare(channel, order)?;
        let exchange = self.exchange(&sender, &delivery, &begun).await.map_err(PreviewError::NotBuilt)?;
        Ok(Preview { exchange, ..preview })
    }

    /// The request of a delivery, or its mail, as the history would keep it, with its body whole. `Err` says what cannot be
    /// built.
    pub(super) async fn exchange(
        &self,
        sender: &ChannelSender,
        delivery: &Leased,
        begun: &Started,
    ) -> Result<Exchange, String> {
        let (exchange, key) = if mail::is_mail(&sender.channel, delivery) {
            let (draft, key) = attempt::draft(&self.deps, sender, delivery, begun);
            let mailer = sender.mailer.as_ref().ok_or("smtp is not configured")?;
            (mailer.preview(draft?).await?, key)
        } else {
            let (request, key) = self.request(sender, delivery, begun);
            let request = request.map_err(|refused| refused.error)?;
            (whole(sender.client.preview(&request), delivery), key)
        };
        Ok(match key {
            Some(key) => hide(exchange, None, key).await.0,
            None => exchange,
        })
    }

    /// Sends that request now, once.
    pub async fn test(&self, channel: &str, order: Option<Bytes>) -> Result<Tested, PreviewError> {
        let Prepared { sender, delivery, begun, preview } = self.prepare(channel, order)?;
        let mails = mail::is_mail(&sender.channel, &delivery);
        let mut sent = if mails {
            attempt::send_mail(&self.deps, &sender, &delivery, &begun).await
        } else {
            let (request, key) = self.request(&sender, &delivery, &begun);
            attempt::send(&self.deps, &sender, request).await.hiding(key).await
        };
        let outcome = sent.judge(&sender.channel, mails);
        let preview = Preview { exchange: whole(sent.exchange, &delivery), ..preview };
        let duration_ms = u64::try_from(begun.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mail = match sender.channel.email {
            Some(_) if !mails && outcome.ends_as() == Some(DeliveryStatus::Accepted) => {
                Some(self.mail_of(&sender, delivery, sent.said.take()).await)
            }
            _ => None,
        };
        Ok(Tested { preview, code: sent.code, outcome, error: sent.error, mail, duration_ms })
    }

    /// The mail of a response by which `delivery` was accepted, as it would go out.
    async fn mail_of(
        &self,
        sender: &ChannelSender,
        delivery: Leased,
        said: Option<Result<String, String>>,
    ) -> Result<Exchange, String> {
        let prepared = mail::prepared_of_response(&delivery, said);
        let about = Leased { id: self.deps.ids.next(), prepared: Some(Arc::new(prepared)), slot: None, ..delivery };
        let (draft, key) = attempt::draft(&self.deps, sender, &about, &Started::now(&self.deps));
        let mailer = sender.mailer.as_ref().ok_or("smtp is not configured")?;
        let exchange = mailer.preview(draft?).await?;
        Ok(match key {
            Some(key) => hide(exchange, None, key).await.0,
            None => exchange,
        })
    }

    /// The request as it goes out: of a channel that sends in buckets, one with this delivery alone.
    fn request(
        &self,
        sender: &ChannelSender,
        delivery: &Leased,
        begun: &Started,
    ) -> (Result<Request, NotBuilt>, Option<String>) {
        let (request, key) = attempt::build(&self.deps, sender, delivery, begun);
        let channel = &sender.channel;
        let buckets = channel.schedule.as_ref().is_some_and(|schedule| schedule.bucket > 1);
        let request = match request {
            Ok(request) if buckets => {
                bucket::together(channel, &[(delivery.id, &request)], begun.started_at).unwrap_or(Ok(request))
            }
            other => other,
        };
        (request, key)
    }

    fn prepare(&self, name: &str, order: Option<Bytes>) -> Result<Prepared, PreviewError> {
        let channel = self.channels.get(name).ok_or_else(|| PreviewError::NoChannel(name.to_owned()))?;
        let body = order.map_or_else(|| Ok(config::sample(channel, &self.settings.orders)), readable)?;
        let event = Arc::new(self.event(channel, body));
        let now = self.deps.clock.now();
        let (prepared, skipped) = self.deps.router().preview(channel, &event, now);
        let deliveries = prepared.len();
        let Some(prepared) = prepared.into_iter().next() else {
            let why = skipped.as_ref().and_then(|skip| skip.detail.clone());
            let why =
                why.unwrap_or_else(|| format!("this order makes no delivery for {name}: none of its products match"));
            return Err(PreviewError::NotBuilt(why));
        };
        let delivery = Leased {
            id: self.deps.ids.next(),
            channel: Arc::clone(&channel.name),
            event,
            prepared: prepared.map(Arc::new),
            due_at: now,
            attempts: 0,
            round_start: 0,
            lease: 0,
            slot: None,
        };
        let sender = ChannelSender::new(channel, &self.settings, &self.deps.clock).map_err(PreviewError::NotBuilt)?;
        let preview = Preview { exchange: Exchange::default(), skipped, deliveries };
        Ok(Prepared { sender, delivery, begun: Started::now(&self.deps), preview })
    }

    /// The event that the channel would hear of: of the first type that it subscribes to.
    fn event(&self, channel: &Channel, body: Bytes) -> Event {
        const USUAL: &str = "order.completed";
        let kind = match channel.events.first() {
            Some(first) if !channel.events.iter().any(|pattern| pattern.matches(USUAL)) => {
                first.as_str().replace('*', "test")
            }
            _ => USUAL.to_owned(),
        };
        let text = std::str::from_utf8(&body).unwrap_or_default();
        let plain = |place: &str| {
            let found = pointer::find(text, place).and_then(pointer::plain);
            found.map(std::borrow::Cow::into_owned).filter(|value| !value.is_empty())
        };
        let id: OrderId = self.deps.ids.next();
        let now = self.deps.clock.now();
        let subject = Subject {
            origin: Origin::Order(id),
            order_id: plain(&self.settings.orders.id).unwrap_or_else(|| id.to_string()),
            kind: plain(&self.settings.orders.kind).unwrap_or_else(|| "order".to_owned()),
            received_at: now,
            chain: None,
            body,
            arrival: None,
        };
        let event: EventId = self.deps.ids.next();
        let (kind, context) = (Arc::from(kind), Arc::from("{}"));
        Event { id: event, kind, at: now, subject: Arc::new(subject), context, step: None, steps: Arc::default() }
    }
}

/// An order that is a JSON object.
fn readable(body: Bytes) -> Result<Bytes, PreviewError> {
    match json::read(&body, json::MAX_DEPTH) {
        Ok(order) if order.is_object() => Ok(body),
        Ok(_) => Err(PreviewError::NotAnOrder("found another JSON value".to_owned())),
        Err(error) => Err(PreviewError::NotAnOrder(error.to_string())),
    }
}

/// The record with the order put back into the body.
fn whole(mut exchange: Exchange, delivery: &Leased) -> Exchange {
    exchange.request_body = crate::domain::Body::whole(exchange.request_body.join(&delivery.event.subject.body));
    exchange
}
