//! Reads JSON text into values without recursion.
//!
//! Not by serde alone: where a key of a document is one of serde_json's private names (`$serde_json::private::Number`),
//! [`serde_json::Value`] does not take it as a key, and it reads 127 levels at most. Here every key is an ordinary key,
//! numbers keep their digits, and half of a surrogate pair becomes a replacement character.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// The deepest nesting of a value in memory. Bounds the stack that writing or dropping it takes.
pub const MAX_DEPTH: usize = 512;

/// Why a text cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The text is not JSON; the error says where.
    #[error("invalid JSON: {0}")]
    Invalid(String),
    /// The JSON is nested deeper than so many levels.
    #[error("nested deeper than {0} levels")]
    TooDeep(usize),
}

/// A value that [`parse`] can build.
pub trait FromJson: Sized {
    /// The name of a field.
    type Name: Default;

    /// Returns the name of a field.
    fn name(text: Cow<'_, str>) -> Self::Name;
    /// Returns null.
    fn null() -> Self;
    /// Returns a boolean.
    fn boolean(value: bool) -> Self;
    /// Returns a number, given its digits; `None` where they are not a number.
    fn number(text: &str) -> Option<Self>;
    /// Returns a string.
    fn string(text: Cow<'_, str>) -> Self;
    /// Returns a list.
    fn list(items: Vec<Self>) -> Self;
    /// Returns an object. Of two fields with one name the last one counts.
    fn object(fields: Vec<(Self::Name, Self)>) -> Self;
}

impl FromJson for serde_json::Value {
    type Name = String;

    fn name(text: Cow<'_, str>) -> String {
        text.into_owned()
    }
    fn null() -> Self {
        Self::Null
    }
    fn boolean(value: bool) -> Self {
        Self::Bool(value)
    }
    fn number(text: &str) -> Option<Self> {
        text.parse().ok().map(Self::Number)
    }
    fn string(text: Cow<'_, str>) -> Self {
        Self::String(text.into_owned())
    }
    fn list(items: Vec<Self>) -> Self {
        Self::Array(items)
    }
    fn object(fields: Vec<(String, Self)>) -> Self {
        Self::Object(fields.into_iter().collect())
    }
}

/// The byte order mark that some programs put before a text.
pub const BOM: &[u8] = b"\xef\xbb\xbf";

/// Checks that `json` is one JSON value, and reads it. `max_depth` levels of lists and objects are allowed; a byte order
/// mark before it is left out.
pub fn read(json: &[u8], max_depth: usize) -> Result<serde_json::Value, Unreadable> {
    let json = json.strip_prefix(BOM).unwrap_or(json);
    serde_json::from_slice::<IgnoredAny>(json).map_err(|error| Unreadable::Invalid(error.to_string()))?;
    parse(json, max_depth)
}

/// Reads one JSON value that was checked before. Takes a little more than JSON, such as control characters in strings.
pub fn parse<V: FromJson>(json: &[u8], max_depth: usize) -> Result<V, Unreadable> {
    let text = std::str::from_utf8(json).map_err(|_| fault("invalid UTF-8"))?;
    Reader { text, at: 0, max_depth }.document()
}

/// Returns the text of a JSON string, `"` included.
pub fn unquoted(json: &str) -> Option<Cow<'_, str>> {
    let mut reader = Reader { text: json, at: 0, max_depth: 0 };
    let text = if reader.peek() == Some(b'"') { reader.string().ok()? } else { return None };
    (reader.at == json.len()).then_some(text)
}

/// Bytes that reading looks at, counted in tests.
mod steps {
    #[cfg(test)]
    thread_local!(pub(super) static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) });

    #[cfg(test)]
    pub(super) fn count(steps: usize) {
        STEPS.set(STEPS.get() + steps);
    }

    #[cfg(not(test))]
    #[inline]
    pub(super) const fn count(_steps: usize) {}
}

fn fault(what: &str) -> Unreadable {
    Unreadable::Invalid(what.to_owned())
}

/// A list or object that is not complete yet.
enum Open<V: FromJson> {
    List(Vec<V>),
    Map(Vec<(V::Name, V)>, V::Name),
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    max_depth: usize,
}

