//! Sends spans to a collector, by OTLP over HTTP with JSON.
//!
//! The protocol is one request with a body that `telemetry` writes, so the client that every channel uses serves here
//! too: no second HTTP client and no SDK with threads of its own.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::header_value;
use super::request::{ClientError, ClientOptions, Reply, Request};
use crate::config::settings::{Auth, Egress, Method, Otlp, Timeout};
use crate::domain::{Body, Clock};
use crate::telemetry::Throttle;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::spans::{self, Span};

/// Spans in one request at most.
const BATCH: usize = 512;

/// How long a span waits for others to share its request.
const LINGER: Duration = Duration::from_secs(1);

/// How long the collector may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The waits before a request is sent once more.
const RETRIES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(1)];

/// Bytes of a response that are read.
const MAX_RESPONSE: usize = 64 << 10;

/// Sends the spans of a queue to a collector.
pub struct Collector {
    client: Client,
    url: Url,
    headers: HeaderMap,
    spans: mpsc::Receiver<Span>,
    metrics: Arc<Metrics>,
    warned: Throttle,
}

impl Collector {
    /// A collector that gets the spans of `spans`.
    pub fn new(
        otlp: &Otlp,
        spans: mpsc::Receiver<Span>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let client = Client::new(&ClientOptions {
            timeout: Timeout::Total(TIMEOUT),
            max_response: MAX_RESPONSE,
            refuse_large: false,
            pool: 1,
            resend: true,
            auth: Auth::None,
            shared: Vec::new(),
            // The operator names the collector; no order can.
            egress: Arc::new(Egress::anywhere()),
            covered: false,
            clock,
            tls: None,
        })?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in &otlp.headers {
            let key = HeaderName::try_from(name.as_str()).map_err(|_| ClientError::HeaderName(name.clone()))?;
            let mut value = header_value(value.expose_secret()).map_err(|_| ClientError::HeaderValue)?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        Ok(Self { client, url: otlp.endpoint.clone(), headers, spans, metrics, warned: Throttle::new() })
    }

    /// Sends spans until `stop`, and then once those that still wait. To be dropped when that takes too long.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::new();
        while self.gather(&mut batch, &stop).await {
            let rejected = self.send(&batch, &stop).await;
            if let Err((dropped, why)) = rejected {
                self.metrics.spans_dropped(dropped);
                if let Some(suppressed) = self.warned.admit() {
                    tracing::warn!(
                        dropped,
                        suppressed,
                        error = why,
                        "telemetry.otlp: the collector did not accept spans; they are dropped"
                    );
                }
            }
            batch.clear();
        }
    }

    /// Fills a batch. Returns `false` once there are no more spans.
    async fn gather(&mut self, batch: &mut Vec<Span>, stop: &CancellationToken) -> bool {
        tokio::select! {
            biased;
            () = stop.cancelled() => self.spans.close(),
            first = self.spans.recv() => match first {
                Some(span) => batch.push(span),
                None => return false,
            },
        }
        let until = Instant::now() + LINGER;
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            let more = async {
                tokio::select! {
                    biased;
                    count = self.spans.recv_many(batch, room) => Some(count),
                    () = stop.cancelled(), if !self.spans.is_closed() => None,
                }
            };
            match timeout_at(until, more).await {
                Ok(Some(0)) | Err(_) => break,
                Ok(Some(_)) => {}
                Ok(None) => self.spans.close(),
            }
        }
        !batch.is_empty()
    }

    /// Sends a batch. `Err` says how many of its spans the collector did not accept, and why.
    async fn send(&self, batch: &[Span], stop: &CancellationToken) -> Result<(), (u64, String)> {
        let request = Request {
            method: Method::Post,
            url: self.url.clone(),
            headers: self.headers.clone(),
            again: HeaderMap::new(),
            body: Body::whole(bytes::Bytes::from(spans::encode(batch))),
            order: bytes::Bytes::new(),
        };
        let mut retries = RETRIES.iter();
        loop {
            let reply = self.client.send(&request).await;
            let status = reply.code.http_status();
            if matches!(status, Some(200..=299)) {
                return rejected(&reply).map_or(Ok(()), Err);
            }
            let again = matches!(status, None | Some(429 | 502..=504));
            let Some(wait) = retries.next().filter(|_| again && !stop.is_cancelled()) else {
                let why = reply.error.unwrap_or_else(|| format!("it answered {}", reply.code.as_i32()));
                return Err((batch.len() as u64, why));
            };
            tokio::select! {
                () = sleep(*wait) => {}
                () = stop.cancelled() => {}
            }
        }
    }
}

/// What a response of 2xx says about spans that the collector rejected.
fn rejected(reply: &Reply) -> Option<(u64, String)> {
    let body: serde_json::Value = serde_json::from_slice(&reply.body).ok()?;
    let partial = body.get("partialSuccess")?;
    let count = partial.get("rejectedSpans")?;
    // 64-bit integers are strings in the JSON encoding, and numbers are accepted.
    let count = count.as_u64().or_else(|| count.as_str()?.parse().ok()).filter(|count| *count > 0)?;
    let why = partial.get("errorMessage").and_then(serde_json::Value::as_str).unwrap_or("no reason given");
    Some((count, why.chars().take(200).collect()))
}
