//! The way of an order, and of an event, from its bytes to its answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use crate::chain::{Chain, Job};
use crate::domain::order::{RejectedBy, Rejection};
use crate::domain::{
    Arrival, DeliveryId, DeliveryStatus, Event, OrderId, OrderStatus, Origin, StepRecord, StepStatus, Subject,
    Timestamp, TraceContext,
};
use crate::store::{Acceptance, Answer, Idempotency, NewDelivery, NewOrder, OnceConflict, OrderKey};

use super::{Answered, Incoming, Intake, OrderView, Refusal};

/// The result of an acceptance, on its way to the caller.
pub(super) type Reply = Result<Answered, Refusal>;

impl Intake {
    /// Accepts an order: durable when this returns `Ok`, run as far as its last critical step, or as far as
    /// `server.request_timeout` allows. A caller that goes away meanwhile changes nothing.
    pub async fn order(self: &Arc<Self>, incoming: Incoming) -> Reply {
        if self.stopping.load(Ordering::Acquire) {
            return Err(Refusal::Stopping);
        }
        let mut fields = self.pointers.of_object(&incoming.body, self.max_depth)?.into_iter();
        let id: OrderId = self.ids.next();
        let now = self.clock.now();
        let mut subject = Arc::new(Subject {
            origin: Origin::Order(id),
            order_id: fields.next().flatten().unwrap_or_else(|| id.to_string()),
            kind: fields.next().flatten().unwrap_or_else(|| "order".to_owned()),
            received_at: now,
            chain: None,
            body: incoming.body.clone(),
            arrival: arrival(incoming.trace.clone(), None),
        });
        let email = fields.next().flatten().map(|email| email.trim().to_lowercase()).filter(|email| !email.is_empty());
        if let Err(detail) = self.check_partners(&subject, now) {
            return self.refuse(subject, email, &incoming, now, &detail).await;
        }
        match self.chains.select(&subject, now).map_err(Refusal::Condition)?.map(Arc::clone) {
            None => self.complete(subject, email, &incoming, now).await,
            Some(chain) => {
                Arc::make_mut(&mut subject).chain = Some(chain.name().to_owned());
                self.run(subject, email, chain, incoming, now).await
            }
        }
    }

    /// An order without plugins: one commit, with its deliveries.
    async fn complete(
        &self,
        subject: Arc<Subject>,
        email: Option<String>,
        incoming: &Incoming,
        now: Timestamp,
    ) -> Reply {
        let context: Arc<str> = Arc::from("{}");
        let received = self.received(&subject, &context, now);
        let completed = self.event("order.completed", &subject, &context, now);
        let mut taken = OnceConflict::new();
        loop {
            // In the order of their events: an ordered channel sends them so.
            let mut deliveries = self.deliveries_of(received.as_ref(), now, &taken);
            let mut plan = self.router.plan_without(&completed, now, now, &taken);
            if let Some(received) = &received {
                self.router.explain(&mut plan.skipped, received, now, &taken);
            }
            deliveries.extend(plan.deliveries);
            let listed = listed(&deliveries);
            let answer = self.answering.order(&OrderView {
                subject: &subject,
                status: OrderStatus::Completed,
                context: &context,
                steps: &[],
                deliveries: &listed,
                rejection: None,
            });
            let idempotency = incoming.key.as_ref().map(|key| idempotency("order", incoming, key, Some(&answer)));
            let order = NewOrder {
                subject: Arc::clone(&subject),
                email: email.clone(),
                status: OrderStatus::Completed,
                skipped: plan.skipped,
                deliveries,
                idempotency,
                signed: incoming.signed.clone(),
                replica: self.replica,
            };
            let accepted = match self.store.ledger.accept_order(order).await? {
                Acceptance::OnceConflict(more) => {
                    taken.extend(more);
                    continue;
                }
                accepted => reply(accepted, answer)?,
            };
            if !accepted.replayed {
                let end = self.clock.now();
                self.metrics.order(OrderStatus::Completed, end.since(now));
                self.tracer.order(&subject, OrderStatus::Completed, None, end);
            }
            return Ok(accepted);
        }
    }

    fn check_partners(&self, subject: &Arc<Subject>, now: Timestamp) -> Result<(), String> {
        self.router.check_partners(&self.event("order.received", subject, &Arc::from("{}"), now))
    }

