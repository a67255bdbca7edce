//! Merge fields (`syntax: merge_fields`): `<DataSource.Account.Id>`, `<Account.Id>`, `<Context.userId>`.
//!
//! A field is names with dots between, in angle brackets, without a space: a dot is always there, so that HTML tags
//! stay text. The first name says where to look: see [`HEADS`]; any other begins a path into the order.

use super::fields::{Field, Piece};
use super::fill::Place;
use super::path::find_name;
use super::words::{FIXED, is_extension, nearest_word};
use super::{SyntaxError, Target};

/// First names that do not mean a field of the order, and the name of the scope that they stand for.
const HEADS: &[(&str, &str)] =
    &[("DataSource", "order"), ("Context", "context"), ("Event", "event"), ("Delivery", "delivery")];

/// The text and fields of `source`.
pub(super) fn parse(source: &str, target: Target) -> Result<Vec<Piece>, SyntaxError> {
    let mut pieces = Vec::new();
    let (mut text_from, mut search_from) = (0, 0);
    let rest = |at: usize| source.get(at..).unwrap_or_default();
    while let Some(at) = rest(search_from).find('<').map(|found| search_from + found) {
        search_from = at + 1;
        let Some(field) = field(source, at)? else { continue };
        let end = at + field.name.len() + 2;
        if text_from < at {
            pieces.push(Piece::Text(source.get(text_from..at).unwrap_or_default().into()));
        }
        let place = if target == Target::Url && at == 0 { Place::Base } else { Place::Any };
        pieces.push(Piece::Field(Field { place, ..field }));
        (text_from, search_from) = (end, end);
    }
    if !rest(text_from).is_empty() {
        pieces.push(Piece::Text(rest(text_from).into()));
    }
    Ok(pieces)
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
}

/// The field that begins with the bracket at `at`; `None` where that is text. What begins with one of the [`HEADS`]
/// and goes on wrongly is an error, for it was certainly meant as a field.
fn field(source: &str, at: usize) -> Result<Option<Field>, SyntaxError> {
    let inside = source.get(at + 1..).unwrap_or_default();
    let length = inside.find(|c: char| !is_part(c) && c != '.').unwrap_or(inside.len());
    let (name, behind) = inside.split_at(length);
    let parts: Vec<&str> = name.split('.').collect();
    let head = parts.first().copied().unwrap_or_default();
    let root = find_name(HEADS.iter().copied(), head);
    let wrong = |offset: usize, message: &str| Err(SyntaxError::at(source, at + 1 + offset, message));
    if name.is_empty() {
        let trimmed = inside.trim_start();
        let spaced = HEADS.iter().any(|(head, _)| {
            let start = trimmed.get(..head.len()).unwrap_or_default();
            start.eq_ignore_ascii_case(head) && trimmed.get(head.len()..).is_some_and(|rest| rest.starts_with('.'))
        });
        return if spaced {
            wrong(0, "a merge field cannot contain spaces: <DataSource.Account.Id>")
        } else {
            Ok(None)
        };
    }
    if parts.len() < 2 || !head.chars().all(is_part) || !head.starts_with(|c: char| c.is_alphabetic() || c == '_') {
        return Ok(None);
    }
    if !behind.starts_with('>') {
        return match (root, behind.chars().next()) {
            (None, _) => Ok(None),
            (Some(_), Some(' ' | '\t')) => {
                wrong(length, "a merge field cannot contain spaces: <DataSource.Account.Id>")
            }
            (Some(_), _) => wrong(length, "the merge field is not closed: > is missing here"),
        };
    }
    if let Some(empty) = parts.iter().position(|part| part.is_empty()) {
        let before: usize = parts.iter().take(empty).map(|part| part.len() + 1).sum();
        return wrong(before, "a name is missing here, as in <DataSource.Account.Id>");
    }
    let mut below = parts.get(1..).unwrap_or_default().to_vec();
    if let Some(root) = root
        && let Some((_, known)) = FIXED.iter().find(|(fixed, _)| *fixed == root)
        && !is_extension(root, &below.join("."))
    {
        let name = below.join(".");
        let Some(exact) = find_name(known.iter().map(|known| (*known, *known)), &name) else {
            let hint = match nearest_word(&name, known.iter().copied()) {
                Some(word) => format!("did you mean <{head}.{word}>?"),
                None => format!("there is <{head}.{}>", known.join(&format!(">, <{head}."))),
            };
            let own = format!("a field of the order is <DataSource.{head}.{name}>");
            return wrong(head.len() + 1, &format!("unknown field of `{head}`: `{name}`; {hint} ({own})"));
        };
        below = vec![exact];
    }
    let (root, parts) = match root {
        Some(root) => (root, below),
        None => ("order", parts),
    };
    let parts = parts.iter().map(|part| Box::from(*part)).collect();
    Ok(Some(Field { name: name.into(), at, root, parts, place: Place::Any }))
}
