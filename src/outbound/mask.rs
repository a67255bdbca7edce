//! Secrets taken out of what came back: many an error page shows the request that it is about.
//!
//! Such a page shows the request as it likes: as it came, percent-encoded, within a string of JSON, as HTML, in Base64 or
//! in hexadecimal digits. An automaton looks for all forms of all secrets in one pass, in the text itself and in each
//! [layer](super::encodings) that can be taken off it: the time is linear in the text, whatever it holds.

use std::sync::OnceLock;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderValue};

use super::encodings::{is_plain, layers};
use super::finder::{Finder, SHORTEST};

/// Stands for what is not shown.
pub const MASK: &str = "***";

/// A response of this size is masked on the thread that it came to; a larger one by those for long work.
pub(super) const AT_ONCE: usize = 64 * 1024;

/// Secrets to look for.
#[derive(Default)]
pub(super) struct Secrets {
    known: Vec<Vec<u8>>,
    /// Length of the shortest text that can hold one of them.
    shortest: usize,
    finder: OnceLock<Finder>,
}

impl Secrets {
    pub(super) fn new<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Self {
        let mut all = Self::default();
        for secret in secrets {
            all.add(secret.as_ref());
        }
        all
    }

    pub(super) fn add(&mut self, secret: &[u8]) {
        if secret.len() >= SHORTEST {
            // No form of it is shorter, unless it looks encoded itself.
            let shortest = if is_plain(secret) { secret.len() } else { SHORTEST };
            self.shortest = if self.known.is_empty() { shortest } else { shortest.min(self.shortest) };
            self.known.push(secret.to_vec());
            self.finder = OnceLock::new();
        }
    }

    /// A header's value, and what stands in it behind the scheme.
    pub(super) fn add_header(&mut self, value: &HeaderValue) {
        let value = value.as_bytes();
        self.add(value);
        if let Some(at) = value.iter().position(|byte| *byte == b' ') {
            let behind = value.get(at + 1..).unwrap_or_default();
            self.add(behind);
            // Base64 is often written without its end.
            let end = behind.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
            if end < behind.len() {
                self.add(behind.get(..end).unwrap_or_default());
            }
        }
    }

