//! Marked secrets, and the search for them in whatever writing.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::KeyPair;

/// Secrets by a name for people. Each is found by bytes of it that stand nowhere else.
#[derive(Debug, Default)]
pub(super) struct Marks(BTreeMap<String, Vec<u8>>, BTreeSet<(String, String)>);

impl Marks {
    /// A text that is marked, and has in it what people like to write in other ways.
    pub(super) fn text(&mut self, what: &str) -> String {
        format!("{}/+\"ä \\%&<=", self.plain(what))
    }

    /// The same of characters that go everywhere: for tokens.
    pub(super) fn token(&mut self, what: &str) -> String {
        format!("{}/+~%26&=", self.plain(what))
    }

    /// Marked, and of letters and digits alone.
    pub(super) fn plain(&mut self, what: &str) -> String {
        let mark = format!("Mk{:02}Zq{}vX9Jw7", self.0.len(), what.replace(|c: char| !c.is_ascii_alphanumeric(), ""));
        self.0.insert(what.to_owned(), mark.clone().into_bytes());
        mark
    }

    /// A secret of signatures: its prefix, and the base64 of bytes that are marked.
    pub(super) fn webhook(&mut self, what: &str, prefix: &str) -> String {
        let bytes: [u8; 32] = std::array::from_fn(|at| (what.len() * 31 + self.0.len() * 17 + at * 7) as u8 ^ 0xa5);
        self.0.insert(what.to_owned(), bytes[4..28].to_vec());
        format!("{prefix}{}", STANDARD.encode(bytes))
    }

    /// A new key on P-256, in PEM.
    pub(super) fn pem(&mut self, what: &str) -> String {
        let key = KeyPair::generate().expect("a key");
        self.key(what, &key);
        key.serialize_pem()
    }

    /// Marks a key by its private half: it follows an OCTET STRING of 32 bytes.
    pub(super) fn key(&mut self, what: &str, key: &KeyPair) {
        let der = key.serialize_der();
        let at = der.windows(2).rposition(|window| window == [0x04, 0x20]).expect("a private key") + 2;
        self.0.insert(what.to_owned(), der[at..at + 32].to_vec());
    }

    /// Anything that was seen to go out as a proof.
    pub(super) fn seen(&mut self, what: &str, proof: &str) {
        self.1.insert((what.to_owned(), proof.trim_end_matches('=').to_owned()));
    }

    /// Those that stand somewhere in `text`, and how.
    pub(super) fn found_in(&self, text: &[u8]) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for (what, proof) in &self.1 {
            if memchr::memmem::find(text, proof.as_bytes()).is_some() {
                found.push(format!("{what}, as it was sent: {proof}"));
            }
        }
        for (what, mark) in &self.0 {
            for (writing, form) in forms(mark) {
                if let Some(at) = memchr::memmem::find(text, &form) {
                    let around = &text[at.saturating_sub(100)..(at + form.len() + 40).min(text.len())];
                    found.push(format!("{what}, {writing}: …{}…", String::from_utf8_lossy(around)));
                }
            }
        }
        found
    }
}

/// A mark as it may be written. Percent-encoding and the escapes of JSON leave a mark of letters and digits as it is.
fn forms(mark: &[u8]) -> Vec<(String, Vec<u8>)> {
    let hex: String = mark.iter().map(|byte| format!("{byte:02x}")).collect();
    let utf16: Vec<u8> = mark.iter().flat_map(|byte| [*byte, 0]).collect();
    let mut forms = vec![
        ("as it is".to_owned(), mark.to_vec()),
        ("in lower case".to_owned(), mark.to_ascii_lowercase()),
        ("in UTF-16".to_owned(), utf16),
        ("in hexadecimal".to_owned(), hex.clone().into_bytes()),
        ("in hexadecimal capitals".to_owned(), hex.to_uppercase().into_bytes()),
    ];
    for shift in 0..3 {
        let shifted = [&[0; 2][..shift], mark].concat();
        let coded = STANDARD.encode(&shifted);
        // Without the characters that depend on what stands around it.
        let inner = &coded[[0, 2, 3][shift]..shifted.len() * 8 / 6];
        forms.push((format!("in base64, {shift}"), inner.into()));
        forms.push((format!("in base64 of URLs, {shift}"), inner.replace('+', "-").replace('/', "_").into()));
    }
    forms
}

#[test]
fn a_mark_is_found_in_every_writing() {
    let mut marks = Marks::default();
    let secret = marks.text("a test");
    for text in [
        secret.clone(),
        secret.to_lowercase(),
        STANDARD.encode(format!("ann:{secret}")),
        STANDARD.encode(format!("bob:{secret}")),
        STANDARD.encode(format!("b:{secret}")),
        secret.bytes().map(|byte| format!("{byte:02X}")).collect(),
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        serde_json::to_string(&secret).expect("JSON"),
    ] {
        assert!(!marks.found_in(format!("x {text} y").as_bytes()).is_empty(), "{text}");
    }
    assert_eq!(marks.found_in(b"Mk00Zq").len(), 0);
}
