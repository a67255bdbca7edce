//! Text searches within the bodies of orders and events.

use aho_corasick::{AhoCorasick, MatchKind};
use rusqlite::{CachedStatement, Connection, OptionalExtension};

use crate::domain::DeliveryId;
use crate::store::StoreError;

/// Bytes of bodies searched for one page, but for the last body.
const BUDGET: usize = 16 << 20;

/// Bodies of orders and events, searched for a text in any letter case and in any of the ways that JSON has to write it.
pub(super) struct Bodies<'c> {
    body: CachedStatement<'c>,
    text: String,
    email: String,
    /// Whether those that are found by index are left out.
    others: bool,
    patterns: AhoCorasick,
    searched: usize,
}

impl<'c> Bodies<'c> {
    /// Prepares a search. With `others`, orders that an index finds are left out.
    pub(super) fn new(conn: &'c Connection, body: &str, text: &str, others: bool) -> Result<Self, StoreError> {
        let patterns = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .build(spellings(text))
            .map_err(|error| StoreError::Unavailable(format!("no search for the text: {error}")))?;
        let body = conn.prepare_cached(body)?;
        Ok(Self { body, text: text.to_owned(), email: text.to_lowercase(), others, patterns, searched: 0 })
    }

    /// Whether as many bytes have been searched as one page may search.
    pub(super) fn is_spent(&self) -> bool {
        self.searched >= BUDGET
    }

    /// Whether the text is in the body of the order or delivery with that key.
    pub(super) fn matches(&mut self, seq: i64) -> Result<bool, StoreError> {
        let Self { body, text, email, others, patterns, searched } = self;
        if *others && text.parse::<DeliveryId>().is_ok_and(|id| id.sequence() == seq) {
            return Ok(false);
        }
        let found = body
            .query_row(rusqlite::params![seq, &*text, &*email], |row| {
                if *others && row.get(1)? {
                    return Ok(false);
                }
                let body = row.get_ref(0)?.as_blob_or_null()?.unwrap_or_default();
                *searched += body.len();
                Ok(patterns.is_match(body))
            })
            .optional()?;
        Ok(found.unwrap_or(false))
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
            let patterns =
                AhoCorasick::builder().ascii_case_insensitive(true).build(spellings(text)).expect("patterns");
            assert!(patterns.is_match(&body), "{text} in {body}: {:?}", spellings(text));
        }
    }
}
