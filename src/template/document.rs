//! Whole documents: whether a filled text is one, and JSON written as form fields or as XML.
//!
//! | JSON | form fields | XML |
//! |---|---|---|
//! | a name at the top | a field | an element below the root `<order>` |
//! | an object below | its JSON as text | elements within the element |
//! | a list below | its JSON as text | the element once for each of its values |
//! | text, a number, `true` | as text | as text |
//! | `null` | an empty field | an empty element |
//!
//! A name that XML does not allow is made one: see [`element_name`].

use std::borrow::Cow;
use std::fmt::Write;

use minijinja::value::ValueKind;
use minijinja::{Error, Value};

use super::{Target, escape, json};

/// What is wrong with a text that should be a document, and where.
pub(super) struct Fault {
    what: &'static str,
    line: usize,
    column: usize,
    /// Whether the text ends too early.
    cut: bool,
    message: String,
}

impl Fault {
    /// The sentence about it; `after` and `inside` are put behind what it is not, and behind the place.
    pub(super) fn sentence(&self, after: &str, inside: &str) -> String {
        let Self { what, line, column, message, .. } = self;
        format!("is not {what}{after} (line {line}, column {column}{inside}): {message}")
    }

    /// The place in `text`, in bytes.
    pub(super) fn offset(&self, text: &str) -> usize {
        if self.cut {
            return text.len();
        }
        let before: usize = text.split_inclusive('\n').take(self.line.saturating_sub(1)).map(str::len).sum();
        (before + self.column.saturating_sub(1)).min(text.len())
    }
}

/// What keeps a text from being a document of its target: valid JSON, well-formed XML.
pub(super) fn fault_of(target: Target, text: &str) -> Option<Fault> {
    match target {
        Target::Json => serde_json::from_str::<serde::de::IgnoredAny>(text).err().map(|error| {
            let (line, column, message) = (error.line(), error.column(), error.to_string());
            let message = message.split(" at line ").next().unwrap_or_default().to_owned();
            Fault { what: "valid JSON", line, column, cut: error.is_eof(), message }
        }),
        Target::Xml => roxmltree::Document::parse(text).err().map(|error| {
            let place = error.pos();
            let (line, column) = (place.row as usize, place.col as usize);
            Fault { what: "well-formed XML", line, column, cut: false, message: error.to_string() }
        }),
        Target::Url | Target::Form | Target::Text | Target::Markup => None,
    }
}

/// Checks that a text is a document of its target. `Err` says what it is instead, with the place, as in "is not valid
/// JSON (line 1, column 5): expected value".
pub fn check(target: Target, text: &str) -> Result<(), String> {
    fault_of(target, text).map_or(Ok(()), |fault| Err(fault.sentence("", "")))
}

/// A JSON document as form fields, in the order of its names. The values of a list have their positions as names; any
/// other value is the field `value`.
pub fn form(document: &[u8]) -> Result<String, String> {
    let written = json::parse(document).and_then(|value| {
        let mut text = String::with_capacity(document.len());
        match value.kind() {
            ValueKind::Map => {
                for name in value.try_iter()? {
                    form_field(&mut text, name.as_str().unwrap_or_default(), &value.get_item(&name)?)?;
                }
            }
            ValueKind::Seq => {
                for (at, item) in value.try_iter()?.enumerate() {
                    form_field(&mut text, &at.to_string(), &item)?;
                }
            }
            _ => form_field(&mut text, "value", &value)?,
        }
        Ok(text)
    });
    written.map_err(|error| explain(&error))
}

fn form_field(out: &mut String, name: &str, value: &Value) -> Result<(), Error> {
    if !out.is_empty() {
        out.push('&');
    }
    escape::Percent(out).write_str(name)?;
    out.push('=');
    scalar(&mut escape::Percent(out), value)
}

/// A JSON document as XML, in the order of its names. The values of a list at the top are elements `item`.
pub fn xml(document: &[u8]) -> Result<String, String> {
    let written = json::parse(document).and_then(|value| {
        let mut text = String::with_capacity(2 * document.len() + 64);
        text.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<order>");
        content(&mut text, &value)?;
        text.push_str("</order>");
        Ok(text)
    });
    written.map_err(|error| explain(&error))
}

/// What stands in an element. The depth is bounded by how deep JSON may be that is read at all.
fn content(out: &mut String, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Map => {
            for name in value.try_iter()? {
                element(out, &element_name(name.as_str().unwrap_or_default()), &value.get_item(&name)?)?;
            }
            Ok(())
        }
        ValueKind::Seq => value.try_iter()?.try_for_each(|item| one_element(out, "item", &item)),
        _ => scalar(&mut escape::Xml(out), value),
    }
}

/// The element of a name, or for a list one for each of its values.
fn element(out: &mut String, name: &str, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Seq => value.try_iter()?.try_for_each(|item| one_element(out, name, &item)),
        _ => one_element(out, name, value),
    }
}

fn one_element(out: &mut String, name: &str, value: &Value) -> Result<(), Error> {
    let start = out.len();
    write!(out, "<{name}>")?;
    let empty = out.len();
    content(out, value)?;
    if out.len() == empty {
        out.truncate(start);
        write!(out, "<{name}/>")?;
    } else {
        write!(out, "</{name}>")?;
    }
    Ok(())
}

/// Text as it is, nothing for `null`, all else as JSON.
fn scalar(out: &mut dyn Write, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) => out.write_str(text)?,
        None if value.is_none() => {}
        None => json::write(out, value)?,
    }
    Ok(())
}

