//! The conditions of a path filter.

use minijinja::Value;
use minijinja::value::ValueKind;

use crate::template::decimal::Decimal;
use crate::template::json;

/// A path and the value wanted at its end.
pub(super) struct Condition {
    pub(super) path: Vec<Step>,
    pub(super) wanted: Wanted,
}

/// A name on a path, and which elements of the list there are meant.
pub(super) struct Step {
    pub(super) name: String,
    pub(super) select: Select,
}

/// The elements of a list that a step selects.
pub(super) enum Select {
    /// What is there itself.
    This,
    /// Any element.
    Any,
    /// The elements whose field of that name has that value.
    With(String, Wanted),
}

/// A value to compare with.
pub(super) struct Wanted {
    text: String,
    /// The same as a number, where it is one.
    number: Option<Decimal>,
}

impl Wanted {
    pub(super) fn new(text: String) -> Self {
        Self { number: Decimal::read(&text), text }
    }

    /// Whether a value of the order equals it.
    pub(super) fn is(&self, value: &Value) -> bool {
        if let Some(text) = value.as_str() {
            return text == self.text;
        }
        match value.kind() {
            ValueKind::None => self.text == "null",
            ValueKind::Bool => self.text == if value.is_true() { "true" } else { "false" },
            ValueKind::Seq | ValueKind::Map | ValueKind::Undefined => false,
            _ => self.number.is_some() && self.number == Decimal::read(&json::number_text(value)),
        }
    }
}
