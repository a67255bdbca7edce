//! What a receiver asks for by `Retry-After` (RFC 9110, 10.2.3).

use std::time::{Duration, UNIX_EPOCH};

use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::domain::Timestamp;

/// How long to wait from `now` on: so many seconds, or until a date. `None` where there is no such header, or it says
/// neither; a date that has passed is no wait.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let date = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let date = Timestamp::from_millis(i64::try_from(date.as_millis()).unwrap_or(i64::MAX));
    Some(date.since(now))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn of(text: &[u8]) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_bytes(text).expect("a value"));
        // Sun, 06 Nov 1994 08:49:37 GMT
        retry_after(&headers, Timestamp::from_millis(784_111_777_000))
    }

    #[test]
    fn seconds_and_dates_are_understood_and_nothing_else() {
        assert_eq!(of(b"120"), Some(Duration::from_secs(120)));
        assert_eq!(of(b" 0 "), Some(Duration::ZERO));
        assert_eq!(of(b"Sun, 06 Nov 1994 08:50:37 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(of(b"Sunday, 06-Nov-94 08:50:37 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(of(b"Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(of(b"99999999999999999999999"), Some(Duration::from_secs(4_294_967_295)));
        for text in [&b""[..], b"-1", b"soon", b"1.5", b"\xff", b"Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(of(text), None, "{text:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), Timestamp::from_millis(0)), None);
    }
}
