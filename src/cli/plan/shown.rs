//! The report as people read it.

use serde_json::Value;

use super::report::{Report, Tally};
use crate::cli::client::plain_table;
use crate::cli::output;

/// Prints it.
pub(super) fn print(report: &Report, since: &str, more: bool) {
    output::line(&format!("\n{} orders since {since}", report.orders));
    if more {
        output::line("older orders are left out; --limit takes more");
    }
    if report.left_out > 0 {
        output::line(&format!("{} orders are left out: they have not ended or cannot be read", report.left_out));
    }
    let mut table = plain_table();
    table.set_header(["channel", "before", "after", "gained", "lost", "changed", "unchanged", "not compared", "fails"]);
    for channel in &report.channels {
        let counts = [
            channel.before,
            channel.after,
            channel.gained.count,
            channel.lost.count,
            channel.changed.count,
            channel.unchanged,
            channel.not_compared,
            channel.fails.count,
        ];
        table.add_row(std::iter::once(channel.channel.clone()).chain(counts.map(|count| count.to_string())));
    }
    output::line(&format!("\n{}", table.trim_fmt()));
    for channel in &report.channels {
        let name = &channel.channel;
        example(name, "gained", &channel.gained, |example| format!("by {}", text(example, "event")));
        if let Some(request) =
            channel.gained.example.as_ref().map(|example| text(example, "request")).filter(|it| !it.is_empty())
        {
            output::line(&format!("  + {request}"));
        }
        example(name, "lost", &channel.lost, |example| {
            let detail = text(example, "detail");
            let reason = text(example, "reason");
            if detail.is_empty() { reason } else { format!("{reason} ({detail})") }
        });
        example(name, "changed", &channel.changed, |example| text(example, "delivery"));
        if let Some(example) = &channel.changed.example {
            changes(example);
        }
        example(name, "failed", &channel.fails, |example| text(example, "error"));
    }
}

fn example(channel: &str, what: &str, tally: &Tally, why: impl FnOnce(&Value) -> String) {
    if let Some(example) = &tally.example {
        let (order, count) = (text(example, "order_id"), tally.count);
        let id = text(example, "order");
        output::line(&format!("\n{channel}: {count} {what}, such as order {order} ({id}): {}", why(example)));
    }
}

fn changes(example: &Value) {
    for name in ["method", "url"] {
        if let Some([old, new]) = example.get(name).and_then(Value::as_array).map(Vec::as_slice) {
            output::line(&format!("  - {}\n  + {}", clean(old), clean(new)));
        }
    }
    for line in text_lines(example, "body") {
        output::line(&format!("  {line}"));
    }
}

fn text(example: &Value, name: &str) -> String {
    example.get(name).map(clean).unwrap_or_default()
}

fn text_lines(example: &Value, name: &str) -> Vec<String> {
    let text = example.get(name).and_then(Value::as_str).unwrap_or_default();
    text.lines().map(|line| clean(&Value::from(line))).collect()
}

/// Text without control characters, which could steer the terminal.
fn clean(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
