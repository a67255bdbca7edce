//! Secrets taken out of what a receiver sent back: many an error page shows the request that it is about.

use bytes::Bytes;
use memchr::memmem;
use reqwest::header::HeaderValue;
use secrecy::ExposeSecret;

use super::auth::Credentials;
use super::client::Reply;

/// Stands for what is not shown.
pub const MASK: &str = "***";

/// The shortest password or key that is looked for in a response: a shorter one is in any text by chance.
const SHORTEST: usize = 4;

/// Masks in a reply the header value `sent` that carried the credentials, and what it was made of.
pub(super) fn mask(reply: &mut Reply, sent: &[u8], credentials: &Credentials) {
    // Longest first, so that what holds another goes as a whole.
    let mut secrets = vec![sent.to_vec()];
    if let Some(at) = sent.iter().position(|byte| *byte == b' ') {
        secrets.push(sent.get(at + 1..).unwrap_or_default().to_vec());
    }
    let of_old = credentials.secrets().iter().map(|secret| secret.expose_secret().as_bytes().to_vec());
    secrets.extend(of_old.filter(|secret| secret.len() >= SHORTEST));
    // As JSON may write it.
    let escaped = secrets.iter().filter(|secret| secret.contains(&b'/')).map(|secret| {
        secret.iter().flat_map(|byte| if *byte == b'/' { b"\\/".to_vec() } else { vec![*byte] }).collect()
    });
    secrets.extend(escaped.collect::<Vec<_>>());
    for secret in &secrets {
        reply.body = without(&reply.body, secret);
        if reply.truncated {
            cut_off(&mut reply.body, secret);
        }
        for value in reply.headers.values_mut() {
            if memmem::find(value.as_bytes(), secret).is_some() {
                let masked = without(&Bytes::copy_from_slice(value.as_bytes()), secret);
                *value = HeaderValue::from_bytes(&masked).unwrap_or(HeaderValue::from_static(MASK));
            }
        }
    }
}

/// The bytes with `secret` masked wherever it stands.
pub(super) fn without(bytes: &Bytes, secret: &[u8]) -> Bytes {
    if secret.is_empty() || memmem::find(bytes, secret).is_none() {
        return bytes.clone();
    }
    let (mut kept, mut from) = (Vec::with_capacity(bytes.len()), 0);
    for at in memmem::find_iter(bytes, secret) {
        kept.extend_from_slice(bytes.get(from..at).unwrap_or_default());
        kept.extend_from_slice(MASK.as_bytes());
        from = at + secret.len();
    }
    kept.extend_from_slice(bytes.get(from..).unwrap_or_default());
    kept.into()
}

/// Masks the beginning of a secret at the very end, where the rest of the text was dropped.
fn cut_off(bytes: &mut Bytes, secret: &[u8]) {
    let longest = secret.len().saturating_sub(1).min(bytes.len());
    let found =
        (SHORTEST..=longest).rev().find(|length| secret.get(..*length).is_some_and(|part| bytes.ends_with(part)));
    if let Some(length) = found {
        let mut kept = bytes.slice(..bytes.len() - length).to_vec();
        kept.extend_from_slice(MASK.as_bytes());
        *bytes = kept.into();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_of_a_secret_is_left(parts in proptest::collection::vec("[a-c/ ]{0,4}", 0..5), secret in "[a-c/]{4,6}") {
            let text = Bytes::from(parts.join(&secret));
            let masked = without(&text, secret.as_bytes());
            prop_assert!(memmem::find(&masked, secret.as_bytes()).is_none());
            prop_assert_eq!(memmem::find(&text, secret.as_bytes()).is_some(), masked != text);
        }
    }

    #[test]
    fn a_secret_that_was_cut_off_is_masked_too() {
        for (text, expected) in
            [("Bearer s3cr", "Bearer ***"), ("Bearer s3c", "Bearer s3c"), ("s3cre", "***"), ("x", "x")]
        {
            let mut bytes = Bytes::from(text);
            cut_off(&mut bytes, b"s3cret");
            assert_eq!(bytes, expected);
        }
    }
}
