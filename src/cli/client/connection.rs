//! The connection to a running server, and how a command ends.

use std::path::Path;

use secrecy::SecretString;
use serde_json::Value;

use super::args::ClientArgs;
use crate::outbound::Remote;

/// Why a command ends without success.
pub(in crate::cli) enum Stop {
    /// Something failed; a sentence.
    Failed(String),
    /// The command was used wrongly; a sentence.
    Misused(String),
    /// There is something that needs a person.
    Problems,
}

pub(in crate::cli) type Done = Result<(), Stop>;

/// A server to ask.
pub(in crate::cli) struct Client {
    pub(super) remote: Remote,
    pub(in crate::cli) json: bool,
}

impl Client {
    /// Prepares requests to the server that the arguments name.
    pub(super) fn new(args: &ClientArgs) -> Result<Self, String> {
        let token = match (&args.token, &args.token_file) {
            (_, Some(file)) => Some(read_token(file)?),
            (Some(token), None) => Some(SecretString::from(token.clone())),
            (None, None) => None,
        };
        let remote = Remote::new(&args.server, token).map_err(|error| format!("--server: {error}"))?;
        Ok(Self { remote, json: args.json })
    }

    pub(in crate::cli) async fn get(&self, path: &[&str], query: &[(String, String)]) -> Result<Value, Stop> {
        good(self.remote.call(path, query, None).await)
    }

    pub(super) async fn post(&self, path: &[&str], body: &Value) -> Result<Value, Stop> {
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
pub(super) fn refused(status: u16, problem: &Value) -> String {
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

fn read_token(file: &Path) -> Result<SecretString, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("--token-file: {}: {error}", file.display()))?;
    Ok(SecretString::from(text.trim().to_owned()))
}
