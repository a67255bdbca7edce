//! What is secret by where it stands, so that nobody has to mark it: by the name of a header or of a field of a query,
//! and in front of a URL's host.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Whether what stands under such a name, that of a header or of a field of a query, is taken for a secret and not shown.
pub fn is_secret_name(name: &str) -> bool {
    /// Names that only look like it.
    const OPEN: &[&str] = &["idempotency-key", "webhook-signature"];
    const PARTS: &[&str] =
        &["authorization", "cookie", "passw", "secret", "token", "credential", "signature", "apikey", "accesskey"];
    /// Parts that are also parts of other words: `key` of `keyword`, `auth` of `author`.
    const WORDS: &[&str] = &["auth", "key", "sig", "pwd"];
    let contains =
        |part: &&str| name.as_bytes().windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()));
    let same = |word: &&str| name.eq_ignore_ascii_case(word);
    if OPEN.iter().any(same) {
        return false;
    }
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    PARTS.iter().any(contains)
        || words.any(|word| WORDS.iter().any(|known| word.eq_ignore_ascii_case(known)) || word.ends_with("Key"))
}

/// A URL, or what was meant to be one, as it may be shown: `***` for a user name and password in it, and for the values
/// of fields of its query that are secret by their name.
pub fn shown_url(text: &str) -> String {
    let mut shown = match credentials(text).or_else(|| no_port(text)) {
        Some((start, end)) => {
            format!("{}***{}", text.get(..start).unwrap_or_default(), text.get(end..).unwrap_or_default())
        }
        None => text.to_owned(),
    };
    let Some(query) = shown.find('?').filter(|at| has_secret(shown.get(at + 1..).unwrap_or_default())) else {
        return shown;
    };
    let kept = shown.split_off(query + 1);
    let (kept, fragment) = kept.split_at(kept.find('#').unwrap_or(kept.len()));
    for (at, field) in kept.split('&').enumerate() {
        if at > 0 {
            shown.push('&');
        }
        match secret_field(field) {
            Some(name) => {
                shown.push_str(name);
                shown.push_str("=***");
            }
            None => shown.push_str(field),
        }
    }
    shown.push_str(fragment);
    shown
}

fn has_secret(query: &str) -> bool {
    query.split('&').any(|field| secret_field(field).is_some())
}

/// The name of a field whose value is secret.
fn secret_field(field: &str) -> Option<&str> {
    let (name, _) = field.split_once('=')?;
    let plain: Cow<'_, str> = percent_decode_str(name).decode_utf8_lossy();
    is_secret_name(&plain).then_some(name)
}

/// The values of a query's fields that are secret by their name.
pub fn secrets_of_query(query: &str) -> impl Iterator<Item = Cow<'_, [u8]>> {
    query
        .split('&')
        .filter(|field| secret_field(field).is_some())
        .filter_map(|field| Some(percent_decode_str(field.split_once('=')?.1).into()))
}

/// Whether a URL holds something that is not shown.
pub(crate) fn holds_secret(url: &str) -> bool {
    credentials(url).is_some() || url.split_once('?').is_some_and(|(_, query)| has_secret(query))
}

/// From where to where a URL has a user name or password: behind `//`, up to the `@` in front of its host. A password
/// with a slash in it, which ought to be encoded, is taken for one too.
pub(crate) fn credentials(url: &str) -> Option<(usize, usize)> {
    let (start, authority) = authority(url)?;
    if let Some(end) = authority.rfind('@') {
        return Some((start, start + end));
    }
    no_port(url)?;
    url.get(start..)?.rfind('@').map(|end| (start, start + end))
}

/// Where a URL's authority begins, and what it is.
fn authority(url: &str) -> Option<(usize, &str)> {
    let start = url.find("//")? + 2;
    Some((start, url.get(start..)?.split(['/', '?', '#', '\\']).next()?))
}

/// From where to where something stands in place of a port that is none: perhaps a password, whose host was forgotten.
fn no_port(url: &str) -> Option<(usize, usize)> {
    let (start, authority) = authority(url)?;
    let colon = authority.rfind(':').filter(|_| !authority.starts_with('['))?;
    let port = authority.get(colon + 1..)?;
    let is_port = port.contains(['{', '<', '$']) || port.bytes().all(|byte| byte.is_ascii_digit());
    if is_port { None } else { Some((start + colon + 1, start + authority.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known() {
        for name in [
            "authorization",
            "Proxy-Authorization",
            "cookie",
            "set-cookie",
            "x-api-key",
            "X-Api-Key",
            "X-Shop-Key",
            "apiKey",
            "apikey",
            "key",
            "X-Auth-Token",
            "X-Auth",
            "access_token",
            "client_secret",
            "X-Amz-Signature",
            "sig",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "Idempotency-Key",
            "content-type",
            "webhook-id",
            "webhook-signature",
            "x-shop",
            "keyword",
            "id",
            "www-authenticate",
            "X-Author",
            "traceparent",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn a_url_is_shown_without_what_is_secret_in_it() {
        for (url, shown) in [
            ("https://me:secret@example.com/a@b", "https://***@example.com/a@b"),
            ("https://a@b:c@example.com", "https://***@example.com"),
            ("https://example.com/a@b", "https://example.com/a@b"),
            ("https://example.com:8080/a@b", "https://example.com:8080/a@b"),
            ("https://example.com:{{ order.port }}/a@b", "https://example.com:{{ order.port }}/a@b"),
            ("https://[::1]/a@b", "https://[::1]/a@b"),
            ("postgres://me:se/cr@et@db/a", "postgres://***@db/a"),
            ("//u:p@host?x=y@z", "//***@host?x=y@z"),
            ("not a url", "not a url"),
            ("//", "//"),
            ("http://a/?k=1&api_key=s&x=2#key=3", "http://a/?k=1&api_key=***&x=2#key=3"),
            ("http://a/?api%5Fkey={{ order.key }}", "http://a/?api%5Fkey=***"),
            ("http://a/?token", "http://a/?token"),
        ] {
            assert_eq!(shown_url(url), shown);
            assert_eq!(holds_secret(url), url != shown, "{url}");
        }
        assert_eq!(shown_url("http://me:secret/a"), "http://me:***/a");
        let secrets: Vec<_> = secrets_of_query("a=1&key=x%2Fy&token&api_key=z").collect();
        assert_eq!(secrets, [&b"x/y"[..], b"z"]);
    }
}
