//! A channel's block as the API shows it: as configured, with `***` for what is secret and `${NAME}` for what the
//! environment fills in.

use serde_json::{Map, Value};

use super::node::{Data, Node};
use super::read::listed;
use super::schema::{Block, Key, Kind};
use super::secrets::{is_secret_name, shown_url};

/// The block with its secrets masked, keys in the order of the table, the rest behind them.
pub(crate) fn masked(node: &Node, block: &Block) -> Value {
    let mut shown = Map::new();
    for key in block.keys {
        match node.get(key.name) {
            Some(value) => _ = shown.insert(key.name.to_owned(), value_of(value, key)),
            None => {
                if let Some(default) = key.default {
                    shown.insert(key.name.to_owned(), default_of(default, key));
                }
            }
        }
        // The path of a secret's file says where the secret is, not what it is.
        let file = format!("{}_file", key.name);
        if let Some(path) = node.get(&file).filter(|_| key.kind.may_be_in_a_file()) {
            shown.insert(file, plain(path));
        }
    }
    Value::Object(shown)
}

/// A URL as configured, with its secrets masked.
pub(crate) fn url(node: &Node) -> String {
    match &node.data {
        Data::Text(text) => shown_url(node.written.as_deref().unwrap_or(text)),
        _ => String::new(),
    }
}

fn value_of(node: &Node, key: &Key) -> Value {
    let node = &listed(node, &key.kind);
    match (key.kind, &node.data) {
        (_, Data::Null) => Value::Null,
        (Kind::Secret, _) => "***".into(),
        (Kind::List(Kind::Secret), Data::List(items)) => items.iter().map(|_| Value::from("***")).collect(),
        (_, Data::Text(_)) if matches!(key.name, "url" | "endpoint") => url(node).into(),
        (Kind::Block(block) | Kind::WordOr(_, block), Data::Map(_)) => masked(node, block),
        (Kind::Variants(variants), Data::Map(_)) => {
            let kind = node.get("type").map(plain);
            let block = variants.iter().find(|(name, _)| kind.as_ref().is_some_and(|kind| kind == name));
            block.map_or(Value::Null, |(_, block)| masked(node, block))
        }
        (Kind::List(Kind::Block(block)), Data::List(items)) => items.iter().map(|item| masked(item, block)).collect(),
        (Kind::Map(_), Data::Map(entries)) if key.name == "headers" => entries
            .iter()
            .map(|(name, node)| (name.clone(), if is_secret_name(name) { "***".into() } else { plain(node) }))
            .collect(),
        _ => plain(node),
    }
}

/// The value as JSON, with nothing masked. A number has the digits that it is written with, where JSON can hold them.
pub(crate) fn plain(node: &Node) -> Value {
    match (&node.written, &node.data) {
        (_, Data::Integer(_) | Data::Number(_)) if digits(node).is_some() => {
            digits(node).map_or(Value::Null, Value::from)
        }
        (_, Data::Integer(value)) => Value::from(*value),
        (_, Data::Number(value)) => Value::from(*value),
        (Some(written), _) => Value::from(&**written),
        (None, Data::Null | Data::Broken) => Value::Null,
        (None, Data::Boolean(value)) => Value::from(*value),
        (None, Data::Text(text)) => Value::from(text.as_str()),
        (None, Data::List(items)) => items.iter().map(plain).collect(),
        (None, Data::Map(entries)) => entries.iter().map(|(name, node)| (name.clone(), plain(node))).collect(),
    }
}

/// Whether JSON can hold a number as it is written.
pub(crate) fn has_its_digits(number: &Node) -> bool {
    number.written.is_none() || digits(number).is_some()
}

/// The digits of a number that is written as JSON writes one, but not as its value would be.
fn digits(node: &Node) -> Option<serde_json::Number> {
    serde_json::from_str(node.written.as_deref()?).ok()
}

fn default_of(text: &str, key: &Key) -> Value {
    plain(&Node { written: None, data: super::scalars::as_kind(text, &key.kind), ..Node::built_in(text) })
}
