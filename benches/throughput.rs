//! How fast the service is, as ratios of one run: `cargo bench --bench throughput`.
//!
//! The real binary runs as a process of its own with its store on the disk. Generator and sink are in this process.
//! Absolute numbers depend on the machine and on who else uses it; therefore every figure is set against something
//! bare that was measured in the same run, in turns. `docs/performance.md` explains the figures.
//!
//! `-- --quick` takes a minute or two and smaller numbers, `-- --only sustained` measures one figure.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a harness prints what it measures")]
#![allow(clippy::indexing_slicing, reason = "a panic ends the measurement, as a wrong index should")]
#![allow(unreachable_pub, reason = "the modules are this program's own")]

mod figures;
mod support;

use std::process::ExitCode;

use support::plan::Plan;
use support::{Result, baseline, children, report};

/// The service's allocator, so that what it is compared with does not lose by another one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given = |name: &str| arguments.iter().any(|argument| argument == name);
    let outcome = if given(baseline::ARGUMENT) {
        baseline::serve()
    } else if given("--bench") {
        measure(arguments)
    } else {
        // `cargo test --all-targets` starts this program too, and must not wait for minutes.
        println!("nothing measured: {}", Plan::HELP);
        Ok(())
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: Vec<String>) -> Result<()> {
    let plan = Plan::from_arguments(arguments.into_iter(), &figures::names())?;
    children::bound_the_run(plan.limit);
    // reqwest is built without a provider of its own, and asks for one even where nothing is encrypted.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    std::fs::create_dir_all(&plan.folder)?;
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    for figure in figures::ALL.iter().filter(|figure| plan.wants(figure.name)) {
        println!("== {}: {}", figure.name, figure.question);
        match (figure.measure)(&plan) {
            Ok(measured) => rows.extend(measured),
            Err(failure) => failed.push(format!("{} could not be measured: {failure}", figure.name)),
        }
    }
    report::print(&rows);
    std::fs::remove_dir_all(&plan.folder)?;
    if failed.is_empty() { Ok(()) } else { Err(support::Failure::new(failed.join("\n"))) }
}
