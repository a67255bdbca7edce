//! The figures: each a question, and the function that answers it with rows of the table.
//!
//! To add one: write its file and its line in [`ALL`].

mod acceptance;
mod hanging;
mod latency;
mod machine;
mod pending;
mod secured;
mod sustained;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::generator::{self, Answers, Until};
use crate::support::plan::Plan;
use crate::support::proc::Cpu;
use crate::support::report::Row;
use crate::support::service::Service;
use crate::support::tally::{Count, Tally};
use crate::support::{Failure, Result};

/// A figure.
#[derive(Debug)]
pub struct Figure {
    /// For `--only`.
    pub name: &'static str,
    /// What it answers.
    pub question: &'static str,
    /// Answers it.
    pub measure: fn(&Plan) -> Result<Vec<Row>>,
}

/// All of them, in the order in which they run.
pub const ALL: &[Figure] = &[
    Figure {
        name: "machine",
        question: "what do generator, client, axum and disk do alone",
        measure: machine::measure,
    },
    Figure { name: "sustained", question: "how many orders go in and out", measure: sustained::measure },
    Figure { name: "acceptance", question: "how many orders go in", measure: acceptance::measure },
    Figure { name: "latency", question: "how long does the caller wait", measure: latency::measure },
    Figure { name: "hanging", question: "does a receiver that hangs slow another", measure: hanging::measure },
    Figure {
        name: "secured",
        question: "what do the guard, signing and authentication cost",
        measure: secured::measure,
    },
    Figure { name: "pending", question: "what does a backlog cost", measure: pending::measure },
];

/// Their names.
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|figure| figure.name).collect()
}

/// One window of orders through the service.
#[derive(Debug)]
struct Flow {
    answers: Answers,
    /// Accepted, and delivered and accepted, within the window.
    accepted: u64,
    delivered: u64,
    /// Accepted and not yet delivered when the window ended, and how long that took afterwards.
    backlog: u64,
    drained_in: Duration,
    duplicates: u64,
    strays: u64,
    cpu: Cpu,
}

/// The service's counters at an edge of a window.
#[derive(Debug, Clone, Copy)]
struct Edge {
    count: Count,
    cpu: Cpu,
}

impl Flow {
    /// Drives the service for one window, and waits until what it accepted has arrived.
    fn through(service: &Service, tally: &Arc<Tally>, plan: &Plan, window: Duration) -> Result<Self> {
        let until = Until::Window { warm_up: plan.warm_up, window };
        let id = service.id();
        let edge = || Edge { count: tally.count(), cpu: Cpu::now(Some(id)) };
        let (answers, first, last) = generator::closed(service.address, plan.connections, tally, until, edge)?;
        let drained_in = drain(tally)?;
        let flow = Self {
            answers,
            accepted: last.count.accepted - first.count.accepted,
            delivered: last.count.delivered - first.count.delivered,
            backlog: last.count.accepted - last.count.delivered,
            drained_in,
            duplicates: tally.count().duplicates,
            strays: tally.count().strays,
            cpu: last.cpu.since(&first.cpu),
        };
        println!("{flow}");
        Ok(flow)
    }

    fn per_second(&self, orders: u64) -> f64 {
        orders as f64 / self.answers.window.as_secs_f64()
    }

    /// Orders delivered a second.
    fn rate(&self) -> f64 {
        self.per_second(self.delivered)
    }
}

impl std::fmt::Display for Flow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let per_order = |time: Duration| time.as_secs_f64() * 1e6 / self.delivered.max(1) as f64;
        write!(
            f,
            "   {:.0} accepted/s, {:.0} delivered/s, backlog {} gone after {:.2} s, answers p50 {:.2} ms p99 {:.2} ms, \
             CPU an order: service {:.1} µs, tools {:.1} µs; others {:.0} % of a core",
            self.per_second(self.accepted),
            self.rate(),
            self.backlog,
            self.drained_in.as_secs_f64(),
            self.answers.latencies.percentile(50.0),
            self.answers.latencies.percentile(99.0),
            per_order(self.cpu.child),
            per_order(self.cpu.own),
            self.cpu.others(self.answers.window) * 100.0,
        )?;
        if self.answers.refused > 0 {
            write!(f, "; {} refused, last with {:?}", self.answers.refused, self.answers.last_refusal)?;
        }
        if self.duplicates > 0 {
            write!(f, "; {} came twice", self.duplicates)?;
        }
        if self.strays > 0 {
            write!(f, "; {} requests came that carry none of these orders", self.strays)?;
        }
        Ok(())
    }
}

/// Waits until every accepted order has been delivered, and says how long that took.
fn drain(tally: &Tally) -> Result<Duration> {
    const WITHOUT_PROGRESS: Duration = Duration::from_secs(20);
    let start = Instant::now();
    let (mut seen, mut progress) = (0, start);
    loop {
        let count = tally.count();
        if count.delivered == count.accepted {
            return Ok(start.elapsed());
        }
        if count.delivered > seen {
            (seen, progress) = (count.delivered, Instant::now());
        } else if progress.elapsed() > WITHOUT_PROGRESS {
            let missing = count.accepted - count.delivered;
            return Err(Failure::new(format!("{missing} orders were accepted and did not arrive")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