fn explain(error: &Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)
}

/// The name of an element: every character that it cannot have, a colon among them, becomes `_`; a `_` is put before a
/// name that is empty, begins with a digit, `-` or `.`, or begins with `xml`, which is reserved.
pub(super) fn element_name(name: &str) -> Cow<'_, str> {
    let reserved = name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("xml"));
    if !reserved && name.starts_with(may_begin) && name.chars().all(may_follow) {
        return Cow::Borrowed(name);
    }
    let plain: String = name.chars().map(|c| if may_follow(c) { c } else { '_' }).collect();
    Cow::Owned(if reserved || !plain.starts_with(may_begin) { format!("_{plain}") } else { plain })
}

/// `NameStartChar` of XML 1.0 without the colon.
fn may_begin(c: char) -> bool {
    matches!(c, 'A'..='Z' | 'a'..='z' | '_'
        | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}' | '\u{370}'..='\u{37d}'
        | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}' | '\u{2c00}'..='\u{2fef}'
        | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}' | '\u{10000}'..='\u{effff}')
}

/// `NameChar` of XML 1.0 without the colon.
fn may_follow(c: char) -> bool {
    may_begin(c) || matches!(c, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DOCUMENT: &[u8] =
        br#"{"type": "a & b", "none": null, "n": 1.50, "big": 123456789012345678901234567890, "yes": true,
        "data": {"order": {"id": "<1>", "empty": {}}}, "items": [{"sku": "A"}, ["x", []], 3], "no": []}"#;

    #[test]
    fn the_top_level_becomes_form_fields() {
        assert_eq!(
            form(DOCUMENT).as_deref(),
            Ok("type=a%20%26%20b&none=&n=1.50&big=123456789012345678901234567890&yes=true\
                &data=%7B%22order%22%3A%7B%22id%22%3A%22%3C1%3E%22%2C%22empty%22%3A%7B%7D%7D%7D\
                &items=%5B%7B%22sku%22%3A%22A%22%7D%2C%5B%22x%22%2C%5B%5D%5D%2C3%5D&no=%5B%5D")
        );
        assert_eq!(form(br#"[1, "b"]"#).as_deref(), Ok("0=1&1=b"));
        assert_eq!(form(br#""a=b""#).as_deref(), Ok("value=a%3Db"));
        assert!(form(b"{").is_err());
    }

    #[test]
    fn names_become_elements() {
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<order><type>a &amp; b</type><none/><n>1.50</n>\
            <big>123456789012345678901234567890</big><yes>true</yes><data><order><id>&lt;1&gt;</id><empty/></order></data>\
            <items><sku>A</sku></items><items><item>x</item><item/></items><items>3</items></order>";
        assert_eq!(xml(DOCUMENT).as_deref(), Ok(expected));
        assert!(xml(br#"[1, {"a": 2}]"#).unwrap().ends_with("<order><item>1</item><item><a>2</a></item></order>"));
        assert!(xml(b"").is_err());
    }

    #[test]
    fn names_that_xml_does_not_allow_are_made_ones() {
        for (name, element) in [
            ("a b", "a_b"),
            ("1st", "_1st"),
            ("", "_"),
            ("-x", "_-x"),
            ("ns:id", "ns_id"),
            ("xmlThing", "_xmlThing"),
            ("XML", "_XML"),
            ("<a>&\"'/", "_a_____"),
            ("größe", "größe"),
            ("a.b-c_1", "a.b-c_1"),
        ] {
            assert_eq!(element_name(name), element, "{name}");
        }
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<i64>().prop_map(serde_json::Value::from),
            any::<String>().prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(4, 30, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
                proptest::collection::vec((".{0,4}|xml|[0-9:-]{1,3}|\\PC{1,3}", inner), 0..6)
                    .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_becomes_well_formed_xml(value in any_json()) {
            let text = xml(value.to_string().as_bytes()).unwrap();
            prop_assert_eq!(check(Target::Xml, &text), Ok(()), "{}", text);
        }

        #[test]
        fn any_json_becomes_form_fields_of_its_names(value in any_json()) {
            let text = form(value.to_string().as_bytes()).unwrap();
            prop_assert!(!text.contains(|c: char| c.is_whitespace() || c.is_control()));
            if let Some(fields) = value.as_object() {
                let read: Vec<_> = url::form_urlencoded::parse(text.as_bytes()).map(|(name, _)| name.into_owned()).collect();
                if !(fields.len() == 1 && fields.contains_key("")) {
                    prop_assert_eq!(read, fields.keys().cloned().collect::<Vec<_>>());
                }
            }
        }

        #[test]
        fn any_text_is_checked_without_panic(text in "([<>/=\"'&; a!?-]|<a>|</a>|<!--|<!\\[CDATA\\[|\\PC){0,20}") {
            let _ = check(Target::Xml, &text);
        }

        #[test]
        fn text_comes_back_from_xml_as_it_went_in(text in "\\PC{0,10}|[<>&\"'\r\n\t \\]]{0,10}") {
            let document = xml(serde_json::Value::from(text.as_str()).to_string().as_bytes()).unwrap();
            let read = roxmltree::Document::parse(&document).unwrap();
            let expected: String =
                text.chars().map(|c| if matches!(c, '\u{fffe}' | '\u{ffff}') { '\u{fffd}' } else { c }).collect();
            prop_assert_eq!(read.root_element().text().unwrap_or_default(), expected);
        }
    }
}
