//! The layers of a configuration, merged by the crate `config`: built-in defaults, then each file, then the
//! environment. Blocks merge key by key, lists are replaced, and every value keeps the name of where it comes from.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::{Config, FileFormat, Format, Map, Source, Value, ValueKind};

use super::faults::{Path, Report, shortened};
use super::node::{BUILT_IN, Node};
use super::read::unknown;
use super::schema::{Block, Kind, ROOT};
use super::yaml;

/// What variables that set keys begin with.
pub(crate) const PREFIX: &str = "ORDERHOOK__";

const DEFAULTS: &str = include_str!("../../config/default.yaml");

/// A text of YAML and what messages call it.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) name: String,
    pub(crate) yaml: String,
}

/// Merges the defaults, `texts` and the keys in `environment`, and fills in `${NAME}`.
pub(crate) fn merge(texts: &[Text], environment: &BTreeMap<String, String>, report: &Report) -> Node {
    let defaults = Text { name: BUILT_IN.to_owned(), yaml: DEFAULTS.to_owned() };
    let mut builder = Config::builder();
    for text in std::iter::once(&defaults).chain(texts) {
        builder = builder.add_source(Layer(checked(parse(text, report), report)));
    }
    for layer in from_environment(environment, report) {
        builder = builder.add_source(layer);
    }
    let from: Arc<str> = Arc::from(BUILT_IN);
    match builder.build() {
        Ok(config) => Node::from_value(config.cache, &from, &Path::default(), environment, report),
        Err(error) => {
            report.fault(BUILT_IN, &Path::default(), error.to_string());
            Node::empty(BUILT_IN)
        }
    }
}

/// The keys of a YAML text; none where it is wrong, which is reported.
pub(crate) fn parse(text: &Text, report: &Report) -> Map<String, Value> {
    let says_something = |line: &str| !(line.trim().is_empty() || line.trim_start().starts_with('#') || line == "---");
    if !text.yaml.lines().any(says_something) {
        return Map::new();
    }
    let parsed = yaml::check(&text.yaml)
        .and_then(|()| FileFormat::Yaml.parse(Some(&text.name), &text.yaml).map_err(|error| error.to_string()));
    parsed.unwrap_or_else(|error| {
        report.fault(&text.name, &Path::default(), format!("not a block of YAML: {error}"));
        Map::new()
    })
}

/// One layer, whose keys the crate merges over the ones below.
#[derive(Debug, Clone)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

/// The sections of a file that can be merged. The crate reads a key at the top as a path, so that `server.listen` or
/// `channels[9]` would reach into a section, and forgets where a block over a list came from: both are told here.
/// A section that is named but empty says nothing.
fn checked(keys: Map<String, Value>, report: &Report) -> Map<String, Value> {
    let mut known = Map::new();
    for (name, value) in keys {
        let origin = value.origin().unwrap_or(BUILT_IN).to_owned();
        let path = Path::default().key(&name);
        match (ROOT.keys.iter().find(|key| key.name == name).map(|key| &key.kind), &value.kind) {
            (Some(_), ValueKind::Nil) => {}
            (Some(Kind::List(_)), ValueKind::Array(_))
            | (Some(Kind::Block(_)), ValueKind::Table(_))
            | (Some(Kind::Text(_)), ValueKind::String(_)) => {
                known.insert(name, value);
            }
            (Some(kind), found) => {
                let found = match found {
                    ValueKind::Array(_) => "a list".to_owned(),
                    ValueKind::Table(_) => "a block".to_owned(),
                    _ if kind.holds_secrets() => "***".to_owned(),
                    scalar => shortened(&scalar.to_string()),
                };
                report.fault(&origin, &path, format!("found {found}, allowed: {}", kind.allowed()));
            }
            (None, _) => report.fault(&origin, &path, unknown(&ROOT, &name)),
        }
    }
    known
}

/// A layer for each `ORDERHOOK__SECTION__KEY`.
fn from_environment(environment: &BTreeMap<String, String>, report: &Report) -> Vec<Layer> {
    let variables = environment.iter().filter_map(|(name, value)| Some((name, name.strip_prefix(PREFIX)?, value)));
    variables.filter_map(|(variable, path, value)| from_variable(variable, path, value, report)).collect()
}

fn from_variable(variable: &str, path: &str, text: &str, report: &Report) -> Option<Layer> {
    let origin = format!("environment {variable}");
    let names: Vec<String> = path.split("__").map(str::to_lowercase).collect();
    let mut block: &'static Block = &ROOT;
    let mut at = Path::default();
    let mut value = ValueKind::String(text.to_owned());
    for (depth, name) in names.iter().enumerate() {
        at = at.key(name);
        let last = depth + 1 == names.len();
        let Some(key) = block.keys.iter().find(|key| key.name == name) else {
            report.fault(&origin, &at, unknown(block, name));
            return None;
        };
        match (&key.kind, last) {
            (Kind::Block(inner), false) => block = inner,
            (Kind::Block(_), true) => {
                report.fault(&origin, &at, format!("is a section: write {variable}__ and the name of one of its keys"));
                return None;
            }
            (Kind::List(_), _) => {
                let message = "is a list, which the environment cannot set: write it in a file, with ${NAME} for what the environment knows";
                report.fault(&origin, &at, message);
                return None;
            }
            (_, false) => {
                report.fault(&origin, &at, "is no section: it has no keys of its own");
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
            return Some(Layer(map));
        }
        table = Value::new(Some(&origin), ValueKind::Table(map));
    }
    None
}

/// A variable's text as what its key asks for. `null` unsets a key that has no default.
fn as_kind(text: &str, kind: &Kind, default: Option<&str>) -> Option<ValueKind> {
    use super::node::Data;
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
                assert_eq!(root.get(section.name), None, "{}: what has no default is not there", section.name);
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
