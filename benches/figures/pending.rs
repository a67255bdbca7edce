//! What a backlog costs: memory, time to start, and throughput of the channel beside it.
//!
//! Orders go to a channel whose receiver refuses connections and which tries again after hours, until that many
//! deliveries wait in the store, each with one failed attempt on record. The store is then used as it is.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;

use super::{Flow, Plan, Result, Row};
use crate::support::Failure;
use crate::support::generator::{self, Until};
use crate::support::latency::median;
use crate::support::proc::Memory;
use crate::support::report::Requirement::{AtLeast, AtMost};
use crate::support::service::{Channel, Service, empty_folder};
use crate::support::sink::{Sink, Temper};
use crate::support::tally::Tally;

const MEGABYTE: f64 = 1e6;
/// The bounds of memory for few and for many pending deliveries, in MB.
const MEMORY: [f64; 2] = [100.0, 150.0];
/// How long memory may settle after the last attempt.
const SETTLE: Duration = Duration::from_secs(3);

pub(super) fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let refusing = Refusing::new()?;
    let filled = empty_folder(&plan.folder, "filled")?;
    let mut rows = fill(plan, &filled, &refusing)?;
    rows.extend(start(plan, &filled, &refusing)?);
    rows.push(throughput(plan, &filled, &refusing)?);
    Ok(rows)
}

/// A port that refuses connections, and that nobody else gets: bound, but nobody listens.
struct Refusing {
    address: SocketAddr,
    _bound: TcpSocket,
}

impl Refusing {
    fn new() -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        Ok(Self { address: socket.local_addr()?, _bound: socket })
    }

    /// The channel with the backlog. The sink is for the channel beside it.
    fn channel(&self) -> Channel {
        Channel {
            name: "dead",
            receiver: self.address,
            takes_orders: true,
            concurrency: 64,
            timeout: Duration::from_secs(15),
            more: &[],
        }
    }
}

fn fill(plan: &Plan, folder: &Path, refusing: &Refusing) -> Result<Vec<Row>> {
    let service = Service::start(plan, folder, &[refusing.channel()])?;
    let tally = Arc::new(Tally::new());
    let mut filled = 0;
    let mut rows = Vec::new();
    for (pending, bound) in plan.pending.into_iter().zip(MEMORY) {
        let until = Until::Accepted(pending - filled);
        let (answers, ..) = generator::closed(service.address, plan.connections, &tally, until, || ())?;
        let posted = Memory::of(service.id())?;
        let waited = attempted(&service, pending)?;
        std::thread::sleep(SETTLE);
        let memory = Memory::of(service.id())?;
        let mb = |bytes: u64| bytes as f64 / MEGABYTE;
        rows.push(Row {
            figure: format!("resident memory with {pending} pending"),
            required: AtMost(bound),
            measured: mb(memory.resident),
            unit: " MB",
            notes: format!(
                "anonymous {:.0}, when the last was posted {:.0}, peak {:.0} MB; posted at {:.0}/s, tried {:.1} s later",
                mb(memory.anonymous),
                mb(posted.resident),
                mb(memory.peak),
                answers.accepted as f64 / answers.window.as_secs_f64(),
                waited.as_secs_f64()
            ),
        });
        println!("   {}: {:.1} MB ({})", pending, mb(memory.resident), rows[rows.len() - 1].notes);
        filled = pending;
    }
    service.stop()?;
    Ok(rows)
}

/// Waits until every delivery has been tried once.
fn attempted(service: &Service, pending: u64) -> Result<Duration> {
    const WITHOUT_PROGRESS: Duration = Duration::from_secs(30);
    let start = Instant::now();
    let (mut seen, mut progress) = (0.0, start);
    loop {
        let attempts = service.metric("orderhook_attempts_total", "channel=\"dead\"")?;
        if attempts >= pending as f64 {
            return Ok(start.elapsed());
        }
        if attempts > seen {
            (seen, progress) = (attempts, Instant::now());
        } else if progress.elapsed() > WITHOUT_PROGRESS {
            return Err(Failure::new(format!("only {attempts} of {pending} deliveries were tried")));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn start(plan: &Plan, folder: &Path, refusing: &Refusing) -> Result<Vec<Row>> {
    let channels = [refusing.channel()];
    let (mut clean, mut crashed) = (vec![], vec![]);
    for _ in 0..plan.rounds {
        let service = Service::start(plan, folder, &channels)?;
        clean.push(service.ready_after.as_secs_f64());
        service.kill();
        let service = Service::start(plan, folder, &channels)?;
        crashed.push(service.ready_after.as_secs_f64());
        service.stop()?;
    }
    println!("   ready after SIGTERM {clean:.3?}, after SIGKILL {crashed:.3?} s");
    let row = |after: &str, times: Vec<f64>| Row {
        figure: format!("start to ready with {} pending, after {after}", plan.pending[1]),
        required: AtMost(3.0),
        notes: format!("{times:.3?}"),
        measured: median(times),
        unit: " s",
    };
    Ok(vec![row("SIGTERM", clean), row("SIGKILL", crashed)])
}

fn throughput(plan: &Plan, filled: &Path, refusing: &Refusing) -> Result<Row> {
    let (mut ratios, mut with, mut without) = (vec![], vec![], vec![]);
    for _ in 0..plan.rounds {
        let empty = empty_folder(&plan.folder, "empty")?;
        let bare = beside(plan, &empty, refusing)?;
        let full = beside(plan, filled, refusing)?;
        ratios.push(full / bare);
        with.push(full);
        without.push(bare);
    }
    Ok(Row {
        figure: format!("delivered with {} pending / empty store", plan.pending[1]),
        required: AtLeast(0.8),
        measured: median(ratios.clone()),
        unit: "",
        notes: format!("{:.0}/s of {:.0}/s; ratios {ratios:.3?}", median(with), median(without)),
    })
}

/// Orders a second to a channel that works, beside the dead one.
fn beside(plan: &Plan, folder: &Path, refusing: &Refusing) -> Result<f64> {
    let tally = Arc::new(Tally::new());
    let sink = Sink::start(Temper::Answers, Arc::clone(&tally))?;
    let service = Service::start(plan, folder, &[refusing.channel().idle(), Channel::live(sink.address)])?;
    let flow = Flow::through(&service, &tally, plan, plan.window)?;
    service.stop()?;
    Ok(flow.rate())
}
