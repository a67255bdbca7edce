//! Commands that ask a running server: `orders`, `deliveries`, `channels`, `problems`, `tail`.
//!
//! They are clients of its HTTP API and know no more than that tells them. Results go to standard output, as tables or, with
//! `--json`, as a line of JSON for each entry.

mod acts;
mod args;
mod connection;
mod lists;
mod shown;
mod tail;

use std::process::ExitCode;

use super::output;
pub(super) use args::{ChannelsCommand, ClientArgs, DeliveriesCommand, OrdersCommand, time};
pub(super) use connection::{Client, Done, Stop};
pub(super) use shown::plain as plain_table;

/// `orderhook orders`.
pub(super) fn orders(args: &ClientArgs, command: OrdersCommand) -> ExitCode {
    run(args, async |client| acts::orders(client, command).await)
}

/// `orderhook deliveries`.
pub(super) fn deliveries(args: &ClientArgs, command: DeliveriesCommand) -> ExitCode {
    run(args, async |client| acts::deliveries(client, command).await)
}

/// `orderhook channels`.
pub(super) fn channels(args: &ClientArgs, command: ChannelsCommand) -> ExitCode {
    run(args, async |client| acts::channels(client, command).await)
}

/// `orderhook problems`.
pub(super) fn problems(args: &ClientArgs, since: Option<&str>) -> ExitCode {
    run(args, async |client| lists::problems(client, since).await)
}

/// `orderhook tail`.
pub(super) fn tail(args: &ClientArgs, channel: Option<&str>) -> ExitCode {
    run(args, async |client| tail::tail(client, channel).await)
}

pub(super) fn run(args: &ClientArgs, work: impl AsyncFnOnce(&Client) -> Done) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match (runtime, Client::new(args)) {
        (Ok(runtime), Ok(client)) => runtime.block_on(work(&client)),
        (_, Err(wrong)) => Err(Stop::Misused(wrong)),
        (Err(error), _) => Err(Stop::Failed(format!("the runtime could not be started: {error}"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Problems) => ExitCode::FAILURE,
        Err(Stop::Failed(why)) => {
            output::error(&why);
            ExitCode::FAILURE
        }
        Err(Stop::Misused(why)) => {
            output::error(&why);
            ExitCode::from(2)
        }
    }
}
