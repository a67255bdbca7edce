//! The words that templates and expressions can use, and what comparisons mean.
//!
//! Comparisons differ from the engine's own, which put any value before or behind any other by its kind: here a
//! missing field compares to nothing, and values of different kinds are neither less nor greater.

use std::cmp::Ordering;

use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, filters, functions, tests};

use super::Target;
use super::fill::{Capped, Filler, Place};
use super::json::{self, LongNumber};

/// The names at the root of every path.
pub(super) const ROOTS: &[&str] = &[
    "order",
    "context",
    "event",
    "delivery",
    "item",
    "items",
    "quantity",
    "unit",
    "product_id",
    "order_id",
    "customer_email",
    "accept_url",
    "order_url",
    "now",
];

/// The names below those roots that have a fixed set.
pub(super) const FIXED: &[(&str, &[&str])] =
    &[("event", &["id", "type", "time", "steps", "step", "plugin", "code", "error"]), ("delivery", &["id"])];

macro_rules! words {
    ($list:ident $doc:literal $add:ident $into:ident { $($name:literal => $function:expr),* $(,)? }) => {
        #[doc = $doc]
        pub(super) const $list: &[&str] = &[$($name),*];
        fn $into(environment: &mut Environment<'static>) {
            $(environment.$add($name, $function);)*
        }
    };
}

words!(FILTERS "The filters." add_filter add_filters {
    "abs" => filters::abs, "attr" => filters::attr, "batch" => filters::batch, "bool" => filters::bool,
    "capitalize" => filters::capitalize, "count" => filters::length, "d" => filters::default,
    "default" => filters::default, "dictsort" => filters::dictsort, "first" => filters::first,
    "float" => filters::float, "format" => filters::format, "groupby" => filters::groupby,
    "indent" => filters::indent, "int" => filters::int, "items" => filters::items, "join" => filters::join,
    "last" => filters::last, "length" => filters::length, "lines" => filters::lines, "list" => filters::list,
    "lower" => filters::lower, "map" => filters::map, "max" => filters::max, "min" => filters::min,
    "reject" => filters::reject, "rejectattr" => filters::rejectattr, "required" => required, "replace" => filters::replace,
    "reverse" => filters::reverse, "round" => filters::round, "safe" => filters::safe,
    "select" => filters::select, "selectattr" => filters::selectattr, "slice" => filters::slice,
    "sort" => filters::sort, "split" => filters::split, "string" => filters::string, "sum" => filters::sum,
    "title" => filters::title, "tojson" => tojson, "trim" => filters::trim, "unique" => filters::unique,
    "upper" => filters::upper, "zip" => filters::zip,
});

words!(TESTS "The tests, as in `order.total is number`." add_test add_tests {
    "boolean" => tests::is_boolean, "defined" => tests::is_defined, "divisibleby" => tests::is_divisibleby,
    "endingwith" => tests::is_endingwith, "eq" => eq, "even" => tests::is_even, "false" => tests::is_false,
    "float" => tests::is_float, "ge" => ge, "gt" => gt, "in" => is_in, "integer" => tests::is_integer,
    "iterable" => tests::is_iterable, "le" => le, "lower" => tests::is_lower, "lt" => lt,
    "mapping" => tests::is_mapping, "ne" => ne, "none" => tests::is_none, "number" => is_number,
    "odd" => tests::is_odd, "sequence" => tests::is_sequence, "startingwith" => tests::is_startingwith,
    "string" => tests::is_string, "true" => tests::is_true, "undefined" => tests::is_undefined,
    "upper" => tests::is_upper,
});

words!(FUNCTIONS "The functions." add_function add_functions {
    "dict" => functions::dict, "range" => functions::range,
});

/// Everything that a template filled in that way can use, `fuel` instructions at most.
pub(super) fn environment(filler: Filler, fuel: u64) -> Environment<'static> {
    let mut environment = Environment::empty();
    add_filters(&mut environment);
    add_tests(&mut environment);
    add_functions(&mut environment);
    environment.set_debug(false);
    environment.set_fuel(Some(fuel));
    environment.set_undefined_behavior(match filler.target {
        // A filter must not make an empty segment of a field that is not there.
        Target::Url => UndefinedBehavior::SemiStrict,
        Target::Json | Target::Form | Target::Xml | Target::Text | Target::Markup => UndefinedBehavior::Chainable,
    });
    environment.set_formatter(move |out, _, value| filler.write(out, value, Place::Any));
    environment
}

/// A value as JSON, which is filled in unchanged in JSON.
fn tojson(value: &Value) -> Result<Value, Error> {
    let mut text = String::new();
    json::write(&mut Capped(&mut text), value)?;
    Ok(Value::from_safe_string(text))
}

/// The value, which must be there: a template that uses it is strict about that field.
fn required(value: &Value) -> Result<Value, Error> {
    if value.is_undefined() || value.is_none() { Err(ErrorKind::UndefinedError.into()) } else { Ok(value.clone()) }
}

fn is_number(value: &Value) -> bool {
    value.is_number() || value.downcast_object_ref::<LongNumber>().is_some()
}

fn nearest(value: &Value) -> Option<f64> {
    match value.downcast_object_ref::<LongNumber>() {
        Some(number) => Some(number.nearest()),
        None if value.is_number() => f64::try_from(value.clone()).ok().or_else(|| value.to_string().parse().ok()),
        None => None,
    }
}

/// How two values stand to each other, where they can be compared at all.
fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    if a.is_undefined() || b.is_undefined() {
        return None;
    }
    if a.kind() == b.kind() && a.as_object().is_none() {
        return Some(a.cmp(b));
    }
    if a.kind() == b.kind() && a.downcast_object_ref::<LongNumber>().is_none() {
        return Some(a.cmp(b));
    }
    nearest(a)?.partial_cmp(&nearest(b)?)
}

fn eq(a: &Value, b: &Value) -> bool {
    !a.is_undefined() && !b.is_undefined() && a == b
}

fn ne(a: &Value, b: &Value) -> bool {
    !eq(a, b)
}

fn lt(a: &Value, b: &Value) -> bool {
    compare(a, b).is_some_and(Ordering::is_lt)
}

fn le(a: &Value, b: &Value) -> bool {
    compare(a, b).is_some_and(Ordering::is_le)
}

fn gt(a: &Value, b: &Value) -> bool {
    compare(a, b).is_some_and(Ordering::is_gt)
}

fn ge(a: &Value, b: &Value) -> bool {
    compare(a, b).is_some_and(Ordering::is_ge)
}

/// `value in container`: an element of a list, a name of an object, a part of a text; else false.
fn is_in(value: &Value, container: &Value) -> bool {
    if value.is_undefined() {
        return false;
    }
    match (container.as_str(), value.as_str()) {
        (Some(text), Some(part)) => text.contains(part),
        (Some(_), None) => false,
        (None, _) => match container.kind() {
            minijinja::value::ValueKind::Map => container.get_item(value).is_ok_and(|found| !found.is_undefined()),
            _ => container.try_iter().is_ok_and(|mut items| items.any(|item| item == *value)),
        },
    }
}

/// The known word that `word` looks like a slip of.
pub(super) fn nearest_word<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let slips = (word.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= slips)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
