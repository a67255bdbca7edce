//! `${NAME}` and `${NAME:-default}` in a text, from the environment.
//!
//! NAME is `[A-Z_][A-Z0-9_]*`; anything else behind a `$` is left alone, for it may belong to a receiver's own
//! syntax. What is filled in is never looked through again, and never read as YAML.

use std::collections::BTreeMap;

/// The text with every name replaced; `None` where it names none. With `:-`, a variable that is empty counts as one
/// that is not set, as in a shell. `Err` lists the names that are not set.
pub(crate) fn expand(text: &str, environment: &BTreeMap<String, String>) -> Result<Option<String>, Vec<String>> {
    let (mut filled, mut rest) = (String::new(), text);
    let (mut any, mut missing) = (false, Vec::new());
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        filled.push_str(before);
        let Some(reference) = Reference::at(from) else {
            filled.push_str("${");
            rest = from.get(2..).unwrap_or_default();
            continue;
        };
        any = true;
        let value = environment.get(reference.name).map(String::as_str);
        match (value, reference.default) {
            (Some(value), None) => filled.push_str(value),
            (Some(value), Some(_)) if !value.is_empty() => filled.push_str(value),
            (_, Some(default)) => filled.push_str(default),
            (None, None) => missing.push(reference.name.to_owned()),
        }
        rest = reference.rest;
    }
    filled.push_str(rest);
    match (any, missing.is_empty()) {
        (false, _) => Ok(None),
        (true, true) => Ok(Some(filled)),
        (true, false) => Err(missing),
    }
}

struct Reference<'a> {
    name: &'a str,
    default: Option<&'a str>,
    rest: &'a str,
}

impl<'a> Reference<'a> {
    /// The reference that `text`, which begins with `${`, begins with.
    fn at(text: &'a str) -> Option<Self> {
        let (inside, rest) = text.strip_prefix("${")?.split_once('}')?;
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let head = name.chars().next().is_some_and(|c| c.is_ascii_uppercase() || c == '_');
        let tail = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        (head && tail).then_some(Self { name, default, rest })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn environment() -> BTreeMap<String, String> {
        [("HOST", "example.com"), ("EMPTY", ""), ("TRICKY", "${HOST}: [x")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn names_are_replaced_and_all_else_is_left_alone() {
        for (text, expected) in [
            ("https://${HOST}/a", Some("https://example.com/a")),
            ("${HOST}${HOST}", Some("example.comexample.com")),
            ("${EMPTY}", Some("")),
            ("${EMPTY:-x}", Some("x")),
            ("${NONE:-}", Some("")),
            ("${NONE:-a:-b}", Some("a:-b")),
            ("${HOST:-x}", Some("example.com")),
            ("${TRICKY}", Some("${HOST}: [x")),
            ("${orderId} and ${HOST}", Some("${orderId} and example.com")),
            ("${orderId}", None),
            ("${order id} ${ $HOST ${9A} ${HOST", None),
            ("", None),
        ] {
            assert_eq!(expand(text, &environment()), Ok(expected.map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn every_name_that_is_not_set_is_told() {
        assert_eq!(expand("${A} ${HOST} ${B_1}", &environment()), Err(vec!["A".to_owned(), "B_1".to_owned()]));
    }

    proptest! {
        #[test]
        fn a_text_without_a_reference_stays_as_it_is(text in "[^$]*") {
            prop_assert_eq!(expand(&text, &environment()), Ok(None));
        }

        #[test]
        fn any_text_is_filled_in_or_refused(text in "([$]|[{]|[}]|:-|HOST|[ -~]){0,20}") {
            let _ = expand(&text, &environment());
        }
    }
}