impl<'a> Reader<'a> {
    fn document<V: FromJson>(mut self) -> Result<V, Unreadable> {
        let mut open: Vec<Open<V>> = Vec::new();
        loop {
            // A value begins here.
            let mut value = match self.next_mark() {
                Some(b'[') => {
                    self.at += 1;
                    if self.next_mark() == Some(b']') {
                        self.at += 1;
                        self.bound(open.len() + 1)?;
                        V::list(Vec::new())
                    } else {
                        open.push(Open::List(Vec::new()));
                        self.bound(open.len())?;
                        continue;
                    }
                }
                Some(b'{') => {
                    self.at += 1;
                    if self.next_mark() == Some(b'}') {
                        self.at += 1;
                        self.bound(open.len() + 1)?;
                        V::object(Vec::new())
                    } else {
                        let name = V::name(self.name()?);
                        open.push(Open::Map(Vec::new(), name));
                        self.bound(open.len())?;
                        continue;
                    }
                }
                Some(_) => self.scalar()?,
                None => return Err(fault("unexpected end")),
            };
            // A value has ended: it goes into what is open, which may end with it.
            loop {
                let Some(mut inner) = open.pop() else {
                    return if self.next_mark().is_none() { Ok(value) } else { Err(fault("trailing characters")) };
                };
                let mark = self.next_mark();
                self.at += 1;
                match (&mut inner, mark) {
                    (Open::List(items), Some(b',')) => items.push(value),
                    (Open::List(items), Some(b']')) => {
                        items.push(value);
                        value = V::list(std::mem::take(items));
                        continue;
                    }
                    (Open::Map(entries, name), Some(b',')) => {
                        entries.push((std::mem::take(name), value));
                        *name = V::name(self.name()?);
                    }
                    (Open::Map(entries, name), Some(b'}')) => {
                        entries.push((std::mem::take(name), value));
                        value = V::object(std::mem::take(entries));
                        continue;
                    }
                    _ => return Err(fault("unexpected character")),
                }
                open.push(inner);
                break;
            }
        }
    }

    fn bound(&self, depth: usize) -> Result<(), Unreadable> {
        if depth > self.max_depth { Err(Unreadable::TooDeep(self.max_depth)) } else { Ok(()) }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        steps::count(1);
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no white space.
    fn next_mark(&mut self) -> Option<u8> {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.peek()
    }

    fn name(&mut self) -> Result<Cow<'a, str>, Unreadable> {
        if self.next_mark() != Some(b'"') {
            return Err(fault("unexpected character"));
        }
        let name = self.string()?;
        if self.next_mark() != Some(b':') {
            return Err(fault("unexpected character"));
        }
        self.at += 1;
        Ok(name)
    }

