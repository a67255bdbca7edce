//! Durations, sizes, and text that stands for a number or a truth value.

use std::time::Duration;

use super::node::Data;
use super::schema::Kind;

/// A duration as humantime reads it: `250ms`, `1h 30m`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text.trim()).ok()
}

/// What to write instead of a bare number.
pub(crate) fn needs_unit(number: &str) -> String {
    format!("a number needs a unit: {number}s is seconds, {number}ms milliseconds, {number}m minutes")
}

/// A size as bytesize reads it: `600KB` is 600,000 bytes, `1MiB` 1,048,576, a bare number bytes.
pub(crate) fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let first = text.chars().next()?;
    if !first.is_ascii_digit() {
        return None;
    }
    text.parse::<bytesize::ByteSize>().ok().map(|size| size.as_u64())
}

/// Text from the environment, as what a key of that kind asks for; text where it does not read so.
pub(crate) fn as_kind(text: &str, kind: &Kind) -> Data {
    let plain = text.trim();
    let read = match kind {
        Kind::Boolean => plain.parse().ok().map(Data::Boolean),
        Kind::Integer(..) => plain.parse().ok().map(Data::Integer),
        Kind::Number(..) => plain.parse().ok().map(Data::Number),
        _ => None,
    };
    read.unwrap_or_else(|| Data::Text(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_come_in_tens_and_in_twos() {
        assert_eq!(size("600KB"), Some(600_000));
        assert_eq!(size("1MiB"), Some(1 << 20));
        assert_eq!(size("1.5 KiB"), Some(1536));
        assert_eq!(size("17"), Some(17));
        for wrong in ["", "-1", "1 parsec", "MB", "1e3", "+5"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("1h 30m"), Some(Duration::from_secs(5400)));
        for wrong in ["30", "", "-5s", "soon", "1.5s.5"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_reads_back_as_documentation_writes_it(millis in 0u64..10_000_000_000) {
            let value = Duration::from_millis(millis);
            let text = super::super::schema::duration(value);
            prop_assert_eq!(if text == "0" { Some(Duration::ZERO) } else { duration(&text) }, Some(value));
        }

        #[test]
        fn a_size_reads_back_as_documentation_writes_it(bytes in 0u64..1 << 50) {
            prop_assert_eq!(size(&super::super::schema::size(bytes)), Some(bytes));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-zA-Z. -]{0,24}") {
            let _ = (size(&text), duration(&text));
        }
    }
}
