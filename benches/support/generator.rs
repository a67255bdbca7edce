//! Who sends the orders: a closed loop that asks for as much as there is to have, and a fixed rate for latencies.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::LocalSet;

use super::latency::Latencies;
use super::order::Prepared;
use super::tally::Tally;
use super::{Failure, Result, http};

/// Where orders go.
pub const PATH: &str = "/v1/orders";
/// How long one answer may take before the run is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take until a given number of orders is accepted.
const PATIENCE_WITH_A_COUNT: Duration = Duration::from_secs(600);
/// The pause of a connection after an answer that is no 2xx, so that a service that is full is not asked in a spin.
const AFTER_REFUSAL: Duration = Duration::from_millis(10);

/// When a closed loop ends.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After a time to warm up and the window that counts.
    Window {
        /// Not counted.
        warm_up: Duration,
        /// Counted.
        window: Duration,
    },
    /// After this many orders were answered with 2xx; all of it counts.
    Accepted(u64),
}

/// What a loop saw within its window.
#[derive(Debug, Default)]
pub struct Answers {
    /// The window as it was.
    pub window: Duration,
    /// Answers of 2xx.
    pub accepted: u64,
    /// Other answers, and the status of the last one.
    pub refused: u64,
    /// See `refused`.
    pub last_refusal: Option<u16>,
    /// From the first byte sent to the last one received, of 2xx.
    pub latencies: Latencies,
}

/// Drives `connections` keep-alive connections on a thread of its own, each with one order under way at any time.
/// `edge` is called where the window begins and where it ends.
///
/// # Errors
/// A connection that breaks, an answer that is no HTTP, or none within 30 s.
pub fn closed<Edge: Send>(
    address: SocketAddr,
    connections: usize,
    tally: &Arc<Tally>,
    until: Until,
    edge: impl FnMut() -> Edge + Send,
) -> Result<(Answers, Edge, Edge)> {
    std::thread::scope(|scope| {
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            LocalSet::new().block_on(&runtime, drive(address, connections, Arc::clone(tally), until, edge))
        };
        let thread = std::thread::Builder::new().name("generator".into()).spawn_scoped(scope, run)?;
        thread.join().map_err(|_| Failure::new("the generator panicked"))?
    })
}

/// What the tasks of one closed loop share.
#[derive(Debug, Default)]
struct Shared {
    counting: Cell<bool>,
    stop: Cell<bool>,
    left: Cell<Option<u64>>,
    answers: RefCell<Answers>,
}

async fn drive<Edge>(
    address: SocketAddr,
    connections: usize,
    tally: Arc<Tally>,
    until: Until,
    mut edge: impl FnMut() -> Edge,
) -> Result<(Answers, Edge, Edge)> {
    let shared = Rc::new(Shared::default());
    if let Until::Accepted(orders) = until {
        shared.left.set(Some(orders));
        shared.counting.set(true);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..connections {
        tasks.spawn_local(connection(address, Arc::clone(&tally), Rc::clone(&shared)));
    }
    if let Until::Window { warm_up, .. } = until {
        tokio::time::sleep(warm_up).await;
    }
    let first = edge();
    let start = Instant::now();
    shared.counting.set(true);
    let mut last = None;
    if let Until::Window { window, .. } = until {
        tokio::time::sleep(window).await;
        shared.answers.borrow_mut().window = start.elapsed();
        last = Some(edge());
        shared.counting.set(false);
        shared.stop.set(true);
    }
    let limit = if last.is_some() { PATIENCE } else { PATIENCE_WITH_A_COUNT };
    let rest = async {
        while let Some(done) = tasks.join_next().await {
            done.map_err(|_| Failure::new("a connection's task panicked"))??;
        }
        Result::Ok(())
    };
    tokio::time::timeout(limit, rest).await.map_err(|_| Failure::new(format!("orders unanswered for {limit:?}")))??;
    let last = last.unwrap_or_else(|| {
        shared.answers.borrow_mut().window = start.elapsed();
        edge()
    });
    Ok((shared.answers.take(), first, last))
}

async fn connection(address: SocketAddr, tally: Arc<Tally>, shared: Rc<Shared>) -> Result<()> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut request = Prepared::request(&address.to_string(), PATH);
    let mut input = BytesMut::with_capacity(16 * 1024);
    while !shared.stop.get() {
        if let Some(left) = shared.left.get() {
            let Some(rest) = left.checked_sub(1) else { return Ok(()) };
            shared.left.set(Some(rest));
        }
        let number = tally.number();
        let sent = Instant::now();
        stream.write_all(request.numbered(number)).await?;
        let status = answer(&mut stream, &mut input).await?;
        let accepted = (200..300).contains(&status);
        if accepted {
            tally.accepted(number);
        } else if let Some(left) = shared.left.get() {
            shared.left.set(Some(left + 1));
        }
        if shared.counting.get() {
            let mut answers = shared.answers.borrow_mut();
            if accepted {
                answers.accepted += 1;
                answers.latencies.add(sent.elapsed());
            } else {
                answers.refused += 1;
                answers.last_refusal = Some(status);
            }
        }
        if !accepted {
            tokio::time::sleep(AFTER_REFUSAL).await;
        }
    }
    Ok(())
}

