//! Spans: one trace for each order, from its arrival through steps and attempts.
//!
//! Whoever ends a piece of work records its span; that costs nothing where no collector is configured or the trace is
//! not sampled, and never waits: a full queue drops the span and counts it. [`encode`] writes spans in the JSON
//! encoding of OTLP. `outbound` sends them.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::VERSION;
use super::metrics::Metrics;
use crate::domain::{Attempt, OrderStatus, Outcome, StepRecord, StepStatus, Subject, Timestamp, TraceContext};

/// Spans that wait for the collector at most.
pub const QUEUE: usize = 8192;

/// Bytes of a text in a span at most.
const TEXT: usize = 512;

/// The kinds of spans, as OTLP numbers them.
const SERVER: u8 = 2;
const CLIENT: u8 = 3;

/// A piece of work that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    trace: u128,
    id: u64,
    parent: Option<u64>,
    state: Option<String>,
    name: String,
    kind: u8,
    start: Timestamp,
    end: Timestamp,
    /// Why it failed; `None`: it did not.
    failed: Option<String>,
    attributes: Vec<(&'static str, Value)>,
}

/// Records spans. Cheap to clone; clones share a queue.
#[derive(Debug, Clone, Default)]
pub struct Tracer(Option<Arc<Sink>>);

#[derive(Debug)]
struct Sink {
    /// The highest value of a trace id's last 63 bits that is recorded; `None`: none is.
    highest: Option<u64>,
    spans: mpsc::Sender<Span>,
    metrics: Arc<Metrics>,
}

impl Tracer {
    /// Records the share `sample` (0 to 1) of all traces. Returns the queue to be emptied.
    pub fn new(sample: f64, metrics: Arc<Metrics>) -> (Self, mpsc::Receiver<Span>) {
        Self::with_queue(sample, metrics, QUEUE)
    }

    fn with_queue(sample: f64, metrics: Arc<Metrics>, queue: usize) -> (Self, mpsc::Receiver<Span>) {
        let (spans, received) = mpsc::channel(queue);
        // A cast stops at the bounds of its type.
        let highest = (sample > 0.0).then(|| ((sample * (1_u64 << 63) as f64) as u64).saturating_sub(1));
        (Self(Some(Arc::new(Sink { highest, spans, metrics }))), received)
    }

    /// Records the arrival and the chain of an order, which has come to `status` at `end`.
    pub fn order(&self, subject: &Subject, status: OrderStatus, failed: Option<&str>, end: Timestamp) {
        self.record(subject, || {
            let mut attributes = of(subject);
            attributes.push(("orderhook.status", status.as_str().into()));
            attributes.extend(subject.chain.as_deref().map(|chain| ("orderhook.chain", text(chain).into())));
            let failed = failed.map(text);
            let root = root(subject, "order".to_owned(), attributes, end);
            Span { failed, ..root }
        });
    }

    /// Records the arrival of an event that is not about an order.
    pub fn event(&self, subject: &Subject, end: Timestamp) {
        self.record(subject, || root(subject, format!("event {}", text(&subject.kind)), of(subject), end));
    }

    /// Records a step whose requests name `id` as their parent.
    pub fn step(&self, subject: &Subject, id: u64, step: &StepRecord) {
        self.record(subject, || {
            let mut attributes = vec![
                ("orderhook.id", subject.id().into()),
                ("orderhook.step", step.step.as_str().into()),
                ("orderhook.plugin", step.plugin.as_str().into()),
                ("orderhook.critical", step.critical.into()),
                ("orderhook.status", step.status.as_str().into()),
            ];
            if let Some(code) = step.code {
                attributes.push(("orderhook.code", code.as_i32().into()));
                attributes.extend(code.http_status().map(|status| ("http.response.status_code", status.into())));
            }
            let failed = (step.status == StepStatus::Failed).then(|| text(step.error.as_deref().unwrap_or_default()));
            let end = after(step.started_at, step.duration_ms);
            below(subject, id, format!("step {}", step.step), attributes, (step.started_at, end), failed)
        });
    }

