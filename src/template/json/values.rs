//! Objects and numbers of JSON as values of templates.

use std::cmp::Ordering;
use std::fmt;
use std::sync::{Arc, OnceLock};

use minijinja::Value;
use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr};

use crate::template::path;

/// An object of up to so many fields is searched from one end to the other.
const SMALL: usize = 8;

/// A JSON object. Keeps the order of its fields; of two with the same name, the last value counts.
pub(in crate::template) struct Fields {
    entries: Vec<(Value, Value)>,
    /// Positions sorted by name; empty for a small object.
    by_name: Vec<usize>,
    /// Lower-case names with positions, sorted; built at the first name that is not there exactly.
    by_folded_name: OnceLock<Vec<(String, usize)>>,
}

impl Fields {
    pub(in crate::template) fn new(mut entries: Vec<(Value, Value)>) -> Self {
        let mut by_name: Vec<usize> = (0..entries.len()).collect();
        let name = |entries: &[(Value, Value)], at: usize| entries.get(at).map(|(name, _)| name.clone());
        by_name.sort_by(|a, b| entries.get(*a).map(name_of).cmp(&entries.get(*b).map(name_of)));
        // The sort is stable: of equal names the first in the document comes first, and takes the last one's value.
        let mut gone = Vec::new();
        let mut first = None;
        for &at in &by_name {
            match first {
                Some(kept) if name(&entries, kept) == name(&entries, at) => {
                    if let Some(value) = entries.get(at).map(|(_, value)| value.clone())
                        && let Some(entry) = entries.get_mut(kept)
                    {
                        entry.1 = value;
                    }
                    gone.push(at);
                }
                _ => first = Some(at),
            }
        }
        if !gone.is_empty() {
            gone.sort_unstable();
            let mut at = 0;
            entries.retain(|_| {
                at += 1;
                gone.binary_search(&(at - 1)).is_err()
            });
            return Self::new(entries);
        }
        if entries.len() <= SMALL {
            by_name = Vec::new();
        }
        Self { entries, by_name, by_folded_name: OnceLock::new() }
    }

    fn find(&self, name: &str) -> Option<&Value> {
        self.find_entry(name).map(|(_, value)| value)
    }

    fn find_entry(&self, name: &str) -> Option<&(Value, Value)> {
        let exact = if self.by_name.is_empty() {
            self.entries.iter().find(|entry| name_of(entry) == name)
        } else {
            let name_at = |at: &usize| self.entries.get(*at).map(name_of);
            let found = self.by_name.binary_search_by(|at| name_at(at).cmp(&Some(name))).ok();
            found.and_then(|at| self.by_name.get(at)).and_then(|at| self.entries.get(*at))
        };
        exact.or_else(|| self.find_folded(name))
    }

    fn find_folded(&self, name: &str) -> Option<&(Value, Value)> {
        if self.by_name.is_empty() {
            return self.entries.iter().find(|entry| path::same_but_for_case(name_of(entry), name));
        }
        let index = self.by_folded_name.get_or_init(|| {
            let mut index: Vec<_> =
                self.entries.iter().enumerate().map(|(at, entry)| (name_of(entry).to_lowercase(), at)).collect();
            index.sort_unstable();
            index
        });
        let folded = name.to_lowercase();
        let at = index.partition_point(|(name, _)| *name < folded);
        index.get(at).filter(|(name, _)| *name == folded).and_then(|(_, at)| self.entries.get(*at))
    }
}

fn name_of(entry: &(Value, Value)) -> &str {
    entry.0.as_str().unwrap_or_default()
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.entries.iter().map(|(name, value)| (name, value))).finish()
    }
}

impl Object for Fields {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.find(key.as_str()?).cloned()
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.find(key).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.entries.iter().map(|(name, _)| name.clone()).collect())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.entries.len())
    }
}

/// A number whose digits no machine type gives back: 1.10, 1e400, or forty digits. Written as it came.
#[derive(Debug, Clone)]
pub(in crate::template) struct LongNumber {
    pub(in crate::template) text: Box<str>,
    nearest: f64,
}

impl LongNumber {
    /// How many characters it has.
    pub(in crate::template) fn digits(&self) -> usize {
        self.text.len()
    }

    /// The nearest float.
    pub(in crate::template) fn nearest(&self) -> f64 {
        self.nearest
    }

    /// The same as a value.
    pub(in crate::template) fn value(&self) -> Value {
        Value::from_object(self.clone())
    }

    /// Whether it has a minus before it.
    pub(in crate::template) fn is_negative(&self) -> bool {
        self.text.starts_with('-')
    }

    /// The number with the other sign.
    pub(in crate::template) fn negative(&self) -> Value {
        match self.text.strip_prefix('-') {
            Some(text) => number(text),
            None => number(&format!("-{}", self.text)),
        }
    }
}

impl Object for LongNumber {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    /// Like any number: false if it is zero.
    fn is_true(self: &Arc<Self>) -> bool {
        let mantissa = self.text.split(['e', 'E']).next().unwrap_or_default();
        mantissa.bytes().any(|byte| (b'1'..=b'9').contains(&byte))
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        let other = other.downcast_ref::<Self>()?;
        Some(self.nearest.total_cmp(&other.nearest).then_with(|| self.text.cmp(&other.text)))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The result of a comparison that a missing field leaves open: false, and so is its negation.
#[derive(Debug)]
pub(in crate::template) struct Unknown;

impl Object for Unknown {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        false
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("false")
    }
}

/// A field of an object, with its name as the object has it: found exactly first, then without regard to case.
pub(in crate::template) fn field(object: &Value, name: &str) -> Option<(String, Value)> {
    let fields = object.downcast_object_ref::<Fields>()?;
    let entry = fields.find_entry(name)?;
    Some((name_of(entry).to_owned(), entry.1.clone()))
}

/// The value of a tree that was read elsewhere.
pub(in crate::template) fn from_tree(tree: &serde_json::Value) -> Value {
    match tree {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(value) => Value::from(*value),
        serde_json::Value::Number(value) => number(value.as_str()),
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(items) => items.iter().map(from_tree).collect(),
        serde_json::Value::Object(fields) => from_map(fields),
    }
}

/// The same for an object.
pub(in crate::template) fn from_map(fields: &serde_json::Map<String, serde_json::Value>) -> Value {
    let entries = fields.iter().map(|(name, value)| (Value::from(name.as_str()), from_tree(value))).collect();
    Value::from_object(Fields::new(entries))
}

/// A number as JSON writes it, with its digits: a machine type only where that gives them back.
pub(in crate::template) fn number(text: &str) -> Value {
    if !text.contains(['.', 'e', 'E']) {
        if text != "-0" {
            if let Ok(value) = text.parse::<i64>() {
                return Value::from(value);
            }
            if let Ok(value) = text.parse::<i128>() {
                return Value::from(value);
            }
        }
    } else if let Ok(value) = text.parse::<f64>()
        && value.is_finite()
    {
        let value = Value::from(value);
        if value.to_string() == text {
            return value;
        }
    }
    Value::from_object(LongNumber { text: text.into(), nearest: text.parse().unwrap_or(f64::NAN) })
}
