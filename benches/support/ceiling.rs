//! What a delivery worker could do at best: one `reqwest::Client` posting straight to the sink.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::order::Prepared;
use super::proc::Cpu;
use super::tally::Tally;
use super::{Failure, Result};

/// The runtime that drives the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    /// Two threads, as tokio does by default on two cores. What the figures compare with.
    TwoThreads,
    /// The calling thread alone.
    CurrentThread,
}

/// What the client alone reached.
#[derive(Debug, Clone, Copy)]
pub struct Ceiling {
    /// Orders a second.
    pub rate: f64,
    /// See [`Cpu::others`].
    pub others: f64,
}

/// Orders a second that `tasks` tasks get to the sink and answered, over `window` after `warm_up`.
///
/// # Errors
/// A request that fails, or an answer that is no 2xx.
pub fn measure(
    sink: SocketAddr,
    tally: &Arc<Tally>,
    runtime: Runtime,
    tasks: usize,
    warm_up: Duration,
    window: Duration,
) -> Result<Ceiling> {
    let runtime = match runtime {
        Runtime::TwoThreads => tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?,
        Runtime::CurrentThread => tokio::runtime::Builder::new_current_thread().enable_all().build()?,
    };
    #[expect(clippy::disallowed_methods, reason = "the bare client is what is measured, nothing of the service")]
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?;
    runtime.block_on(async {
        let stop = Arc::new(AtomicBool::new(false));
        let url = reqwest::Url::parse(&format!("http://{sink}/live"))?;
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..tasks {
            running.spawn(post(client.clone(), url.clone(), Arc::clone(tally), Arc::clone(&stop)));
        }
        tokio::time::sleep(warm_up).await;
        let (start, before, cpu) = (Instant::now(), tally.count().delivered, Cpu::now(None));
        tokio::time::sleep(window).await;
        let (window, after) = (start.elapsed(), tally.count().delivered);
        let others = Cpu::now(None).since(&cpu).others(window);
        stop.store(true, Relaxed);
        while let Some(done) = running.join_next().await {
            done.map_err(|_| Failure::new("a task of the ceiling panicked"))??;
        }
        Ok(Ceiling { rate: (after - before) as f64 / window.as_secs_f64(), others })
    })
}

async fn post(client: reqwest::Client, url: reqwest::Url, tally: Arc<Tally>, stop: Arc<AtomicBool>) -> Result<()> {
    let mut order = Prepared::body();
    while !stop.load(Relaxed) {
        let number = tally.number();
        let body = order.numbered(number).to_vec();
        let request = client.post(url.clone()).header("content-type", "application/json").body(body);
        let response = request.send().await?;
        let status = response.status();
        response.bytes().await?;
        if !status.is_success() {
            return Err(Failure::new(format!("the sink answered {status}")));
        }
        tally.accepted(number);
    }
    Ok(())
}
