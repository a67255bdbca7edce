//! `tail`: what happens, as it happens.

use serde_json::Value;

use super::connection::{Client, Done, Stop, refused};
use crate::cli::output;

/// Prints a line for each event until the server stops.
pub(super) async fn tail(client: &Client, channel: Option<&str>) -> Done {
    let query: Vec<_> = channel.map(|channel| ("channel".to_owned(), channel.to_owned())).into_iter().collect();
    let stream = client.remote.stream(&["v1", "stream"], &query).await;
    let mut lines = stream.map_err(|(status, problem)| Stop::Failed(refused(status, &problem)))?;
    let mut event = String::new();
    while let Some(line) = lines.next().await.map_err(Stop::Failed)? {
        if let Some(name) = line.strip_prefix("event: ") {
            name.clone_into(&mut event);
        } else if let Some(data) = line.strip_prefix("data: ") {
            match serde_json::from_str(data) {
                Ok(Value::Object(mut members)) if client.json => {
                    members.insert("event".to_owned(), event.as_str().into());
                    output::line(&Value::Object(members).to_string());
                }
                Ok(data) => output::line(&sentence(&event, &data)),
                Err(_) => {}
            }
        }
    }
    Err(Stop::Failed("the server ended the stream".to_owned()))
}

/// An event on one line.
fn sentence(event: &str, data: &Value) -> String {
    let text = |member: &str| match data.get(member) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let also = |before: &str, member: &str| match text(member) {
        text if text.is_empty() => text,
        text => format!("{before}{text}"),
    };
    let line = match event {
        "order" => format!("{} order {} ({}) {}", text("at"), text("order_id"), text("type"), text("status")),
        "attempt" => format!(
            "{} attempt {} {}{} #{} {} {} ms, {}{}{}",
            text("at"),
            text("channel"),
            text("delivery"),
            also(" of order ", "order_id"),
            text("number"),
            text("code"),
            text("duration_ms"),
            text("status"),
            also(", next at ", "next_attempt_at"),
            also(": ", "error")
        ),
        "delivery" => format!(
            "{} delivery {} {} {}: {} now{}{}",
            text("at"),
            text("channel"),
            text("delivery"),
            text("act"),
            text("status"),
            also(", by ", "by"),
            also(": ", "reason")
        ),
        "deliveries" => {
            format!(
                "{} {} deliveries {}{}{}",
                text("at"),
                text("count"),
                text("act"),
                also(", by ", "by"),
                also(": ", "reason")
            )
        }
        "channel" => {
            format!(
                "{} channel {} is {} now{}{}",
                text("at"),
                text("channel"),
                text("state"),
                also(", by ", "by"),
                also(": ", "reason")
            )
        }
        other => format!("{other} {data}"),
    };
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
