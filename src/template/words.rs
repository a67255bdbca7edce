//! The words that templates and expressions can use. What operators mean is in `operators.rs`.

use std::cmp::Ordering;

use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, filters, functions, tests};

use super::Target;
use super::costs::metered;
use super::fill::{Filler, Place};
use super::operators::{self, compare, eq, is_number};
use super::{filters as own, meter, structures};

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
    "units",
    "product_id",
    "order_id",
    "customer_email",
    "accept_url",
    "order_url",
    "now",
];

/// What an event has. A CloudEvent has the attributes of its own besides.
const EVENT_FIELDS: &[&str] = &[
    "id",
    "type",
    "time",
    "steps",
    "step",
    "plugin",
    "code",
    "error",
    "source",
    "subject",
    "dataschema",
    "datacontenttype",
    "cloudevent",
];

/// Whether a name may be an extension attribute of a CloudEvent: none that an event has, nor a likely slip of one.
pub(super) fn is_extension(root: &str, name: &str) -> bool {
    let allowed = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    root == "event" && allowed && !name.is_empty() && nearest_word(name, EVENT_FIELDS.iter().copied()).is_none()
}

/// The names below those roots that have a fixed set.
pub(super) const FIXED: &[(&str, &[&str])] = &[("event", EVENT_FIELDS), ("delivery", &["id"])];

macro_rules! words {
    ($list:ident $doc:literal $add:ident $into:ident { $($name:literal => $function:expr),* $(,)? }) => {
        #[doc = $doc]
        pub(super) const $list: &[&str] = &[$($name),*];
        fn $into(environment: &mut Environment<'static>) {
            $(environment.$add($name, metered($name, $function));)*
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
    "lower" => filters::lower, "map" => filters::map, "max" => own::max, "min" => own::min,
    "reject" => filters::reject, "rejectattr" => filters::rejectattr, "required" => required, "replace" => filters::replace,
    "reverse" => filters::reverse, "round" => filters::round, "safe" => filters::safe,
    "select" => filters::select, "selectattr" => filters::selectattr, "slice" => filters::slice,
    "sort" => own::sort, "split" => filters::split, "string" => filters::string, "sum" => own::sum,
    "title" => filters::title, "tojson" => tojson, "trim" => filters::trim, "unique" => filters::unique,
    "upper" => filters::upper, "zip" => filters::zip,
});

words!(TESTS "The tests, as in `order.total is number`." add_test add_tests {
    "boolean" => tests::is_boolean, "defined" => tests::is_defined, "divisibleby" => tests::is_divisibleby,
    "endingwith" => tests::is_endingwith, "eq" => eq, "even" => tests::is_even, "false" => tests::is_false,
    "float" => is_float, "ge" => ge, "gt" => gt, "in" => is_in, "integer" => tests::is_integer,
    "iterable" => tests::is_iterable, "le" => le, "lower" => tests::is_lower, "lt" => lt,
    "mapping" => tests::is_mapping, "ne" => ne, "none" => tests::is_none, "number" => is_number,
    "odd" => tests::is_odd, "sequence" => tests::is_sequence, "startingwith" => tests::is_startingwith,
    "string" => tests::is_string, "true" => tests::is_true, "undefined" => tests::is_undefined,
    "upper" => tests::is_upper,
});

words!(FUNCTIONS "The functions." add_function add_functions {
    "dict" => functions::dict, "range" => functions::range,
});

/// Everything that a template filled in that way, or a `condition`, can use, `fuel` instructions at most.
pub(super) fn environment(filler: Filler, fuel: u64, condition: bool) -> Environment<'static> {
    let mut environment = Environment::empty();
    add_filters(&mut environment);
    add_tests(&mut environment);
    add_functions(&mut environment);
    own::add_numeric(&mut environment);
    operators::add(&mut environment, condition);
    structures::add(&mut environment);
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
    meter::json(value).map(Value::from_safe_string)
}

/// The value, which must be there: a template that uses it is strict about that field.
fn required(value: &Value) -> Result<Value, Error> {
    if value.is_undefined() || value.is_none() { Err(ErrorKind::UndefinedError.into()) } else { Ok(value.clone()) }
}

/// Whether a number has a fraction or an exponent.
fn is_float(value: &Value) -> bool {
    is_number(value) && !value.is_integer()
}

fn holds(order: Result<Option<Ordering>, Error>, wanted: fn(Ordering) -> bool) -> Result<bool, Error> {
    Ok(order?.is_some_and(wanted))
}

fn ne(a: &Value, b: &Value) -> bool {
    !eq(a, b)
}

fn lt(a: &Value, b: &Value) -> Result<bool, Error> {
    holds(compare(a, b), Ordering::is_lt)
}

fn le(a: &Value, b: &Value) -> Result<bool, Error> {
    holds(compare(a, b), Ordering::is_le)
}

fn gt(a: &Value, b: &Value) -> Result<bool, Error> {
    holds(compare(a, b), Ordering::is_gt)
}

fn ge(a: &Value, b: &Value) -> Result<bool, Error> {
    holds(compare(a, b), Ordering::is_ge)
}

fn is_in(value: &Value, container: &Value) -> Result<bool, Error> {
    operators::contains(value, container).map(|found| found.is_true())
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
