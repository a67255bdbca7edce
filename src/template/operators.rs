//! What the operators of templates and expressions mean.
//!
//! They differ from the engine's own, which put any value before or after any other by its kind. Here a value of the
//! wrong type is an error, so that it cannot pass a condition unnoticed:
//!
//! | operator | text that is a number | other text with a number | missing or `null` |
//! |---|---|---|---|
//! | `<`, `<=`, `>`, `>=` | counts as the number | error | unknown |
//! | `in` | counts as the number | error, where no element could equal it | unknown |
//! | `+`, `-`, `*`, `/`, `//`, `%`, `**` | counts as the number | error | unknown in a condition, else error |
//! | `==`, `!=` | is text | not equal | as any other value |
//!
//! [`Unknown`] is false, and so is its negation.

use std::cmp::Ordering;

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Value};

use super::decimal::Decimal;
use super::exact::Exact;
use super::json::{self, LongNumber, Unknown};
use super::meter::{self, ELEMENT};

/// Adds the operators under names that no template can write. In a `condition`, arithmetic with a missing field is
/// missing; in a template it is an error.
pub(super) fn add(environment: &mut Environment<'static>, condition: bool) {
    add_binary(environment, "<", |a, b| ordered(a, b, Ordering::is_lt));
    add_binary(environment, "<=", |a, b| ordered(a, b, Ordering::is_le));
    add_binary(environment, ">", |a, b| ordered(a, b, Ordering::is_gt));
    add_binary(environment, ">=", |a, b| ordered(a, b, Ordering::is_ge));
    add_binary(environment, "==", |a, b| Ok(Value::from(eq(a, b))));
    add_binary(environment, "!=", |a, b| Ok(Value::from(!eq(a, b))));
    add_binary(environment, "in'", contains);
    environment.add_filter("not'", negated);
    environment.add_filter("neg'", move |a: &Value| negative(a, condition));
    for operation in [Sum::Add, Sum::Sub, Sum::Mul, Sum::Div, Sum::IntDiv, Sum::Rem, Sum::Pow] {
        add_binary(environment, operation.name(), move |a, b| operation.of(a, b, condition));
    }
}

/// Adds an operator. What it does is paid for while it does it; a result that came from running out does not count.
fn add_binary(
    environment: &mut Environment<'static>,
    name: &'static str,
    operator: impl Fn(&Value, &Value) -> Result<Value, Error> + Send + Sync + 'static,
) {
    environment.add_filter(name, move |a: &Value, b: &Value| {
        let result = operator(a, b);
        meter::check()?;
        result
    });
}

/// Whether a value is a number, one that no machine type holds too.
pub(super) fn is_number(value: &Value) -> bool {
    value.is_number() || value.downcast_object_ref::<LongNumber>().is_some()
}

/// A number, or text that is one.
fn number_of(value: &Value) -> Option<Decimal> {
    if !meter::spend(meter::shallow(value)) {
        return None;
    }
    match value.as_str() {
        Some(text) => Decimal::read(text),
        None if is_number(value) => Decimal::read(&json::number_text(value)),
        None => None,
    }
}

fn is_nothing(value: &Value) -> bool {
    value.is_undefined() || value.is_none() || value.downcast_object_ref::<Unknown>().is_some()
}

fn what(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::Bool => "true or false",
        ValueKind::String if number_of(value).is_some() => "a number",
        ValueKind::String => "text that is not a number",
        ValueKind::Seq | ValueKind::Iterable => "a list",
        ValueKind::Map => "an object",
        _ if is_number(value) => "a number",
        _ => "a value of another type",
    }
}

/// The order of two values; `None` where one of them is missing, `null` or not a number (a division by zero).
pub(super) fn compare(a: &Value, b: &Value) -> Result<Option<Ordering>, Error> {
    if is_nothing(a) || is_nothing(b) {
        return Ok(None);
    }
    if a.is_integer() && b.is_integer() {
        return Ok(Some(a.cmp(b)));
    }
    if let (Some(a), Some(b)) = (number_of(a), number_of(b)) {
        return Ok(Some(a.cmp(&b)));
    }
    if is_number(a) && is_number(b) {
        return Ok(None);
    }
    if a.kind() == b.kind() && matches!(a.kind(), ValueKind::String | ValueKind::Bool | ValueKind::Seq) {
        meter::charge_deep(a)?;
        meter::charge_deep(b)?;
        return Ok(Some(a.cmp(b)));
    }
    let detail = format!("{} cannot be compared with {}", what(a), what(b));
    Err(Error::new(ErrorKind::InvalidOperation, detail))
}