    fn scalar<V: FromJson>(&mut self) -> Result<V, Unreadable> {
        if self.peek() == Some(b'"') {
            return self.string().map(V::string);
        }
        for (word, value) in [("true", Some(true)), ("false", Some(false)), ("null", None)] {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return Ok(value.map_or_else(V::null, V::boolean));
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
        V::number(self.text.get(start..self.at).unwrap_or_default()).ok_or_else(|| fault("invalid number"))
    }

    fn digits(&mut self) -> Result<(), Unreadable> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(fault("unexpected character")) } else { Ok(()) }
    }

    /// A string, from its opening quote to behind its closing one.
    fn string(&mut self) -> Result<Cow<'a, str>, Unreadable> {
        self.at += 1;
        let mut unescaped: Option<String> = None;
        loop {
            let run = self.rest();
            let length = run.find(['"', '\\']).ok_or_else(|| fault("unexpected end"))?;
            let plain = run.get(..length).unwrap_or_default();
            self.at += length + 1;
            steps::count(length);
            if run.as_bytes().get(length) == Some(&b'"') {
                return Ok(match unescaped {
                    None => Cow::Borrowed(plain),
                    Some(text) => Cow::Owned(text + plain),
                });
            }
            let text = unescaped.get_or_insert_default();
            text.push_str(plain);
            steps::count(plain.len());
            let escaped = self.escape()?;
            text.push(escaped);
        }
    }

    /// What stands behind a backslash. Half a surrogate pair becomes a replacement character.
    fn escape(&mut self) -> Result<char, Unreadable> {
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
            _ => return Err(fault("unexpected character")),
        })
    }

    fn hex(&mut self) -> Result<u32, Unreadable> {
        let digits = self.rest().get(..4).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        self.at += 4;
        code.ok_or_else(|| fault("unexpected character"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_private_names_of_serde_json_are_ordinary_keys() {
        for text in [
            r#"{"$serde_json::private::Number":"zz"}"#,
            r#"{"$serde_json::private::RawValue":"\"ACME\""}"#,
            r#"[{"$serde_json::private::Number":"1","b":1.10}]"#,
        ] {
            let read = read(text.as_bytes(), 8).expect("JSON");
            assert_eq!(serde_json::to_string(&read).expect("text"), text);
        }
    }

    #[test]
    fn depth_is_bounded_and_nothing_recurses() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(nested(128).as_bytes(), 128).is_ok());
        assert_eq!(read(nested(129).as_bytes(), 128), Err(Unreadable::TooDeep(128)));
        assert_eq!(read(nested(1_000_000).as_bytes(), MAX_DEPTH), Err(Unreadable::TooDeep(MAX_DEPTH)));
        assert_eq!(read(br#"{"a":[]}"#, 2).expect("JSON"), json!({"a": []}));
        assert!(read(br#"{"a":[]}"#, 1).is_err(), "an empty list is a level");
    }

    #[test]
    fn half_a_surrogate_pair_is_replaced() {
        assert_eq!(read(br#"{"\ud800":"a\udc00"}"#, 8).expect("JSON"), json!({"\u{fffd}": "a\u{fffd}"}));
        assert_eq!(unquoted(r#""\ud83d\ude00""#).as_deref(), Some("\u{1f600}"));
        assert_eq!(unquoted("7"), None);
        assert_eq!(unquoted(r#""a" "#), None);
    }

    proptest! {
        #[test]
        fn texts_are_read_as_by_serde(text in r#"[\[\]{}:,"\\ua-f0-9.eE+ \-]{0,24}"#) {
            let ours = read(text.as_bytes(), 100);
            match serde_json::from_str::<Value>(&text) {
                Ok(value) => prop_assert_eq!(ours, Ok(value)),
                Err(_) => if let Ok(value) = ours { prop_assert!(value.to_string().contains(char::REPLACEMENT_CHARACTER)) },
            }
        }
    }

    fn work(text: &str) -> usize {
        let before = steps::STEPS.get();
        let _ = parse::<Value>(text.as_bytes(), MAX_DEPTH);
        steps::STEPS.get() - before
    }

    proptest! {
        #[test]
        fn work_is_linear_in_the_text(
            start in r#"[\[{" ]{0,3}"#,
            unit in r#"(\[|\{|\]|\}|,|:|"|"a":|1|-|\.|e| |\\|\\u|d800|\\ud800\\ud800|\\n|ab|é|null,){1,6}"#,
            times in 1_usize..400,
        ) {
            let (small, large) = (start.clone() + unit.repeat(times).as_str(), start + unit.repeat(4 * times).as_str());
            prop_assert!(work(&large) <= 10 * large.len() + 10, "{} for {}", work(&large), large.len());
            prop_assert!(work(&large) <= 5 * work(&small) + 100 || work(&small) < small.len(), "{}", work(&large));
        }
    }

    #[test]
    fn work_is_linear_in_hostile_texts() {
        for (open, unit, close) in [
            ("[", "1,", "1]"),
            ("[\"", "\\\\", "\"]"),
            ("[\"", "\\ud800", "\"]"),
            ("{", "\"a\":1,", "\"a\":1}"),
            ("[", "\"\",", "\"\"]"),
            ("[", " ", "]"),
            ("", "9", ""),
            ("", "[", ""),
        ] {
            let of = |times: usize| work(&format!("{open}{}{close}", unit.repeat(times)));
            let (one, four) = (of(10_000), of(40_000));
            assert!(one > 0 && four <= 5 * one, "{unit}: {one}, then {four}");
        }
    }
}