async fn answer(stream: &mut tokio::net::TcpStream, input: &mut BytesMut) -> Result<u16> {
    loop {
        if http::message(input, true)?.is_some() {
            let status = http::status(input).ok_or_else(|| Failure::new("an answer without a status"))?;
            input.clear();
            return Ok(status);
        }
        if stream.read_buf(input).await? == 0 {
            return Err(Failure::new("the service closed a connection instead of answering"));
        }
    }
}

/// Sends `rate` orders a second for `window`, whatever the answers do, over a few connections in turn.
///
/// Threads that block, because a timer of the runtime is right to a millisecond only, and an answer takes less.
/// An order's time starts when it is sent, or when it should have been if its connection was still waiting.
///
/// # Errors
/// As [`closed`]; and an answer that is no 2xx.
pub fn paced(address: SocketAddr, rate: u32, tally: &Tally, window: Duration) -> Result<Latencies> {
    const CONNECTIONS: u32 = 8;
    let start = Instant::now() + Duration::from_millis(50);
    let step = Duration::from_secs(1) / rate;
    let orders = u32::try_from(window.as_millis() / step.as_millis().max(1)).unwrap_or(u32::MAX);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|offset| {
                let turns = (offset..orders).step_by(CONNECTIONS as usize);
                scope.spawn(move || one_by_one(address, tally, turns.map(move |turn| start + step * turn)))
            })
            .collect();
        let mut all = Latencies::default();
        for thread in threads {
            all.extend(thread.join().map_err(|_| Failure::new("a generator panicked"))??);
        }
        Ok(all)
    })
}

fn one_by_one(address: SocketAddr, tally: &Tally, times: impl Iterator<Item = Instant>) -> Result<Latencies> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = Prepared::request(&address.to_string(), PATH);
    let mut latencies = Latencies::default();
    let mut input = vec![0; 16 * 1024];
    for time in times {
        let wait = time.saturating_duration_since(Instant::now());
        std::thread::sleep(wait);
        let sent = if wait.is_zero() { time } else { Instant::now() };
        let number = tally.number();
        stream.write_all(request.numbered(number))?;
        let mut filled = 0;
        while http::message(&input[..filled], true)?.is_none() {
            match stream.read(&mut input[filled..])? {
                0 => return Err(Failure::new("the service closed a connection instead of answering")),
                read => filled += read,
            }
        }
        latencies.add(sent.elapsed());
        match http::status(&input) {
            Some(200..300) => tally.accepted(number),
            other => return Err(Failure::new(format!("an order was answered with {other:?}"))),
        }
    }
    Ok(latencies)
}
