//! How long a caller waits at a modest pace, in multiples of one fdatasync of the disk under the store.

use std::sync::Arc;
use std::time::Duration;

use super::{Plan, Result, Row, drain};
use crate::support::disk;
use crate::support::generator;
use crate::support::latency::{Latencies, median};
use crate::support::report::Requirement::AtMost;
use crate::support::service::{Channel, Service, empty_folder};
use crate::support::sink::{Sink, Temper};
use crate::support::tally::Tally;

const ORDERS_PER_SECOND: u32 = 100;

pub(super) fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let (mut ratios, mut p50s, mut p99s) = (vec![], vec![], vec![]);
    let mut disk = Latencies::default();
    for _ in 0..plan.rounds {
        let tally = Arc::new(Tally::new());
        let sink = Sink::start(Temper::Answers, Arc::clone(&tally))?;
        let folder = empty_folder(&plan.folder, "latency")?;
        let service = Service::start(plan, &folder, &[Channel::live(sink.address)])?;
        // The first orders open connections and pages; nobody measures those.
        generator::paced(service.address, ORDERS_PER_SECOND, &tally, Duration::from_secs(1))?;
        let mut probe = disk::appended(&folder, 300)?;
        let answers = generator::paced(service.address, ORDERS_PER_SECOND, &tally, plan.window * 2)?;
        probe.extend(disk::appended(&folder, 300)?);
        drain(&tally)?;
        service.stop()?;
        let (sync, p50, p99) = (probe.percentile(50.0), answers.percentile(50.0), answers.percentile(99.0));
        println!(
            "   answers p50 {p50:.3} ms p99 {p99:.3} ms p99.9 {:.3} ms, fdatasync p50 {sync:.3} ms",
            answers.percentile(99.9)
        );
        ratios.push(p99 / sync);
        p50s.push(p50);
        p99s.push(p99);
        disk.extend(probe);
    }
    Ok(vec![Row {
        figure: format!("p99 of answers at {ORDERS_PER_SECOND} orders/s / fdatasync"),
        required: AtMost(10.0),
        measured: median(ratios.clone()),
        unit: "",
        notes: format!(
            "p50 {:.3} ms, p99 {:.3} ms; fdatasync of 4 KB appended p50 {:.3} ms p99 {:.3} ms; ratios {ratios:.2?}",
            median(p50s),
            median(p99s),
            disk.percentile(50.0),
            disk.percentile(99.0)
        ),
    }])
}
