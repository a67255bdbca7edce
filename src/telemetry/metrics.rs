//! Metrics: every name, and the counters behind it.
//!
//! A counter is an atomic number that its owner holds on to, a histogram a row of them: counting costs a few
//! nanoseconds and no memory, however often `/metrics` is read. What is a state rather than a count ([`Gauges`]) is
//! handed in when the page is written. To add a metric, add its name below, a field, and a line in
//! [`Metrics::render`]; the test at the end of this file lists them all.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use crate::domain::{DeliveryStatus, OrderStatus, Outcome};

use super::VERSION;
use super::exposition::{Page, label};
use super::histogram::{Histogram, SECONDS, SHORT_SECONDS, SIZES};

/// The names, as Prometheus knows them.
pub mod names {
    /// Orders that ended or were answered, by status.
    pub const ORDERS: &str = "orderhook_orders_total";
    /// From an order's receipt to its end.
    pub const ORDER_DURATION: &str = "orderhook_order_duration_seconds";
    /// How long a step of a chain took.
    pub const STEP_DURATION: &str = "orderhook_step_duration_seconds";
    /// Deliveries that ended, by channel and status.
    pub const DELIVERIES: &str = "orderhook_deliveries_total";
    /// Attempts, by channel and outcome.
    pub const ATTEMPTS: &str = "orderhook_attempts_total";
    /// How long an attempt took.
    pub const ATTEMPT_DURATION: &str = "orderhook_attempt_duration_seconds";
    /// Deliveries waiting or under way.
    pub const PENDING: &str = "orderhook_deliveries_pending";
    /// The age of the oldest delivery that is due.
    pub const LAG: &str = "orderhook_delivery_lag_seconds";
    /// 1 for the state a channel is in, 0 for the others.
    pub const CHANNEL_STATE: &str = "orderhook_channel_state";
    /// For how long every attempt of a channel has failed.
    pub const FAILING: &str = "orderhook_channel_failing_seconds";
    /// Conditions of channels that could not be evaluated.
    pub const CONDITION_ERRORS: &str = "orderhook_condition_errors_total";
    /// Size of the store.
    pub const STORE_BYTES: &str = "orderhook_store_bytes";
    /// Writes that the store refused.
    pub const STORE_ERRORS: &str = "orderhook_store_errors_total";
    /// Time to commit a group of writes.
    pub const STORE_COMMIT: &str = "orderhook_store_commit_seconds";
    /// Writes in a group.
    pub const STORE_BATCH: &str = "orderhook_store_batch_size";
    /// The version of this program.
    pub const BUILD_INFO: &str = "orderhook_build_info";
    /// Deliveries that have broken their channel's promise.
    pub const LATE: &str = "orderhook_deliveries_late_total";
    /// Spans that no collector has received.
    pub const SPANS_DROPPED: &str = "orderhook_spans_dropped_total";
    /// Requests to the HTTP API, by route and status.
    pub const REQUESTS: &str = "orderhook_requests_total";
}

/// The HTTP statuses that are counted: 100 to 599.
const LOWEST_STATUS: usize = 100;
const STATUSES: usize = 500;

/// Everything that is counted. One for a service; shared by whoever counts.
#[derive(Debug)]
pub struct Metrics {
    orders: Counts<{ OrderStatus::ALL.len() }>,
    order_duration: Histogram,
    steps: RwLock<BTreeMap<String, Arc<Histogram>>>,
    channels: RwLock<BTreeMap<String, ChannelMetrics>>,
    commit: Histogram,
    batch: Histogram,
    requests: RwLock<BTreeMap<String, Arc<Counts<STATUSES>>>>,
    store_errors: AtomicU64,
    spans_dropped: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            orders: Counts::default(),
            order_duration: Histogram::new(SECONDS),
            steps: RwLock::default(),
            channels: RwLock::default(),
            commit: Histogram::new(SHORT_SECONDS),
            batch: Histogram::new(SIZES),
            requests: RwLock::default(),
            store_errors: AtomicU64::new(0),
            spans_dropped: AtomicU64::new(0),
        }
    }
}

/// What one channel counts. Cheap to clone; all clones count together.
#[derive(Debug, Clone)]
pub struct ChannelMetrics(Arc<Channel>);

