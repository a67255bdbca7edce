//! How long and how often things are measured.

use std::path::PathBuf;
use std::time::Duration;

use super::{Failure, Result};

/// What is measured, and how thoroughly.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Figures that were asked for by name; all if empty.
    pub only: Vec<String>,
    /// The service's program; another build can be measured with the same tools.
    pub binary: PathBuf,
    /// Where the stores lie: a real disk.
    pub folder: PathBuf,
    /// Connections of the generator, and tasks of the ceiling.
    pub connections: usize,
    /// Rounds of whatever is compared; the median counts.
    pub rounds: usize,
    /// Not counted at the start of every window.
    pub warm_up: Duration,
    /// The window of sustained throughput.
    pub sustained: Duration,
    /// The window of everything else.
    pub window: Duration,
    /// Pending deliveries of a dead channel: few and many.
    pub pending: [u64; 2],
    /// No run takes longer, whatever happens.
    pub limit: Duration,
}

impl Plan {
    /// How to call it.
    pub const HELP: &str =
        "cargo bench --bench throughput -- [--quick] [--only FIGURE]… [--rounds N] [--connections N] [--binary FILE]";

    /// From the command line.
    ///
    /// # Errors
    /// An argument that is unknown, or a figure that does not exist.
    pub fn from_arguments(arguments: impl Iterator<Item = String>, figures: &[&str]) -> Result<Self> {
        let mut plan = Self {
            only: Vec::new(),
            binary: PathBuf::from(env!("CARGO_BIN_EXE_orderhook")),
            folder: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("throughput"),
            connections: 64,
            rounds: 3,
            warm_up: Duration::from_secs(2),
            sustained: Duration::from_secs(20),
            window: Duration::from_secs(8),
            pending: [100_000, 1_000_000],
            limit: Duration::from_secs(45 * 60),
        };
        let mut arguments = arguments.peekable();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let text = arguments.next().ok_or_else(|| Failure::new(format!("{argument} needs a value")))?;
                Result::Ok(text)
            };
            match argument.as_str() {
                "--bench" => {}
                "--quick" => {
                    plan.rounds = 1;
                    plan.warm_up = Duration::from_secs(1);
                    plan.sustained = Duration::from_secs(5);
                    plan.window = Duration::from_secs(3);
                    plan.pending = [20_000, 100_000];
                    plan.limit = Duration::from_secs(10 * 60);
                }
                "--only" => plan.only.push(value()?),
                "--binary" => plan.binary = PathBuf::from(value()?),
                "--rounds" => plan.rounds = value()?.parse()?,
                "--connections" => plan.connections = value()?.parse()?,
                other => return Err(Failure::new(format!("{other} is unknown. {}", Self::HELP))),
            }
        }
        if let Some(unknown) = plan.only.iter().find(|name| !figures.contains(&name.as_str())) {
            return Err(Failure::new(format!("no figure {unknown}; there are {}", figures.join(", "))));
        }
        Ok(plan)
    }

    /// Whether figure `name` was asked for.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}
