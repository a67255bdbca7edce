//! What the store alone can do: orders accepted, and orders accepted with their deliveries' attempts recorded, by how
//! many callers wait at once; empty, and with many deliveries waiting in it.
//!
//! `cargo bench --bench store -- [WAITING [CALLERS]]`: WAITING deliveries are put in for the last lines, a million by
//! default; with CALLERS, only lines of that many.
//! Figures of one run compare with each other, not with those of another machine.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use orderhook::domain::clock::Sleep;
use orderhook::domain::{
    Attempt, Body, Clock, Code, DeliveryStatus, Event, Exchange, IdSource, OrderStatus, Origin, Outcome, Subject,
    Timestamp,
};
use orderhook::store::sqlite::{Options, open};
use orderhook::store::{Finished, Handover, Leased, NewDelivery, NewOrder, Next, Replica, Store};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

const ME: Replica = Replica(1);
const SLOTS: usize = 1 << 20;
const RUN: Duration = Duration::from_secs(4);

/// Milliseconds since the run began: all that the store needs of a clock.
#[derive(Debug)]
struct Ticks(Instant);

impl Clock for Ticks {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000).after(self.0.elapsed())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep_until(&self, _: Duration) -> Sleep {
        Box::pin(std::future::pending())
    }
}

#[derive(Default)]
struct Lane {
    born: Mutex<Vec<Leased>>,
    some: Notify,
}

impl Handover for Lane {
    fn hand_over(&self, deliveries: Vec<Leased>) {
        self.born.lock().extend(deliveries);
        self.some.notify_one();
    }

    fn waiting(&self, _: &str, _: Timestamp) {}
}

struct Bench {
    store: Store,
    clock: Arc<Ticks>,
    ids: IdSource,
    lane: Arc<Lane>,
    slots: Arc<Semaphore>,
    number: AtomicU64,
}

impl Bench {
    fn open(directory: &std::path::Path) -> Self {
        let clock = Arc::new(Ticks(Instant::now()));
        let ids = IdSource::new(clock.clone(), 1);
        let store = open(&Options::new(directory.join("bench.db")), &ids, clock.clone(), Arc::default()).unwrap();
        let lane = Arc::new(Lane::default());
        store.queue.connect(lane.clone());
        Self { store, clock, ids, lane, slots: Arc::new(Semaphore::new(SLOTS)), number: AtomicU64::new(0) }
    }

