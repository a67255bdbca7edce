//! The layers of a configuration, merged by the crate `config`: built-in defaults, then each file, then the
//! environment. Blocks merge key by key, lists are replaced, and every value keeps the name of where it comes from.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::{Map, Value, ValueKind};

use super::faults::{Path, Report, shortened};
use super::node::{BUILT_IN, Node, is_extension};
use super::read::unknown;
use super::schema::{Kind, ROOT};
use super::{environment, overlay, slips, values, yaml};

const DEFAULTS: &str = include_str!("../../config/default.yaml");

/// A text of YAML and what messages call it.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) name: String,
    pub(crate) yaml: String,
}

/// Merges the defaults, `layers` and the keys in `environment`, and fills in `${NAME}`. The texts of one layer are read
/// as one file.
pub(crate) fn merge(layers: &[Vec<Text>], environment: &BTreeMap<String, String>, report: &Report) -> Node {
    let defaults = Text { name: BUILT_IN.to_owned(), yaml: DEFAULTS.to_owned() };
    let mut merged = checked(parse(&defaults, report), report);
    let path = Path::default();
    let whole = overlay::At { path: &path, report };
    for texts in layers {
        let mut layer = Map::new();
        for text in texts {
            overlay::join(&mut layer, checked(parse(text, report), report), &ROOT, &Path::default(), report);
        }
        overlay::overlay(&mut merged, layer, &ROOT, whole);
    }
    slips::report(environment, report);
    for layer in environment::layers(environment, report) {
        overlay::overlay(&mut merged, layer, &ROOT, whole);
    }
    let from: Arc<str> = Arc::from(BUILT_IN);
    let root = Value::new(None, ValueKind::Table(merged));
    Node::from_value(root, &from, &Path::default(), environment, report)
}

/// The keys of a YAML text; none where it is wrong, which is reported.
pub(crate) fn parse(text: &Text, report: &Report) -> Map<String, Value> {
    let says_something = |line: &str| !(line.trim().is_empty() || line.trim_start().starts_with('#') || line == "---");
    if !text.yaml.lines().any(says_something) {
        return Map::new();
    }
    let parsed = yaml::check(&text.yaml).and_then(|()| values::read(&text.name, &text.yaml));
    let keys = parsed.unwrap_or_else(|error| {
        let advice = slips::unquoted_reference(&text.yaml);
        report.fault(&text.name, &Path::default(), format!("not a block of YAML: {error}{advice}"));
        Map::new()
    });
    let mut root = Value::new(Some(&text.name), ValueKind::Table(keys));
    overlay::unfold_merges(&mut root, &Path::default(), report);
    match root.kind {
        ValueKind::Table(keys) => keys,
        _ => Map::new(),
    }
}

/// The sections of a file that can be merged. The crate reads a key at the top as a path, so that `server.listen` or
/// `channels[9]` would reach into a section, and forgets where a block over a list came from: both are told here.
/// An empty section changes nothing.
fn checked(keys: Map<String, Value>, report: &Report) -> Map<String, Value> {
    let mut known = Map::new();
    for (name, value) in keys.into_iter().filter(|(name, _)| !is_extension(name)) {
        let origin = value.origin().unwrap_or(BUILT_IN).to_owned();
        let path = Path::default().key(&name);
        match (ROOT.keys.iter().find(|key| key.name == name).map(|key| &key.kind), &value.kind) {
            (Some(_), ValueKind::Nil) => {}
            (Some(Kind::List(_)), ValueKind::Array(_))
            | (Some(Kind::Block(_) | Kind::WordOr(..)), ValueKind::Table(_))
            | (Some(Kind::Text(_)), ValueKind::String(_)) => {
                known.insert(name, value);
            }
            // Where a list is expected, one block is a list of one.
            (Some(Kind::List(_)), ValueKind::Table(_)) => {
                known.insert(name, Value::new(Some(&origin), ValueKind::Array(vec![value])));
            }
            (Some(kind), found) => {
                let found = match found {
                    ValueKind::Array(_) => "a list".to_owned(),
                    ValueKind::Table(_) => "a block".to_owned(),
                    _ if kind.holds_secrets() => "***".to_owned(),
                    ValueKind::String(text) if text.contains("${") => "***".to_owned(),
                    ValueKind::String(text) if values::number(text).is_some() => {
                        shortened(values::number(text).unwrap_or_default())
                    }
                    scalar => shortened(&scalar.to_string()),
                };
                report.fault(&origin, &path, format!("found {found}, allowed: {}", kind.allowed()));
            }
            (None, _) => report.fault(&origin, &path, unknown(&ROOT, &name)),
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::super::node::Data;
    use super::*;

    #[test]
    fn the_default_file_says_what_the_tables_say() {
        let report = Report::default();
        let root = merge(&[], &BTreeMap::new(), &report);
        let root = report.finish(Some(root)).unwrap();
        for section in ROOT.keys {
            let bare = match section.kind {
                Kind::Text(_) => true,
                Kind::Block(block) => block.keys.iter().all(|key| key.default.is_none()),
                _ => false,
            };
            if bare {
                let is_null = |(_, node): &(_, Node)| matches!(node.data, Data::Null);
                let is_empty = |node: &Node| matches!(&node.data, Data::Map(keys) if keys.iter().all(is_null));
                assert!(root.get(section.name).is_none_or(is_empty), "{}: no key has a default", section.name);
                continue;
            }
            let node = root.get(section.name).unwrap_or_else(|| panic!("{}", section.name));
            let Kind::Block(block) = section.kind else {
                assert_eq!(node.data, Data::List(Vec::new()), "{}", section.name);
                continue;
            };
            assert_eq!(node.entries().len(), block.keys.len(), "{}", section.name);
            for key in block.keys {
                let said = &node.get(key.name).unwrap_or_else(|| panic!("{}", key.name));
                if let (Some(default), Kind::List(_)) = (key.default, key.kind) {
                    let plain = super::super::shown::plain;
                    assert_eq!(plain(said), plain(&Node::built_in(default)), "{}.{}", section.name, key.name);
                    continue;
                }
                let said = &said.data;
                let expected = match (key.default, key.kind) {
                    (Some(default), kind) => super::super::scalars::as_kind(default, &kind),
                    (None, Kind::List(_)) => Data::List(Vec::new()),
                    (None, _) => Data::Null,
                };
                assert_eq!(*said, expected, "{}.{}", section.name, key.name);
            }
        }
    }
}
