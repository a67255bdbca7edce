//! What each filter, test and function costs, by what it is called with.

use minijinja::functions::Function;
use minijinja::value::{FunctionArgs, FunctionResult, Rest, ValueKind, ValueOrKwargs};
use minijinja::{Error, ErrorKind, State, Value};

use super::meter::{self, ELEMENT};
use super::path;

/// What every call costs.
const CALL: u64 = 32;

/// The largest width and precision of a `format`.
const LARGEST_WIDTH: u64 = 10_000;

/// The largest bound of a `range`, either way.
const FARTHEST: i64 = 1 << 53;

/// The same function, paying for each call before it and for its result after it.
pub(super) fn metered<F, Rv, Args>(
    name: &'static str,
    function: F,
) -> impl Fn(&mut State, Rest<ValueOrKwargs>) -> Result<Value, Error> + Send + Sync + 'static
where
    F: Function<Rv, Args>,
    Rv: FunctionResult,
    Args: for<'a> FunctionArgs<'a>,
{
    let function = Value::from_function(function);
    move |state, args| {
        let args = args.into_values();
        before(name, &args)?;
        let result = function.call(state, &args)?;
        after(&result)?;
        Ok(result)
    }
}

fn after(result: &Value) -> Result<(), Error> {
    match result.as_str() {
        Some(text) => meter::charge_text(meter::units(text.len())),
        None if result.kind() == ValueKind::Iterable => meter::check(),
        None => meter::charge(meter::shallow(result)),
    }
}

/// Pays for a call of `name`.
fn before(name: &str, args: &[Value]) -> Result<(), Error> {
    let shallow = args.iter().map(meter::shallow).fold(CALL, u64::saturating_add);
    let Some((value, rest)) = args.split_first() else { return meter::charge(shallow) };
    match name {
        // These look at nothing but the value itself.
        "attr" | "count" | "d" | "default" | "defined" | "first" | "length" | "mapping" | "none" | "required"
        | "sequence" | "undefined" | "iterable"
            if value.kind() != ValueKind::Iterable =>
        {
            return meter::charge(CALL + if value.kind() == ValueKind::String { shallow } else { 0 });
        }
        _ => meter::charge(shallow)?,
    }
    let elements = meter::units(meter::elements(value));
    let others = rest.iter().map(meter::shallow).fold(0, u64::saturating_add);
    match name {
        "batch" | "slice" => meter::charge(ELEMENT.saturating_mul(number(rest.first())))?,
        "range" => {
            let bounds = args.iter().filter_map(|bound| i64::try_from(bound.clone()).ok());
            if args.iter().any(Value::is_number) && bounds.clone().count() < args.len()
                || bounds.map(i64::unsigned_abs).any(|bound| bound > FARTHEST.unsigned_abs())
            {
                return Err(Error::new(ErrorKind::InvalidOperation, "a bound of `range` is too large"));
            }
        }
        "map" | "select" | "reject" | "selectattr" | "rejectattr" => {
            meter::charge(elements.saturating_mul(others.saturating_add(CALL)))?;
        }
        "join" => {
            meter::charge_deep(value)?;
            meter::charge_text(elements.saturating_sub(1).saturating_mul(others))?;
        }
        "replace" => {
            let text = value.as_str().unwrap_or_default();
            let part = rest.first().and_then(Value::as_str).unwrap_or_default();
            let with = rest.get(1).and_then(Value::as_str).unwrap_or_default();
            meter::charge_deep(value)?;
            rest.iter().try_for_each(meter::charge_deep)?;
            let times = meter::units(if part.is_empty() { text.len() + 1 } else { text.matches(part).count() });
            meter::charge_text(times.saturating_mul(meter::units(with.len())))?;
        }
        "indent" => {
            meter::charge_deep(value)?;
            let lines = value.as_str().map_or(1, |text| text.matches('\n').count() + 1);
            let width = argument(rest, 0, "width").map_or(0, |width| number(Some(&width)));
            meter::charge_text(meter::units(lines).saturating_mul(width))?;
        }
        "format" => format(value, rest)?,
        "trim" => {
            let characters = rest.first().map_or(1, |characters| meter::shallow(characters).max(1));
            meter::charge(meter::shallow(value).saturating_mul(characters))?;
        }
        "groupby" | "unique" | "dictsort" => {
            let attribute = argument(rest, 0, "attribute").filter(|_| name != "dictsort");
            keys(value, attribute.as_ref().and_then(Value::as_str), elements)?;
        }
        "capitalize" | "lower" | "string" | "title" | "upper" => meter::charge_deep(value)?,
        _ => {}
    }
    Ok(())
}

/// Pays for sorting elements by what they are or have at a path.
fn keys(value: &Value, attribute: Option<&str>, elements: u64) -> Result<(), Error> {
    let rounds = meter::rounds(usize::try_from(elements).unwrap_or(usize::MAX));
    for _ in 0..rounds {
        match attribute {
            None => meter::charge_deep(value)?,
            Some(attribute) => {
                for item in value.try_iter()? {
                    meter::charge(ELEMENT + meter::units(attribute.len()))?;
                    meter::charge_deep(&path::walk(&item, attribute.split('.')).unwrap_or_default())?;
                }
            }
        }
    }
    Ok(())
}

/// Pays for each width and precision of a `format`, written in it or given as a value for `*`.
fn format(value: &Value, rest: &[Value]) -> Result<(), Error> {
    rest.iter().try_for_each(meter::charge_deep)?;
    let text = value.as_str().unwrap_or_default();
    let written = text.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let written = written.map(|digits| digits.parse::<u64>().unwrap_or(u64::MAX));
    let given = rest.iter().filter(|_| text.contains('*')).filter(|value| value.is_integer());
    let given = given.map(|value| i64::try_from(value.clone()).map_or(u64::MAX, i64::unsigned_abs));
    for width in written.chain(given) {
        // A number of the text itself may be larger, but no width or precision.
        if width > LARGEST_WIDTH && text.contains('%') {
            let message = format!("a number in the text of `format` is larger than {LARGEST_WIDTH}");
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
        meter::charge_text(width)?;
    }
    Ok(())
}

/// A positional argument, or the keyword of that name.
fn argument(rest: &[Value], at: usize, name: &str) -> Option<Value> {
    let keyword = rest.last().filter(|last| last.kind() == ValueKind::Map).and_then(|last| last.get_attr(name).ok());
    match keyword.filter(|keyword| !keyword.is_undefined()) {
        Some(keyword) => Some(keyword),
        None => rest.get(at).filter(|value| value.kind() != ValueKind::Map).cloned(),
    }
}

/// A whole number as units; nothing where it is no such number, as the filter then refuses it.
fn number(value: Option<&Value>) -> u64 {
    value.map_or(0, |value| match i64::try_from(value.clone()) {
        Ok(number) => u64::try_from(number).unwrap_or(0),
        Err(_) if value.is_number() => u64::MAX,
        Err(_) => 0,
    })
}