    fn order(&self, leased: bool) -> NewOrder {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        // Own ids come in no order.
        let own = format!("SO-{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let id = self.ids.next();
        let now = self.clock.now();
        let subject = Arc::new(Subject {
            origin: Origin::Order(id),
            kind: "new".into(),
            received_at: now,
            chain: None,
            body: Bytes::from(format!("{{\"id\":\"{own}\",\"note\":\"{:900}\"}}", "")),
            order_id: own,
            arrival: None,
        });
        let event = Arc::new(Event {
            id: self.ids.next(),
            kind: "order.completed".into(),
            at: now,
            subject: Arc::clone(&subject),
            context: "{}".into(),
            step: None,
            steps: Arc::default(),
        });
        let slot = leased.then(|| Arc::clone(&self.slots).try_acquire_owned().unwrap());
        let delivery = NewDelivery {
            id: self.ids.next(),
            channel: "erp".into(),
            event,
            prepared: None,
            once: None,
            due_at: now,
            ordering_key: None,
            promised_at: None,
            slot,
        };
        NewOrder {
            subject,
            email: None,
            status: OrderStatus::Completed,
            skipped: Vec::new(),
            deliveries: vec![delivery],
            idempotency: None,
            signed: None,
            replica: ME,
        }
    }

    fn finished(&self, leased: &Leased) -> Finished {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Finished {
            lease: leased.lease(),
            holds_key: false,
            attempt: Attempt {
                id: self.ids.next(),
                number: 1,
                started_at: self.clock.now(),
                duration_ms: 3,
                code: Code::status(200),
                outcome: Outcome::Accepted,
                error: None,
                exchange: Exchange {
                    method: "POST".into(),
                    url: "http://127.0.0.1:40000/hooks".into(),
                    request_headers: [
                        header("content-type", "application/json"),
                        header("user-agent", "orderhook/0.1.0"),
                        header("idempotency-key", &leased.id.to_string()),
                        header("webhook-id", &leased.id.to_string()),
                        header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
                    ]
                    .into_iter()
                    .collect(),
                    request_body: Body {
                        head: Bytes::from(format!(
                            "{{\"type\":\"order.completed\",\"timestamp\":\"{}\",\"data\":{{\"order\":",
                            self.clock.now()
                        )),
                        spliced: Some(Bytes::from_static(
                            b",\"context\":{},\"metadata\":{\"id\":\"ord_018bcfe5-6800-7000-8000-000000000000\",\"order_id\":\"SO-1\"}}}",
                        )),
                    },
                    response_headers: [header("content-length", "2"), header("date", "Thu, 20 Nov 2025 09:41:07 GMT")]
                        .into_iter()
                        .collect(),
                    response_body: Bytes::from_static(b"ok"),
                    truncated: false,
                    times: None,
                },
            },
            next: Next::End(DeliveryStatus::Accepted),
            deliveries: Vec::new(),
        }
    }

    /// Orders a second with so many callers, and the longest of 99 of 100 answers.
    async fn accept(self: &Arc<Self>, callers: usize, run: Duration) -> (f64, Duration) {
        let begun = Instant::now();
        let tasks: Vec<_> = (0..callers)
            .map(|_| {
                let bench = Arc::clone(self);
                tokio::spawn(async move {
                    let mut waits = Vec::new();
                    while begun.elapsed() < run {
                        let order = bench.order(true);
                        let asked = Instant::now();
                        bench.store.ledger.accept_order(order).await.unwrap();
                        waits.push(asked.elapsed());
                    }
                    waits
                })
            })
            .collect();
        let mut waits = Vec::new();
        for task in tasks {
            waits.extend(task.await.unwrap());
        }
        waits.sort_unstable();
        (waits.len() as f64 / begun.elapsed().as_secs_f64(), waits[waits.len() * 99 / 100])
    }

    /// Records what is handed over, in groups, as long as it is polled.
    async fn deliver(self: Arc<Self>) {
        loop {
            let mut born = std::mem::take(&mut *self.lane.born.lock());
            if born.is_empty() {
                self.lane.some.notified().await;
                continue;
            }
            while !born.is_empty() {
                let group = born.split_off(born.len().saturating_sub(512));
                let finished = group.iter().map(|leased| self.finished(leased)).collect();
                self.store.queue.record(Arc::new(finished)).await.unwrap();
            }
        }
    }
}

/// Processor time of this process's threads of that name.
fn cpu(name: &str) -> Duration {
    let mut nanos = 0;
    for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
        let of = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        if of("comm").trim() == name {
            nanos += of("schedstat").split(' ').next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Duration::from_nanos(nanos)
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024
}

async fn measure(what: &str, bench: &Arc<Bench>, callers: usize, deliver: bool) {
    let worker = deliver.then(|| tokio::spawn(Arc::clone(bench).deliver()));
    let before = (cpu("store-writer"), cpu("store-checkpoin"));
    let (rate, p99) = bench.accept(callers, RUN).await;
    let orders = rate * RUN.as_secs_f64();
    let each = |before, name| cpu(name).saturating_sub(before).as_secs_f64() * 1e6 / orders;
    println!(
        "{what:<34} {callers:>5} {rate:>9.0} {:>9.1} {:>9.1} {:>9.2} ms",
        each(before.0, "store-writer"),
        each(before.1, "store-checkpoin"),
        p99.as_secs_f64() * 1e3
    );
    // What is left, so that nothing stays leased.
    let worker = worker.unwrap_or_else(|| tokio::spawn(Arc::clone(bench).deliver()));
    while bench.slots.available_permits() < SLOTS {
        tokio::task::yield_now().await;
    }
    worker.abort();
}

/// The service's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --all-targets` starts this program too, and must not wait for minutes.
        println!("nothing measured: cargo bench --bench store");
        return;
    }
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let (waiting, only) = (arguments.next().unwrap_or(1_000_000), arguments.next());
    let at_once =
        |callers: &'static [usize]| callers.iter().copied().filter(move |count| only.is_none_or(|only| only == *count));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    runtime.block_on(async {
        println!(
            "{:<34} {:>5} {:>9} {:>9} {:>9} {:>9}",
            "µs: processor time for each order", "at a time", "orders/s", "writer µs", "copy µs", "p99"
        );
        let bench = Arc::new(Bench::open(directory.path()));
        for callers in at_once(&[1, 16, 128, 1024]) {
            measure("accepted", &bench, callers, false).await;
        }
        for callers in at_once(&[1, 16, 64, 128, 1024]) {
            measure("accepted and recorded", &bench, callers, true).await;
        }
        let mut put_in = 0;
        while put_in < waiting {
            let orders = (0..1000).map(|_| bench.store.ledger.accept_order(bench.order(false)));
            futures_util::future::try_join_all(orders).await.unwrap();
            put_in += 1000;
        }
        println!("{waiting} put in: {} MB resident", resident());
        bench.store.close().await;
        drop(bench);
        let begun = Instant::now();
        let bench = Arc::new(Bench::open(directory.path()));
        println!("opened in {:?}: {} MB resident", begun.elapsed(), resident());
        for callers in at_once(&[64, 1024]) {
            measure("the same with those waiting", &bench, callers, true).await;
        }
        println!("{} MB resident", resident());
        bench.store.close().await;
    });
}
