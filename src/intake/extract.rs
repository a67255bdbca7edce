//! What must be known of a body before it is accepted: that it is JSON, how deep, and a few fields of it.
//!
//! One pass without building a tree: an order's bytes are parsed as a whole only where a path or template needs them.
//! Of a repeated key the last one counts, as in most readers.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::refusal::Refusal;

/// The longest id or type of an order, in bytes.
const MAX_FIELD: usize = 256;

/// JSON pointers (RFC 6901), taken apart.
#[derive(Debug)]
pub(super) struct Pointers {
    paths: Vec<(String, Vec<String>)>,
    /// How many of them, from the first, refuse the order where their value is too long.
    strict: usize,
}

impl Pointers {
    /// Pointers whose values must not be too long, and others whose long values count as absent.
    pub(super) fn new<'a>(
        strict: impl IntoIterator<Item = &'a String>,
        lenient: impl IntoIterator<Item = &'a String>,
    ) -> Self {
        let take_apart = |pointer: &String| {
            let steps = pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"));
            (pointer.clone(), steps.collect())
        };
        let mut paths: Vec<_> = strict.into_iter().map(take_apart).collect();
        let strict = paths.len();
        paths.extend(lenient.into_iter().map(take_apart));
        Self { paths, strict }
    }

    /// Checks that `body` is an object no deeper than `max_depth`, and takes the fields out of it, in the order of the
    /// pointers: text, a number as written, or nothing.
    pub(super) fn of_object(&self, body: &[u8], max_depth: usize) -> Result<Vec<Option<String>>, Refusal> {
        let text = json_text(body, max_depth)?;
        let kind = match text.trim_start().as_bytes().first() {
            Some(b'[') => Some("an array"),
            Some(b'"') => Some("a string"),
            Some(b't' | b'f') => Some("a boolean"),
            Some(b'n') => Some("null"),
            Some(b'-' | b'0'..=b'9') => Some("a number"),
            Some(_) => None,
            None => return Err(Refusal::NotJson("it is empty".to_owned())),
        };
        let mut found = vec![None; self.paths.len()];
        self.walk(text, &mut found).map_err(|error| Refusal::NotJson(error.to_string()))?;
        if let Some(kind) = kind {
            return Err(Refusal::NotAnObject(kind));
        }
        for value in found.iter_mut().skip(self.strict) {
            value.take_if(|value| value.len() > MAX_FIELD);
        }
        for ((pointer, _), value) in self.paths.iter().zip(&found) {
            if value.as_ref().is_some_and(|value| value.len() > MAX_FIELD) {
                let message = format!("longer than {MAX_FIELD} bytes");
                return Err(Refusal::BadField { path: pointer.clone(), message });
            }
        }
        Ok(found)
    }

    /// The same fields of any JSON value, where it has them. The value must have been checked before.
    pub(super) fn of_value(&self, body: &[u8]) -> Vec<Option<String>> {
        let mut found = vec![None; self.paths.len()];
        if let Ok(text) = std::str::from_utf8(body)
            && self.walk(text, &mut found).is_err()
        {
            found.fill(None);
        }
        for value in &mut found {
            value.take_if(|value| value.len() > MAX_FIELD);
        }
        found
    }

    fn walk(&self, text: &str, found: &mut [Option<String>]) -> Result<(), serde_json::Error> {
        let wanted: Vec<Wanted<'_>> =
            self.paths.iter().enumerate().map(|(at, (_, steps))| (at, steps.as_slice())).collect();
        let mut deserializer = serde_json::Deserializer::from_str(text);
        Walk { wanted: &wanted, found }.deserialize(&mut deserializer)?;
        deserializer.end()
    }
}

/// The body as text, if it is UTF-8 and nested no deeper than allowed.
fn json_text(body: &[u8], max_depth: usize) -> Result<&str, Refusal> {
    let text = std::str::from_utf8(body)
        .map_err(|error| Refusal::NotJson(format!("invalid UTF-8 at byte {}", error.valid_up_to())))?;
    if deeper_than(body, max_depth) {
        return Err(Refusal::TooDeep(max_depth));
    }
    Ok(text)
}

/// Checks that `body` is one JSON value of bounded depth.
pub(super) fn check_value(body: &[u8], max_depth: usize) -> Result<(), Refusal> {
    let text = json_text(body, max_depth)?;
    serde_json::from_str::<IgnoredAny>(text).map(|_| ()).map_err(|error| Refusal::NotJson(error.to_string()))
}

