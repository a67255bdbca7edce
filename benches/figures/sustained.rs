//! Orders accepted and delivered a second, against a bare client posting straight to the sink.

use std::sync::Arc;

use super::{Flow, Plan, Result, Row};
use crate::support::ceiling::{self, Runtime};
use crate::support::latency::median;
use crate::support::report::Requirement::{AtLeast, Shown};
use crate::support::service::{Channel, Service, empty_folder};
use crate::support::sink::{Sink, Temper};
use crate::support::tally::Tally;

pub(super) fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let (mut ratios, mut single, mut rates, mut ceilings, mut backlogs) = (vec![], vec![], vec![], vec![], vec![]);
    for _ in 0..plan.rounds {
        let two = bare(plan, Runtime::TwoThreads)?;
        let one = bare(plan, Runtime::CurrentThread)?;
        let tally = Arc::new(Tally::new());
        let sink = Sink::start(Temper::Answers, Arc::clone(&tally))?;
        let service = Service::start(plan, &empty_folder(&plan.folder, "sustained")?, &[Channel::live(sink.address)])?;
        let flow = Flow::through(&service, &tally, plan, plan.sustained)?;
        service.stop()?;
        // The ceiling before and after, so that a machine that changes its pace meanwhile does not favour one side.
        let two = f64::midpoint(two, bare(plan, Runtime::TwoThreads)?);
        ratios.push(flow.rate() / two);
        single.push(flow.rate() / one);
        rates.push(flow.rate());
        backlogs.push(flow.backlog as f64);
        ceilings.push(two);
    }
    Ok(vec![
        Row {
            figure: "accepted and delivered / bare reqwest::Client".into(),
            required: AtLeast(0.4),
            measured: median(ratios.clone()),
            unit: "",
            notes: format!(
                "{:.0}/s of {:.0}/s over {:?}; ratios {ratios:.3?}; backlog at the end {backlogs:.0?}",
                median(rates),
                median(ceilings),
                plan.sustained
            ),
        },
        Row {
            figure: "the same against a client on the current thread".into(),
            required: Shown,
            measured: median(single.clone()),
            unit: "",
            notes: format!("ratios {single:.3?}"),
        },
    ])
}

fn bare(plan: &Plan, runtime: Runtime) -> Result<f64> {
    let tally = Arc::new(Tally::new());
    let sink = Sink::start(Temper::Answers, Arc::clone(&tally))?;
    let reached = ceiling::measure(sink.address, &tally, runtime, plan.connections, plan.warm_up, plan.window / 2)?;
    println!("   ceiling {:.0}/s ({runtime:?}); others {:.0} % of a core", reached.rate, reached.others * 100.0);
    Ok(reached.rate)
}