    /// Records an attempt of a delivery.
    pub fn attempt<'a>(&self, subject: &Subject, attempt: &Attempt, of: impl FnOnce() -> Delivery<'a>) {
        self.record(subject, || {
            let of = of();
            let mut attributes = vec![
                ("orderhook.id", subject.id().into()),
                ("orderhook.channel", of.channel.into()),
                ("orderhook.delivery", of.delivery.into()),
                ("orderhook.event", text(of.event).into()),
                ("orderhook.attempt", attempt.number.into()),
                ("orderhook.code", attempt.code.as_i32().into()),
                ("orderhook.outcome", attempt.outcome.as_str().into()),
            ];
            if !of.mail {
                attributes.push(("http.request.method", attempt.exchange.method.as_str().into()));
                let status = attempt.code.http_status();
                attributes.extend(status.map(|status| ("http.response.status_code", status.into())));
            }
            let success = matches!(attempt.outcome, Outcome::Accepted | Outcome::Dispatched);
            let failed = (!success).then(|| text(attempt.error.as_deref().unwrap_or_default()));
            let (id, start) = (attempt.id.as_u128() as u64, attempt.started_at);
            let times = (start, after(start, attempt.duration_ms));
            below(subject, id, format!("deliver {}", of.channel), attributes, times, failed)
        });
    }

    fn record(&self, subject: &Subject, span: impl FnOnce() -> Span) {
        let Some(sink) = self.0.as_deref().filter(|sink| sink.wants(subject)) else { return };
        match sink.spans.try_reserve() {
            Ok(slot) => slot.send(span()),
            Err(_) => sink.metrics.spans_dropped(1),
        }
    }
}

impl Sink {
    /// Whether the trace is recorded: all its spans are, in every process that uses the same share, or none.
    fn wants(&self, subject: &Subject) -> bool {
        let sampled = subject.trace().is_none_or(TraceContext::is_sampled);
        let last = (subject.trace_id() as u64) >> 1;
        sampled && self.highest.is_some_and(|highest| last <= highest)
    }
}

/// Which delivery an attempt belongs to.
#[derive(Debug, Clone)]
pub struct Delivery<'a> {
    /// Its id.
    pub delivery: String,
    pub channel: &'a str,
    /// The type of its event.
    pub event: &'a str,
    /// Whether it is a mail, whose codes are those of SMTP.
    pub mail: bool,
}

fn of(subject: &Subject) -> Vec<(&'static str, Value)> {
    vec![
        ("orderhook.id", subject.id().into()),
        ("orderhook.order_id", text(&subject.order_id).into()),
        ("orderhook.type", text(&subject.kind).into()),
    ]
}

