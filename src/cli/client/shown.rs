//! JSON as people read it: tables, and one thing with its parts.

use anstyle::{AnsiColor, Style};
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
    output::line(&painted(&table.trim_fmt()));
}

/// Columns whose words are coloured.
const COLOURED: [&str; 3] = ["status", "state", "kind"];

/// The table with colours; they are dropped where the output is no terminal.
fn painted(table: &str) -> String {
    let Some(head) = table.lines().next() else { return String::new() };
    let column = COLOURED.iter().find_map(|name| head.match_indices(name).find(|(at, _)| starts_a_cell(head, *at)));
    let Some((at, _)) = column else { return table.to_owned() };
    // The head is ASCII, the cells before may not be.
    let lines = table.lines().enumerate().map(|(number, line)| {
        let mut places = line.char_indices().skip(at).map(|(place, _)| place);
        let place = places.next().filter(|place| number > 0 && starts_a_cell(line, *place));
        let Some((before, rest)) = place.and_then(|place| line.split_at_checked(place)) else { return line.to_owned() };
        let word = rest.split(' ').next().unwrap_or_default();
        let Some(style) = style(word) else { return line.to_owned() };
        format!("{before}{style}{word}{style:#}{}", rest.strip_prefix(word).unwrap_or_default())
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn starts_a_cell(line: &str, at: usize) -> bool {
    line.get(..at).is_some_and(|before| before.is_empty() || before.ends_with(' '))
}

fn style(word: &str) -> Option<Style> {
    let colour = match word {
        "accepted" | "completed" | "enabled" => AnsiColor::Green,
        "failed" | "rejected" | "disabled" | "breaker_open" | "failing" | "failures" | "held" => AnsiColor::Red,
        "paused" | "waiting" | "late" | "removed" => AnsiColor::Yellow,
        "pending" | "dispatched" | "processing" => AnsiColor::Cyan,
        _ => return None,
    };
    Some(colour.on_default())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_column_of_the_status_are_coloured_and_no_others() {
        let table = "id     status   error\nfailed accepted failed\ndlv_é  failed   failed";
        let expected =
            "id     status   error\nfailed \x1b[32maccepted\x1b[0m failed\ndlv_é  \x1b[31mfailed\x1b[0m   failed";
        assert_eq!(painted(table), expected);
        assert_eq!(painted("id  order\n1   failed"), "id  order\n1   failed");
    }
}
