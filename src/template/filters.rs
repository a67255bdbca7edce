//! The engine's filters that calculate or sort, for numbers that keep the digits they came with.

#![allow(clippy::needless_pass_by_value, reason = "the engine hands keyword arguments over by value")]

use std::cmp::Ordering;

use minijinja::value::{Kwargs, Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value, filters};

use super::operators::{Sum, compare, plain};
use super::path;

/// Adds those that need no more than numbers the engine knows: each argument becomes one.
pub(super) fn add_numeric(environment: &mut Environment<'static>) {
    environment.add_filter("abs'", filters::abs);
    environment.add_filter("round'", filters::round);
    environment.add_filter("int'", filters::int);
    environment.add_filter("float'", filters::float);
    environment.add_filter("format'", filters::format);
    for (name, own) in
        [("abs", "abs'"), ("round", "round'"), ("int", "int'"), ("float", "float'"), ("format", "format'")]
    {
        environment.add_filter(name, move |state: &mut State, args: Rest<ValueOrKwargs>| {
            // `%s` writes a number as it came; all else calculates.
            let args = args.into_values();
            let keeps = name == "format" && args.first().and_then(Value::as_str).is_some_and(|format| format == "%s");
            let args: Vec<Value> = if keeps { args } else { args.iter().map(plain).collect() };
            state.apply_filter(own, &args)
        });
    }
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

/// Numbers by value, and values of different kinds by kind.
fn by_key(a: &Value, b: &Value) -> Ordering {
    let both_text = a.as_str().is_some() && b.as_str().is_some();
    if both_text { a.cmp(b) } else { compare(a, b).ok().flatten().unwrap_or_else(|| a.kind().cmp(&b.kind())) }
}

fn keyed(value: &Value, kwargs: &Kwargs) -> Result<Vec<(Vec<Value>, Value)>, Error> {
    let attribute = kwargs.get::<Option<&str>>("attribute")?;
    let case_sensitive = kwargs.get::<Option<bool>>("case_sensitive")?.unwrap_or(false);
    let items = list_of(value)?.into_iter();
    Ok(items
        .map(|item| {
            let keys = match attribute {
                Some(names) => names.split(',').map(|name| key_of(&item, Some(name.trim()), case_sensitive)).collect(),
                None => vec![key_of(&item, None, case_sensitive)],
            };
            (keys, item)
        })
        .collect())
}

fn by_keys(a: &[Value], b: &[Value]) -> Ordering {
    a.iter().zip(b).map(|(a, b)| by_key(a, b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// `sort(attribute, case_sensitive, reverse)`.
pub(super) fn sort(value: &Value, kwargs: Kwargs) -> Result<Value, Error> {
    let reverse = kwargs.get::<Option<bool>>("reverse")?.unwrap_or(false);
    let mut keyed = keyed(value, &kwargs)?;
    kwargs.assert_all_used()?;
    keyed.sort_by(|(a, _), (b, _)| if reverse { by_keys(b, a) } else { by_keys(a, b) });
    Ok(keyed.into_iter().map(|(_, item)| item).collect())
}

/// `min(attribute, case_sensitive)`: the first of equal values.
pub(super) fn min(value: &Value, kwargs: Kwargs) -> Result<Value, Error> {
    let keyed = keyed(value, &kwargs)?;
    kwargs.assert_all_used()?;
    Ok(keyed.into_iter().min_by(|(a, _), (b, _)| by_keys(a, b)).map_or(Value::UNDEFINED, |(_, item)| item))
}

/// `max(attribute, case_sensitive)`: the last of equal values.
pub(super) fn max(value: &Value, kwargs: Kwargs) -> Result<Value, Error> {
    let keyed = keyed(value, &kwargs)?;
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
    list_of(value)?.iter().try_fold(start, |sum, item| {
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
