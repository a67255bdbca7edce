//! A JSON object of a request, read member by member, so that all that is wrong with it is told at once.
//!
//! Values stay the bytes they came as; only the members asked for are looked into.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::domain::Timestamp;

use super::problem::{Fault, Kind, Problem};

/// Faults told of one request at most.
pub(super) const MAX_FAULTS: usize = 100;

/// The members of an object, as they stand.
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

/// A body as text.
pub(super) fn text(body: &[u8]) -> Result<&str, Problem> {
    if body.is_empty() {
        return Err(Problem::new(Kind::InvalidJson, "the body is empty"));
    }
    std::str::from_utf8(body).map_err(|error| {
        Problem::new(Kind::InvalidJson, format!("the body is not UTF-8 from byte {}", error.valid_up_to()))
    })
}

/// A JSON text as `T`; what is wrong with it as a problem.
pub(super) fn json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Problem> {
    serde_json::from_str(text)
        .map_err(|error| Problem::new(Kind::InvalidJson, format!("the body cannot be read: {error}")))
}

/// What kind of JSON a text is, for errors.
pub(super) fn kind(json: &str) -> &'static str {
    match json.trim_start().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// An object being read; what is wrong is collected in `faults`.
pub(super) struct Reader<'a, 'f> {
    members: Members<'a>,
    /// What stands in front of a member's name in an error: empty, or `[2].`.
    prefix: String,
    faults: &'f mut Vec<Fault>,
}

impl<'a, 'f> Reader<'a, 'f> {
    /// Reads `members`; one that is there twice is a fault.
    pub(super) fn new(members: Members<'a>, prefix: String, faults: &'f mut Vec<Fault>) -> Self {
        let mut reader = Self { members, prefix, faults };
        let mut names: Vec<&str> = reader.members.0.iter().map(|(name, _)| name.as_ref()).collect();
        names.sort_unstable();
        let twice = names.chunk_by(|a, b| a == b).filter(|same| same.len() > 1).filter_map(|same| same.first());
        for name in twice.map(|name| shown(name)).collect::<Vec<_>>() {
            reader.fault(&name, "is there twice");
        }
        reader
    }

    /// Notes that something is wrong with a member.
    pub(super) fn fault(&mut self, name: &str, message: impl Into<String>) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault::new(format!("{}{name}", self.prefix), message));
        }
    }

    /// Members other than `known` are faults.
    pub(super) fn only(&mut self, known: &[&str]) {
        let strange: Vec<String> = self
            .members
            .0
            .iter()
            .map(|(name, _)| name)
            .filter(|name| !known.contains(&name.as_ref()))
            .map(|name| shown(name))
            .collect();
        for name in strange {
            let message = unknown(&name, known);
            self.fault(&name, message);
        }
    }

    /// A member as it stands; one that is `null` counts as absent.
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.whole(name).filter(|value| value.get() != "null")
    }

    /// A member as it stands.
    pub(super) fn whole(&self, name: &str) -> Option<&'a RawValue> {
        self.members.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// A text.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let value = self.raw(name)?;
        if let Ok(text) = serde_json::from_str(value.get()) {
            return Some(text);
        }
        self.fault(name, format!("must be a string, is {}", kind(value.get())));
        None
    }

    /// A text that must be there.
    pub(super) fn required(&mut self, name: &str) -> Option<String> {
        if self.raw(name).is_none() {
            self.fault(name, "is missing");
        }
        self.text(name)
    }

    /// An RFC 3339 time.
    pub(super) fn time(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.text(name)?;
        Timestamp::from_str(&text).map_err(|error| self.fault(name, error.to_string())).ok()
    }

    /// The members other than `known`, as JSON; one that is `null` counts as absent.
    pub(super) fn others(&self, known: &[&str]) -> Map<String, Value> {
        let others = self.members.0.iter().filter(|(name, _)| !known.contains(&name.as_ref()));
        others
            .filter_map(|(name, value)| Some((name.to_string(), serde_json::from_str(value.get()).ok()?)))
            .filter(|(_, value): &(_, Value)| !value.is_null())
            .collect()
    }

    /// `true` or `false`; absent is `false`.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        self.optional_flag(name).unwrap_or(false)
    }

    /// `true`, `false`, or nothing.
    pub(super) fn optional_flag(&mut self, name: &str) -> Option<bool> {
        match self.raw(name).map(RawValue::get) {
            None => None,
            Some("false") => Some(false),
            Some("true") => Some(true),
            Some(other) => {
                let found = kind(other);
                self.fault(name, format!("must be true or false, is {found}"));
                None
            }
        }
    }

    /// A text, or several in an array. No text at all is a fault: it would be taken for no condition.
    pub(super) fn texts(&mut self, name: &str) -> Vec<String> {
        let Some(value) = self.whole(name) else { return Vec::new() };
        let several = serde_json::from_str(value.get());
        let texts: Vec<String> =
            several.or_else(|_| serde_json::from_str(value.get()).map(|one| vec![one])).unwrap_or_default();
        if texts.is_empty() {
            self.fault(name, "must be a string or an array of one or more");
        }
        texts
    }
}

