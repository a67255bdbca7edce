//! JSON read into the values of templates.

use std::borrow::Cow;

use minijinja::{Error, ErrorKind, Value};

use crate::domain::json::{self, FromJson};

use super::values::{Fields, number};

/// Reads one JSON value.
pub(in crate::template) fn parse(text: &[u8]) -> Result<Value, Error> {
    json::parse(text, json::MAX_DEPTH).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

impl FromJson for Value {
    type Name = Self;

    fn name(text: Cow<'_, str>) -> Self {
        Self::from(&*text)
    }
    fn null() -> Self {
        Self::from(())
    }
    fn boolean(value: bool) -> Self {
        Self::from(value)
    }
    fn number(text: &str) -> Option<Self> {
        Some(number(text))
    }
    fn string(text: Cow<'_, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::from(text),
            Cow::Owned(text) => Self::from(text),
        }
    }
    fn list(items: Vec<Self>) -> Self {
        Self::from(items)
    }
    fn object(fields: Vec<(Self, Self)>) -> Self {
        Self::from_object(Fields::new(fields))
    }
}
