//! Lists: pages of entries until there are enough.

use serde_json::Value;

use super::args::PageArgs;
use super::connection::{Client, Done, Stop};
use super::shown::{self, Columns};
use crate::cli::output;

pub(super) const ORDERS: Columns = &[
    ("id", "/id"),
    ("order", "/order_id"),
    ("type", "/type"),
    ("status", "/status"),
    ("chain", "/chain"),
    ("received", "/received_at"),
];
pub(super) const DELIVERIES: Columns = &[
    ("id", "/id"),
    ("channel", "/channel"),
    ("order", "/order_id"),
    ("status", "/status"),
    ("code", "/last_code"),
    ("attempts", "/attempt_count"),
    ("next", "/next_attempt_at"),
    ("created", "/created_at"),
];
pub(super) const CHANNELS: Columns = &[
    ("channel", "/name"),
    ("state", "/state"),
    ("waiting", "/waiting"),
    ("in flight", "/in_flight"),
    ("next", "/next_attempt_at"),
    ("failing since", "/failing_since"),
    ("last error", "/last_error/error"),
];
const PROBLEMS: Columns =
    &[("kind", "/kind"), ("channel", "/channel"), ("count", "/count"), ("last", "/last_at"), ("problem", "/summary")];

/// Entries that a call asks for at most.
const PAGE: usize = 250;

/// Prints a list.
pub(super) async fn list(
    client: &Client,
    what: &str,
    filter: Vec<(String, String)>,
    page: &PageArgs,
    columns: Columns,
) -> Done {
    let most = if page.all { usize::MAX } else { page.limit };
    let (mut entries, mut printed) = (Vec::new(), 0);
    let mut cursor: Option<String> = None;
    while printed < most {
        let mut query = filter.clone();
        query.push(("limit".to_owned(), PAGE.min(most - printed).to_string()));
        query.extend(cursor.take().map(|cursor| ("cursor".to_owned(), cursor)));
        let mut answer = client.get(&["v1", what], &query).await?;
        let Some(Value::Array(data)) = answer.get_mut("data").map(Value::take) else { break };
        printed += data.len();
        if client.json {
            for entry in &data {
                output::line(&entry.to_string());
            }
        } else {
            entries.extend(data);
        }
        cursor = answer.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    if !client.json {
        shown::table(columns, &entries);
        if cursor.is_some() {
            output::error(&format!("the first {printed}; --limit or --all shows more"));
        }
    }
    Ok(())
}

/// `orderhook problems`: fails if there are any.
pub(super) async fn problems(client: &Client, since: Option<&str>) -> Done {
    let query: Vec<_> = since.map(|since| ("since".to_owned(), since.to_owned())).into_iter().collect();
    let mut limited = query.clone();
    limited.push(("limit".to_owned(), PAGE.to_string()));
    let answer = client.get(&["v1", "problems"], &limited).await?;
    let problems = answer.get("data").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if client.json {
        for problem in problems {
            output::line(&problem.to_string());
        }
    } else if problems.is_empty() {
        output::line("no problems");
    } else {
        shown::table(PROBLEMS, problems);
    }
    if problems.is_empty() { Ok(()) } else { Err(Stop::Problems) }
}
