//! The run of one order through its chain.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use crate::domain::event::EventStep;
use crate::domain::ids::EventKind;
use crate::domain::order::{RejectedBy, Rejection};
use crate::domain::{DeliveryId, DeliveryStatus, Event, OrderStatus, Skip, StepRecord, StepStatus, Subject, Timestamp};
use crate::store::{Answer, JournalEntry, Journaled, NewDelivery, OnceConflict, OrderEnd, StoreError};
use crate::system::failpoint;
use crate::template::Scope;

use super::admission::Permit;
use super::plugin::{Call, Failure, StepResult};
use super::{Chain, Chains, OrderView, Step, context};

/// How long to wait before a step is journaled again, when the store did not take it.
pub(super) const STORE_RETRY: Duration = Duration::from_millis(500);

/// The event of an order's arrival, and what conditions see that look at an order before its chain.
const RECEIVED: &str = "order.received";

/// An order on its way through its chain.
pub struct Job {
    /// The order.
    pub(super) subject: Arc<Subject>,
    pub(super) chain: Arc<Chain>,
    /// What steps found out so far.
    pub(super) context: Map<String, Value>,
    /// The steps that have ended.
    pub(super) steps: Vec<StepRecord>,
    /// How many of them are journaled.
    pub(super) journaled: usize,
    /// The deliveries born so far.
    pub(super) deliveries: Vec<(DeliveryId, Arc<str>, DeliveryStatus)>,
    /// How often a crash interrupted it.
    pub(super) resumed: u32,
    /// The caller's idempotency key, as long as it has no answer.
    pub(super) unanswered: Option<String>,
    /// The caller that waits for the answer.
    pub(super) caller: Option<oneshot::Sender<Answer>>,
    /// Admits it; `None` until it has asked.
    pub(super) permit: Option<Permit>,
}

impl Job {
    /// An accepted order before its first step. `caller` waits for the answer; without one the order has its answer.
    pub fn new(
        subject: Arc<Subject>,
        chain: Arc<Chain>,
        deliveries: Vec<(DeliveryId, Arc<str>, DeliveryStatus)>,
        unanswered: Option<String>,
        caller: Option<oneshot::Sender<Answer>>,
    ) -> Self {
        let (context, steps) = (Map::new(), Vec::new());
        Self { subject, chain, context, steps, journaled: 0, deliveries, resumed: 0, unanswered, caller, permit: None }
    }
}

/// What a step leads to.
struct Turn {
    record: StepRecord,
    rejection: Option<Rejection>,
    failed: bool,
}

impl Chains {
    /// Waits for a permit until `deadline`, and runs an accepted order. Without a permit the order goes back to the
    /// store and is resumed later.
    pub async fn admit(&self, mut job: Job, deadline: tokio::time::Instant) {
        let places = &job.chain.places;
        let permit = if job.caller.is_some() {
            tokio::time::timeout_at(deadline, places.foreground()).await.ok().flatten()
        } else {
            places.background()
        };
        match permit {
            Some(permit) => {
                job.permit = Some(permit);
                self.run(job).await;
            }
            None => self.put_back(&job).await,
        }
    }

    /// Gives the order back to the store, to be resumed once there is a permit.
    async fn put_back(&self, job: &Job) {
        let Some(order) = job.subject.order() else { return };
        if let Err(error) = self.give_up(order, &job.chain).await {
            log_given_up(job, &error);
        }
    }

    /// Runs what remains of an order's chain. Ends early when the order now belongs to another replica, the store has
    /// closed, or no permit is free for its background steps: it is resumed then.
    pub(super) async fn run(&self, mut job: Job) {
        let chain = Arc::clone(&job.chain);
        let first = job.skip_passed(self.clock.now());
        let mut attempt = job.resumed + 1;
        let ended = job.steps.iter().any(|done| done.critical && done.status == StepStatus::Failed);
        if first == chain.steps.len() || ended {
            // The configuration has lost the steps that were to come: nothing remains to be done.
            if let Err(error) = self.finish(&mut job, None).await {
                log_given_up(&job, &error);
            }
            return;
        }
        for (index, step) in chain.steps.iter().enumerate().skip(first) {
            if !self.tenure.holds() {
                return log_given_up(&job, &StoreError::Fenced);
            }
            let turn = self.turn(&mut job, step, attempt).await;
            attempt = 1;
            let last = index + 1 == chain.steps.len();
            let rejected = turn.rejection.is_some();
            let result = if last || rejected {
                self.finish(&mut job, Some(turn)).await
            } else {
                self.step(&mut job, index, turn, chain.steps.get(index + 1)).await
            };
            if let Err(error) = result {
                return log_given_up(&job, &error);
            }
            if rejected {
                return;
            }
            if index + 1 == chain.answer_after && !last {
                // Nobody waits for the rest: its place is for an order whose caller does.
                job.permit = None;
                job.permit = chain.places.background();
                if job.permit.is_none() {
                    return self.put_back(&job).await;
                }
            }
        }
    }

    pub(super) fn scope(&self, subject: &Arc<Subject>, context: &str, now: Timestamp) -> Scope {
        self.router.scope(&self.received(subject, context, now), now)
    }

