//! The keys that environment variables set: `ORDERHOOK__SECTION__KEY`.

use std::collections::BTreeMap;

use config::{Map, Value, ValueKind};

use super::faults::{Path, Report};
use super::node::Data;
use super::read::{key_of, unknown};
use super::schema::{Block, Kind, ROOT};

/// What variables that set keys begin with.
pub(crate) const PREFIX: &str = "ORDERHOOK__";

/// A layer for each `ORDERHOOK__SECTION__KEY`.
pub(crate) fn layers(environment: &BTreeMap<String, String>, report: &Report) -> Vec<Map<String, Value>> {
    let variables = environment.iter().filter_map(|(name, value)| Some((name, name.strip_prefix(PREFIX)?, value)));
    variables.filter_map(|(variable, path, value)| from_variable(variable, path, value, report)).collect()
}

fn from_variable(variable: &str, path: &str, text: &str, report: &Report) -> Option<Map<String, Value>> {
    let origin = format!("environment {variable}");
    let names: Vec<String> = path.split("__").map(str::to_lowercase).collect();
    let mut block: &'static Block = &ROOT;
    let mut at = Path::default();
    let mut value = ValueKind::String(text.to_owned());
    for (depth, name) in names.iter().enumerate() {
        at = at.key(name);
        let last = depth + 1 == names.len();
        let Some(key) = key_of(block, name) else {
            report.fault(&origin, &at, unknown(block, name));
            return None;
        };
        match (&key.kind, last) {
            (Kind::Block(inner), false) => block = inner,
            (Kind::Block(_), true) => {
                report.fault(&origin, &at, format!("is a section: write {variable}__ and the name of one of its keys"));
                return None;
            }
            // One value is a list of one.
            (Kind::List(kind), true) if !matches!(kind, Kind::Block(_)) => {}
            // The path of a file.
            (_, true) if key.name != name => {}
            (Kind::List(_), _) => {
                let message = "is a list, which the environment cannot set: write it in a file, with ${NAME} for values from the environment";
                report.fault(&origin, &at, message);
                return None;
            }
            (_, false) => {
                report.fault(&origin, &at, "is not a section: it has no keys");
                return None;
            }
            (kind, true) => {
                if let Some(read) = as_kind(text, kind, key.default) {
                    value = read;
                }
            }
        }
    }
    let mut table = Value::new(Some(&origin), value);
    let mut names = names.into_iter().rev().peekable();
    while let Some(name) = names.next() {
        let map: Map<String, Value> = [(name, table)].into_iter().collect();
        if names.peek().is_none() {
            return Some(map);
        }
        table = Value::new(Some(&origin), ValueKind::Table(map));
    }
    None
}

/// A variable's text as what its key asks for. `null` unsets a key that has no default.
fn as_kind(text: &str, kind: &Kind, default: Option<&str>) -> Option<ValueKind> {
    match super::scalars::as_kind(text, kind) {
        Data::Boolean(value) => Some(ValueKind::Boolean(value)),
        Data::Integer(value) => Some(ValueKind::I64(value)),
        Data::Number(value) => Some(ValueKind::Float(value)),
        Data::Text(text) if text == "null" && default.is_none() => Some(ValueKind::Nil),
        // A size or duration may be a bare number: with the message of one, where it is wrong.
        Data::Text(text) if matches!(kind, Kind::Duration(..) | Kind::Size(..)) => {
            text.parse().ok().map(ValueKind::I64)
        }
        _ => None,
    }
}