    /// An order whose trading partners cannot be read: it is kept as rejected, and runs through no chain.
    async fn refuse(
        &self,
        subject: Arc<Subject>,
        email: Option<String>,
        incoming: &Incoming,
        now: Timestamp,
        detail: &str,
    ) -> Reply {
        let received = self.event("order.received", &subject, &Arc::from("{}"), now);
        let plan = self.router.plan(&received, now, now);
        let answer = self.answering.unroutable(&subject, detail);
        let idempotency = incoming.key.as_ref().map(|key| idempotency("order", incoming, key, Some(&answer)));
        let order = NewOrder {
            subject: Arc::clone(&subject),
            email,
            status: OrderStatus::Rejected,
            skipped: plan.skipped,
            deliveries: plan.deliveries,
            idempotency,
            signed: incoming.signed.clone(),
            replica: self.replica,
        };
        let accepted = reply(self.store.ledger.accept_order(order).await?, answer)?;
        if !accepted.replayed {
            let end = self.clock.now();
            self.metrics.order(OrderStatus::Rejected, end.since(now));
            self.tracer.order(&subject, OrderStatus::Rejected, Some(detail), end);
            tracing::warn!(order = %subject.id(), order_id = subject.order_id, error = detail, "order rejected: its trading partners cannot be read");
        }
        Ok(accepted)
    }

