//! Throughput of a channel while another one's receiver reads and never answers, against the same service without.

use std::sync::Arc;
use std::time::Duration;

use super::{Flow, Plan, Result, Row};
use crate::support::generator::{self, Until};
use crate::support::latency::median;
use crate::support::report::Requirement::Shown;
use crate::support::service::{Channel, Service, empty_folder};
use crate::support::sink::{Sink, Temper};
use crate::support::tally::Tally;

/// Deliveries waiting for the receiver that hangs: more than its attempts in flight can end within the window.
const WAITING: u64 = 5_000;

pub(super) fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let (mut ratios, mut alone, mut beside) = (vec![], vec![], vec![]);
    for _ in 0..plan.rounds {
        let quiet = round(plan, 0)?;
        let hung = round(plan, WAITING)?;
        ratios.push(hung / quiet);
        alone.push(quiet);
        beside.push(hung);
    }
    Ok(vec![Row {
        figure: "delivered beside a receiver that hangs / without".into(),
        required: Shown,
        measured: median(ratios.clone()),
        unit: "",
        notes: format!("{:.0}/s of {:.0}/s; ratios {ratios:.3?}", median(beside), median(alone)),
    }])
}

fn round(plan: &Plan, waiting: u64) -> Result<f64> {
    let tally = Arc::new(Tally::new());
    let sink = Sink::start(Temper::Answers, Arc::clone(&tally))?;
    let hung = Sink::start(Temper::Hangs, Arc::new(Tally::new()))?;
    let folder = empty_folder(&plan.folder, "hanging")?;
    let hanging = Channel {
        name: "hanging",
        receiver: hung.address,
        takes_orders: true,
        concurrency: 32,
        timeout: Duration::from_secs(3),
        more: &[],
    };
    let live = Channel::live(sink.address);
    if waiting > 0 {
        let service = Service::start(plan, &folder, &[hanging.clone(), live.clone().idle()])?;
        let until = Until::Accepted(waiting);
        generator::closed(service.address, plan.connections, &Arc::new(Tally::new()), until, || ())?;
        service.kill();
    }
    let service = Service::start(plan, &folder, &[hanging.idle(), live])?;
    let flow = Flow::through(&service, &tally, plan, plan.window)?;
    service.kill();
    Ok(flow.rate())
}
