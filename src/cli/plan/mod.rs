//! `plan`: what a configuration would do to the orders of the last hours. Sends nothing.
//!
//! - `source.rs`: where the record of orders comes from.
//! - `order.rs`: one order on record, and its events.
//! - `report.rs`: what is counted for each channel.
//! - `shown.rs`: the report as text.

mod order;
mod report;
mod shown;
mod source;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use crate::config;
use crate::delivery::Planner;
use crate::system::{self, SystemClock};

use super::client::{self, Client, ClientArgs, Done, Stop};
use super::output;
use order::Recorded;
use report::Report;
use source::Source;

/// What to plan, and by which record.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// The changed configuration: a file (YAML), or a folder; repeatable, a later one wins. Environment variables
    /// `ORDERHOOK__SECTION__KEY` win over all.
    #[arg(long, short, value_name = "FILE", required = true)]
    config: Vec<PathBuf>,
    /// Orders received at that time or later: RFC 3339, or how long ago, such as 24h.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = client::time)]
    since: String,
    /// Orders at most, the newest first.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
    /// Read the orders from this store file instead of a server. The file is not changed.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    #[command(flatten)]
    client: ClientArgs,
}

/// `orderhook plan`.
pub(super) fn run(args: &PlanArgs) -> ExitCode {
    client::run(&args.client, async |client| plan(args, client).await)
}

async fn plan(args: &PlanArgs, client: &Client) -> Done {
    let settings = match config::load(&args.config, &config::process_environment()) {
        Ok(settings) => settings,
        Err(faults) if client.json => {
            let errors: Vec<String> = faults.into_iter().map(ToString::to_string).collect();
            output::line(&json!({"check": {"errors": errors}, "orders": 0, "channels": []}).to_string());
            return Err(Stop::Problems);
        }
        Err(faults) => return Err(Stop::Failed(faults.to_string())),
    };
    if !client.json {
        output::line(&config::summary(&settings, output::width()));
    }
    let mut report = Report::new(&settings);
    let planner = Planner::alone(settings, Arc::new(SystemClock), system::seed());
    let source = match &args.store {
        Some(file) => Source::file(file)?,
        None => Source::Server(client),
    };
    let mut cursor = None;
    let mut left = args.limit;
    while left > 0 {
        let (ids, next) = source.orders(&args.since, cursor.as_deref(), left).await?;
        left = left.saturating_sub(ids.len());
        for id in ids {
            let Some(order) = source.order(&id).await? else { continue };
            match Recorded::read(&order) {
                Some(mut recorded) => {
                    for delivery in &mut recorded.deliveries {
                        delivery.add_attempt(&source.delivery(&delivery.id.to_string()).await?);
                    }
                    report.add(&planner, &recorded).await;
                }
                None => report.leave_out(),
            }
        }
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    if client.json {
        let mut shown = serde_json::to_value(&report).map_err(|error| Stop::Failed(error.to_string()))?;
        if let Some(shown) = shown.as_object_mut() {
            shown.insert("check".to_owned(), json!({"errors": []}));
            shown.insert("since".to_owned(), Value::from(args.since.as_str()));
            shown.insert("more".to_owned(), cursor.is_some().into());
        }
        output::line(&shown.to_string());
    } else {
        shown::print(&report, &args.since, cursor.is_some());
    }
    if report.fails() { Err(Stop::Problems) } else { Ok(()) }
}