    /// An order with plugins: durable first, then its chain, in a task of its own that outlives the caller.
    async fn run(
        self: &Arc<Self>,
        subject: Arc<Subject>,
        email: Option<String>,
        chain: Arc<Chain>,
        incoming: Incoming,
        now: Timestamp,
    ) -> Reply {
        let deadline = tokio::time::Instant::now() + self.request_timeout;
        let (accepted, acceptance) = oneshot::channel();
        let (caller, answer) = oneshot::channel();
        let intake = Arc::clone(self);
        let (order, key) = (Arc::clone(&subject), incoming.key.as_ref().map(|key| scoped("order", &incoming, key)));
        let run =
            async move { intake.accept_and_run(order, email, chain, incoming, now, deadline, accepted, caller).await };
        self.tasks.spawn_on(run, &self.calls);
        // The task answers in any case but a fault of its own.
        if let Some(reply) = acceptance.await.unwrap_or(Some(Err(Refusal::Stopping))) {
            return reply;
        }
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => Ok(Answered { answer, replayed: false }),
            Ok(Err(_)) | Err(_) => self.still_processing(&subject, key).await,
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one call, moved into its task")]
    async fn accept_and_run(
        self: Arc<Self>,
        subject: Arc<Subject>,
        email: Option<String>,
        chain: Arc<Chain>,
        incoming: Incoming,
        now: Timestamp,
        deadline: tokio::time::Instant,
        accepted: oneshot::Sender<Option<Reply>>,
        caller: oneshot::Sender<Answer>,
    ) {
        let context: Arc<str> = Arc::from("{}");
        let received = self.received(&subject, &context, now);
        let mut taken = OnceConflict::new();
        let (listed, at_once, key) = loop {
            let deliveries = self.deliveries_of(received.as_ref(), now, &taken);
            let listed = listed(&deliveries);
            // Nothing critical: the answer is known before the first step.
            let at_once = (!chain.holds_caller()).then(|| {
                let steps: Vec<_> = chain.first_running(now).into_iter().collect();
                self.answering.order(&OrderView {
                    subject: &subject,
                    status: OrderStatus::Processing,
                    context: &context,
                    steps: &steps,
                    deliveries: &listed,
                    rejection: None,
                })
            });
            let idempotency = incoming.key.as_ref().map(|key| idempotency("order", &incoming, key, at_once.as_ref()));
            let key = idempotency.as_ref().map(|key| key.key.clone());
            let order = NewOrder {
                subject: Arc::clone(&subject),
                email: email.clone(),
                status: OrderStatus::Processing,
                skipped: Vec::new(),
                deliveries,
                idempotency,
                signed: incoming.signed.clone(),
                replica: self.replica,
            };
            match self.store.ledger.accept_order(order).await {
                Ok(Acceptance::New) => break (listed, at_once, key),
                Ok(Acceptance::OnceConflict(more)) => taken.extend(more),
                Ok(earlier) => {
                    let nothing = Answer { status: 0, location: None, body: Bytes::new() };
                    let _ = accepted.send(Some(reply(earlier, nothing)));
                    return;
                }
                Err(error) => {
                    let _ = accepted.send(Some(Err(error.into())));
                    return;
                }
            }
        };
        let unanswered = if at_once.is_some() { None } else { key };
        let answered = at_once.map(|answer| Ok(Answered { answer, replayed: false }));
        let waits = answered.is_none();
        let _ = accepted.send(answered);
        let job = Job::new(subject, chain, listed, unanswered, waits.then_some(caller));
        self.chains.admit(job, deadline).await;
    }

    /// The answer of an order whose chain takes longer than the request may.
    async fn still_processing(&self, subject: &Subject, key: Option<String>) -> Reply {
        let Some(id) = subject.order() else { return Err(Refusal::Stopping) };
        let detail = self.store.history.order(OrderKey::Id(id)).await?;
        let (status, context, steps, deliveries) = match detail {
            Some(detail) => {
                let deliveries = detail.deliveries.iter().map(|d| (d.id, Arc::clone(&d.channel), d.status)).collect();
                (detail.summary.status, detail.context, detail.steps, deliveries)
            }
            None => (OrderStatus::Processing, Arc::from("{}"), Vec::new(), Vec::new()),
        };
        let rejection = steps.iter().find(|step| step.critical && step.status == StepStatus::Failed).map(rejection);
        let view = OrderView {
            subject,
            status,
            context: &context,
            steps: &steps,
            deliveries: &deliveries,
            rejection: rejection.as_ref(),
        };
        let mut answer = self.answering.order(&view);
        if let Some(key) = key {
            // The chain may have ended meanwhile, and have set its own.
            answer = self.store.ledger.answer(key, answer).await?;
        }
        Ok(Answered { answer, replayed: false })
    }

    /// The event of the order's arrival, where any channel wants it.
    fn received(&self, subject: &Arc<Subject>, context: &Arc<str>, now: Timestamp) -> Option<Arc<Event>> {
        const KIND: &str = "order.received";
        self.router.wants(KIND).then(|| self.event(KIND, subject, context, now))
    }

    fn deliveries_of(&self, event: Option<&Arc<Event>>, now: Timestamp, taken: &OnceConflict) -> Vec<NewDelivery> {
        event.map_or_else(Vec::new, |event| self.router.plan_without(event, now, now, taken).deliveries)
    }

    fn event(&self, kind: &str, subject: &Arc<Subject>, context: &Arc<str>, at: Timestamp) -> Arc<Event> {
        Arc::new(Event {
            id: self.ids.next(),
            kind: Arc::from(kind),
            at,
            subject: Arc::clone(subject),
            context: Arc::clone(context),
            step: None,
            steps: Arc::default(),
        })
    }
}

/// Why an order was rejected, as its journal tells.
fn rejection(step: &StepRecord) -> Rejection {
    let by = match step.code {
        Some(code) if code.is_timeout() => RejectedBy::Timeout,
        Some(code) if code.http_status().is_none() => RejectedBy::NoResponse,
        _ => RejectedBy::Status,
    };
    let detail = step.error.clone().unwrap_or_default();
    Rejection { step: step.step.clone(), plugin: step.plugin.clone(), by, detail }
}

fn listed(deliveries: &[NewDelivery]) -> Vec<(DeliveryId, Arc<str>, DeliveryStatus)> {
    deliveries.iter().map(|d| (d.id, Arc::clone(&d.channel), DeliveryStatus::Pending)).collect()
}

/// What a request brought along; `None` where that is nothing.
pub(super) fn arrival(trace: Option<TraceContext>, cloudevent: Option<Map<String, Value>>) -> Option<Arc<Arrival>> {
    let arrival = Arrival { trace, cloudevent };
    (!arrival.is_empty()).then(|| Arc::new(arrival))
}

/// A key within its endpoint and its caller.
pub(super) fn scoped(endpoint: &str, incoming: &Incoming, key: &str) -> String {
    format!("{endpoint}\n{}\n{key}", incoming.caller)
}

pub(super) fn idempotency(endpoint: &str, incoming: &Incoming, key: &str, answer: Option<&Answer>) -> Idempotency {
    Idempotency {
        key: scoped(endpoint, incoming, key),
        // The method and path are part of the key.
        digest: Sha256::new().chain_update(&incoming.attributes).chain_update(&incoming.body).finalize().into(),
        answer: answer.cloned(),
    }
}

pub(super) fn reply(acceptance: Acceptance, answer: Answer) -> Reply {
    match acceptance {
        Acceptance::New => Ok(Answered { answer, replayed: false }),
        Acceptance::Replay(answer) => Ok(Answered { answer, replayed: true }),
        Acceptance::UnderWay => Err(Refusal::KeyUnderWay),
        Acceptance::Mismatch => Err(Refusal::KeyMismatch),
        Acceptance::SignedBefore => Err(Refusal::SignedBefore),
        // The caller has left these out by now.
        Acceptance::OnceConflict(_) | Acceptance::Known(_) | Acceptance::OwnIdMismatch(_) => {
            Err(crate::store::StoreError::Corrupt("a one-off is refused again and again".into()).into())
        }
    }
}