    fn received(&self, subject: &Arc<Subject>, context: &str, at: Timestamp) -> Event {
        Event {
            id: self.ids.next(),
            kind: Arc::from(RECEIVED),
            at,
            subject: Arc::clone(subject),
            context: Arc::from(context),
            step: None,
            steps: Arc::default(),
        }
    }

    /// Why channels that want the order's arrival alone got nothing of it, as far as that follows from the order.
    fn explain(&self, subject: &Arc<Subject>, skipped: &mut [Skip]) {
        if self.router.wants(RECEIVED) {
            let at = subject.received_at;
            self.router.explain(skipped, &self.received(subject, "{}", at), at, &OnceConflict::new());
        }
    }

    /// Runs one step, and merges what it found out into the context.
    async fn turn(&self, job: &mut Job, step: &Step, attempt: u32) -> Turn {
        let started_at = self.clock.now();
        let started = Instant::now();
        let context = context::text(&job.context);
        let scope = self.scope(&job.subject, &context, started_at);
        let mut record = StepRecord {
            step: step.id.clone(),
            plugin: step.plugin_name.clone(),
            critical: step.critical,
            status: StepStatus::Passed,
            code: None,
            error: None,
            duration_ms: 0,
            started_at,
        };
        let span = self.ids.next::<EventKind>().as_u128() as u64;
        let result = match step.when.as_ref().map(|when| when.holds(&scope).map_err(|error| (when, error))) {
            Some(Ok(false)) => {
                record.status = StepStatus::Skipped;
                self.tracer.step(&job.subject, span, &record);
                return Turn { record, rejection: None, failed: false };
            }
            Some(Err((when, error))) => {
                let (step, chain) = (&step.id, &job.chain.name);
                let text = format!(
                    "`when` of the step {step} of the chain {chain} ({}) cannot be evaluated for this order: {error}",
                    when.source()
                );
                StepResult { failure: Some(Failure { by: RejectedBy::Status, text }), ..StepResult::default() }
            }
            None | Some(Ok(true)) => {
                let call =
                    Call { subject: &job.subject, context: &context, scope: &scope, step: &step.id, attempt, span };
                let run = async {
                    failpoint("step");
                    step.plugin.run(call).await
                };
                AssertUnwindSafe(run).catch_unwind().await.unwrap_or_else(|_| {
                    let text = "the plugin panicked".to_owned();
                    StepResult { failure: Some(Failure { by: RejectedBy::NoResponse, text }), ..StepResult::default() }
                })
            }
        };
        record.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.metrics.step(&step.id, started.elapsed());
        record.code = result.code;
        let failure = result.failure.clone();
        context::merge(&mut job.context, &step.id, result, context.len());
        let mut rejection = None;
        if let Some(failure) = &failure {
            record.status = StepStatus::Failed;
            record.error = Some(failure.text.clone());
            tracing::warn!(
                order = %job.subject.id(), order_id = job.subject.order_id, chain = job.chain.name, step = step.id,
                critical = step.critical, code = record.code.map(crate::domain::Code::as_i32), error = failure.text, "step failed"
            );
            if step.critical {
                rejection = Some(Rejection {
                    step: step.id.clone(),
                    plugin: step.plugin_name.clone(),
                    by: failure.by,
                    detail: failure.text.clone(),
                });
            }
        }
        self.tracer.step(&job.subject, span, &record);
        Turn { record, rejection, failed: failure.is_some() }
    }

    /// Journals a step behind which others follow.
    async fn step(&self, job: &mut Job, index: usize, turn: Turn, next: Option<&Step>) -> Result<(), StoreError> {
        let position = job.journaled as u32;
        let failed = turn.failed.then(|| turn.record.step.clone());
        job.steps.push(turn.record);
        let context: Arc<str> = context::text(&job.context).into();
        let events = failed.map(|step| self.event(job, "order.step_failed", &context, Some(&step)));
        let answering = index + 1 == job.chain.answer_after;
        let answer = answering.then(|| {
            let mut steps = job.steps.clone();
            steps.extend(next.map(|next| next.running(self.clock.now())));
            self.answering.order(&OrderView {
                subject: &job.subject,
                status: OrderStatus::Processing,
                context: &context,
                steps: &steps,
                deliveries: &job.deliveries,
                rejection: None,
            })
        });
        self.journal(job, position, &context, events.as_slice(), None, answer).await
    }

    /// Journals the last step and the order's end.
    async fn finish(&self, job: &mut Job, turn: Option<Turn>) -> Result<(), StoreError> {
        let position = job.journaled as u32;
        let (mut rejection, mut failed) = (None, None);
        if let Some(turn) = turn {
            failed = (turn.failed && turn.rejection.is_none()).then(|| turn.record.step.clone());
            rejection = turn.rejection;
            job.steps.push(turn.record);
        }
        let status = if rejection.is_some() { OrderStatus::Rejected } else { OrderStatus::Completed };
        let context: Arc<str> = context::text(&job.context).into();
        let kind = if rejection.is_some() { "order.rejected" } else { "order.completed" };
        let mut events = Vec::new();
        events.extend(failed.map(|step| self.event(job, "order.step_failed", &context, Some(&step))));
        let refused = rejection.as_ref().map(|rejection| rejection.step.as_str());
        let why = rejection.as_ref().map(|rejection| rejection.detail.clone());
        events.push(self.event(job, kind, &context, refused));
        self.journal(job, position, &context, &events, Some((status, rejection)), None).await?;
        let now = self.clock.now();
        self.metrics.order(status, now.since(job.subject.received_at));
        self.tracer.order(&job.subject, status, why.as_deref(), now);
        Ok(())
    }

