//! What a 401 asks for: `WWW-Authenticate`, as RFC 9110 (section 11) writes it.
//!
//! A header may hold several challenges, each with parameters of its own, all separated by the same comma; and there may
//! be several headers. Where one cannot be read, what stands before still counts.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// The most challenges that are looked at.
const MOST: usize = 16;

/// A challenge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Challenge {
    /// Its scheme, as written.
    pub(super) scheme: String,
    /// A value of its own behind the scheme, without a name.
    pub(super) token: Option<String>,
    /// Its parameters; names in lower case.
    pub(super) parameters: Vec<(String, String)>,
}

/// All challenges of a response.
#[derive(Debug, Default)]
pub(super) struct Challenges {
    found: Vec<Challenge>,
    /// The first character that cannot be read, counted from 1.
    pub(super) broken: Option<usize>,
}

impl Challenges {
    /// The first of a scheme.
    pub(super) fn of(&self, scheme: &str) -> Option<&Challenge> {
        self.found.iter().find(|challenge| challenge.scheme.eq_ignore_ascii_case(scheme))
    }

    /// The schemes, for a sentence.
    pub(super) fn schemes(&self) -> String {
        let schemes: Vec<&str> = self.found.iter().map(|challenge| challenge.scheme.as_str()).take(5).collect();
        schemes.join(", ")
    }
}

/// Reads what a response asks for.
pub(super) fn challenges(headers: &HeaderMap) -> Challenges {
    let mut all = Challenges::default();
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let mut text = Text { bytes: value.as_bytes(), at: 0 };
        if read(&mut text, &mut all.found).is_none() {
            all.broken.get_or_insert(text.at + 1);
        }
    }
    all
}

struct Text<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Text<'_> {
    fn next(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip(&mut self, unwanted: &[u8]) {
        while self.next().is_some_and(|byte| unwanted.contains(&byte)) {
            self.at += 1;
        }
    }

    fn take(&mut self, wanted: impl Fn(u8) -> bool) -> String {
        let from = self.at;
        while self.next().is_some_and(&wanted) {
            self.at += 1;
        }
        String::from_utf8_lossy(self.bytes.get(from..self.at).unwrap_or_default()).into_owned()
    }

    /// A value without a name, up to a comma or the end; nothing is taken where there is none.
    fn token68(&mut self) -> Option<String> {
        let from = self.at;
        let mut token = self.take(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte));
        token.push_str(&self.take(|byte| byte == b'='));
        self.skip(b" \t");
        if !token.is_empty() && matches!(self.next(), None | Some(b',')) {
            return Some(token);
        }
        self.at = from;
        None
    }

    /// A parameter's value; `None` where its quotes do not end.
    fn value(&mut self) -> Option<String> {
        if self.next() != Some(b'"') {
            return Some(self.take(|byte| !b", \t".contains(&byte)));
        }
        let start = self.at;
        self.at += 1;
        let mut value = Vec::new();
        while let Some(byte) = self.next() {
            self.at += 1;
            match byte {
                b'"' => return Some(String::from_utf8_lossy(&value).into_owned()),
                b'\\' => {
                    value.extend(self.next());
                    self.at += 1;
                }
                other => value.push(other),
            }
        }
        self.at = start;
        None
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Reads one header; `None` where it cannot be read.
fn read(text: &mut Text<'_>, found: &mut Vec<Challenge>) -> Option<()> {
    let mut open = false;
    loop {
        text.skip(b" \t,");
        if text.next().is_none() || found.len() >= MOST {
            return Some(());
        }
        let name = text.take(is_token);
        if name.is_empty() {
            return None;
        }
        let behind = text.at;
        text.skip(b" \t");
        if text.next() == Some(b'=') {
            let challenge = found.last_mut().filter(|_| open)?;
            text.at += 1;
            text.skip(b" \t");
            let value = text.value()?;
            challenge.parameters.push((name.to_ascii_lowercase(), value));
        } else {
            let token = if text.at > behind { text.token68() } else { None };
            found.push(Challenge { scheme: name, token, parameters: Vec::new() });
            open = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::HeaderValue;

    use super::*;

    fn all(values: &[&str]) -> Challenges {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).expect("a value"));
        }
        challenges(&headers)
    }

    #[test]
    fn a_basic_challenge_is_found_among_others() {
        for (values, expected) in [
            (&["Basic realm=\"shop\""][..], true),
            (&["basic"], true),
            (&["BASIC realm=shop , charset=\"UTF-8\""], true),
            (&["Digest realm=\"a, Basic b\", nonce=\"x\""], false),
            (&["Digest realm=\"a \\\", Basic b\", nonce=\"x\""], false),
            (&["Digest realm=\"a\", nonce=\"x\", Basic realm=\"b\""], true),
            (&["Negotiate", "Basic realm=\"b\""], true),
            (&["Negotiate oRkwF6ADCgEBohAEDg==, Basic realm=\"b\""], true),
            (&["NTLM, Basic realm=\"b\", Bearer"], true),
            (&["Basic realm=\"b"], true),
            (&["\"x\", Basic"], false),
            (&["\"x\"", "Basic"], true),
            (&["Bearer realm=\"Basic\""], false),
            (&["Basic=x"], false),
            (&["BasicPlus x"], false),
            (&[], false),
        ] {
            assert_eq!(all(values).of("basic").is_some(), expected, "{values:?}");
        }
    }

    #[test]
    fn a_challenge_has_its_parameters_or_a_value() {
        let found = all(&["Digest Realm=\"a \\\"b\\\"\", qop = auth, NTLM TlRMTVNTUAAC+/==, Basic realm=\"\""]);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let challenge = |scheme: &str, token: Option<&str>, parameters| Challenge {
            scheme: scheme.to_owned(),
            token: token.map(str::to_owned),
            parameters,
        };
        let expected = [
            challenge("Digest", None, vec![pair("realm", "a \"b\""), pair("qop", "auth")]),
            challenge("NTLM", Some("TlRMTVNTUAAC+/=="), vec![]),
            challenge("Basic", None, vec![pair("realm", "")]),
        ];
        assert_eq!((found.found.as_slice(), found.broken), (&expected[..], None));
        assert_eq!(found.schemes(), "Digest, NTLM, Basic");
    }

    #[test]
    fn where_a_header_cannot_be_read_is_told() {
        for (value, at) in
            [("Digest realm=\"a, Basic", 14), ("=x", 1), ("Basic realm=\"a\"; x", 16), ("Bearer, x=\"\\", 11)]
        {
            assert_eq!(all(&[value]).broken, Some(at), "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_refused(values in proptest::collection::vec("[a-zA-Z =,\"\\\\é]{0,30}", 0..3)) {
            let mut headers = HeaderMap::new();
            for value in &values {
                headers.append(WWW_AUTHENTICATE, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
            }
            let found = challenges(&headers);
            prop_assert!(found.found.iter().all(|challenge| !challenge.scheme.is_empty()));
        }

        #[test]
        fn what_is_written_by_the_rules_is_read(schemes in proptest::collection::vec("[A-Z][a-z]{1,6}", 1..5), value in "[ -~]{0,9}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let text: Vec<String> = schemes.iter().map(|scheme| format!("{scheme} realm=\"{quoted}\", x=1")).collect();
            let found = all(&[&text.join(", ")]);
            prop_assert_eq!(found.broken, None);
            prop_assert!(found.found.iter().map(|challenge| &challenge.scheme).eq(&schemes));
            prop_assert!(found.found.iter().all(|challenge| challenge.parameters[0].1 == value));
        }
    }
}
