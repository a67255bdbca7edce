//! The engine's filters that calculate or sort, for numbers that keep the digits they came with.

#![allow(clippy::needless_pass_by_value, reason = "the engine hands keyword arguments over by value")]

use std::cmp::Ordering;

use minijinja::value::{Kwargs, Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value, filters};

use super::costs::metered;
use super::decimal::Decimal;
use super::json::{self, LongNumber};
use super::meter::{self, ELEMENT};
use super::operators::{Sum, compare, exact, is_number, plain};
use super::path;

/// Adds those that need no more than numbers the engine knows: each argument becomes one.
pub(super) fn add_numeric(environment: &mut Environment<'static>) {
    for (name, own) in [
        ("abs", Value::from_function(filters::abs)),
        ("round", Value::from_function(filters::round)),
        ("int", Value::from_function(filters::int)),
        ("float", Value::from_function(filters::float)),
        ("format", Value::from_function(filters::format)),
    ] {
        let calculate = move |state: &mut State, args: Rest<ValueOrKwargs>| {
            // `%s` writes a number as it came; all else calculates.
            let args = args.into_values();
            let exact = match name {
                "abs" => absolute(&args),
                "round" => rounded(&args),
                _ => None,
            };
            if let Some(value) = exact {
                return Ok(value);
            }
            let keeps = name == "format" && args.first().and_then(Value::as_str).is_some_and(|format| format == "%s");
            let args: Vec<Value> = if keeps { args } else { args.iter().map(plain).collect() };
            own.call(state, &args)
        };
        environment.add_filter(name, metered(name, calculate));
    }
}

/// The number without its sign, if no machine type holds its digits.
fn absolute(args: &[Value]) -> Option<Value> {
    let [value] = args else { return None };
    let long = value.downcast_object_ref::<LongNumber>()?;
    Some(if long.is_negative() { long.negative() } else { value.clone() })
}

/// `round(places)` of a number with a fraction, by its digits: half of a unit goes away from zero.
fn rounded(args: &[Value]) -> Option<Value> {
    let (value, places) = match args {
        [value] => (value, 0),
        [value, places] => (value, u32::try_from(places.clone()).ok()?),
        _ => return None,
    };
    let number = exact(value).filter(|_| !value.is_integer())?;
    Some(json::number(&number.round(places)?.text()))
}

fn list_of(value: &Value) -> Result<Vec<Value>, Error> {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Ok(Vec::new()),
        _ => Ok(value.try_iter()?.collect()),
    }
}

/// What the values are compared by: a field of theirs, or they themselves; text without regard to case, if not told.
fn key_of(value: &Value, attribute: Option<&str>, case_sensitive: bool) -> Value {
    let key = match attribute {
        Some(attribute) => path::walk(value, attribute.split('.')).unwrap_or_default(),
        None => value.clone(),
    };
    match key.as_str() {
        Some(text) if !case_sensitive => Value::from(text.to_lowercase()),
        _ => key,
    }
}

/// Missing values, then truth values, numbers by value, texts, lists and all else. A total order, which sorting needs.
fn by_key(a: &Value, b: &Value) -> Ordering {
    let kind = |value: &Value| match value.kind() {
        ValueKind::Undefined | ValueKind::None => 0,
        ValueKind::Bool => 1,
        // Not the result of a division by zero, which has no place among the numbers.
        _ if is_number(value) && matches!(compare(value, value), Ok(Some(_))) => 2,
        _ if is_number(value) => 3,
        ValueKind::String => 4,
        ValueKind::Seq => 5,
        _ => 6,
    };
    let of_a = kind(a);
    of_a.cmp(&kind(b)).then_with(|| match of_a {
        2 => compare(a, b).ok().flatten().unwrap_or(Ordering::Equal),
        1 | 4 | 5 => a.cmp(b),
        _ => Ordering::Equal,
    })
}

