//! Names with values: of a query, of a posted form, and of the filters between pages and the API.

use axum::body::Body;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use super::super::body;
use super::super::problem::{Kind, Problem};
use super::super::query::decode;
use super::super::state::Api;

/// A form may be this long in bytes, unless it has an order in it.
pub(super) const LONGEST: usize = 64 * 1024;

/// Fields that are read at most.
const MOST: usize = 100;

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Fields in their order. A field that was left empty is absent.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Those of a query. What cannot be decoded is left out.
    pub(super) fn of(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).take(MOST);
        let decoded = pairs.filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        });
        Self(decoded.filter(|(_, value)| !value.trim().is_empty()).collect())
    }

    /// Those of a posted form.
    pub(super) async fn posted(api: &Api, body: Body, longest: usize) -> Result<Self, Problem> {
        let body = body::read(body, longest, api.view().body_timeout).await?;
        let text =
            std::str::from_utf8(&body).map_err(|_| Problem::new(Kind::InvalidFields, "the form is not UTF-8"))?;
        Ok(Self::of(text))
    }

    /// The first value of that name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Takes a field out.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), value.into()));
    }

    pub(super) fn has(&self, name: &str, value: &str) -> bool {
        self.0.iter().any(|(known, has)| known == name && has == value)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The path with these as its query.
    pub(super) fn at(&self, path: &str) -> String {
        let pairs: Vec<_> = self.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
    }

    /// The same as the body of a bulk change.
    pub(super) fn as_json(&self) -> Value {
        let mut members = Map::new();
        for (name, value) in self.iter() {
            match (name, value) {
                ("late", "true" | "false") => {
                    members.insert(name.to_owned(), (value == "true").into());
                }
                ("status" | "code", _) => {
                    let list = members.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                    if let Value::Array(list) = list {
                        list.extend(value.split(',').map(Value::from));
                    }
                }
                _ => {
                    members.insert(name.to_owned(), value.into());
                }
            }
        }
        Value::Object(members)
    }

    /// The fields of a filter that the API gives.
    pub(super) fn of_json(filter: &Map<String, Value>) -> Self {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Self(filter.iter().map(|(name, value)| (name.clone(), text(value))).collect())
    }
}

/// A text as a part of a path or query.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_left_empty_are_absent_and_the_rest_survives_the_way_round() {
        let fields = Fields::of("status=failed&status=rejected&channel=&q=a%26b+%3C&late=true&x=%ff");
        assert_eq!(fields.at("/d"), "/d?status=failed&status=rejected&q=a%26b%20%3C&late=true");
        assert_eq!(fields.as_json(), json!({"status": ["failed", "rejected"], "q": "a&b <", "late": true}));
    }
}
