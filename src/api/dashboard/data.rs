//! What the API's calls return, as far as pages show it.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::domain::{Times, Timestamp};

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct List<T> {
    pub(super) data: Vec<T>,
    pub(super) next_cursor: Option<String>,
    pub(super) searched_back_to: Option<Timestamp>,
}

/// An entry of `/v1/problems`.
#[derive(Debug, Deserialize)]
pub(super) struct Trouble {
    pub(super) kind: String,
    pub(super) channel: String,
    pub(super) summary: String,
    pub(super) count: u64,
    #[serde(default)]
    pub(super) at_least: bool,
    pub(super) first_at: Option<Timestamp>,
    pub(super) last_at: Option<Timestamp>,
    pub(super) code: Option<i64>,
    pub(super) example: Option<String>,
    pub(super) filter: Map<String, Value>,
    pub(super) reason: Option<String>,
    pub(super) by: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Channel {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) reason: Option<String>,
    pub(super) changed_at: Option<Timestamp>,
    pub(super) changed_by: Option<String>,
    pub(super) waiting: u64,
    pub(super) in_flight: u64,
    pub(super) next_attempt_at: Option<Timestamp>,
    pub(super) next_run_at: Option<Timestamp>,
    pub(super) failing_since: Option<Timestamp>,
    pub(super) last_success_at: Option<Timestamp>,
    pub(super) last_error: Option<LastError>,
    pub(super) last_hour: LastHour,
    pub(super) limits: Option<Limits>,
    pub(super) held: Option<Held>,
    pub(super) config: Option<Value>,
    pub(super) config_file: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct LastError {
    pub(super) at: Timestamp,
    pub(super) code: i64,
    pub(super) error: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct LastHour {
    pub(super) attempts: u64,
    pub(super) success_rate: Option<f64>,
    pub(super) mean_ms: Option<f64>,
    pub(super) p95_ms: Option<u64>,
    pub(super) per_minute: Option<PerMinute>,
}

/// The last sixty minutes, one by one.
#[derive(Debug, Deserialize)]
pub(super) struct PerMinute {
    pub(super) attempts: Vec<u64>,
    pub(super) successes: Vec<u64>,
    pub(super) p95_ms: Vec<Option<u64>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Limits {
    pub(super) concurrency: Concurrency,
    pub(super) rate_limit: Option<RateLimit>,
    pub(super) breaker: Option<Breaker>,
    pub(super) disables_at: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Concurrency {
    pub(super) limit: u64,
    pub(super) allowed: u64,
    pub(super) in_use: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct RateLimit {
    pub(super) rate: String,
    pub(super) left: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Breaker {
    pub(super) state: String,
    pub(super) failures: u64,
    pub(super) limit: u64,
    pub(super) code: Option<i64>,
    pub(super) open_until: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Held {
    pub(super) deliveries: u64,
    pub(super) keys: u64,
    pub(super) behind: Vec<HeldKey>,
}

#[derive(Debug, Deserialize)]
pub(super) struct HeldKey {
    pub(super) key: String,
    pub(super) delivery_id: String,
    pub(super) waiting: u64,
}

/// A delivery, of a list or by itself.
#[derive(Debug, Deserialize)]
pub(super) struct Delivery {
    pub(super) id: String,
    pub(super) channel: String,
    pub(super) status: String,
    pub(super) event: Event,
    pub(super) order: Option<String>,
    pub(super) order_id: Option<String>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) attempt_count: u64,
    pub(super) next_attempt_at: Option<Timestamp>,
    pub(super) last_code: Option<i64>,
    pub(super) late: bool,
    pub(super) ordering_key: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) items: Option<Vec<u64>>,
    #[serde(default)]
    pub(super) attempts: Vec<Attempt>,
    #[serde(default)]
    pub(super) verdicts: Vec<Verdict>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Event {
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Attempt {
    pub(super) number: u64,
    pub(super) started_at: Timestamp,
    pub(super) duration_ms: u64,
    pub(super) code: i64,
    pub(super) outcome: String,
    pub(super) error: Option<String>,
    pub(super) times: Option<Times>,
    pub(super) request: Option<Sent>,
    pub(super) response: Option<Received>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Sent {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) headers: Map<String, Value>,
    pub(super) body: String,
    pub(super) encoding: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Received {
    pub(super) headers: Map<String, Value>,
    pub(super) body: String,
    pub(super) encoding: Option<String>,
    #[serde(default)]
    pub(super) truncated: bool,
}

/// A preview or a test of a channel.
#[derive(Debug, Deserialize)]
pub(super) struct Preview {
    /// Of a test.
    request: Option<Sent>,
    /// Of a preview.
    #[serde(flatten)]
    previewed: Option<Sent>,
    pub(super) deliveries: Option<u64>,
    pub(super) skipped: Option<Skipped>,
    pub(super) code: Option<i64>,
    pub(super) response: Option<Received>,
    pub(super) outcome: Option<String>,
    pub(super) error: Option<String>,
    pub(super) duration_ms: Option<u64>,
}

impl Preview {
    /// The request that was sent, or would be.
    pub(super) fn request(&self) -> Option<&Sent> {
        self.request.as_ref().or(self.previewed.as_ref())
    }
}

/// Why an order does not go to a channel.
#[derive(Debug, Deserialize)]
pub(super) struct Skipped {
    pub(super) reason: Option<String>,
    pub(super) detail: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Verdict {
    pub(super) at: Timestamp,
    pub(super) act: String,
    pub(super) by: Option<String>,
    pub(super) reason: Option<String>,
}

/// An order of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) order_id: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) received_at: Timestamp,
    pub(super) ended_at: Option<Timestamp>,
}

/// An order by itself.
#[derive(Debug, Deserialize)]
pub(super) struct Order {
    pub(super) id: String,
    pub(super) order_id: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) chain: Option<String>,
    pub(super) received_at: Timestamp,
    pub(super) ended_at: Option<Timestamp>,
    pub(super) order: Box<RawValue>,
    pub(super) context: Box<RawValue>,
    pub(super) steps: Vec<Step>,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) channels: Vec<Got>,
    #[serde(default)]
    pub(super) same_id: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Step {
    pub(super) step: String,
    pub(super) plugin: String,
    pub(super) critical: bool,
    pub(super) status: String,
    pub(super) code: Option<i64>,
    pub(super) error: Option<String>,
    pub(super) duration_ms: u64,
    pub(super) started_at: Option<Timestamp>,
}

/// What became of an order for a channel.
#[derive(Debug, Deserialize)]
pub(super) struct Got {
    pub(super) channel: String,
    pub(super) status: String,
    pub(super) reason: Option<String>,
    pub(super) detail: Option<String>,
}

/// An entry of the audit.
#[derive(Debug, Deserialize)]
pub(super) struct Act {
    pub(super) at: Timestamp,
    pub(super) by: Option<String>,
    pub(super) act: String,
    pub(super) channel: Option<String>,
    pub(super) delivery: Option<String>,
    pub(super) order: Option<String>,
    pub(super) filter: Option<Map<String, Value>>,
    pub(super) count: Option<u64>,
    pub(super) reason: Option<String>,
    pub(super) detail: Option<Value>,
}

/// What a reload has changed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reloaded {
    pub(super) channels: Names,
    pub(super) chains: Names,
    pub(super) keys: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Names {
    pub(super) added: Vec<String>,
    pub(super) changed: Vec<String>,
    pub(super) removed: Vec<String>,
}

/// A bulk change in the background.
#[derive(Debug, Deserialize)]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) act: String,
    pub(super) by: Option<String>,
    pub(super) status: String,
    pub(super) total: u64,
    pub(super) done: u64,
    pub(super) error: Option<String>,
    pub(super) started_at: Timestamp,
    pub(super) ended_at: Option<Timestamp>,
}

/// What a bulk change would do, or has done.
#[derive(Debug, Deserialize)]
pub(super) struct Count {
    pub(super) count: u64,
    #[serde(default)]
    pub(super) examples: Vec<Delivery>,
}
