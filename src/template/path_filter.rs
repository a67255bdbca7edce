//! Path filters: conditions on an order, as one line of text.
//!
//! ```text
//! OrderDetailsData.OperationDatas(ProductCode=XXXX).BasePrice=10000;OrderDetailsData.OrderType=SALE
//! ```
//!
//! Conditions are joined by `;`, and all must hold. A condition is a path and the value that stands at its end. A name
//! may be followed by parentheses that choose elements of the list there: `(*)` any of them, `(K=v)` those whose K is
//! v; the condition holds if it holds for one of them. What stands there without being a list counts as a list of one.
//! A list without parentheses has no fields and equals nothing, so the condition does not hold. A field that is missing
//! equals nothing either.
//!
//! Names match exactly first, then without regard to case. Text is equal to the same text, a number to a number of the
//! same value (`10000` and `10000.0`), the others to `true`, `false` and `null`. White space around names and values
//! does not count. A value in double quotes may hold `;`, `)` and white space at its ends, and `\"` and `\\`.

mod condition;
mod parse;

use std::fmt;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::ValueKind;

use self::condition::{Condition, Select, Step, Wanted};
use super::{RenderError, Scope, SyntaxError, json};
use crate::domain::Granularity;

/// A filter, compiled. Cheap to clone.
#[derive(Clone)]
pub struct PathFilter {
    source: Arc<str>,
    conditions: Arc<[Condition]>,
}

impl PathFilter {
    /// Compiles `source`.
    pub fn compile(source: &str) -> Result<Self, SyntaxError> {
        Ok(Self { source: source.into(), conditions: parse::filter(source)?.into() })
    }

    /// As written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether every condition holds for the order of `scope`, of which `granularity` is seen. `Err` where the order
    /// cannot be read.
    pub fn holds(&self, scope: &Scope, granularity: Granularity) -> Result<bool, RenderError> {
        let order = scope.parsed_order().map_err(|error| RenderError(error.to_string()))?;
        let holds = |condition: &Condition| {
            let seen = Seen { granularity, wanted: &condition.wanted };
            seen.holds(&order, &condition.path, Granularity::Order)
        };
        Ok(self.conditions.iter().all(holds))
    }
}

impl fmt::Debug for PathFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.source, f)
    }
}

/// A condition on its way through an order. Each value of the order is looked at once at most for a condition, however
/// many lists its path goes through.
struct Seen<'a> {
    granularity: Granularity,
    wanted: &'a Wanted,
}

impl Seen<'_> {
    /// Whether the rest of the path leads from `value`, within a list on the level `around`, to the value wanted.
    fn holds(&self, value: &Value, path: &[Step], around: Granularity) -> bool {
        let Some((step, rest)) = path.split_first() else { return self.wanted.is(value) };
        let Some((found, level)) = self.field(value, &step.name, around) else { return false };
        match &step.select {
            Select::This => self.holds(&found, rest, around),
            Select::Any => elements(&found, |element| self.holds(element, rest, level)),
            Select::With(key, wanted) => elements(&found, |element| {
                let own = self.field(element, key, level);
                own.is_some_and(|(own, _)| wanted.is(&own)) && self.holds(element, rest, level)
            }),
        }
    }

    /// A field, and the level of what is in it where it is a list. A list that the granularity leaves out is not there.
    fn field(&self, value: &Value, name: &str, around: Granularity) -> Option<(Value, Granularity)> {
        if value.kind() != ValueKind::Map {
            return None;
        }
        let (name, found) = json::field(value, name)?;
        if found.kind() != ValueKind::Seq {
            return Some((found, around));
        }
        let level = Granularity::of_list(&name, around);
        let left_out = level > self.granularity && found.try_iter().ok()?.any(|item| is_record(&item));
        (!left_out).then_some((found, level))
    }
}

fn is_record(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Map | ValueKind::Seq)
}

/// Whether something holds for one of the elements; what is no list is the only one.
fn elements(value: &Value, mut holds: impl FnMut(&Value) -> bool) -> bool {
    if value.kind() != ValueKind::Seq {
        return holds(value);
    }
    value.try_iter().is_ok_and(|mut items| items.any(|item| holds(&item)))
}

#[cfg(test)]
mod tests;
