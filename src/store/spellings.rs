//! The ways in which JSON may hold a text that is searched for.

use aho_corasick::{AhoCorasick, MatchKind};

use super::StoreError;

/// A text in any letter case and in any of the ways that JSON has to write it.
pub(in crate::store) struct Spellings(AhoCorasick);

impl Spellings {
    /// Prepares a search.
    pub(in crate::store) fn new(text: &str) -> Result<Self, StoreError> {
        let patterns = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .build(spellings(text))
            .map_err(|error| StoreError::Unavailable(format!("no search for the text: {error}")))?;
        Ok(Self(patterns))
    }

    /// Whether the text is in a body.
    pub(in crate::store) fn are_in(&self, body: &[u8]) -> bool {
        self.0.is_match(body)
    }
}

/// The ways in which JSON may hold a text: with and without escapes that are optional, in lower and upper case.
fn spellings(text: &str) -> Vec<String> {
    let mut spellings = Vec::new();
    for text in [text.to_owned(), text.to_lowercase(), text.to_uppercase()] {
        for (slash, ascii) in [(false, false), (true, false), (false, true), (true, true)] {
            let spelling: String = text.chars().map(|c| spelled(c, slash, ascii)).collect();
            if !spellings.contains(&spelling) {
                spellings.push(spelling);
            }
        }
    }
    spellings
}

fn spelled(c: char, slash: bool, ascii: bool) -> String {
    match c {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        '/' if slash => "\\/".to_owned(),
        c if ascii && !c.is_ascii() => {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect()
        }
        c => c.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_however_json_writes_it() {
        for (text, body) in [
            ("müller", r#"{"name":"M\u00dcLLER"}"#),
            ("MÜLLER", r#"{"name":"Müller"}"#),
            ("a/b", r#"{"path":"A\/B"}"#),
            ("a/b", r#"{"path":"a/b"}"#),
            ("say \"hi\"", r#"{"note":"Say \"HI\""}"#),
            ("😀", r#"{"note":"\uD83D\uDE00"}"#),
        ] {
            let body: String = body.to_owned();
            let found = Spellings::new(text).expect("patterns").are_in(body.as_bytes());
            assert!(found, "{text} in {body}: {:?}", spellings(text));
        }
    }
}