    pub(super) fn extend(&mut self, other: &Self) {
        for secret in &other.known {
            self.add(secret);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Whether these are the same secrets.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.known == other.known
    }

    /// The bytes without any of them. Where the text behind was dropped (`cut`), the beginning of one at the very end
    /// goes as well.
    pub(super) fn hide(&self, bytes: &mut Bytes, cut: bool) {
        hide(&[self], bytes, cut);
    }

    pub(super) fn hide_text(&self, text: &mut String) {
        hide_text(&[self], text);
    }

    /// Whether a text of this length can hold one, or with `cut` the beginning of one.
    fn fit(&self, length: usize, cut: bool) -> bool {
        !self.known.is_empty() && length >= if cut { SHORTEST } else { self.shortest }
    }

    fn finder(&self) -> &Finder {
        self.finder.get_or_init(|| Finder::new(&self.known))
    }
}

/// The text with all of the secrets masked; `None` where it has none.
fn without(all: &[&Secrets], text: &[u8], cut: bool) -> Option<Vec<u8>> {
    let all: Vec<&Secrets> = all.iter().copied().filter(|secrets| secrets.fit(text.len(), cut)).collect();
    if all.is_empty() {
        return None;
    }
    let mut found = Vec::new();
    for layer in layers(text, cut) {
        for secrets in &all {
            secrets.finder().find(&layer, cut, &mut found);
        }
    }
    // In runs that are sorted nearly: linear.
    found.sort_by_key(|range| range.start);
    let (mut kept, mut from) = (Vec::new(), 0);
    let mut ranges = found.into_iter().peekable();
    while let Some(mut range) = ranges.next() {
        while let Some(next) = ranges.next_if(|next| next.start < range.end) {
            range.end = range.end.max(next.end);
        }
        kept.extend_from_slice(text.get(from..range.start).unwrap_or_default());
        kept.extend_from_slice(MASK.as_bytes());
        from = range.end;
    }
    if from == 0 {
        return None;
    }
    kept.extend_from_slice(text.get(from..).unwrap_or_default());
    Some(kept)
}

pub(super) fn hide(all: &[&Secrets], bytes: &mut Bytes, cut: bool) {
    if let Some(kept) = without(all, bytes, cut) {
        *bytes = kept.into();
    }
}

/// Masks secrets in a text.
pub(super) fn hide_text(all: &[&Secrets], text: &mut String) {
    if let Some(kept) = without(all, text.as_bytes(), false) {
        *text = String::from_utf8(kept).unwrap_or_else(|_| MASK.to_owned());
    }
}

/// Masks secrets in the values of headers.
pub(super) fn hide_headers(all: &[&Secrets], headers: &mut HeaderMap) {
    for value in headers.values_mut() {
        if let Some(kept) = without(all, value.as_bytes(), false) {
            *value = HeaderValue::from_bytes(&kept).unwrap_or(HeaderValue::from_static(MASK));
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    use super::super::encodings::steps;
    use super::*;

    fn hidden(text: &str, secret: &str, cut: bool) -> String {
        let mut bytes = Bytes::copy_from_slice(text.as_bytes());
        Secrets::new([secret]).hide(&mut bytes, cut);
        String::from_utf8(bytes.to_vec()).expect("text")
    }

    proptest! {
        #[test]
        fn nothing_of_a_secret_is_left(parts in proptest::collection::vec("[a-c/ ]{0,4}", 0..5), secret in "[a-c/]{4,6}") {
            let text = parts.join(&secret);
            let masked = hidden(&text, &secret, false);
            prop_assert!(!masked.contains(&secret));
            prop_assert_eq!(text.contains(&secret), masked != text);
        }

        #[test]
        fn no_text_and_no_secret_is_too_much(text in "([%&+;u0-9a-f]|\\\\|\\PC){0,40}", secret in "\\PC{4,9}", cut: bool) {
            let masked = hidden(&text, &secret, cut);
            prop_assert!(!masked.contains(&secret));
        }
    }

    #[test]
    fn base64_is_found_at_each_of_its_three_positions_and_hexadecimal_digits_in_either_case() {
        const SECRET: &str = "s3cret/~wörd?>";
        for before in ["", "a", "ab", "abc"] {
            for after in ["", "x", "xy", "xyz"] {
                let whole = format!("{before}{SECRET}{after}");
                for text in
                    [STANDARD.encode(&whole), URL_SAFE.encode(&whole), STANDARD.encode(&whole).replace('+', "%2B")]
                {
                    let masked = hidden(&format!("{{\"basic\":\"{text}\"}}"), SECRET, false);
                    let kept = masked.trim_start_matches("{\"basic\":\"").trim_end_matches("\"}");
                    let (head, tail) = kept.split_once(MASK).unwrap_or_else(|| panic!("{whole}: {masked}"));
                    // What is left is made of what stands around it.
                    assert!(head.len() <= before.len().div_ceil(3) * 4 && tail.len() <= 8, "{whole}: {text}: {masked}");
                    assert!(before.len() % 3 > 0 || STANDARD.decode(head).expect("whole") == before.as_bytes());
                }
            }
        }
        let hex = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hidden(&format!("0x{hex}, {}", hex.to_uppercase()), SECRET, false), "0x***, ***");
    }

    #[test]
    fn every_encoding_is_masked_whole_and_nothing_else() {
        for (secret, text, expected) in [
            ("p/1+\"ä", "[p%2F1%2B%22%C3%A4]", "[***]"),
            ("p/1+\"ä", "[p%25252F1%25252B%252522%2525C3%2525A4]", "[***]"),
            ("p/1+\"ä", r"[p\/1+\\\u0022\\\\\\\u{e4}]", "[***]"),
            ("p/1+\"ä", r"[\160\057\061\053\042\303\244]", "[***]"),
            ("p/1+\"ä", "[p&#x0000000000000000000000000002f;1&plus;&quot;&auml;]", "[***]"),
            ("p/1+\"ä", "[p&amp;amp;#47;1+&amp;quot;&#00228]", "[***]"),
            ("a%41b%2Fc", "a%41b%2Fc a%2541b%252Fc aAb/c", "*** *** ***"),
            ("x\\y\\\\z", r"x\\y\\\\z x\y\\z", "*** ***"),
            ("two words", "two+words two%20words two words", "*** *** ***"),
            ("abcd", "xabc%64y xabcdy xabc", "x***y x***y xabc"),
            ("ab/cd", "%25ab%2Fcd", "%25***"),
        ] {
            assert_eq!(hidden(text, secret, false), expected, "{secret}: {text}");
        }
    }

    #[test]
    fn secrets_that_overlap_go_together() {
        let secrets = Secrets::new(["abcdef", "defghi", "cde4"]);
        let mut text = Bytes::from_static(b"abcdefghi-abcdefabcdef-cde4fghi");
        secrets.hide(&mut text, false);
        assert_eq!(text, "***-******-***fghi");
    }

    /// Texts made so that a search that starts again and again takes the square of their length.
    fn hostile(size: usize) -> Vec<String> {
        let long = "a".repeat(size / 125 - 1) + "%";
        [
            "\\",
            "%25",
            "%",
            "&#",
            "&amp;",
            "&#0",
            "\\u{0",
            "\\u{",
            "a",
            "+",
            "aaaa%2561",
            "&a",
            "\\\\u",
            "Ã",
            "%u00",
            "\\0",
        ]
        .into_iter()
        .map(|piece| piece.repeat(size / piece.len()))
        .chain([long.repeat(125), "&#".to_owned() + &"1".repeat(size), "\\u{".to_owned() + &"0".repeat(size)])
        .collect()
    }

    #[test]
    fn work_is_linear_in_the_text_and_in_the_secret() {
        for (secret, cuts) in [
            ("aaaaa\\a".to_owned(), &[false, true][..]),
            ("a".repeat(1000), &[false, true]),
            ("a".repeat(8000), &[false]),
        ] {
            let secrets = Secrets::new([&secret]);
            let work = |text: &String, cut| {
                let mut bytes = Bytes::copy_from_slice(text.as_bytes());
                steps::of(|| secrets.hide(&mut bytes, cut))
            };
            for (small, large) in hostile(10_000).iter().zip(&hostile(40_000)) {
                for cut in cuts {
                    let (one, four) = (work(small, *cut), work(large, *cut));
                    assert!(one > 0 && four <= 5 * one + 4 * secret.len(), "{:?}: {one}, then {four}", small.get(..8));
                    // Looking for the beginning of a secret at the end takes its length, not that of the text.
                    let tail = if *cut { 200 * secret.len() } else { 0 };
                    assert!(four <= 20 * large.len() + tail, "{:?}: {four}", small.get(..8));
                }
            }
        }
    }

    #[test]
    fn a_secret_that_was_cut_off_is_masked_too() {
        for (text, expected) in [
            ("Bearer s3cr", "Bearer ***"),
            ("Bearer s3c", "Bearer s3c"),
            ("s3cre", "***"),
            ("x", "x"),
            ("a=%73%33%63%72%6", "a=***"),
            ("s3cret s3cre", "*** ***"),
        ] {
            assert_eq!(hidden(text, "s3cret", true), expected);
        }
        assert_eq!(hidden("s3cret s3cre", "s3cret", false), "*** s3cre");
    }

    #[test]
    fn a_header_is_looked_for_with_and_without_its_scheme() {
        let mut secrets = Secrets::default();
        secrets.add_header(&HeaderValue::from_static("Basic c2VjcmV0LQ=="));
        for (text, expected) in [
            ("Basic c2VjcmV0LQ==.", "***."),
            ("you are c2VjcmV0LQ==", "you are ***"),
            ("Basic%20c2VjcmV0LQ%3D%3D", "***"),
            ("c2VjcmV0LQ", "***"),
        ] {
            let mut text = text.to_owned();
            secrets.hide_text(&mut text);
            assert_eq!(text, expected);
        }
    }
}
