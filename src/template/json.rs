//! JSON as templates see it: read into values without recursion, looked up by name without regard to case, written
//! again as JSON.
//!
//! Read here rather than by serde, because a template must not fail on a number that fits no machine type, nor on
//! a deep document; and it saves building the tree twice.

use std::cmp::Ordering;
use std::fmt;
use std::sync::{Arc, OnceLock};

use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr, ValueKind};
use minijinja::{Error, ErrorKind, Value};

/// The deepest nesting that a template can look into. Bounds the stack for dropping and writing values.
const MAX_DEPTH: usize = 512;

/// An object of up to so many fields is searched from one end to the other.
const SMALL: usize = 8;

/// A JSON object. Keeps the order of its fields; of two with the same name, the last value counts.
pub(super) struct Fields {
    entries: Vec<(Value, Value)>,
    /// Positions sorted by name; empty for a small object.
    by_name: Vec<usize>,
    /// Lower-case names with positions, sorted; built at the first name that is not there exactly.
    by_folded_name: OnceLock<Vec<(String, usize)>>,
}

impl Fields {
    fn new(mut entries: Vec<(Value, Value)>) -> Self {
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
        let exact = if self.by_name.is_empty() {
            self.entries.iter().find(|entry| name_of(entry) == name)
        } else {
            let name_at = |at: &usize| self.entries.get(*at).map(name_of);
            let found = self.by_name.binary_search_by(|at| name_at(at).cmp(&Some(name))).ok();
            found.and_then(|at| self.by_name.get(at)).and_then(|at| self.entries.get(*at))
        };
        exact.or_else(|| self.find_folded(name)).map(|(_, value)| value)
    }

