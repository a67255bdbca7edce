//! JSON pointers (RFC 6901): a place in a document, found without reading the rest into memory.
//!
//! What is found is the document's own text, so that a number keeps the digits it came with. Of a repeated key the
//! last one counts, as in most readers. Every key is an ordinary key; one with half of a surrogate pair in it hides
//! no other.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json;

/// The JSON text at `pointer` in a JSON text, where there is something other than `null`.
pub fn find<'a>(json: &'a str, pointer: &str) -> Option<&'a str> {
    let mut found = json.trim();
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        found = match found.as_bytes().first()? {
            b'{' => member(found, &step)?,
            b'[' => elements(found)?.get(position(&step)?)?,
            _ => return None,
        };
    }
    (found != "null").then_some(found)
}

/// The position that a step of a pointer means in a list: `0`, or digits that do not begin with it.
fn position(step: &str) -> Option<usize> {
    let digits = step.bytes().all(|byte| byte.is_ascii_digit()) && (step == "0" || !step.starts_with('0'));
    step.parse().ok().filter(|_| digits)
}

/// The elements of a JSON list; `None` for what is no list.
pub fn elements(json: &str) -> Option<Vec<&str>> {
    let elements: Vec<&RawValue> = serde_json::from_str(json).ok()?;
    Some(elements.into_iter().map(RawValue::get).collect())
}

/// A JSON text or number as plain text, a number as it is written; `None` for anything else, and for empty text.
pub fn plain(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first()? {
        b'"' => json::unquoted(json).filter(|text| !text.is_empty()),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(json)),
        _ => None,
    }
}

fn member<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    let mut deserializer = serde_json::Deserializer::from_str(object);
    Member { name }.deserialize(&mut deserializer).ok()?.map(RawValue::get)
}

struct Member<'n> {
    name: &'n str,
}

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<&'de RawValue>()? {
            if json::unquoted(name.get()).is_some_and(|name| name == self.name) {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ORDER: &str =
        r#" {"id": 1e400, "a/b": {"~": [10, "x", null]}, "t": "\u00e9", "e": "", "twice": 1, "twice": 2} "#;

    #[test]
    fn a_pointer_finds_the_text_that_stands_there() {
        for (pointer, expected) in [
            ("/id", Some("1e400")),
            ("/a~1b/~0/0", Some("10")),
            ("/a~1b/~0/1", Some("\"x\"")),
            ("/a~1b/~0/2", None),
            ("/a~1b/~0/3", None),
            ("/a~1b/~0/x", None),
            ("/twice", Some("2")),
            ("/id/0", None),
            ("/none", None),
            ("/a~1b/~0/00", None),
            ("/a~1b/~0/+1", None),
            ("", Some(ORDER.trim())),
        ] {
            assert_eq!(find(ORDER, pointer), expected, "{pointer}");
        }
    }

    #[test]
    fn text_and_numbers_are_plain() {
        assert_eq!(find(ORDER, "/t").and_then(plain).as_deref(), Some("é"));
        assert_eq!(find(ORDER, "/id").and_then(plain).as_deref(), Some("1e400"));
        assert_eq!(find(ORDER, "/e").and_then(plain), None);
        assert_eq!(plain("true"), None);
        assert_eq!(elements("[1, [2]]"), Some(vec!["1", "[2]"]));
        assert_eq!(elements("{}"), None);
    }

    #[test]
    fn no_key_hides_another() {
        for key in [r"\ud800", "$serde_json::private::Number", "$serde_json::private::RawValue"] {
            let order = format!(r#"{{"{key}": "x", "s": "ACME", "in": {{"{key}": "y", "s": 7}}}}"#);
            assert_eq!(find(&order, "/s"), Some("\"ACME\""), "{key}");
            assert_eq!(find(&order, "/in/s"), Some("7"), "{key}");
        }
        assert_eq!(find(r#"{"$serde_json::private::Number": "1"}"#, "/$serde_json::private::Number"), Some("\"1\""));
        assert_eq!(find(r#"{"\u0073": 1}"#, "/s"), Some("1"));
    }

    #[test]
    fn what_is_nested_deeply_is_no_trouble() {
        let deep = format!("{{\"a\": {}{}, \"b\": 1}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(find(&deep, "/b"), Some("1"));
        assert!(find(&deep, "/a/0/0").is_some());
    }

    proptest! {
        #[test]
        fn it_finds_what_serde_json_finds(value in value(), pointer in "(/(a|b|~0|0|1)){0,3}") {
            let text = value.to_string();
            let expected = value.pointer(&pointer).filter(|value| !value.is_null()).cloned();
            let found = find(&text, &pointer).map(|found| serde_json::from_str(found).expect("JSON"));
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn any_text_is_looked_through_without_harm(text in ".{0,40}", pointer in "(/.{0,3}){0,3}") {
            let _ = find(&text, &pointer);
        }
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<i32>().prop_map(serde_json::Value::from),
            "[a-c]{0,3}".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(3, 20, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(serde_json::Value::from),
                proptest::collection::btree_map("a|b|~", inner, 0..3)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }
}
