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

/// Where the host of a template's URL comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// It stands in the template.
    Fixed,
    /// A value is all of it, the port perhaps aside. Only what `egress.allow` covers is such a host.
    Filled,
    /// A value stands next to text of the host, its port or a user name: it could make another host of it.
    Mixed,
}

/// Where the host comes from, given a template's URL with [`OPEN`] in place of each value. `first` says that a value, or
/// a statement, comes before anything else.
pub(super) fn host_of(skeleton: &str, first: bool) -> Host {
    if skeleton.trim_start().starts_with(OPEN) {
        // The value is the base of the URL, its scheme included.
        let behind = skeleton.trim_start().trim_start_matches(OPEN);
        let one = skeleton.matches(OPEN).count() == behind.matches(OPEN).count() + 1;
        let ends = behind.is_empty() || behind.starts_with(['/', '?', '#', '\\']);
        return if one && ends { Host::Filled } else { Host::Mixed };
    }
    let Some(range) = authority_of(skeleton) else {
        return if first && skeleton.contains(OPEN) { Host::Filled } else { Host::Fixed };
    };
    let authority = skeleton.get(range).unwrap_or_default();
    if !authority.contains(OPEN) {
        return Host::Fixed;
    }
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) || port.chars().eq([OPEN]);
    match authority.strip_prefix(OPEN) {
        Some("") => Host::Filled,
        Some(port) if port.strip_prefix(':').is_some_and(digits) => Host::Filled,
        _ => Host::Mixed,
    }
}

/// Takes the marks out of a filled URL. `Err` where a value is empty before the query, makes a segment of the path
/// one of `.` and `..`, however it is encoded, or is a part of the host that `host` does not expect. `name` gives the
/// template's name of the n-th value.
pub(super) fn finish(marked: &str, host: Host, name: impl Fn(usize) -> Option<String>) -> Result<String, RenderError> {
    let (url, values) = split(marked);
    let path = path_of(&url);
    let named = |at: usize| name(at).map_or_else(|| "a value".to_owned(), |name| format!("`{name}`"));
    for (at, value) in values.iter().enumerate() {
        if value.is_empty() && value.start <= path.end {
            return Err(RenderError(format!("{} is empty", named(at))));
        }
    }
    if let Some((at, problem)) = in_host(&url, &values, host) {
        return Err(RenderError(format!("{} {problem}", named(at))));
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

/// A value that has no business in the host, and why.
fn in_host(url: &str, values: &[Range<usize>], host: Host) -> Option<(usize, &'static str)> {
    let Some(authority) = authority_of(url) else {
        // The guard refuses whatever host is read out of it, if it is one that is filled in.
        let before = values.first().and_then(|value| url.get(..value.start));
        let hides = host != Host::Filled && before.is_some_and(|before| before.contains([':', '\\']));
        return hides.then_some((0, "hides the host"));
    };
    let at = values.iter().position(|value| value.start < authority.end && value.end > 0)?;
    let value = values.get(at)?;
    if host != Host::Filled {
        return Some((at, "fills in the host, which the template has fixed elsewhere"));
    }
    if url.get(authority.clone()).is_some_and(|text| text.contains('@')) {
        return Some((at, "puts a user name before the host"));
    }
    let behind = url.get(value.end.min(authority.end)..authority.end).unwrap_or_default();
    let port =
        behind.is_empty() || behind.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
    (value.start > authority.start || !port).then_some((at, "is only a part of the host"))
}

/// Where the host stands, with its port and what else is around it.
fn authority_of(url: &str) -> Option<Range<usize>> {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let start = url.get(..end)?.find("://")? + 3;
    let rest = url.get(start..end)?;
    Some(start..start + rest.find(['/', '\\']).unwrap_or(rest.len()))
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
        let host = host_of(&format!("{before}{OPEN}{after}"), before.is_empty());
        finish(&format!("{before}{OPEN}{value}{CLOSE}{after}"), host, name).map_err(|error| error.0)
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

    #[test]
    fn a_value_is_never_a_part_of_the_host() {
        for (before, value, after) in [
            ("https://api", ".evil.com", "/x"),
            ("https://", "evil", ".example.com/x"),
            ("https://example.com:", "22", "/x"),
            ("https://", "user", "@example.com/x"),
            ("", "https://user:pw@example.com", "/x"),
            ("", "https://a@b", "/x"),
        ] {
            let error = finished(before, value, after).expect_err(value);
            assert!(error.starts_with("`v0` "), "{error}");
        }
        for (before, value, after) in [
            ("https://", "example.com", "/x"),
            ("https://", "example.com", ":80/x"),
            ("", "https://example.com:80/a", "/x"),
        ] {
            assert_eq!(finished(before, value, after), Ok(format!("{before}{value}{after}")));
        }
        // A branch of a template that the skeleton does not show.
        let name = |_: usize| Some("v".to_owned());
        let branch = format!("https://{OPEN}evil.com{CLOSE}/x");
        assert!(finish(&branch, Host::Fixed, name).is_err());
        assert!(finish(&format!("https:\\\\{OPEN}evil.com{CLOSE}/x"), Host::Fixed, name).is_err());
    }
}
