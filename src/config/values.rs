//! YAML read into values. A number keeps the text that it is written with.
//!
//! The crate `config` reads `1.10` and `01234` as `1.1` and `1234`. A value that is sent to a receiver must keep its
//! digits, and an error must show them as written. So a number whose value does not give its text back travels through
//! the layers as text with a mark before it, [`number`] tells it from text, and `Node` turns it into a number.

use config::{Map, Value, ValueKind};
use yaml_rust2::parser::{Event, MarkedEventReceiver, Parser};
use yaml_rust2::scanner::{Marker, TScalarStyle};
use yaml_rust2::{Yaml, YamlLoader};

/// The mark before a number. A character that Unicode reserves for use within a program; no text may hold it.
const MARK: char = '\u{FDD0}';

/// Returns the keys and values of a YAML text that [`super::yaml::check`] has passed, each with the origin `name`.
///
/// # Errors
/// Says what is wrong: the syntax, more than one document, a document without keys, a key that is not a scalar.
pub(crate) fn read(name: &str, text: &str) -> Result<Map<String, Value>, String> {
    let mut reader = Reader::default();
    Parser::new_from_str(text).load(&mut reader, true).map_err(|error| error.to_string())?;
    if let Some(fault) = reader.fault {
        return Err(fault);
    }
    match reader.loader.documents() {
        [root] => match value(name, root)?.kind {
            ValueKind::Table(keys) => Ok(keys),
            ValueKind::Array(_) => Err("expected keys and values, found a list".to_owned()),
            _ => Err("expected keys and values, found a single value".to_owned()),
        },
        // The loader keeps its errors to itself: the only one left is a key twice.
        [] => Err("a key is in one block twice".to_owned()),
        documents => Err(format!("expected one document, found {}; remove the lines ---", documents.len())),
    }
}

/// The text of a marked number.
pub(crate) fn number(text: &str) -> Option<&str> {
    text.strip_prefix(MARK)
}

/// Marks numbers on their way into the loader.
#[derive(Default)]
struct Reader {
    loader: YamlLoader,
    fault: Option<String>,
}

impl MarkedEventReceiver for Reader {
    fn on_event(&mut self, event: Event, at: Marker) {
        let event = match event {
            Event::Scalar(text, ..) if text.contains(MARK) => {
                let (line, column) = (at.line(), at.col() + 1);
                self.fault.get_or_insert(format!("line {line}, column {column}: the character U+FDD0 is not allowed"));
                return;
            }
            Event::Scalar(text, TScalarStyle::Plain, anchor, tag) => {
                let numeric =
                    |suffix: &str, handle: &str| handle == "tag:yaml.org,2002:" && ["int", "float"].contains(&suffix);
                let may_be = tag.as_ref().is_none_or(|tag| numeric(&tag.suffix, &tag.handle));
                if may_be && matches!(Yaml::from_str(&text), Yaml::Integer(_) | Yaml::Real(_)) {
                    Event::Scalar(format!("{MARK}{text}"), TScalarStyle::DoubleQuoted, anchor, None)
                } else {
                    Event::Scalar(text, TScalarStyle::Plain, anchor, tag)
                }
            }
            event => event,
        };
        self.loader.on_event(event, at);
    }
}

fn value(name: &str, yaml: &Yaml) -> Result<Value, String> {
    let kind = match yaml {
        Yaml::String(text) => match number(text) {
            Some(written) => kind_of(written),
            None => ValueKind::String(text.clone()),
        },
        Yaml::Boolean(value) => ValueKind::Boolean(*value),
        Yaml::Hash(entries) => {
            let mut table = Map::new();
            for (key, item) in entries {
                let key = match key {
                    Yaml::String(key) => number(key).unwrap_or(key).to_owned(),
                    Yaml::Boolean(key) => key.to_string(),
                    Yaml::Null => return Err("null is not allowed as a key; put it in quotes".to_owned()),
                    _ => return Err("a list or a block is not allowed as a key".to_owned()),
                };
                table.insert(key, value(name, item)?);
            }
            ValueKind::Table(table)
        }
        Yaml::Array(items) => ValueKind::Array(items.iter().map(|item| value(name, item)).collect::<Result<_, _>>()?),
        _ => ValueKind::Nil,
    };
    Ok(Value::new(Some(&name.to_owned()), kind))
}

/// A number, marked where its value would not give its text back.
fn kind_of(written: &str) -> ValueKind {
    match Yaml::from_str(written) {
        Yaml::Integer(value) if value.to_string() == written => ValueKind::I64(value),
        yaml => match yaml.as_f64() {
            Some(value) if value.to_string() == written => ValueKind::Float(value),
            _ => ValueKind::String(format!("{MARK}{written}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(yaml: &str) -> ValueKind {
        let mut keys = read("a.yaml", &format!("a: {yaml}")).expect(yaml);
        keys.swap_remove("a").expect("the key").kind
    }

    #[test]
    fn a_number_keeps_its_text() {
        let text = |text: &str| ValueKind::String(text.to_owned());
        for written in ["20261129000000000001", "01234", "1.10", "1e3", "+5", "0x1F", ".5", "5.", "-0", ".inf", "1E+2"]
        {
            let ValueKind::String(marked) = item(written) else { panic!("{written}") };
            assert_eq!(number(&marked), Some(written));
        }
        assert_eq!(item("5"), ValueKind::I64(5));
        assert_eq!(item("-1.5"), ValueKind::Float(-1.5));
        assert_eq!(item("!!float 2.50"), item("2.50"));
        for written in ["'01234'", "\"01234\"", "!!str 01234"] {
            assert_eq!(item(written), text("01234"), "{written}");
        }
        assert_eq!(item("1_000"), text("1_000"));
        assert_eq!(item("~"), ValueKind::Nil);
        assert_eq!(item("True"), ValueKind::Boolean(true));
    }

    #[test]
    fn keys_and_aliases_keep_their_digits() {
        let keys = read("a.yaml", "a: &n 1.10\n01234: *n\n1.50: x\ntrue: x").expect("keys");
        assert_eq!(keys.keys().collect::<Vec<_>>(), ["a", "01234", "1.50", "true"]);
        assert_eq!(keys["01234"].kind, keys["a"].kind);
    }

    #[test]
    fn a_text_cannot_pass_for_a_number() {
        let fault = read("a.yaml", "a: \"\\uFDD05\"").unwrap_err();
        assert_eq!(fault, "line 1, column 4: the character U+FDD0 is not allowed");
    }

    #[test]
    fn other_documents_are_refused() {
        for (yaml, fault) in [
            ("[1]", "expected keys and values, found a list"),
            ("5", "expected keys and values, found a single value"),
            ("a: 1\n---\nb: 1", "expected one document, found 2; remove the lines ---"),
            ("{[1]: 2}", "a list or a block is not allowed as a key"),
            ("{~: 2}", "null is not allowed as a key; put it in quotes"),
        ] {
            assert_eq!(read("a.yaml", yaml).unwrap_err(), fault, "{yaml}");
        }
    }
}
