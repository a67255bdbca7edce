//! What a filled URL must satisfy: a value fills a part of the path, and never changes which path it is.
//!
//! While a URL is filled in, each value stands between two marks, so that [`finish`] knows where the values are. The
//! marks are noncharacters of Unicode, which are reserved for such a use; values are percent-encoded and have none.

use std::ops::Range;

use percent_encoding::percent_decode_str;

use super::RenderError;

/// Stands before each value.
pub(super) const OPEN: char = '\u{fdd0}';

/// Stands after each value.
pub(super) const CLOSE: char = '\u{fdd1}';

/// The most times that a segment is decoded: receivers behind proxies decode more than once.
const MAX_DECODED: usize = 8;

/// Takes the marks out of a filled URL. `Err` where a value is empty before the query, or makes a segment of the path
/// one of `.` and `..`, however it is encoded. `name` gives the template's name of the n-th value.
pub(super) fn finish(marked: &str, name: impl Fn(usize) -> Option<String>) -> Result<String, RenderError> {
    let (url, values) = split(marked);
    let path = path_of(&url);
    let named = |at: usize| name(at).map_or_else(|| "a value".to_owned(), |name| format!("`{name}`"));
    for (at, value) in values.iter().enumerate() {
        if value.is_empty() && value.start <= path.end {
            return Err(RenderError(format!("{} is empty", named(at))));
        }
    }
    let mut from = path.start;
    for segment in url.get(path).unwrap_or_default().split(['/', '\\']) {
        let range = from..from + segment.len();
        from = range.end + 1;
        let filled = values.iter().position(|value| value.start <= range.end && value.end >= range.start);
        if let Some(at) = filled
            && let Some(dots) = dots_in(segment)
        {
            return Err(RenderError(format!(
                "{} makes `{dots}` a segment of the path, which is another path",
                named(at)
            )));
        }
    }
    Ok(url)
}

/// The text without its marks, and where the values stand in it.
fn split(marked: &str) -> (String, Vec<Range<usize>>) {
    let mut text = String::with_capacity(marked.len());
    let mut values = Vec::new();
    let mut open = 0;
    for c in marked.chars() {
        match c {
            OPEN => open = text.len(),
            CLOSE => values.push(open..text.len()),
            _ => text.push(c),
        }
    }
    (text, values)
}

/// Where the path is.
fn path_of(url: &str) -> Range<usize> {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let authority = url.get(..end).and_then(|before| before.find("://")).map_or(0, |at| at + 3);
    let rest = url.get(authority..end).unwrap_or_default();
    let start = rest.find(['/', '\\']).map_or(end, |at| authority + at + 1);
    start..end
}

/// The `.` or `..` that a segment is once it is decoded, its parameters after a semicolon dropped as some receivers do.
/// A value with slashes of its own stays one encoded segment.
fn dots_in(segment: &str) -> Option<&'static str> {
    let mut decoded = segment.to_owned();
    for _ in 0..MAX_DECODED {
        match decoded.split(';').next() {
            Some(".") => return Some("."),
            Some("..") => return Some(".."),
            _ => {}
        }
        if !decoded.contains('%') {
            return None;
        }
        decoded = percent_decode_str(&decoded).decode_utf8_lossy().into_owned();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(before: &str, value: &str, after: &str) -> Result<String, String> {
        let name = |at: usize| Some(format!("v{at}"));
        finish(&format!("{before}{OPEN}{value}{CLOSE}{after}"), name).map_err(|error| error.0)
    }

    #[test]
    fn a_value_never_makes_another_path() {
        for (value, dots) in [("..", ".."), (".", "."), ("%2e%2E", ".."), ("%252e%252e", ".."), ("..%3Bx", "..")] {
            let error = finished("https://a/orders/", value, "/close").expect_err(value);
            assert_eq!(error, format!("`v0` makes `{dots}` a segment of the path, which is another path"), "{value}");
        }
        assert!(finished("https://a/orders/.", ".", "/close").is_err());
        let base = finished("", "https://a/x/../y", "/close");
        assert!(base.is_err(), "{base:?}");
    }

    #[test]
    fn other_values_stay() {
        for value in ["...", "a..b", "1.5", "..a", "2026%2F117", "..%2Fa", "%", "%25"] {
            let expected = format!("https://a/orders/{value}/close?x=1");
            assert_eq!(finished("https://a/orders/", value, "/close?x=1"), Ok(expected), "{value}");
        }
        assert_eq!(finished("https://a/x/../y?v=", "..", "#z").as_deref(), Ok("https://a/x/../y?v=..#z"));
    }

    #[test]
    fn a_value_is_empty_only_after_the_path() {
        for (before, after) in [("https://a/orders/", "/close"), ("https://a/", ""), ("https://", "/x"), ("", "/x")] {
            assert_eq!(finished(before, "", after), Err("`v0` is empty".to_owned()), "{before}…{after}");
        }
        assert_eq!(finished("https://a/x?v=", "", "&w").as_deref(), Ok("https://a/x?v=&w"));
    }
}
