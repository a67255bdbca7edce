//! What the tools and this machine can do without the service: the scale of everything else.

use std::sync::Arc;

use super::{Plan, Result, Row};
use crate::support::Failure;
use crate::support::baseline::Baseline;
use crate::support::ceiling::{self, Runtime};
use crate::support::disk;
use crate::support::generator::{self, Until};
use crate::support::latency::median;
use crate::support::proc::Cpu;
use crate::support::report::Requirement::Shown;
use crate::support::sink::{Sink, Temper};
use crate::support::tally::Tally;

pub(super) fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let until = Until::Window { warm_up: plan.warm_up, window: plan.window };
    let (mut bare, mut two, mut one, mut axum, mut others) = (vec![], vec![], vec![], vec![], vec![]);
    for _ in 0..plan.rounds {
        let tally = Arc::new(Tally::new());
        let sink = Sink::start(Temper::Answers, Arc::clone(&tally))?;
        let edge = || Cpu::now(None);
        let (answers, first, last) = generator::closed(sink.address, plan.connections, &tally, until, edge)?;
        bare.push(answers.accepted as f64 / answers.window.as_secs_f64());
        others.push(last.since(&first).others(answers.window));
        let count = tally.count();
        if count.delivered != count.accepted || count.duplicates + count.strays > 0 {
            return Err(Failure::new(format!("the tools themselves do not count right: {count:?}")));
        }
        for (runtime, rates) in [(Runtime::TwoThreads, &mut two), (Runtime::CurrentThread, &mut one)] {
            let (warm_up, window) = (plan.warm_up, plan.window);
            let reached = ceiling::measure(sink.address, &tally, runtime, plan.connections, warm_up, window)?;
            rates.push(reached.rate);
            others.push(reached.others);
        }
        let baseline = Baseline::start()?;
        let (answers, ..) =
            generator::closed(baseline.address, plan.connections, &Arc::new(Tally::new()), until, || ())?;
        axum.push(answers.accepted as f64 / answers.window.as_secs_f64());
    }
    let appended = disk::appended(&plan.folder, 1000)?;
    let overwritten = disk::overwritten(&plan.folder, 1000)?;
    let rate = |figure: &str, rates: Vec<f64>| Row {
        figure: figure.into(),
        required: Shown,
        notes: format!("of {rates:.0?}"),
        measured: median(rates),
        unit: "/s",
    };
    let mut rows = vec![
        rate("generator straight to the sink", bare),
        rate("one reqwest::Client to the sink, two threads", two),
        rate("the same on the current thread", one),
        rate("generator to an axum handler", axum),
    ];
    rows.extend([("fdatasync of 4 KB appended", appended), ("fdatasync of 4 KB overwritten", overwritten)].map(
        |(figure, latencies)| Row {
            figure: figure.into(),
            required: Shown,
            measured: latencies.percentile(50.0),
            unit: " ms",
            notes: format!("p50; p99 {:.3} ms", latencies.percentile(99.0)),
        },
    ));
    rows.push(Row {
        figure: "used by others meanwhile".into(),
        required: Shown,
        measured: median(others) * 100.0,
        unit: " % of a core",
        notes: "above a few per cent the figures mean little".into(),
    });
    Ok(rows)
}
