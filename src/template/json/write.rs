//! Writing values as JSON.

use std::fmt;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

use super::values::{LongNumber, Unknown};
use crate::domain::json::MAX_DEPTH;

/// Writes a value as JSON.
pub(in crate::template) fn write(out: &mut dyn fmt::Write, value: &Value) -> Result<(), Error> {
    write_nested(out, value, 0)
}

fn write_nested(out: &mut dyn fmt::Write, value: &Value, depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH + 8 {
        return Err(Error::new(ErrorKind::BadSerialization, "nested too deeply"));
    }
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => out.write_str("null")?,
        ValueKind::Bool => out.write_str(if value.is_true() { "true" } else { "false" })?,
        ValueKind::Number => write_number(out, value)?,
        ValueKind::String => write_text(out, value.as_str().unwrap_or_default())?,
        ValueKind::Seq | ValueKind::Iterable => {
            out.write_char('[')?;
            for (at, item) in value.try_iter()?.enumerate() {
                if at > 0 {
                    out.write_char(',')?;
                }
                write_nested(out, &item, depth + 1)?;
            }
            out.write_char(']')?;
        }
        ValueKind::Map => {
            out.write_char('{')?;
            for (at, name) in value.try_iter()?.enumerate() {
                if at > 0 {
                    out.write_char(',')?;
                }
                match name.as_str() {
                    Some(text) => write_text(out, text)?,
                    None => write_text(out, &name.to_string())?,
                }
                out.write_char(':')?;
                write_nested(out, &value.get_item(&name)?, depth + 1)?;
            }
            out.write_char('}')?;
        }
        _ => match value.downcast_object_ref::<LongNumber>() {
            Some(number) => out.write_str(&number.text)?,
            None if value.downcast_object_ref::<Unknown>().is_some() => out.write_str("false")?,
            None => {
                return Err(Error::new(
                    ErrorKind::BadSerialization,
                    format!("{} cannot be written as JSON", value.kind()),
                ));
            }
        },
    }
    Ok(())
}

/// Writes a number; what is none (a division by zero) as `null`.
pub(in crate::template) fn write_number(out: &mut dyn fmt::Write, value: &Value) -> fmt::Result {
    let finite = value.is_integer() || f64::try_from(value.clone()).is_ok_and(f64::is_finite);
    if finite { write!(out, "{value}") } else { out.write_str("null") }
}

fn write_text(out: &mut dyn fmt::Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    write_escaped(out, text)?;
    out.write_char('"')
}

/// Writes text as it stands inside a JSON string.
pub(in crate::template) fn write_escaped(out: &mut dyn fmt::Write, text: &str) -> fmt::Result {
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.write_str(text.get(from..at).unwrap_or_default())?;
        from = at + 1;
        match byte {
            b'"' => out.write_str("\\\"")?,
            b'\\' => out.write_str("\\\\")?,
            b'\n' => out.write_str("\\n")?,
            b'\r' => out.write_str("\\r")?,
            b'\t' => out.write_str("\\t")?,
            _ => write!(out, "\\u{byte:04x}")?,
        }
    }
    out.write_str(text.get(from..).unwrap_or_default())
}

/// A number as it would stand in JSON; as it came where no machine type holds it.
pub(in crate::template) fn number_text(value: &Value) -> String {
    if let Some(long) = value.downcast_object_ref::<LongNumber>() {
        return long.text.to_string();
    }
    let mut text = String::new();
    // Writing into memory does not fail.
    let _ = write_number(&mut text, value);
    text
}