/// Each element with what it is compared by, which is paid for as many times as `rounds` says. Among numbers, text that
/// is a number counts as one.
fn keyed(value: &Value, kwargs: &Kwargs, rounds: fn(usize) -> u64) -> Result<Vec<(Vec<Value>, Value)>, Error> {
    let attribute = kwargs.get::<Option<&str>>("attribute")?;
    let case_sensitive = kwargs.get::<Option<bool>>("case_sensitive")?.unwrap_or(false);
    let names: Vec<Option<&str>> =
        attribute.map_or_else(|| vec![None], |names| names.split(',').map(|name| Some(name.trim())).collect());
    let items = list_of(value)?;
    let rounds = rounds(items.len());
    let mut keyed = Vec::with_capacity(items.len());
    for item in items {
        meter::charge(ELEMENT + meter::units(attribute.unwrap_or_default().len()))?;
        let keys: Vec<Value> = names.iter().map(|name| key_of(&item, *name, case_sensitive)).collect();
        for key in &keys {
            (0..rounds).try_for_each(|_| meter::charge_deep(key))?;
        }
        keyed.push((keys, item));
    }
    for column in 0..names.len() {
        if keyed.iter().any(|(keys, _)| keys.get(column).is_some_and(is_number)) {
            keyed.iter_mut().filter_map(|(keys, _)| keys.get_mut(column)).for_each(count_as_number);
        }
    }
    Ok(keyed)
}

fn count_as_number(key: &mut Value) {
    if let Some(number) = key.as_str().filter(|text| Decimal::read(text).is_some()).map(json::number) {
        *key = number;
    }
}

fn by_keys(a: &[Value], b: &[Value]) -> Ordering {
    a.iter().zip(b).map(|(a, b)| by_key(a, b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// `sort(attribute, case_sensitive, reverse)`.
pub(super) fn sort(value: &Value, kwargs: Kwargs) -> Result<Value, Error> {
    let reverse = kwargs.get::<Option<bool>>("reverse")?.unwrap_or(false);
    let mut keyed = keyed(value, &kwargs, meter::rounds)?;
    kwargs.assert_all_used()?;
    keyed.sort_by(|(a, _), (b, _)| if reverse { by_keys(b, a) } else { by_keys(a, b) });
    Ok(keyed.into_iter().map(|(_, item)| item).collect())
}

/// `min(attribute, case_sensitive)`: the first of equal values.
pub(super) fn min(value: &Value, kwargs: Kwargs) -> Result<Value, Error> {
    let keyed = keyed(value, &kwargs, |_| 1)?;
    kwargs.assert_all_used()?;
    Ok(keyed.into_iter().min_by(|(a, _), (b, _)| by_keys(a, b)).map_or(Value::UNDEFINED, |(_, item)| item))
}

/// `max(attribute, case_sensitive)`: the last of equal values.
pub(super) fn max(value: &Value, kwargs: Kwargs) -> Result<Value, Error> {
    let keyed = keyed(value, &kwargs, |_| 1)?;
    kwargs.assert_all_used()?;
    Ok(keyed.into_iter().max_by(|(a, _), (b, _)| by_keys(a, b)).map_or(Value::UNDEFINED, |(_, item)| item))
}

/// `sum(attribute, start)`: of numbers and text that is one.
pub(super) fn sum(
    value: &Value,
    attribute: Option<&str>,
    start: Option<Value>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let attribute = match attribute {
        Some(attribute) => Some(attribute),
        None => kwargs.get::<Option<&str>>("attribute")?,
    };
    let start = match start {
        Some(start) => start,
        None => kwargs.get::<Option<Value>>("start")?.unwrap_or_else(|| Value::from(0)),
    };
    kwargs.assert_all_used()?;
    let step = ELEMENT + meter::units(attribute.unwrap_or_default().len());
    list_of(value)?.iter().try_fold(start, |sum, item| {
        meter::charge(step)?;
        let item = match attribute {
            Some(attribute) => path::walk(item, attribute.split('.')).unwrap_or_default(),
            None => item.clone(),
        };
        if item.is_undefined() {
            return Err(Error::from(ErrorKind::UndefinedError));
        }
        Sum::Add.of(&sum, &item, false)
    })
}