impl Reader<'_, '_> {
    /// Texts or numbers, one or several in an array, as written.
    pub(super) fn words(&mut self, name: &str) -> Vec<String> {
        let Some(value) = self.whole(name) else { return Vec::new() };
        let several: Result<Vec<Value>, _> = serde_json::from_str(value.get());
        let several = several.or_else(|_| serde_json::from_str(value.get()).map(|one| vec![one]));
        let word = |value: Value| match value {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(whole_number(&number.to_string())),
            _ => None,
        };
        let words = several.ok().and_then(|several| several.into_iter().map(word).collect::<Option<Vec<_>>>());
        match words {
            Some(words) if !words.is_empty() => words,
            _ => {
                self.fault(name, "must be a number, a string, or an array of one or more");
                Vec::new()
            }
        }
    }
}

/// A whole number without its fraction: in JSON, 503 and 503.0 are the same.
fn whole_number(text: &str) -> String {
    let bare = text.split_once('.').filter(|(_, fraction)| fraction.bytes().all(|digit| digit == b'0'));
    bare.map_or(text, |(whole, _)| whole).to_owned()
}

/// That a name is unknown, what is known, and the nearest of it.
pub(super) fn unknown(name: &str, known: &[&str]) -> String {
    let guess = guess(name, known);
    if known.is_empty() {
        return "is unknown; none is allowed here".to_owned();
    }
    format!("is unknown; known are {}{guess}", known.join(", "))
}

/// `; did you mean …?` with the most similar of the known names, where one is similar.
pub(super) fn guess(name: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), *candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    nearest.map(|(_, name)| format!("; did you mean `{name}`?")).unwrap_or_default()
}

/// An outside name in an error: short and printable.
pub(super) fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_of_an_object_are_told_at_once() {
        let mut faults = Vec::new();
        let members =
            json(r#"{"type": 5, "dta": 1, "deliver_at": "soon", "id": null, "x": 1, "x": 2, "x": 3}"#).expect("JSON");
        let mut reader = Reader::new(members, "[2].".to_owned(), &mut faults);
        reader.only(&["type", "data", "id", "deliver_at", "x"]);
        assert_eq!(reader.required("type"), None);
        assert_eq!(reader.text("id"), None);
        assert_eq!(reader.required("source"), None);
        assert_eq!(reader.time("deliver_at"), None);
        let told: Vec<String> = faults.iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect();
        assert_eq!(
            told,
            [
                "[2].x: is there twice",
                "[2].dta: is unknown; known are type, data, id, deliver_at, x; did you mean `data`?",
                "[2].type: must be a string, is a number",
                "[2].source: is missing",
                "[2].deliver_at: not an RFC 3339 time such as 2026-01-31T12:00:00Z",
            ]
        );
    }
}