fn ordered(a: &Value, b: &Value, holds: fn(Ordering) -> bool) -> Result<Value, Error> {
    Ok(compare(a, b)?.map_or_else(unknown, |order| Value::from(holds(order))))
}

fn unknown() -> Value {
    Value::from_object(Unknown)
}

/// Whether two values are equal: numbers by value, lists and objects element by element.
pub(super) fn eq(a: &Value, b: &Value) -> bool {
    if a.is_undefined() || b.is_undefined() || !meter::spend(ELEMENT) {
        return false;
    }
    if is_number(a) && is_number(b) {
        return matches!(compare(a, b), Ok(Some(Ordering::Equal)));
    }
    match (a.kind(), b.kind()) {
        (ValueKind::Seq, ValueKind::Seq) => match (a.try_iter(), b.try_iter()) {
            (Ok(x), Ok(y)) => a.len() == b.len() && x.zip(y).all(|(x, y)| eq(&x, &y)),
            _ => false,
        },
        (ValueKind::Map, ValueKind::Map) => match a.try_iter() {
            Ok(mut names) => {
                let same = |name: Value| match (a.get_item(&name), b.get_item(&name)) {
                    (Ok(x), Ok(y)) => eq(&x, &y),
                    _ => false,
                };
                a.len() == b.len() && names.all(same)
            }
            Err(_) => false,
        },
        _ => meter::charge_deep(a).and_then(|()| meter::charge_deep(b)).is_ok() && a == b,
    }
}

/// `value in container`: an element of a list, a name of an object, or a part of a text.
pub(super) fn contains(value: &Value, container: &Value) -> Result<Value, Error> {
    if is_nothing(value) || is_nothing(container) {
        return Ok(unknown());
    }
    let wrong = |detail: String| Err(Error::new(ErrorKind::InvalidOperation, detail));
    if matches!(container.kind(), ValueKind::String | ValueKind::Map) {
        let searched = if container.kind() == ValueKind::String { meter::shallow(container) } else { 0 };
        meter::charge(searched.saturating_add(meter::shallow(value)))?;
    }
    match container.kind() {
        ValueKind::String => match (container.as_str(), value.as_str()) {
            (Some(text), Some(part)) => Ok(Value::from(text.contains(part))),
            _ => wrong(format!("{} cannot be a part of text", what(value))),
        },
        ValueKind::Map => match value.as_str() {
            Some(name) => {
                Ok(Value::from(container.get_item(&Value::from(name)).is_ok_and(|found| !found.is_undefined())))
            }
            None => wrong(format!("{} cannot be a name in an object", what(value))),
        },
        ValueKind::Seq | ValueKind::Iterable => {
            let (mut any, mut comparable) = (false, false);
            for item in container.try_iter()? {
                meter::check()?;
                let mixed = is_number(value) != is_number(&item);
                if eq(value, &item) || (mixed && number_of(value).is_some() && number_of(value) == number_of(&item)) {
                    return Ok(Value::from(true));
                }
                any = true;
                // Text and numbers are the pair that a sender mixes up.
                let clash = mixed
                    && [value, &item]
                        .iter()
                        .any(|side| side.as_str().is_some_and(|text| Decimal::read(text).is_none()));
                comparable |= !clash;
            }
            if any && !comparable {
                let inside = if is_number(value) { "a list of text" } else { "a list of numbers" };
                return wrong(format!("{} cannot be in {inside}", what(value)));
            }
            Ok(Value::from(false))
        }
        _ => wrong(format!("{} has no elements", what(container))),
    }
}

fn negated(value: &Value) -> Value {
    if value.downcast_object_ref::<Unknown>().is_some() { value.clone() } else { Value::from(!value.is_true()) }
}

fn negative(value: &Value, condition: bool) -> Result<Value, Error> {
    if is_nothing(value) {
        return missing(condition);
    }
    match value.downcast_object_ref::<LongNumber>() {
        Some(long) => Ok(long.negative()),
        None => Sum::Sub.of(&Value::from(0), value, condition),
    }
}

fn missing(condition: bool) -> Result<Value, Error> {
    if condition { Ok(Value::UNDEFINED) } else { Err(ErrorKind::UndefinedError.into()) }
}

