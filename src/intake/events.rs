//! Accepting events that have no chain.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sha2::{Digest, Sha256};

use crate::domain::{Event, EventId, Origin, Subject, Timestamp, TraceContext};
use crate::store::{Acceptance, Answer, Idempotency, NewEvent, NewEvents, OnceConflict};

use super::accept::{Reply, arrival, idempotency, reply, scoped};
use super::extract::check_value;
use super::{Answered, Incoming, Intake, PostedEvent, Refusal};

/// An event of a request.
struct Posted {
    event: Arc<Event>,
    due_at: Timestamp,
    /// The sender's id for it, where it counts once for that.
    own_id: Option<(String, Idempotency)>,
    /// The position of the same event before it in the request; its own where it is the first.
    same_as: usize,
    /// The answer of its acceptance: an earlier one, or that of this turn.
    answer: Option<Answer>,
}

impl Intake {
    /// Accepts events that have no chain: all of them or none, in one commit. `batch` says in which form they came,
    /// and so in which they are answered. An event with an id of its sender's is accepted once; a CloudEvent also where
    /// it comes in another batch or with another key, any other event where the request has no key.
    pub async fn events(&self, incoming: Incoming, events: Vec<PostedEvent>, batch: bool) -> Reply {
        if self.stopping.load(Ordering::Acquire) {
            return Err(Refusal::Stopping);
        }
        let now = self.clock.now();
        let key = incoming.key.as_ref().map(|key| idempotency("event", &incoming, key, None));
        let mut posted = self.all_posted(&incoming, events, now)?;
        let mut taken = OnceConflict::new();
        loop {
            let (mut accepted, mut positions) = (Vec::with_capacity(posted.len()), Vec::with_capacity(posted.len()));
            let mut answers: Vec<Answer> = Vec::with_capacity(posted.len());
            for (at, Posted { event, due_at, own_id, same_as, answer }) in posted.iter().enumerate() {
                if let Some(answer) = answer.as_ref().or_else(|| answers.get(*same_as)) {
                    answers.push(answer.clone());
                    continue;
                }
                let deliveries = self.router.plan_without(event, *due_at, now, &taken).deliveries;
                let listed = (event.id, deliveries.iter().map(|d| (d.id, Arc::clone(&d.channel))).collect());
                let answer = self.answering.event(&listed);
                let own_id =
                    own_id.as_ref().map(|(_, key)| Idempotency { answer: Some(answer.clone()), ..key.clone() });
                accepted.push(NewEvent { event: Arc::clone(event), deliveries, own_id });
                positions.push(at);
                answers.push(answer);
            }
            let answer = match answers.as_slice() {
                [answer] if !batch => answer.clone(),
                answers => self.answering.batch(&answers.iter().collect::<Vec<_>>()),
            };
            if accepted.is_empty() {
                return Ok(Answered { answer, replayed: true });
            }
            let idempotency = key.clone().map(|key| Idempotency { answer: Some(answer.clone()), ..key });
            let events =
                NewEvents { events: accepted, idempotency, signed: incoming.signed.clone(), replica: self.replica };
            match self.store.ledger.accept_events(events).await? {
                Acceptance::OnceConflict(more) => taken.extend(more),
                Acceptance::Known(earlier) => {
                    for (at, answer) in earlier {
                        if let Some(event) = positions.get(at).and_then(|at| posted.get_mut(*at)) {
                            event.answer = Some(answer);
                        }
                    }
                }
                Acceptance::OwnIdMismatch(at) => {
                    let own = positions.get(at).and_then(|at| posted.get(*at)).and_then(|event| event.own_id.as_ref());
                    return Err(Refusal::EventIdMismatch(own.map(|(id, _)| id.clone()).unwrap_or_default()));
                }
                accepted => {
                    let answered = reply(accepted, answer)?;
                    if !answered.replayed {
                        let end = self.clock.now();
                        let events = positions.iter().filter_map(|at| posted.get(*at));
                        events.for_each(|posted| self.tracer.event(&posted.event.subject, end));
                    }
                    return Ok(answered);
                }
            }
        }
    }

    /// The events of a request, each with the first of its kind in it.
    fn all_posted(
        &self,
        incoming: &Incoming,
        events: Vec<PostedEvent>,
        now: Timestamp,
    ) -> Result<Vec<Posted>, Refusal> {
        let mut posted: Vec<Posted> = Vec::with_capacity(events.len());
        let mut first: HashMap<String, usize> = HashMap::new();
        for event in events {
            check_value(&event.data, self.max_depth)?;
            let counts_once = event.cloudevent.is_some() || incoming.key.is_none();
            let own_id = event.id.clone().filter(|_| counts_once).map(|id| {
                let key = scoped("event-id", incoming, &id);
                (id, Idempotency { key, digest: digest(&event), answer: None })
            });
            let at = posted.len();
            let same_as = own_id.as_ref().map_or(at, |(_, own)| *first.entry(own.key.clone()).or_insert(at));
            if let (Some((id, own)), Some(Posted { own_id: Some((_, before)), .. })) = (&own_id, posted.get(same_as))
                && own.digest != before.digest
            {
                return Err(Refusal::EventIdMismatch(id.clone()));
            }
            let due_at = event.deliver_at.unwrap_or(now);
            let event = self.posted(event, incoming.trace.clone(), now);
            self.router.check_partners(&event).map_err(Refusal::Partners)?;
            posted.push(Posted { event, due_at, own_id, same_as, answer: None });
        }
        Ok(posted)
    }

    fn posted(&self, posted: PostedEvent, trace: Option<TraceContext>, now: Timestamp) -> Arc<Event> {
        let id: EventId = self.ids.next();
        let own = self.pointers.of_value(&posted.data).into_iter().next().flatten();
        let trace = trace.or_else(|| {
            let text = |name: &str| posted.cloudevent.as_ref()?.get(name)?.as_str();
            TraceContext::read(text("traceparent")?, text("tracestate"))
        });
        let subject = Arc::new(Subject {
            origin: Origin::Event(id),
            order_id: own.or(posted.id).unwrap_or_else(|| id.to_string()),
            kind: posted.kind.clone(),
            received_at: now,
            chain: None,
            body: posted.data,
            arrival: arrival(trace, posted.cloudevent),
        });
        Arc::new(Event {
            id,
            kind: posted.kind.into(),
            at: posted.at.unwrap_or(now),
            subject,
            context: Arc::from("{}"),
            step: None,
            steps: Arc::default(),
        })
    }
}

/// What tells an event from another one with the same id, whichever form it came in. Attributes that trace a request
/// differ each time, and the content type is that of the form.
fn digest(event: &PostedEvent) -> [u8; 32] {
    const APART: [&str; 3] = ["traceparent", "tracestate", "datacontenttype"];
    let mut attributes: Vec<_> =
        event.cloudevent.iter().flatten().filter(|(name, _)| !APART.contains(&name.as_str())).collect();
    attributes.sort_by_key(|(name, _)| name.as_str());
    let mut hash = Sha256::new();
    hash.update(event.kind.as_bytes());
    hash.update([0]);
    for time in [event.at, event.deliver_at] {
        hash.update(time.map_or(i64::MIN, Timestamp::as_millis).to_le_bytes());
    }
    for (name, value) in attributes {
        // Headers have text alone: `5` and `"5"` are one value.
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        for part in [name.as_bytes(), value.as_bytes()] {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
    }
    hash.update([0]);
    hash.update(&event.data);
    hash.finalize().into()
}
