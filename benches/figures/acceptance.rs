//! Orders accepted a second when no channel takes them, against an axum handler that reads and answers.

use std::sync::Arc;

use super::{Plan, Result, Row};
use crate::support::baseline::Baseline;
use crate::support::generator::{self, Until};
use crate::support::latency::median;
use crate::support::proc::Cpu;
use crate::support::report::Requirement::AtLeast;
use crate::support::service::{Channel, Service, empty_folder};
use crate::support::sink::{Sink, Temper};
use crate::support::tally::Tally;

pub(super) fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let until = Until::Window { warm_up: plan.warm_up, window: plan.window };
    let (mut ratios, mut ours, mut bare) = (vec![], vec![], vec![]);
    for _ in 0..plan.rounds {
        let baseline = Baseline::start()?;
        let nobody = Arc::new(Tally::new());
        let edge = || Cpu::now(Some(baseline.id()));
        let (answers, first, last) = generator::closed(baseline.address, plan.connections, &nobody, until, edge)?;
        let handler_cpu = last.since(&first).child.as_secs_f64() * 1e6 / answers.accepted.max(1) as f64;
        drop(baseline);
        let handler = answers.accepted as f64 / answers.window.as_secs_f64();

        let tally = Arc::new(Tally::new());
        let sink = Sink::start(Temper::Answers, Arc::clone(&tally))?;
        let channel = Channel::live(sink.address).idle();
        let service = Service::start(plan, &empty_folder(&plan.folder, "acceptance")?, &[channel])?;
        let edge = || Cpu::now(Some(service.id()));
        let (answers, first, last) = generator::closed(service.address, plan.connections, &tally, until, edge)?;
        let cpu = last.since(&first);
        let rate = answers.accepted as f64 / answers.window.as_secs_f64();
        println!(
            "   handler {handler:.0}/s with {handler_cpu:.1} µs CPU an order; service {rate:.0}/s with {:.1} µs, \
             answers p50 {:.2} ms p99 {:.2} ms, {} refused; others {:.0} % of a core",
            cpu.child.as_secs_f64() * 1e6 / answers.accepted.max(1) as f64,
            answers.latencies.percentile(50.0),
            answers.latencies.percentile(99.0),
            answers.refused,
            cpu.others(answers.window) * 100.0,
        );
        service.stop()?;
        ratios.push(rate / handler);
        ours.push(rate);
        bare.push(handler);
    }
    Ok(vec![Row {
        figure: "bare acceptance / axum handler".into(),
        required: AtLeast(0.5),
        measured: median(ratios.clone()),
        unit: "",
        notes: format!("{:.0}/s of {:.0}/s; ratios {ratios:.3?}", median(ours), median(bare)),
    }])
}
