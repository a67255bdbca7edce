//! JSON as people read it: tables, and one thing with its parts.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use super::connection::Client;
use crate::cli::output;

/// Columns of a table: the head, and the JSON pointer of the value.
pub(super) type Columns = &'static [(&'static str, &'static str)];

/// Prints entries as a table that fits the terminal.
pub(super) fn table(columns: Columns, entries: &[Value]) {
    if entries.is_empty() {
        return output::error("none");
    }
    let mut table = plain();
    table.set_header(columns.iter().map(|(head, _)| *head));
    for entry in entries {
        table.add_row(columns.iter().map(|(_, pointer)| entry.pointer(pointer).map(cell).unwrap_or_default()));
    }
    output::line(&table.trim_fmt());
}

/// A table without lines that fits the terminal.
pub(in crate::cli) fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if let Some(width) = output::width() {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    table
}

/// A value on one line: without control characters, which could steer the terminal.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Prints one thing: its values, and its lists as tables below.
pub(super) fn one(client: &Client, thing: &Value) {
    let Some(members) = thing.as_object().filter(|_| !client.json) else { return output::line(&thing.to_string()) };
    let mut values = plain();
    let mut lists = Vec::new();
    for (name, value) in members {
        match value {
            Value::Array(entries) if entries.iter().any(Value::is_object) => lists.push((name, entries)),
            Value::Null => {}
            Value::Array(entries) if entries.is_empty() => {}
            value => _ = values.add_row([name.as_str(), &cell(value)]),
        }
    }
    output::line(&values.trim_fmt());
    for (name, entries) in lists {
        output::line(&format!("\n{name}"));
        let mut heads: Vec<&String> = Vec::new();
        for entry in entries.iter().filter_map(Value::as_object) {
            heads.extend(entry.iter().filter(|(_, value)| !value.is_null()).map(|(head, _)| head));
        }
        let mut seen = std::collections::HashSet::new();
        heads.retain(|head| seen.insert(head.as_str()));
        let mut table = plain();
        table.set_header(heads.iter().map(|head| head.as_str()));
        for entry in entries {
            table.add_row(heads.iter().map(|head| entry.get(head.as_str()).map(cell).unwrap_or_default()));
        }
        output::line(&table.trim_fmt());
    }
}
