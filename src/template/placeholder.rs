//! Placeholders (`syntax: placeholder`): `${orderId}`.
//!
//! There are few of them, see [`NAMES`], so a name that is none of them is an error rather than text. In a URL,
//! braces are good for nothing else; those without the dollar sign are an error too.

use super::fields::{Field, Piece};
use super::fill::Place;
use super::words::nearest_word;
use super::{SyntaxError, Target};

/// Every placeholder: its name, the name of the scope that fills it, and the field below that.
const NAMES: &[(&str, &str, &[&str])] = &[
    ("orderId", "order_id", &[]),
    ("orderUrl", "order_url", &[]),
    ("eventId", "event", &["id"]),
    ("eventType", "event", &["type"]),
    ("eventSource", "event", &["source"]),
    ("eventSubject", "event", &["subject"]),
    ("deliveryId", "delivery", &["id"]),
];

/// The text and placeholders of `source`.
pub(super) fn parse(source: &str, target: Target) -> Result<Vec<Piece>, SyntaxError> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut at = 0;
    while let Some(rest) = source.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(inside) = rest.strip_prefix("${") else {
            let next = rest.chars().next().unwrap_or_default();
            if target == Target::Url && matches!(next, '{' | '}') {
                return Err(SyntaxError::at(source, at, bare(rest)));
            }
            text.push(next);
            at += next.len_utf8();
            continue;
        };
        let Some(end) = inside.find('}') else {
            return Err(SyntaxError::at(source, at, "the placeholder is not closed; it is written ${orderId}"));
        };
        let name = inside.get(..end).unwrap_or_default();
        let Some((_, root, parts)) = NAMES.iter().find(|(known, ..)| *known == name) else {
            return Err(SyntaxError::at(source, at, unknown(name)));
        };
        if !text.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut text).into()));
        }
        let parts = parts.iter().map(|part| Box::from(*part)).collect();
        pieces.push(Piece::Field(Field { name: format!("${{{name}}}").into(), at, root, parts, place: Place::Any }));
        at += end + 3;
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text.into()));
    }
    Ok(pieces)
}

/// The name that `written` was probably meant to be.
fn meant(written: &str) -> Option<&'static str> {
    let squeezed: String = written.chars().filter(|c| c.is_alphanumeric()).collect();
    let known = NAMES.iter().map(|(known, ..)| *known);
    known.clone().find(|known| known.eq_ignore_ascii_case(&squeezed)).or_else(|| nearest_word(&squeezed, known))
}

fn unknown(name: &str) -> String {
    let spaces = if name.contains(char::is_whitespace) { "a placeholder cannot contain spaces: " } else { "" };
    let hint = meant(name).map_or_else(
        || {
            let known: Vec<String> = NAMES.iter().map(|(known, ..)| format!("${{{known}}}")).collect();
            format!("there is {}", known.join(", "))
        },
        |known| format!("did you mean `${{{known}}}`?"),
    );
    format!("{spaces}unknown placeholder `${{{name}}}`; {hint}")
}

fn bare(rest: &str) -> String {
    let inside = rest.trim_start_matches('{').split('}').next().unwrap_or_default();
    let name = meant(inside).unwrap_or("orderId");
    format!("a placeholder is written with a dollar sign: `${{{name}}}`; a URL cannot contain other braces")
}