fn deeper_than(body: &[u8], max_depth: usize) -> bool {
    // Most bodies do not even have so many brackets, in texts or out of them.
    if memchr::memchr2_iter(b'{', b'[', body).nth(max_depth).is_none() {
        return false;
    }
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    for byte in body {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > max_depth {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// A pointer's place in the result, and the steps of it that remain.
type Wanted<'p> = (usize, &'p [String]);

struct Walk<'p, 'o> {
    wanted: &'p [Wanted<'p>],
    found: &'o mut [Option<String>],
}

impl Walk<'_, '_> {
    fn take<E: serde::de::Error>(&mut self, name: &str, raw: &RawValue) -> Result<(), E> {
        let below: Vec<Wanted<'_>> = self
            .wanted
            .iter()
            .filter_map(|(at, steps)| {
                steps.split_first().filter(|(first, _)| *first == name).map(|(_, rest)| (*at, rest))
            })
            .collect();
        for (at, _) in &below {
            if let Some(place) = self.found.get_mut(*at) {
                *place = None;
            }
        }
        let (leaves, deeper): (Vec<_>, Vec<_>) = below.into_iter().partition(|(_, rest)| rest.is_empty());
        for (at, _) in leaves {
            if let Some(place) = self.found.get_mut(at) {
                *place = scalar(raw);
            }
        }
        if !deeper.is_empty() {
            let mut deserializer = serde_json::Deserializer::from_str(raw.get());
            let walk = Walk { wanted: &deeper, found: self.found };
            walk.deserialize(&mut deserializer).map_err(serde::de::Error::custom)?;
        }
        Ok(())
    }
}

/// Text, or a number as written.
fn scalar(raw: &RawValue) -> Option<String> {
    match raw.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(raw.get()).ok().filter(|text| !text.is_empty()),
        Some(b'-' | b'0'..=b'9') => Some(raw.get().to_owned()),
        _ => None,
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(Key(name)) = map.next_key()? {
            if self.wanted.iter().any(|(_, steps)| steps.first().is_some_and(|first| *first == name)) {
                let raw = map.next_value::<&'de RawValue>()?;
                self.take(&name, raw)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let mut at = 0usize;
        while let Some(raw) = seq.next_element::<&'de RawValue>()? {
            self.take(&at.to_string(), raw)?;
            at += 1;
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(pointers: &[&str], body: &str) -> Result<Vec<Option<String>>, Refusal> {
        Pointers::new(&pointers.iter().map(ToString::to_string).collect::<Vec<_>>(), []).of_object(body.as_bytes(), 128)
    }

    #[test]
    fn fields_are_text_or_numbers_as_written_and_the_last_of_a_repeated_key_counts() {
        let body = r#"{"id": 123456789012345678901234567890, "type":"new", "a":{"b":[{"c":"d\u00e9"}]}, "x/y": 1e400}"#;
        let got = fields(&["/id", "/type", "/a/b/0/c", "/x~1y", "/none"], body).unwrap();
        let expected = [Some("123456789012345678901234567890"), Some("new"), Some("dé"), Some("1e400"), None];
        assert_eq!(got, expected.map(|text| text.map(str::to_owned)));
        assert_eq!(fields(&["/id"], r#"{"id":1,"id":"two"}"#).unwrap(), [Some("two".to_owned())]);
        assert_eq!(fields(&["/id"], r#"{"id":"one","id":null}"#).unwrap(), [None]);
        assert_eq!(fields(&["/id"], r#"{"id":""}"#).unwrap(), [None]);
    }

    #[test]
    fn what_is_no_object_is_named() {
        for (body, expected) in [
            ("[]", "an order is a JSON object, this is an array"),
            ("\"a\"", "an order is a JSON object, this is a string"),
            ("12", "an order is a JSON object, this is a number"),
            ("null", "an order is a JSON object, this is null"),
            ("true", "an order is a JSON object, this is a boolean"),
            ("", "the body is not valid JSON: it is empty"),
            ("{", "the body is not valid JSON: EOF while parsing an object at line 1 column 1"),
            ("{} {}", "the body is not valid JSON: trailing characters at line 1 column 4"),
            ("nope", "the body is not valid JSON: expected ident at line 1 column 2"),
        ] {
            assert_eq!(fields(&["/id"], body).unwrap_err().to_string(), expected, "{body}");
        }
        let invalid = Pointers::new(&[], []).of_object(b"{\"a\":\"\xff\"}", 9).unwrap_err();
        assert_eq!(invalid.to_string(), "the body is not valid JSON: invalid UTF-8 at byte 6");
    }

    #[test]
    fn depth_counts_only_real_brackets() {
        let nested = |levels: usize| format!("{}{}", "{\"a\":".repeat(levels - 1) + "{", "}".repeat(levels));
        assert!(fields(&["/id"], &nested(128)).is_ok());
        assert!(matches!(fields(&["/id"], &nested(129)), Err(Refusal::TooDeep(128))));
        assert!(fields(&["/id"], &format!("{{\"a\":\"{}\\\"[\"}}", "[".repeat(500))).is_ok());
        assert!(matches!(fields(&["/id"], &format!("{{\"a\":{}", "[".repeat(1_000_000))), Err(Refusal::TooDeep(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_fields_or_a_refusal(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let pointers = Pointers::new(&["/id".to_owned(), "/a/0".to_owned()], []);
            let refused = pointers.of_object(&body, 16).is_err();
            let readable = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&body).is_ok();
            prop_assert!(refused || readable || !body.is_empty());
        }

        #[test]
        fn a_field_is_found_wherever_it_stands(before in "[a-h]{1,5}", text in "\\PC{1,40}", number in any::<i64>()) {
            let body = serde_json::json!({ before.clone(): [1, {"id": "no"}], "id": text, "z": {"n": number} }).to_string();
            let got = fields(&["/id", "/z/n"], &body).unwrap();
            prop_assert_eq!(got, vec![Some(text), Some(number.to_string())]);
        }
    }
}