/// The number of a value as the machine calculates with it: whole, or the nearest float.
#[derive(Clone, Copy)]
enum Machine {
    Whole(i128),
    Float(f64),
}

impl Machine {
    fn of(value: &Value) -> Option<Self> {
        if !meter::spend(meter::shallow(value)) {
            return None;
        }
        let value = match value.as_str() {
            Some(text) => {
                Decimal::read(text)?;
                plain(&json::number(text))
            }
            None => plain(value),
        };
        if !value.is_number() {
            return None;
        }
        if value.is_integer() {
            return i128::try_from(value).ok().map(Self::Whole);
        }
        f64::try_from(value).ok().map(Self::Float)
    }

    fn float(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Float(number) => number,
        }
    }
}

/// The digits of a number, or of text that is one.
pub(super) fn exact(value: &Value) -> Option<Exact> {
    value.as_str().map_or_else(|| Exact::read(&json::number_text(value)), Exact::read)
}

/// A value that the engine's filters can calculate with: a number of many digits becomes the nearest float.
pub(super) fn plain(value: &Value) -> Value {
    value.downcast_object_ref::<LongNumber>().map_or_else(|| value.clone(), |long| Value::from(long.nearest()))
}

/// An operation on two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sum {
    Add,
    Sub,
    Mul,
    Div,
    IntDiv,
    Rem,
    Pow,
}

impl Sum {
    /// The name of its filter.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::IntDiv => "//",
            Self::Rem => "%",
            Self::Pow => "**",
        }
    }

    /// The result, where it has no more digits than [`Exact`] can hold.
    fn exactly(self, a: Exact, b: Exact) -> Option<Exact> {
        match self {
            Self::Add => a.add(b),
            Self::Sub => a.sub(b),
            Self::Mul => a.mul(b),
            Self::Div => a.div(b),
            Self::IntDiv => a.int_div(b),
            Self::Rem => a.rem(b),
            Self::Pow => a.pow(b),
        }
    }

    /// Calculates, without rounding where the result has an end within 38 digits, else with the nearest floats. Two
    /// texts, or two lists, are joined by `+`.
    pub(super) fn of(self, a: &Value, b: &Value, condition: bool) -> Result<Value, Error> {
        if is_nothing(a) || is_nothing(b) {
            return missing(condition);
        }
        if self == Self::Add {
            if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
                meter::charge_text(meter::units(a.len()).saturating_add(meter::units(b.len())))?;
                return Ok(Value::from(format!("{a}{b}")));
            }
            if a.kind() == ValueKind::Seq && b.kind() == ValueKind::Seq {
                meter::charge(meter::shallow(a).saturating_add(meter::shallow(b)))?;
                return Ok(a.try_iter()?.chain(b.try_iter()?).collect());
            }
        }
        let (Some(x), Some(y)) = (Machine::of(a), Machine::of(b)) else {
            let detail = format!("{} and {} cannot be calculated with `{}`", what(a), what(b), self.name());
            return Err(Error::new(ErrorKind::InvalidOperation, detail));
        };
        let result = match (x, y) {
            (Machine::Whole(x), Machine::Whole(y)) if self != Self::Div && !(self == Self::Pow && y < 0) => {
                let whole = match self {
                    Self::Add => x.checked_add(y),
                    Self::Sub => x.checked_sub(y),
                    Self::Mul => x.checked_mul(y),
                    Self::IntDiv => x.checked_div_euclid(y),
                    Self::Rem => x.checked_rem_euclid(y),
                    Self::Pow => u32::try_from(y).ok().and_then(|y| x.checked_pow(y)),
                    Self::Div => None,
                };
                whole.map(|whole| i64::try_from(whole).map_or_else(|_| Value::from(whole), Value::from))
            }
            (x, y) => {
                if let (Some(a), Some(b)) = (exact(a), exact(b))
                    && let Some(result) = self.exactly(a, b)
                {
                    return Ok(json::number(&result.text()));
                }
                let (x, y) = (x.float(), y.float());
                Some(Value::from(match self {
                    Self::Add => x + y,
                    Self::Sub => x - y,
                    Self::Mul => x * y,
                    Self::Div => x / y,
                    Self::IntDiv => x.div_euclid(y),
                    Self::Rem => x.rem_euclid(y),
                    Self::Pow => x.powf(y),
                }))
            }
        };
        let failed =
            if matches!(self, Self::IntDiv | Self::Rem) { "division by zero" } else { "the result is too large" };
        result.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, failed))
    }
}