fn root(subject: &Subject, name: String, attributes: Vec<(&'static str, Value)>, end: Timestamp) -> Span {
    let parent = subject.trace().and_then(TraceContext::span);
    let span = below(subject, subject.span_id(), name, attributes, (subject.received_at, end), None);
    Span { parent, kind: SERVER, ..span }
}

fn below(
    subject: &Subject,
    id: u64,
    name: String,
    attributes: Vec<(&'static str, Value)>,
    (start, end): (Timestamp, Timestamp),
    failed: Option<String>,
) -> Span {
    Span {
        trace: subject.trace_id(),
        id: id.max(1),
        parent: Some(subject.span_id()),
        state: subject.tracestate().map(str::to_owned),
        name,
        kind: CLIENT,
        start,
        end: end.max(start),
        failed,
        attributes,
    }
}

fn after(start: Timestamp, millis: u64) -> Timestamp {
    start.after(std::time::Duration::from_millis(millis))
}

/// At most the first [`TEXT`] bytes.
fn text(text: &str) -> String {
    let end = (0..=TEXT.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or_default()).unwrap_or_default().to_owned()
}

/// The body of a request to a collector: OTLP in its JSON encoding.
pub fn encode(spans: &[Span]) -> Vec<u8> {
    let spans: Vec<_> = spans.iter().map(Span::encode).collect();
    json!({
        "resourceSpans": [{
            "resource": {"attributes": [
                attribute("service.name", &"orderhook".into()),
                attribute("service.version", &VERSION.into()),
            ]},
            "scopeSpans": [{"scope": {"name": "orderhook", "version": VERSION}, "spans": spans}],
        }],
    })
    .to_string()
    .into_bytes()
}

fn attribute(key: &str, value: &Value) -> Value {
    let value = match value {
        Value::Bool(value) => json!({"boolValue": value}),
        // 64-bit integers are strings in the JSON encoding.
        Value::Number(value) => json!({"intValue": value.to_string()}),
        Value::String(text) => json!({"stringValue": text}),
        other => json!({"stringValue": other.to_string()}),
    };
    json!({"key": key, "value": value})
}

impl Span {
    fn encode(&self) -> Value {
        let nanos = |time: Timestamp| format!("{}000000", time.as_millis().max(1));
        let attributes: Vec<_> = self.attributes.iter().map(|(key, value)| attribute(key, value)).collect();
        let mut span = json!({
            "traceId": format!("{:032x}", self.trace),
            "spanId": format!("{:016x}", self.id),
            "name": self.name,
            "kind": self.kind,
            "startTimeUnixNano": nanos(self.start),
            "endTimeUnixNano": nanos(self.end),
            "attributes": attributes,
            "status": self.failed.as_ref().map_or_else(|| json!({}), |why| json!({"code": 2, "message": why})),
        });
        if let Some(span) = span.as_object_mut() {
            let parent = self.parent.map(|parent| ("parentSpanId", format!("{parent:016x}")));
            let state = self.state.clone().map(|state| ("traceState", state));
            span.extend(parent.into_iter().chain(state).map(|(key, text)| (key.to_owned(), text.into())));
        }
        span
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Arrival, OrderId, Origin};

    fn subject(trace: u128, flags: &str) -> Subject {
        let parent = format!("00-{trace:032x}-00f067aa0ba902b7-{flags}");
        let trace = Some(TraceContext::read(&parent, Some("rojo=1")).expect("valid"));
        Subject {
            origin: Origin::Order(OrderId::from_u128(7)),
            order_id: "é".repeat(TEXT),
            kind: "order".into(),
            received_at: Timestamp::from_millis(1_000),
            chain: None,
            body: "{}".into(),
            arrival: Some(Arc::new(Arrival { trace, cloudevent: None })),
        }
    }

    #[test]
    fn a_share_of_the_traces_is_recorded_and_none_that_the_caller_left_out() {
        let recorded = |sample: f64, trace: u128, flags: &str| {
            let (tracer, mut spans) = Tracer::new(sample, Arc::new(Metrics::new()));
            tracer.event(&subject(trace, flags), Timestamp::from_millis(2_000));
            spans.try_recv().is_ok()
        };
        let (lowest, highest) = (1 << 64, u128::MAX);
        assert!(recorded(1.0, lowest, "01") && recorded(1.0, highest, "01"));
        assert!(!recorded(1.0, lowest, "00"), "the caller did not sample it");
        assert!(!recorded(0.0, lowest, "01") && !recorded(0.0, highest, "01"));
        assert!(recorded(0.25, (1 << 62) - 1, "01") && !recorded(0.25, 1 << 62, "01"));
    }

    #[test]
    fn a_full_queue_drops_spans_and_counts_them() {
        let metrics = Arc::new(Metrics::new());
        let (tracer, mut spans) = Tracer::with_queue(1.0, Arc::clone(&metrics), 2);
        for _ in 0..5 {
            tracer.event(&subject(3, "01"), Timestamp::from_millis(2_000));
        }
        assert!(metrics.render(&[], None).contains("orderhook_spans_dropped_total 3\n"));
        assert!(spans.try_recv().is_ok() && spans.try_recv().is_ok() && spans.try_recv().is_err());
    }

    #[test]
    fn a_span_is_written_as_otlp_asks() {
        let (tracer, mut spans) = Tracer::new(1.0, Arc::new(Metrics::new()));
        tracer.order(&subject(3, "01"), OrderStatus::Rejected, Some("no"), Timestamp::from_millis(1_250));
        let body: Value = serde_json::from_slice(&encode(&[spans.try_recv().expect("a span")])).expect("JSON");
        let mut span = body["resourceSpans"][0]["scopeSpans"][0]["spans"][0].clone();
        let order_id = span["attributes"][1]["value"]["stringValue"].as_str().expect("text").len();
        assert_eq!(order_id, TEXT, "a long text is cut off");
        span.as_object_mut().expect("an object").remove("attributes");
        let expected = json!({
            "traceId": "00000000000000000000000000000003", "spanId": "0000000000000007",
            "name": "order", "kind": 2,
            "startTimeUnixNano": "1000000000", "endTimeUnixNano": "1250000000",
            "status": {"code": 2, "message": "no"},
            "parentSpanId": "00f067aa0ba902b7", "traceState": "rojo=1",
        });
        assert_eq!(span, expected);
    }
}
