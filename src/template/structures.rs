//! Items, slices, objects, joined text and the methods of a loop: as the engine's own instructions, but paid for.

#![allow(clippy::needless_pass_by_value, reason = "the engine hands arguments over by value")]

use minijinja::value::{Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, Value};

use super::meter::{self, ELEMENT};

/// The names of the filters, which no template can write.
pub(super) const ITEM: &str = "[]'";
pub(super) const SLICE: &str = "[:]'";
pub(super) const OBJECT: &str = "{}'";
pub(super) const JOIN: &str = "~'";
pub(super) const CHANGED: &str = "changed'";
pub(super) const CYCLE: &str = "cycle'";

/// Adds them.
pub(super) fn add(environment: &mut Environment<'static>) {
    environment.add_filter(ITEM, item);
    environment.add_filter(SLICE, slice);
    environment.add_filter(OBJECT, object);
    environment.add_filter(JOIN, join);
    environment.add_filter(CHANGED, changed);
    environment.add_filter(CYCLE, cycle);
}

/// Lenient about what is missing, as everywhere but in a URL.
fn lenient(state: &State) -> bool {
    matches!(state.undefined_behavior(), UndefinedBehavior::Chainable)
}

/// `value[key]`.
fn item(state: &State, value: &Value, key: &Value) -> Result<Value, Error> {
    let searched = matches!(value.kind(), ValueKind::String | ValueKind::Iterable);
    meter::charge(meter::shallow(key) + if searched { meter::shallow(value) } else { 0 })?;
    if value.is_undefined() && lenient(state) { Ok(Value::UNDEFINED) } else { value.get_item(key) }
}

/// `value[start:end:by]`, where each of the three may be missing.
fn slice(value: &Value, start: &Value, end: &Value, by: &Value) -> Result<Value, Error> {
    let whole = |bound: &Value| if bound.is_none() { Ok(None) } else { i64::try_from(bound.clone()).map(Some) };
    let (start, end, by) = (whole(start)?, whole(end)?, whole(by)?.unwrap_or(1));
    if by == 0 {
        return Err(Error::new(ErrorKind::InvalidOperation, "the step of a slice cannot be 0"));
    }
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Ok(Value::from(Vec::<Value>::new())),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            // A character takes four bytes in a list.
            meter::charge(4 * meter::units(text.len()))?;
            let characters: Vec<char> = text.chars().collect();
            let chosen = chosen(characters.len(), start, end, by);
            Ok(chosen.filter_map(|at| characters.get(at)).collect::<String>().into())
        }
        ValueKind::Seq => {
            let length = meter::elements(value);
            chosen(length, start, end, by)
                .map(|at| {
                    meter::charge(ELEMENT)?;
                    value.get_item_by_index(at)
                })
                .collect::<Result<Vec<Value>, Error>>()
                .map(Value::from)
        }
        ValueKind::Iterable => {
            meter::charge(meter::shallow(value))?;
            let items: Vec<Value> = value.try_iter()?.collect();
            Ok(chosen(items.len(), start, end, by).filter_map(|at| items.get(at).cloned()).collect())
        }
        kind => Err(Error::new(ErrorKind::InvalidOperation, format!("value of type {kind} cannot be sliced"))),
    }
}

/// The positions that a slice chooses of `length`, in its order.
fn chosen(length: usize, start: Option<i64>, end: Option<i64>, by: i64) -> impl Iterator<Item = usize> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let (lowest, highest) = if by > 0 { (0, length) } else { (-1, length - 1) };
    let place = |bound: i64| (if bound < 0 { bound.saturating_add(length) } else { bound }).clamp(lowest, highest);
    let from = start.map_or(if by > 0 { 0 } else { length - 1 }, place);
    let to = end.map_or(if by > 0 { length } else { -1 }, place);
    let mut at = Some(from);
    std::iter::from_fn(move || {
        let here = at.filter(|at| if by > 0 { *at < to } else { *at > to })?;
        at = here.checked_add(by);
        usize::try_from(here).ok()
    })
}

/// `{key: value, …}`.
fn object(pairs: Rest<Value>) -> Result<Value, Error> {
    let mut entries = Vec::with_capacity(pairs.len() / 2);
    for pair in pairs.chunks_exact(2) {
        if let [key, value] = pair {
            meter::charge_deep(key)?;
            entries.push((key.clone(), value.clone()));
        }
    }
    Ok(Value::from_pairs(entries))
}

/// `a ~ b`.
fn join(state: &State, a: &Value, b: &Value) -> Result<Value, Error> {
    if !lenient(state) && (a.is_undefined() || b.is_undefined()) {
        return Err(ErrorKind::UndefinedError.into());
    }
    meter::joined(a, b).map(Value::from)
}

/// `loop.changed(…)`.
fn changed(state: &mut State, args: Rest<Value>) -> Result<Value, Error> {
    args.iter().skip(1).try_for_each(meter::charge_deep)?;
    method(state, "changed", &args)
}

/// `loop.cycle(…)`.
fn cycle(state: &mut State, args: Rest<Value>) -> Result<Value, Error> {
    if args.len() < 2 {
        return Err(Error::new(ErrorKind::MissingArgument, "`cycle` needs at least one value"));
    }
    method(state, "cycle", &args)
}

fn method(state: &mut State, name: &str, args: &[Value]) -> Result<Value, Error> {
    match args.split_first() {
        Some((value, args)) => value.call_method(state, name, args),
        None => Err(ErrorKind::MissingArgument.into()),
    }
}
