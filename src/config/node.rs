//! A value of a configuration with where it comes from, after all layers are merged and `${NAME}` is filled in.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::{Value, ValueKind};
use yaml_rust2::Yaml;

use super::expand::expand;
use super::faults::{Path, Report, shortened};
use super::secrets::shown_url;
use super::values;

/// The file named for what no file says.
pub(crate) const BUILT_IN: &str = "built-in defaults";

/// A value and its origin.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// The file, environment variable or preset that says it.
    pub(crate) from: Arc<str>,
    /// For text that came from the environment in part: the text as written, `${NAME}` in place. Such text may stand
    /// for a number or a truth value, and what was filled in is not shown. For a number: its text, where its value does
    /// not give that back.
    pub(crate) written: Option<Arc<str>>,
    /// The value.
    pub(crate) data: Data,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Data {
    /// `null`, or nothing at all.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Number(f64),
    Text(String),
    List(Vec<Node>),
    /// Keys and values, in the order written.
    Map(Vec<(String, Node)>),
    /// A value that could not be had, which has been reported.
    Broken,
}

impl Node {
    /// A value as text that stands for whatever its key asks for, or `[a, b]` for a list: a default of the schema.
    pub(crate) fn built_in(text: &str) -> Self {
        let from = BUILT_IN.into();
        match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            Some(list) => {
                Self { from, written: None, data: Data::List(list.split(", ").map(Self::built_in).collect()) }
            }
            None => Self { from, written: Some(text.into()), data: Data::Text(text.to_owned()) },
        }
    }

    /// From a merged layer, filling in `${NAME}` from `environment`.
    pub(crate) fn from_value(
        value: Value,
        parent: &Arc<str>,
        path: &Path,
        environment: &BTreeMap<String, String>,
        report: &Report,
    ) -> Self {
        let from = match value.origin() {
            Some(origin) if origin != &**parent => Arc::from(origin),
            _ => Arc::clone(parent),
        };
        let mut written = None;
        let data = match value.kind {
            ValueKind::Nil => Data::Null,
            ValueKind::Boolean(value) => Data::Boolean(value),
            ValueKind::I64(value) => Data::Integer(value),
            ValueKind::I128(value) => i64::try_from(value).map_or(Data::Number(value as f64), Data::Integer),
            ValueKind::U64(value) => i64::try_from(value).map_or(Data::Number(value as f64), Data::Integer),
            ValueKind::U128(value) => i64::try_from(value).map_or(Data::Number(value as f64), Data::Integer),
            ValueKind::Float(value) => Data::Number(value),
            ValueKind::String(text) if values::number(&text).is_some() => {
                let text = values::number(&text).unwrap_or_default();
                written = Some(text.into());
                match Yaml::from_str(text) {
                    Yaml::Integer(value) => Data::Integer(value),
                    yaml => Data::Number(yaml.as_f64().unwrap_or(f64::NAN)),
                }
            }
            ValueKind::String(text) => match expand(&text, environment) {
                Ok(None) => Data::Text(text),
                Ok(Some(filled)) => {
                    written = Some(text.into());
                    Data::Text(filled)
                }
                Err(names) => {
                    for name in names {
                        report.fault(&from, path, format!("the environment variable {name} is not set; set it, or write ${{{name}:-…}} with a default"));
                    }
                    Data::Broken
                }
            },
            ValueKind::Array(values) => Data::List(
                values
                    .into_iter()
                    .enumerate()
                    .map(|(at, value)| Self::from_value(value, &from, &path.index(at), environment, report))
                    .collect(),
            ),
            ValueKind::Table(table) => Data::Map(
                table
                    .into_iter()
                    .map(|(key, value)| {
                        let node = Self::from_value(value, &from, &path.key(&key), environment, report);
                        (key, node)
                    })
                    .collect(),
            ),
        };
        Self { from, written, data }
    }

    /// The keys and values of a block.
    pub(crate) fn entries(&self) -> &[(String, Self)] {
        match &self.data {
            Data::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find_map(|(name, node)| (name == key).then_some(node))
    }

    /// Whether the environment fills it in, by `${NAME}`.
    pub(crate) fn is_filled_in(&self) -> bool {
        let number = matches!(self.data, Data::Integer(_) | Data::Number(_));
        self.written.is_some() && !number && &*self.from != BUILT_IN
    }

    /// How a message shows what was found.
    pub(crate) fn found(&self) -> String {
        match &self.data {
            Data::Null => "null".to_owned(),
            Data::Boolean(value) => value.to_string(),
            Data::Integer(_) | Data::Number(_) if self.written.is_some() => {
                shortened(self.written.as_deref().unwrap_or_default())
            }
            Data::Integer(value) => value.to_string(),
            Data::Number(value) => value.to_string(),
            Data::Text(text) => format!("{:?}", shortened(&shown_url(text))),
            Data::List(items) if items.is_empty() => "an empty list".to_owned(),
            Data::List(_) => "a list".to_owned(),
            Data::Map(entries) if entries.is_empty() => "an empty block".to_owned(),
            Data::Map(_) => "a block".to_owned(),
            Data::Broken => "nothing".to_owned(),
        }
    }
}

/// The value, unless it is `null`.
pub(crate) fn present(node: Option<&Node>) -> Option<&Node> {
    node.filter(|node| node.data != Data::Null)
}

/// Whether a key is the file's own, for anchors and notes: `x-common`.
pub(crate) fn is_extension(name: &str) -> bool {
    name.starts_with("x-")
}
