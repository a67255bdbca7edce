//! How a value is written where it is filled in: one rule for each [`Target`], and a bound on the whole.

use std::cell::Cell;
use std::fmt;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Output, State, Value};

use super::{Target, json};

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

/// Writes `value` for `target`.
pub(super) fn write(target: Target, out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let mut out = Capped(out);
    match target {
        Target::Json => in_json(&mut out, value),
        Target::Url => in_url(&mut out, value),
        Target::Text => in_text(&mut out, value),
    }
}

/// Inside a string or as a value of its own: text is escaped without quotes, all else is JSON. What a filter marked
/// as JSON already (`tojson`, `safe`) stays.
fn in_json(out: &mut dyn fmt::Write, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) if value.is_safe() => out.write_str(text)?,
        Some(text) => json::write_escaped(out, text)?,
        None if value.is_undefined() => {}
        None => json::write(out, value)?,
    }
    Ok(())
}

fn in_text(out: &mut dyn fmt::Write, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) => out.write_str(text)?,
        None if value.is_undefined() || value.is_none() => {}
        None => json::write(out, value)?,
    }
    Ok(())
}

fn in_url(out: &mut dyn fmt::Write, value: &Value) -> Result<(), Error> {
    if value.is_undefined() || value.is_none() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let mut out = Encoded(out);
    match value.as_str() {
        Some(text) => fmt::Write::write_str(&mut out, text)?,
        None if value.kind() == ValueKind::Number => json::write_number(&mut out, value)?,
        None => json::write(&mut out, value)?,
    }
    Ok(())
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
struct Encoded<'a>(&'a mut dyn fmt::Write);

impl fmt::Write for Encoded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut from = 0;
        for (at, byte) in text.bytes().enumerate() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                continue;
            }
            self.0.write_str(text.get(from..at).unwrap_or_default())?;
            write!(self.0, "%{byte:02X}")?;
            from = at + 1;
        }
        self.0.write_str(text.get(from..).unwrap_or_default())
    }
}
