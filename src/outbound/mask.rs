//! Secrets taken out of what came back: many an error page shows the request that it is about.
//!
//! Such a page writes the request as it likes: as it came, percent-encoded, within a string of JSON, as HTML. So a
//! secret is looked for in all of these writings, each character in its own: [`writing`](super::writing) reads them.

use bytes::Bytes;
use memchr::{memchr3, memmem};
use reqwest::header::{HeaderMap, HeaderValue};

use super::auth::Credentials;
use super::client::{Reply, Request};
use super::writing::{Begin, begin};
use crate::config::secrets_of_query;

/// Stands for what is not shown.
pub const MASK: &str = "***";

/// The shortest secret that is looked for: a shorter one is in any text by chance.
const SHORTEST: usize = 4;

/// The longest secret that is looked for in every writing; a longer one is looked for as it is.
const LONGEST: usize = 8 * 1024;

/// Secrets to look for, the longest first, so that what holds another goes as a whole.
#[derive(Default)]
pub(super) struct Secrets(Vec<Vec<u8>>);

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
            let at = self.0.partition_point(|known| known.len() >= secret.len());
            self.0.insert(at, secret.to_vec());
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
        for secret in &other.0 {
            self.add(secret);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes without any of them. Where the text behind was dropped (`cut`), the beginning of one at the very end
    /// goes as well.
    pub(super) fn hide(&self, bytes: &mut Bytes, cut: bool) {
        for secret in &self.0 {
            if let Some(kept) = without(bytes, secret, cut) {
                *bytes = kept.into();
            }
        }
    }

    pub(super) fn hide_text(&self, text: &mut String) {
        for secret in &self.0 {
            if let Some(kept) = without(text.as_bytes(), secret, false) {
                *text = String::from_utf8(kept).unwrap_or_else(|_| MASK.to_owned());
            }
        }
    }

    fn hide_headers(&self, headers: &mut HeaderMap) {
        for value in headers.values_mut() {
            let mut shown = Bytes::copy_from_slice(value.as_bytes());
            self.hide(&mut shown, false);
            if shown != value.as_bytes() {
                *value = HeaderValue::from_bytes(&shown).unwrap_or(HeaderValue::from_static(MASK));
            }
        }
    }
}

/// Masks in a reply what its request proved itself with: the header value `sent`, the request's own headers that are
/// marked as sensitive, secret fields of its query, and what credentials are made of.
pub(super) fn mask(
    reply: &mut Reply,
    sent: Option<&HeaderValue>,
    request: &Request,
    credentials: &Credentials,
    cut: bool,
) {
    let sensitive = || sent.into_iter().chain(request.headers.values().filter(|value| value.is_sensitive()));
    let mut secrets = Secrets::new(request.url.query().into_iter().flat_map(secrets_of_query));
    if credentials.secrets().is_empty() && secrets.is_empty() && sensitive().next().is_none() {
        return;
    }
    secrets.extend(credentials.secrets());
    for value in sensitive() {
        secrets.add_header(value);
    }
    secrets.hide(&mut reply.body, cut);
    secrets.hide_headers(&mut reply.headers);
    if let Some(error) = &mut reply.error {
        secrets.hide_text(error);
    }
}

/// The text with `secret` masked wherever it stands; `None` where it stands nowhere.
fn without(text: &[u8], secret: &[u8], cut: bool) -> Option<Vec<u8>> {
    let (mut kept, mut from) = (Vec::new(), 0);
    while let Some((at, end)) = find(text, from, secret, cut) {
        kept.extend_from_slice(text.get(from..at).unwrap_or_default());
        kept.extend_from_slice(MASK.as_bytes());
        from = end;
    }
    if from == 0 {
        return None;
    }
    kept.extend_from_slice(text.get(from..).unwrap_or_default());
    Some(kept)
}

/// Where the secret stands next: its begin and its end.
fn find(text: &[u8], from: usize, secret: &[u8], cut: bool) -> Option<(usize, usize)> {
    let rest = text.get(from..).filter(|rest| !rest.is_empty())?;
    let as_it_is = memmem::find(rest, secret).map(|at| (from + at, from + at + secret.len()));
    let plain = memchr3(b'%', b'\\', b'&', rest).is_none() && secret.is_ascii() && !secret.contains(&b' ');
    // Of a text that is plain only the end can hold something else: the secret's beginning.
    let tail = if cut { secret.len() } else { 0 };
    let first = if plain || secret.len() > LONGEST { text.len().saturating_sub(tail).max(from) } else { from };
    let last = as_it_is.map_or(text.len(), |(at, _)| at);
    let written = (first..last).find_map(|at| match begin(text.get(at..)?, secret) {
        Begin::Whole(length) => Some((at, at + length)),
        Begin::Cut(length) if cut && length >= SHORTEST => Some((at, text.len())),
        Begin::Cut(_) | Begin::Other => None,
    });
    written.or(as_it_is)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
