//! The small words of a configuration: names, pointers, classes of responses, event patterns.

use super::faults::{nearest, shortened};
use super::field::Field;
use super::node::Data;
use crate::domain::event::OWN_EVENTS;
use crate::domain::{Class, EventPattern};
use crate::template::Locale;

/// A name of a-z, 0-9 and `-`.
pub(crate) fn name(field: &Field<'_>) -> Option<String> {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    field.text_as(|text| (!text.is_empty() && text.chars().all(fine)).then(|| text.to_owned()))
}

/// A locale.
pub(crate) fn locale(field: &Field<'_>) -> Option<Locale> {
    field.text_as(Locale::new)
}

/// A JSON pointer (RFC 6901): empty for the whole document, else it begins with a slash, and `~` only in `~0`, `~1`.
pub(crate) fn pointer(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    if !text.is_empty() && !text.starts_with('/') {
        let meant = if field.is_masked() { String::new() } else { format!(": /{}", shortened(text)) };
        return field.wrong_with(&format!("a pointer begins with a slash{meant}"));
    }
    let escapes = text.split('~').skip(1).all(|part| part.starts_with(['0', '1']));
    if escapes { Some(text.to_owned()) } else { field.wrong_with("a ~ in a name is written ~0, a slash ~1") }
}

/// A product or plan: text, or a whole number, which is compared as text with the digits as written.
pub(crate) fn product(field: &Field<'_>) -> Option<String> {
    match &field.node().data {
        Data::Integer(_) | Data::Number(_) => {
            let digits = field.node().found();
            let whole = digits.bytes().all(|byte| byte.is_ascii_digit());
            if whole { Some(digits) } else { field.wrong_with("put it in quotes to make it text") }
        }
        Data::Text(text) if !text.is_empty() => Some(text.clone()),
        _ => field.wrong(),
    }
}

/// A class of responses: a number or text.
pub(crate) fn class(field: &Field<'_>) -> Option<Class> {
    let text = match &field.node().data {
        Data::Integer(status) => status.to_string(),
        Data::Text(text) => text.clone(),
        _ => return field.wrong(),
    };
    match text.parse() {
        Ok(class @ (Class::Status(_) | Class::Range(..) | Class::Family(_))) => Some(class),
        Ok(class) if field.takes_any_class() => Some(class),
        _ if field.takes_any_class() => field.wrong_name(&text, Class::WORDS.iter().copied()),
        _ => field.wrong(),
    }
}

/// A subscription to events.
pub(crate) fn event(field: &Field<'_>) -> Option<EventPattern> {
    let text = field.text()?;
    EventPattern::new(text)
        .map_err(|problem| {
            let slip = nearest(text, OWN_EVENTS.iter().copied()).map(|name| format!("; did you mean {name}?"));
            let hint = format!("{problem}{}", slip.unwrap_or_default());
            field.wrong_with::<()>(&hint);
        })
        .ok()
}
