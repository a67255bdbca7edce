//! Where a template is wrong, and what to say about it.

use std::ops::Range;

use minijinja::{Error, ErrorKind};

use super::fill::MAX_FILLED;
use super::meter::FUEL;
use super::{RenderError, SyntaxError};

/// The widest excerpt, in characters: a long line is cut around the place.
const EXCERPT: usize = 100;

impl SyntaxError {
    /// About the text from `offset`, in bytes.
    pub(super) fn at(source: &str, offset: usize, message: impl Into<String>) -> Self {
        let mut offset = offset.min(source.len());
        while !source.is_char_boundary(offset) {
            offset -= 1;
        }
        let (before, after) = source.split_at(offset);
        let line = before.matches('\n').count() + 1;
        let line_before = before.rsplit('\n').next().unwrap_or_default();
        let line_after = after.split('\n').next().unwrap_or_default();
        let column = line_before.chars().count() + 1;

        let before: Vec<char> = line_before.chars().map(visible).collect();
        let kept = before.get(before.len().saturating_sub(EXCERPT / 2)..).unwrap_or_default();
        let mut excerpt: String = kept.iter().collect();
        excerpt.extend(line_after.chars().map(visible).take(EXCERPT - kept.len()));
        excerpt.push('\n');
        excerpt.extend(std::iter::repeat_n(' ', kept.len()));
        excerpt.push('^');
        Self { message: message.into(), line, column, excerpt }
    }

    /// What the engine found wrong.
    pub(super) fn of_engine(source: &str, error: &Error) -> Self {
        let offset = match (error.range(), error.line()) {
            (Some(range), _) => range.start,
            (None, Some(line)) => source.split_inclusive('\n').take(line - 1).map(str::len).sum(),
            (None, None) => 0,
        };
        let message = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        Self::at(source, offset, message)
    }
}

/// The caret stands below the place only if every character is one column wide.
fn visible(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

/// The byte at which `word` stands within `range` of the source, else where the range begins.
pub(super) fn place_of(source: &str, range: Option<Range<usize>>, word: &str) -> usize {
    let range = range.unwrap_or(0..source.len());
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let text = source.get(range.clone()).unwrap_or_default();
    let whole = text.match_indices(word).find(|(at, _)| {
        let before = text.get(..*at).unwrap_or_default().chars().next_back();
        let after = text.get(at + word.len()..).unwrap_or_default().chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    });
    range.start + whole.map_or(0, |(at, _)| at)
}

/// Where the path begins whose later part begins at `at`: the engine points at `.id` of `order.account.id`.
fn path_start(source: &str, at: usize) -> usize {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '[' | ']');
    let continues = source.get(at..).is_some_and(|rest| rest.starts_with(['.', '[']));
    let before = source.get(..at).unwrap_or_default();
    if continues { before.trim_end_matches(is_part).len() } else { at }
}

/// The part of the source that an error is about. The engine points at a filter; what is missing stands before it.
fn part_of(source: &str, range: Range<usize>) -> Range<usize> {
    let before = source.get(..range.start).unwrap_or_default().trim_end();
    match before.strip_suffix('|') {
        Some(before) if source.get(range.clone()) == Some("required") => {
            let before = before.trim_end();
            let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '[' | ']' | '\'' | '"');
            before.trim_end_matches(is_part).len()..before.len()
        }
        _ => path_start(source, range.start)..range.end,
    }
}

/// Why `source` could not be filled in. Says which part of it, or `whole` where that is not known; never a value.
pub(super) fn render_error(source: &str, whole: Option<&str>, error: &Error) -> RenderError {
    let part = error.range().and_then(|range| source.get(part_of(source, range))).map(|text| {
        let text = text.trim_start_matches(['{', '%', '-', '+']).trim_end_matches(['}', '%', '-', '+']).trim();
        let mut part: String = text.chars().map(visible).take(EXCERPT).collect();
        if part.len() < text.len() {
            part.push('…');
        }
        part
    });
    let part = part
        .filter(|part| !part.is_empty())
        .or_else(|| whole.map(|text| text.chars().map(visible).take(EXCERPT).collect()));
    RenderError(match (error.kind(), part) {
        (ErrorKind::UndefinedError, Some(part)) => format!("`{part}` is missing"),
        (ErrorKind::UndefinedError, None) => "a field is missing".to_owned(),
        (ErrorKind::OutOfFuel, part) => {
            let what = if whole.is_some() { "the expression" } else { "the template" };
            match (error.detail(), part) {
                (Some(detail), Some(part)) => format!("{what} {detail}, in `{part}`"),
                (Some(detail), None) => format!("{what} {detail}"),
                (None, _) => format!("{what} takes too many steps ({FUEL} at most, fewer with long fixed text)"),
            }
        }
        (ErrorKind::WriteFailure, _) => format!("more than {MAX_FILLED} bytes are filled in"),
        (kind, part) => {
            let what = error.detail().map_or_else(|| kind.to_string(), str::to_owned);
            part.map_or_else(|| what.clone(), |part| format!("{what}, in `{part}`"))
        }
    })
}
