//! How a value is written where it is filled in: one rule for each [`Target`], and a bound on the whole.

use std::cell::Cell;
use std::fmt;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

use super::{Target, escape, filled_url, json};

/// The most that the values filled into one template may come to, in bytes: 1 MiB.
pub(super) const MAX_FILLED: usize = 1 << 20;

thread_local! {
    /// Bytes filled in so far by the template that this thread is rendering.
    static FILLED: Cell<usize> = const { Cell::new(0) };
}

/// Begins to count anew. To be called before each rendering.
pub(super) fn begin() {
    FILLED.set(0);
}

/// A writer that counts, and refuses what goes past [`MAX_FILLED`].
pub(super) struct Capped<'a>(pub(super) &'a mut dyn fmt::Write);

impl fmt::Write for Capped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let filled = FILLED.get().saturating_add(text.len());
        FILLED.set(filled);
        if filled > MAX_FILLED { Err(fmt::Error) } else { self.0.write_str(text) }
    }
}

/// Where exactly within its target a value is filled in, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Place {
    /// Anywhere.
    #[default]
    Any,
    /// At the very start of a URL, where a merge field gives the base.
    Base,
    /// Between the quotes of a JSON string.
    InQuotes,
    /// In JSON, but not between quotes.
    OutOfQuotes,
}

/// How values are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filler {
    pub(super) target: Target,
    pub(super) empty_as_null: bool,
}

impl Filler {
    /// Writes `value`.
    pub(super) fn write(self, out: &mut dyn fmt::Write, value: &Value, place: Place) -> Result<(), Error> {
        let out = &mut Capped(out);
        let nothing = value.is_undefined() || value.is_none();
        if self.target == Target::Url {
            if nothing {
                return Err(ErrorKind::UndefinedError.into());
            }
            fmt::Write::write_char(out, filled_url::OPEN)?;
            in_url(out, value, place)?;
            return Ok(fmt::Write::write_char(out, filled_url::CLOSE)?);
        }
        if self.empty_as_null && (nothing || value.as_str() == Some("")) {
            return Ok(fmt::Write::write_str(out, "null")?);
        }
        match self.target {
            Target::Json if place == Place::InQuotes => written(&mut escape::Json(out), value),
            Target::Json => in_json(out, value, place),
            Target::Xml => written(&mut escape::Xml(out), value),
            Target::Form => written(&mut escape::Percent(out), value),
            // What a filter marked as HTML stays.
            Target::Markup if !value.is_safe() => written(&mut escape::Markup(out), value),
            Target::Text | Target::Markup | Target::Url => written(out, value),
        }
    }
}

/// Text as it is, nothing for what is missing or `null`, all else as JSON.
fn written(out: &mut dyn fmt::Write, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) => out.write_str(text)?,
        None if value.is_undefined() || value.is_none() => {}
        None => json::write(out, value)?,
    }
    Ok(())
}

/// Inside a string or as a value of its own: text is escaped without quotes, all else is JSON. What a filter marked
/// as JSON already (`tojson`, `safe`) stays. Where it is known that there are no quotes around it, text must be a
/// number or a word of JSON itself.
fn in_json(out: &mut dyn fmt::Write, value: &Value, place: Place) -> Result<(), Error> {
    match value.as_str() {
        Some(text) if value.is_safe() => out.write_str(text)?,
        Some(text) if place == Place::OutOfQuotes && !stands_alone(text) => {
            return Err(Error::new(ErrorKind::InvalidOperation, "is text, which needs quotes around it in JSON"));
        }
        Some(text) => fmt::Write::write_str(&mut escape::Json(out), text)?,
        None if value.is_undefined() => {}
        None => json::write(out, value)?,
    }
    Ok(())
}

/// Whether text is a JSON value without quotes, or nothing at all.
fn stands_alone(text: &str) -> bool {
    text.is_empty()
        || matches!(text, "true" | "false" | "null")
        || serde_json::from_str::<serde_json::Number>(text).is_ok_and(|_| !text.contains(char::is_whitespace))
}

fn in_url(out: &mut dyn fmt::Write, value: &Value, place: Place) -> Result<(), Error> {
    // Of text that a template has put together before.
    let unmarked = value.as_str().filter(|text| text.contains([filled_url::OPEN, filled_url::CLOSE]));
    let unmarked = unmarked.map(|text| Value::from(text.replace([filled_url::OPEN, filled_url::CLOSE], "")));
    let value = unmarked.as_ref().unwrap_or(value);
    if place == Place::Base {
        return written(out, value);
    }
    let mut out = escape::Percent(out);
    match value.as_str() {
        Some(text) => fmt::Write::write_str(&mut out, text)?,
        None if value.kind() == ValueKind::Number => json::write_number(&mut out, value)?,
        None => json::write(&mut out, value)?,
    }
    Ok(())
}