    fn find_folded(&self, name: &str) -> Option<&(Value, Value)> {
        if self.by_name.is_empty() {
            return self.entries.iter().find(|entry| same_but_for_case(name_of(entry), name));
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

fn same_but_for_case(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || (!(a.is_ascii() && b.is_ascii()) && a.to_lowercase() == b.to_lowercase())
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

/// A number that no machine type holds: 1e400, or forty digits. Printed as it came, compared by its nearest float.
#[derive(Debug)]
pub(super) struct LongNumber {
    text: Box<str>,
    nearest: f64,
}

impl LongNumber {
    pub(super) fn nearest(&self) -> f64 {
        self.nearest
    }
}

impl Object for LongNumber {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        let other = other.downcast_ref::<Self>()?;
        Some(self.nearest.total_cmp(&other.nearest).then_with(|| self.text.cmp(&other.text)))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads one JSON value.
pub(super) fn parse(text: &[u8]) -> Result<Value, Error> {
    let text = std::str::from_utf8(text).map_err(|_| fault("no UTF-8"))?;
    Reader { text, at: 0 }.document()
}

/// The value of a tree that was read elsewhere.
pub(super) fn from_tree(tree: &serde_json::Value) -> Value {
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
pub(super) fn from_map(fields: &serde_json::Map<String, serde_json::Value>) -> Value {
    let entries = fields.iter().map(|(name, value)| (Value::from(name.as_str()), from_tree(value))).collect();
    Value::from_object(Fields::new(entries))
}

fn fault(what: &'static str) -> Error {
    Error::new(ErrorKind::BadSerialization, format!("the JSON cannot be read: {what}"))
}

fn number(text: &str) -> Value {
    if !text.contains(['.', 'e', 'E']) {
        if let Ok(value) = text.parse::<i64>() {
            return Value::from(value);
        }
        if let Ok(value) = text.parse::<i128>() {
            return Value::from(value);
        }
    } else if let Ok(value) = text.parse::<f64>()
        && value.is_finite()
    {
        return Value::from(value);
    }
    Value::from_object(LongNumber { text: text.into(), nearest: text.parse().unwrap_or(f64::NAN) })
}

/// A list or object that is not complete yet.
enum Open {
    List(Vec<Value>),
    Map(Vec<(Value, Value)>, Value),
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn document(mut self) -> Result<Value, Error> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            // A value begins here.
            let mut value = match self.next_mark() {
                Some(b'[') => {
                    self.at += 1;
                    if self.next_mark() == Some(b']') {
                        self.at += 1;
                        Value::from(Vec::<Value>::new())
                    } else {
                        open.push(Open::List(Vec::new()));
                        if open.len() > MAX_DEPTH {
                            return Err(fault("it is nested too deeply for templates"));
                        }
                        continue;
                    }
                }
                Some(b'{') => {
                    self.at += 1;
                    if self.next_mark() == Some(b'}') {
                        self.at += 1;
                        Value::from_object(Fields::new(Vec::new()))
                    } else {
                        let name = self.name()?;
                        open.push(Open::Map(Vec::new(), name));
                        if open.len() > MAX_DEPTH {
                            return Err(fault("it is nested too deeply for templates"));
                        }
                        continue;
                    }
                }
                Some(_) => self.scalar()?,
                None => return Err(fault("it ends early")),
            };
            // A value has ended: it goes into what is open, which may end with it.
            loop {
                let Some(mut inner) = open.pop() else {
                    return if self.next_mark().is_none() { Ok(value) } else { Err(fault("there is more behind it")) };
                };
                let mark = self.next_mark();
                self.at += 1;
                match (&mut inner, mark) {
                    (Open::List(items), Some(b',')) => items.push(value),
                    (Open::List(items), Some(b']')) => {
                        items.push(value);
                        value = Value::from(std::mem::take(items));
                        continue;
                    }
                    (Open::Map(entries, name), Some(b',')) => {
                        entries.push((std::mem::take(name), value));
                        *name = self.name()?;
                    }
                    (Open::Map(entries, name), Some(b'}')) => {
                        entries.push((std::mem::take(name), value));
                        value = Value::from_object(Fields::new(std::mem::take(entries)));
                        continue;
                    }
                    _ => return Err(fault("it is no JSON")),
                }
                open.push(inner);
                break;
            }
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no white space.
    fn next_mark(&mut self) -> Option<u8> {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.peek()
    }

    fn name(&mut self) -> Result<Value, Error> {
        if self.next_mark() != Some(b'"') {
            return Err(fault("it is no JSON"));
        }
        let name = self.string()?;
        if self.next_mark() != Some(b':') {
            return Err(fault("it is no JSON"));
        }
        self.at += 1;
        Ok(name)
    }

    fn scalar(&mut self) -> Result<Value, Error> {
        if self.peek() == Some(b'"') {
            return self.string();
        }
        for (word, value) in [("true", Value::from(true)), ("false", Value::from(false)), ("null", Value::from(()))] {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        self.digits()?;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(number(self.text.get(start..self.at).unwrap_or_default()))
    }

    fn digits(&mut self) -> Result<(), Error> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(fault("it is no JSON")) } else { Ok(()) }
    }

    /// A string, from its opening quote to behind its closing one.
    fn string(&mut self) -> Result<Value, Error> {
        self.at += 1;
        let mut unescaped: Option<String> = None;
        loop {
            let run = self.rest();
            let length = run.find(['"', '\\']).ok_or_else(|| fault("it ends early"))?;
            let plain = run.get(..length).unwrap_or_default();
            self.at += length + 1;
            if run.as_bytes().get(length) == Some(&b'"') {
                return Ok(match unescaped {
                    None => Value::from(plain),
                    Some(text) => Value::from(text + plain),
                });
            }
            let text = unescaped.get_or_insert_default();
            text.push_str(plain);
            let escaped = self.escape()?;
            text.push(escaped);
        }
    }

    /// What stands behind a backslash. Half a surrogate pair becomes a replacement character.
    fn escape(&mut self) -> Result<char, Error> {
        let mark = self.peek();
        self.at += 1;
        Ok(match mark {
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(mark @ (b'"' | b'\\' | b'/')) => char::from(mark),
            Some(b'u') => {
                let high = self.hex()?;
                if (0xd800..0xdc00).contains(&high) && self.rest().starts_with("\\u") {
                    let before = self.at;
                    self.at += 2;
                    let low = self.hex()?;
                    if (0xdc00..0xe000).contains(&low) {
                        let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                        return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    self.at = before;
                }
                char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return Err(fault("it is no JSON")),
        })
    }

    fn hex(&mut self) -> Result<u32, Error> {
        let digits = self.rest().get(..4).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        self.at += 4;
        code.ok_or_else(|| fault("it is no JSON"))
    }
}

/// Writes a value as JSON.
pub(super) fn write(out: &mut dyn fmt::Write, value: &Value) -> Result<(), Error> {
    write_nested(out, value, 0)
}

fn write_nested(out: &mut dyn fmt::Write, value: &Value, depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH + 8 {
        return Err(Error::new(ErrorKind::BadSerialization, "nested too deeply"));
    }
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => out.write_str("null")?,
        ValueKind::Bool => out.write_str(if value.is_true() { "true" } else { "false" })?,
        ValueKind::Number => write_number(out, value)?,
        ValueKind::String => write_text(out, value.as_str().unwrap_or_default())?,
        ValueKind::Seq | ValueKind::Iterable => {
            out.write_char('[')?;
            for (at, item) in value.try_iter()?.enumerate() {
                if at > 0 {
                    out.write_char(',')?;
                }
                write_nested(out, &item, depth + 1)?;
            }
            out.write_char(']')?;
        }
        ValueKind::Map => {
            out.write_char('{')?;
            for (at, name) in value.try_iter()?.enumerate() {
                if at > 0 {
                    out.write_char(',')?;
                }
                match name.as_str() {
                    Some(text) => write_text(out, text)?,
                    None => write_text(out, &name.to_string())?,
                }
                out.write_char(':')?;
                write_nested(out, &value.get_item(&name)?, depth + 1)?;
            }
            out.write_char('}')?;
        }
        _ => match value.downcast_object_ref::<LongNumber>() {
            Some(number) => out.write_str(&number.text)?,
            None => return Err(Error::new(ErrorKind::BadSerialization, format!("{} is no JSON", value.kind()))),
        },
    }
    Ok(())
}

/// Writes a number; what is none (a division by zero) as `null`.
pub(super) fn write_number(out: &mut dyn fmt::Write, value: &Value) -> fmt::Result {
    let finite = value.is_integer() || f64::try_from(value.clone()).is_ok_and(f64::is_finite);
    if finite { write!(out, "{value}") } else { out.write_str("null") }
}

fn write_text(out: &mut dyn fmt::Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    write_escaped(out, text)?;
    out.write_char('"')
}

/// Writes text as it stands inside a JSON string.
pub(super) fn write_escaped(out: &mut dyn fmt::Write, text: &str) -> fmt::Result {
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.write_str(text.get(from..at).unwrap_or_default())?;
        from = at + 1;
        match byte {
            b'"' => out.write_str("\\\"")?,
            b'\\' => out.write_str("\\\\")?,
            b'\n' => out.write_str("\\n")?,
            b'\r' => out.write_str("\\r")?,
            b'\t' => out.write_str("\\t")?,
            _ => write!(out, "\\u{byte:04x}")?,
        }
    }
    out.write_str(text.get(from..).unwrap_or_default())
}