#[derive(Debug)]
struct Channel {
    deliveries: Counts<{ DeliveryStatus::ALL.len() }>,
    attempts: Counts<{ Outcome::ALL.len() }>,
    duration: Histogram,
    condition_errors: AtomicU64,
    late: AtomicU64,
}

/// A counter for each of a few values, by their position.
#[derive(Debug)]
struct Counts<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; N])
    }
}

impl<const N: usize> Counts<N> {
    fn add(&self, position: usize, count: u64) {
        if let Some(counter) = self.0.get(position) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn get(&self, position: usize) -> u64 {
        self.0.get(position).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}

impl ChannelMetrics {
    /// An attempt ended with `outcome` after `took`.
    pub fn attempt(&self, outcome: Outcome, took: Duration) {
        self.0.attempts.add(outcome as usize, 1);
        self.0.duration.record_duration(took);
    }

    /// Counts an event that the channel did not get because its `when` or `filter` could not be evaluated.
    pub fn condition_error(&self) {
        self.0.condition_errors.fetch_add(1, Ordering::Relaxed);
    }

    /// A delivery came to `status`.
    pub fn delivery(&self, status: DeliveryStatus) {
        self.deliveries(status, 1);
    }

    /// So many deliveries came to `status`.
    pub fn deliveries(&self, status: DeliveryStatus, count: u64) {
        self.0.deliveries.add(status as usize, count);
    }

    /// A delivery has broken its channel's promise.
    pub fn late(&self) {
        self.0.late.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a channel's state is at the moment a page is written.
#[derive(Debug, Clone)]
pub struct Gauges {
    pub channel: Arc<str>,
    /// Deliveries waiting or under way.
    pub pending: u64,
    /// The age of the oldest delivery that is due; zero where none is.
    pub lag: Duration,
    /// For how long every attempt has failed; zero where the last one did not.
    pub failing: Duration,
    /// Every state that there is, and whether the channel is in it.
    pub states: Vec<(&'static str, bool)>,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An order came to `status`, `took` after it was received.
    pub fn order(&self, status: OrderStatus, took: Duration) {
        self.orders.add(status as usize, 1);
        self.order_duration.record_duration(took);
    }

    /// A step of a chain took so long.
    pub fn step(&self, step: &str, took: Duration) {
        named(&self.steps, step, || Arc::new(Histogram::new(SECONDS))).record_duration(took);
    }

    /// The counters of a channel. To be asked for once and kept.
    pub fn channel(&self, channel: &str) -> ChannelMetrics {
        named(&self.channels, channel, || {
            ChannelMetrics(Arc::new(Channel {
                deliveries: Counts::default(),
                attempts: Counts::default(),
                duration: Histogram::new(SECONDS),
                condition_errors: AtomicU64::new(0),
                late: AtomicU64::new(0),
            }))
        })
    }

    /// The store committed a group of `writes`, which took so long.
    pub fn commit(&self, writes: usize, took: Duration) {
        self.commit.record_duration(took);
        self.batch.record(writes as u64);
    }

    /// A request to `route`, a pattern of a path, was answered with `status`.
    pub fn request(&self, route: &str, status: u16) {
        let position = usize::from(status).saturating_sub(LOWEST_STATUS);
        named(&self.requests, route, Arc::default).add(position, 1);
    }

    /// The store did not take so many writes.
    pub fn store_errors(&self, writes: usize) {
        self.store_errors.fetch_add(writes as u64, Ordering::Relaxed);
    }

    /// Counts spans that were dropped: the queue was full, or the collector did not accept them.
    pub fn spans_dropped(&self, spans: u64) {
        self.spans_dropped.fetch_add(spans, Ordering::Relaxed);
    }

    /// The page of `/metrics`, in the text format of Prometheus (0.0.4). `store_bytes` is how large the store is, where it says so.
    pub fn render(&self, gauges: &[Gauges], store_bytes: Option<u64>) -> String {
        let mut page = Page::default();
        page.head(names::BUILD_INFO, "gauge", "The version of this program; always 1.");
        page.sample(names::BUILD_INFO, &label("version", VERSION), 1);
        page.head(names::ORDERS, "counter", "Orders that ended or were answered, by status.");
        for status in OrderStatus::ALL {
            page.sample(names::ORDERS, &label("status", status.as_str()), self.orders.get(*status as usize));
        }
        page.head(names::ORDER_DURATION, "histogram", "Time from an order's receipt to its end.");
        self.order_duration.render(&mut page, names::ORDER_DURATION, "");
        page.head(names::STEP_DURATION, "histogram", "Duration of a step of a chain.");
        for (step, histogram) in &*self.steps.read() {
            histogram.render(&mut page, names::STEP_DURATION, &label("step", step));
        }
        self.render_channels(&mut page);
        render_gauges(&mut page, gauges);
        page.head(names::STORE_BYTES, "gauge", "Size of the store.");
        if let Some(bytes) = store_bytes {
            page.sample(names::STORE_BYTES, "", bytes);
        }
        page.head(names::STORE_ERRORS, "counter", "Writes that the store refused.");
        page.sample(names::STORE_ERRORS, "", self.store_errors.load(Ordering::Relaxed));
        page.head(names::STORE_COMMIT, "histogram", "Time to commit a group of writes.");
        self.commit.render(&mut page, names::STORE_COMMIT, "");
        page.head(names::STORE_BATCH, "histogram", "Writes in a group.");
        self.batch.render(&mut page, names::STORE_BATCH, "");
        page.head(names::SPANS_DROPPED, "counter", "Spans dropped because no collector received them in time.");
        page.sample(names::SPANS_DROPPED, "", self.spans_dropped.load(Ordering::Relaxed));
        page.head(names::REQUESTS, "counter", "Requests to the HTTP API by route and status.");
        for (route, counts) in &*self.requests.read() {
            for (position, status) in (LOWEST_STATUS..LOWEST_STATUS + STATUSES).enumerate() {
                let count = counts.get(position);
                if count > 0 {
                    let labels = format!("{},{}", label("route", route), label("status", &status.to_string()));
                    page.sample(names::REQUESTS, &labels, count);
                }
            }
        }
        page.into_text()
    }

    fn render_channels(&self, page: &mut Page) {
        let channels = self.channels.read();
        page.head(names::DELIVERIES, "counter", "Deliveries that ended, by status.");
        for (name, channel) in &*channels {
            // A delivery is born pending; it is counted when it comes to something.
            for status in DeliveryStatus::ALL.iter().filter(|status| **status != DeliveryStatus::Pending) {
                let labels = format!("{},{}", label("channel", name), label("status", status.as_str()));
                page.sample(names::DELIVERIES, &labels, channel.0.deliveries.get(*status as usize));
            }
        }
        page.head(names::LATE, "counter", "Deliveries without an accepted end within their channel's promise.");
        for (name, channel) in &*channels {
            page.sample(names::LATE, &label("channel", name), channel.0.late.load(Ordering::Relaxed));
        }
        page.head(names::ATTEMPTS, "counter", "Attempts by outcome.");
        for (name, channel) in &*channels {
            for outcome in Outcome::ALL {
                let labels = format!("{},{}", label("channel", name), label("outcome", outcome.as_str()));
                page.sample(names::ATTEMPTS, &labels, channel.0.attempts.get(*outcome as usize));
            }
        }
        page.head(
            names::CONDITION_ERRORS,
            "counter",
            "Events not delivered because a channel's when or filter could not be evaluated.",
        );
        for (name, channel) in &*channels {
            let count = channel.0.condition_errors.load(Ordering::Relaxed);
            page.sample(names::CONDITION_ERRORS, &label("channel", name), count);
        }
        page.head(names::ATTEMPT_DURATION, "histogram", "Duration of an attempt.");
        for (name, channel) in &*channels {
            channel.0.duration.render(page, names::ATTEMPT_DURATION, &label("channel", name));
        }
    }
}

fn render_gauges(page: &mut Page, gauges: &[Gauges]) {
    page.head(names::PENDING, "gauge", "Deliveries waiting or under way.");
    for gauge in gauges {
        page.sample(names::PENDING, &label("channel", &gauge.channel), gauge.pending);
    }
    page.head(names::LAG, "gauge", "The age of the oldest delivery that is due.");
    for gauge in gauges {
        page.sample(names::LAG, &label("channel", &gauge.channel), gauge.lag.as_secs_f64());
    }
    page.head(names::FAILING, "gauge", "Time for which every attempt has failed.");
    for gauge in gauges {
        page.sample(names::FAILING, &label("channel", &gauge.channel), gauge.failing.as_secs_f64());
    }
    page.head(names::CHANNEL_STATE, "gauge", "1 for the state the channel is in.");
    for gauge in gauges {
        for (state, is) in &gauge.states {
            let mut labels = label("channel", &gauge.channel);
            let _ = write!(labels, ",{}", label("state", state));
            page.sample(names::CHANNEL_STATE, &labels, u8::from(*is));
        }
    }
}

/// The entry of that name, made where it is missing.
fn named<T: Clone>(entries: &RwLock<BTreeMap<String, T>>, name: &str, make: impl FnOnce() -> T) -> T {
    if let Some(entry) = entries.read().get(name) {
        return entry.clone();
    }
    entries.write().entry(name.to_owned()).or_insert_with(make).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_name_of_the_contract() {
        let metrics = Metrics::new();
        metrics.order(OrderStatus::Completed, Duration::from_millis(3));
        metrics.step("billing", Duration::from_millis(40));
        let channel = metrics.channel("erp");
        channel.attempt(Outcome::Retry, Duration::from_millis(7));
        metrics.channel("erp").attempt(Outcome::Accepted, Duration::from_secs(90));
        channel.delivery(DeliveryStatus::Accepted);
        metrics.request("/v1/orders", 201);
        metrics.request("/v1/orders", 201);
        metrics.commit(17, Duration::from_micros(900));
        metrics.store_errors(2);
        metrics.spans_dropped(3);
        let states = vec![("enabled", false), ("paused", true)];
        let page = metrics.render(
            &[Gauges {
                channel: "erp".into(),
                pending: 4,
                lag: Duration::from_millis(1500),
                failing: Duration::from_secs(60),
                states,
            }],
            Some(4096),
        );
        for line in [
            r#"orderhook_orders_total{status="completed"} 1"#,
            r#"orderhook_orders_total{status="rejected"} 0"#,
            r#"orderhook_order_duration_seconds_bucket{le="0.0025"} 0"#,
            r#"orderhook_order_duration_seconds_bucket{le="0.005"} 1"#,
            "orderhook_order_duration_seconds_count 1",
            r#"orderhook_step_duration_seconds_bucket{step="billing",le="0.05"} 1"#,
            r#"orderhook_deliveries_total{channel="erp",status="accepted"} 1"#,
            r#"orderhook_attempts_total{channel="erp",outcome="retry"} 1"#,
            r#"orderhook_attempts_total{channel="erp",outcome="accepted"} 1"#,
            r#"orderhook_attempt_duration_seconds_bucket{channel="erp",le="60"} 1"#,
            r#"orderhook_attempt_duration_seconds_bucket{channel="erp",le="+Inf"} 2"#,
            r#"orderhook_attempt_duration_seconds_sum{channel="erp"} 90.007"#,
            r#"orderhook_deliveries_pending{channel="erp"} 4"#,
            r#"orderhook_delivery_lag_seconds{channel="erp"} 1.5"#,
            r#"orderhook_channel_failing_seconds{channel="erp"} 60"#,
            "orderhook_store_bytes 4096",
            "orderhook_store_errors_total 2",
            "orderhook_spans_dropped_total 3",
            r#"orderhook_channel_state{channel="erp",state="paused"} 1"#,
            r#"orderhook_store_commit_seconds_bucket{le="0.001"} 1"#,
            r#"orderhook_store_batch_size_bucket{le="16"} 0"#,
            r#"orderhook_store_batch_size_bucket{le="32"} 1"#,
            "orderhook_store_batch_size_sum 17",
            r#"orderhook_requests_total{route="/v1/orders",status="201"} 2"#,
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn every_sample_stands_behind_the_head_of_its_name() {
        let metrics = Metrics::new();
        metrics.step("a", Duration::ZERO);
        metrics.channel("b").delivery(DeliveryStatus::Failed);
        let mut name = String::new();
        for line in metrics.render(&[], None).lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                name = rest.split(' ').next().expect("a name").to_owned();
            } else if !line.starts_with('#') {
                assert!(line.starts_with(&name), "{line} under {name}");
            }
        }
    }
}
