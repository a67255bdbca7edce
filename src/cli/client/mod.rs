//! Commands that ask a running server: `orders`, `deliveries`, `channels`, `problems`, `tail`.
//!
//! They are clients of its HTTP API and know no more than that tells them. Results go to standard output, as tables or, with
//! `--json`, as a line of JSON for each entry.

mod acts;
mod args;
mod lists;
mod shown;
mod tail;

use std::path::Path;
use std::process::ExitCode;

use secrecy::SecretString;
use serde_json::Value;

use crate::outbound::Remote;

use super::output;
pub(super) use args::{ChannelsCommand, ClientArgs, DeliveriesCommand, OrdersCommand, time};
pub(super) use shown::plain as plain_table;

/// Why a command ends without success.
pub(super) enum Stop {
    /// Something failed; a sentence.
    Failed(String),
    /// The command was used wrongly; a sentence.
    Misused(String),
    /// There is something that needs a person.
    Problems,
}

pub(super) type Done = Result<(), Stop>;

/// A server to ask.
pub(super) struct Client {
    remote: Remote,
    pub(super) json: bool,
}

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
    let result = match (runtime, client(args)) {
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

fn client(args: &ClientArgs) -> Result<Client, String> {
    let token = match (&args.token, &args.token_file) {
        (_, Some(file)) => Some(read_token(file)?),
        (Some(token), None) => Some(SecretString::from(token.clone())),
        (None, None) => None,
    };
    let remote = Remote::new(&args.server, token).map_err(|error| format!("--server: {error}"))?;
    Ok(Client { remote, json: args.json })
}

fn read_token(file: &Path) -> Result<SecretString, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("--token-file: {}: {error}", file.display()))?;
    Ok(SecretString::from(text.trim().to_owned()))
}

impl Client {
    pub(super) async fn get(&self, path: &[&str], query: &[(String, String)]) -> Result<Value, Stop> {
        good(self.remote.call(path, query, None).await)
    }

    async fn post(&self, path: &[&str], body: &Value) -> Result<Value, Stop> {
        good(self.remote.call(path, &[], Some(body)).await)
    }
}

fn good(answer: Result<(u16, Value), String>) -> Result<Value, Stop> {
    match answer {
        Ok((200..=299, json)) => Ok(json),
        Ok((status, problem)) => Err(Stop::Failed(refused(status, &problem))),
        Err(error) => Err(Stop::Failed(error)),
    }
}

/// A problem of the API in words, all that is wrong with it.
fn refused(status: u16, problem: &Value) -> String {
    if let Value::String(text) = problem {
        return text.clone();
    }
    let text = |member: &str| problem.get(member).and_then(Value::as_str).unwrap_or_default();
    let mut words = format!("{status} {}: {}", text("title"), text("detail"));
    let faults = problem.get("errors").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if faults.len() > 1 {
        for fault in faults {
            let part = |member: &str| fault.get(member).and_then(Value::as_str).unwrap_or_default();
            words.push_str(&format!("\n  {}: {}", part("path"), part("message")));
        }
    }
    if status == 401 || status == 403 {
        words.push_str("\nset a token with --token-file, --token or ORDERHOOK_TOKEN");
    }
    words
}