    fn event(&self, job: &Job, kind: &str, context: &Arc<str>, step: Option<&str>) -> Arc<Event> {
        Arc::new(Event {
            id: self.ids.next(),
            kind: Arc::from(kind),
            at: self.clock.now(),
            subject: Arc::clone(&job.subject),
            context: Arc::clone(context),
            step: step.map(Arc::from),
            steps: job.steps.iter().map(EventStep::from).collect(),
        })
    }

    /// Writes the steps from `position` on, with the deliveries of `events`, until the store has them; then answers.
    async fn journal(
        &self,
        job: &mut Job,
        position: u32,
        context: &Arc<str>,
        events: &[Arc<Event>],
        end: Option<(OrderStatus, Option<Rejection>)>,
        answer: Option<Answer>,
    ) -> Result<(), StoreError> {
        let mut taken = OnceConflict::new();
        loop {
            let now = self.clock.now();
            let mut deliveries: Vec<NewDelivery> = Vec::new();
            let mut skipped = Vec::new();
            for event in events {
                let plan = self.router.plan_without(event, now, now, &taken);
                deliveries.extend(plan.deliveries);
                if &*event.kind != "order.step_failed" {
                    skipped = plan.skipped;
                    self.explain(&job.subject, &mut skipped);
                }
            }
            let mut born = job.deliveries.clone();
            born.extend(deliveries.iter().map(|d| (d.id, Arc::clone(&d.channel), DeliveryStatus::Pending)));
            let answer = match &end {
                Some((status, rejection)) => Some(self.answering.order(&OrderView {
                    subject: &job.subject,
                    status: *status,
                    context,
                    steps: &job.steps,
                    deliveries: &born,
                    rejection: rejection.as_ref(),
                })),
                None => answer.clone(),
            };
            let steps = (position..).zip(job.steps.iter().skip(position as usize).cloned()).collect();
            let keyed = answer.clone().and_then(|answer| job.unanswered.clone().map(|key| (key, answer)));
            let entry = JournalEntry {
                replica: self.replica,
                order: match job.subject.order() {
                    Some(order) => order,
                    None => return Ok(()),
                },
                steps,
                context: Some(Arc::clone(context)),
                deliveries,
                end: end.as_ref().map(|(status, _)| OrderEnd { status: *status, at: now, skipped }),
                answer: keyed,
            };
            match self.ledger.journal(entry).await {
                Ok(Journaled::OnceConflict(more)) => taken.extend(more),
                Ok(Journaled::Done) => {
                    job.deliveries = born;
                    job.journaled = job.steps.len();
                    if let Some(answer) = answer {
                        job.unanswered = None;
                        if let Some(caller) = job.caller.take() {
                            // A caller that no longer waits has had its 202.
                            let _ = caller.send(answer);
                        }
                    }
                    return Ok(());
                }
                Err(error) if error.is_passing() => {
                    tracing::error!(order = %job.subject.id(), order_id = job.subject.order_id, %error, "a step could not be journaled, trying again");
                    tokio::time::sleep(STORE_RETRY).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Job {
    /// Returns the position of the first step to run: the one behind the last that has a record. Steps before it that
    /// have none are new in the configuration, and are recorded as skipped.
    fn skip_passed(&mut self, now: Timestamp) -> usize {
        let recorded = |steps: &[StepRecord], step: &Step| steps.iter().any(|done| done.step == step.id);
        let first = self.chain.steps.iter().rposition(|step| recorded(&self.steps, step)).map_or(0, |last| last + 1);
        for step in self.chain.steps.iter().take(first) {
            if !recorded(&self.steps, step) {
                let error = Some("new in the configuration, before a step that had already run".to_owned());
                self.steps.push(StepRecord { status: StepStatus::Skipped, error, ..step.running(now) });
            }
        }
        first
    }
}

impl Step {
    fn running(&self, now: Timestamp) -> StepRecord {
        StepRecord {
            step: self.id.clone(),
            plugin: self.plugin_name.clone(),
            critical: self.critical,
            status: StepStatus::Running,
            code: None,
            error: None,
            duration_ms: 0,
            started_at: now,
        }
    }
}

impl Chain {
    /// The step that an order begins with, as one under way.
    pub fn first_running(&self, now: Timestamp) -> Option<StepRecord> {
        self.steps.first().map(|step| step.running(now))
    }
}

fn log_given_up(job: &Job, error: &StoreError) {
    tracing::warn!(order = %job.subject.id(), order_id = job.subject.order_id, %error, "the chain stops here and is resumed later");
}
