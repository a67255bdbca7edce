//! Text searches: first the orders whose id or e-mail is the text, by index, then those with the text in their bodies.
//!
//! A page looks at a bounded number of bytes of bodies, newest first, and says how far back it looked.

use aho_corasick::{AhoCorasick, MatchKind};
use rusqlite::{CachedStatement, Connection, OptionalExtension};

use super::lists::{self, Source};
use crate::domain::DeliveryId;
use crate::store::{DeliveryFilter, OrderFilter, Page, Paged, StoreError};

/// Bytes of bodies searched for one page, but for the last body.
const BUDGET: usize = 16 << 20;

const ORDER_BODY: &str = "SELECT body, ifnull(order_id = ?2, 0) OR ifnull(email = ?3, 0) FROM orders WHERE seq = ?1";
const DELIVERY_BODY: &str = "SELECT coalesce(o.body, e.body), ifnull(o.order_id = ?2, 0) OR ifnull(o.email = ?3, 0)
    FROM deliveries d LEFT JOIN orders o ON o.seq = d.origin LEFT JOIN events e ON e.seq = -d.origin WHERE d.seq = ?1";

/// Keys of the orders on a page of a search.
pub(super) fn orders(
    conn: &Connection,
    filter: &OrderFilter,
    text: &str,
    page: Page,
) -> Result<Paged<i64>, StoreError> {
    let exact = |page| {
        let condition = lists::order_condition(filter, page);
        let mut sources =
            vec![lists::orders_of_own_id(&condition, text), lists::orders_of_email(&condition, &text.to_lowercase())];
        sources.extend(text.parse().ok().map(|id| lists::order_of_id(&condition, id)));
        sources
    };
    let bodies = |page| Ok(lists::order_sources(filter, page));
    search(conn, ORDER_BODY, text, page, filter.order_id.is_none().then_some(&exact), bodies)
}

/// Keys of the deliveries on a page of a search.
pub(super) fn deliveries(
    conn: &Connection,
    filter: &DeliveryFilter,
    text: &str,
    page: Page,
) -> Result<Paged<i64>, StoreError> {
    let exact = |page| {
        let condition = lists::delivery_condition(filter, page);
        let mut sources = vec![lists::deliveries_of_orders(&condition, text, Some(&text.to_lowercase()))];
        sources.extend(text.parse().ok().map(|id| lists::delivery_of_id(&condition, id)));
        sources
    };
    let bodies = |page| lists::delivery_sources(conn, filter, page);
    search(conn, DELIVERY_BODY, text, page, filter.order_id.is_none().then_some(&exact), bodies)
}

/// A page: what `exact` finds, where that is to be looked at, then what of `bodies` has the text.
fn search(
    conn: &Connection,
    body: &str,
    text: &str,
    page: Page,
    exact: Option<&dyn Fn(Page) -> Vec<Source>>,
    bodies: impl Fn(Page) -> Result<Vec<Source>, StoreError>,
) -> Result<Paged<i64>, StoreError> {
    let mut found = Paged { data: Vec::new(), next: None, searched_back_to: None };
    let mut before = page.before.map(i64::saturating_neg);
    if let (Some(exact), None | Some(0..)) = (exact, page.before) {
        found = lists::merge(conn, &exact(page), page.limit, None)?;
        if found.next.is_some() {
            return Ok(found);
        }
        before = None;
    }
    let room = page.limit.saturating_sub(found.data.len());
    if room == 0 {
        found.next = Some(before.map_or(-i64::MAX, i64::saturating_neg));
        return Ok(found);
    }
    let mut texts = Bodies::new(conn, body, text, exact.is_some())?;
    let rest = lists::merge(conn, &bodies(Page { limit: room, before })?, room, Some(&mut texts))?;
    found.data.extend(rest.data);
    found.data.sort_unstable_by(|one, other| other.cmp(one));
    found.searched_back_to = rest.next.map(DeliveryId::time_of);
    found.next = rest.next.map(i64::saturating_neg);
    Ok(found)
}

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
    fn new(conn: &'c Connection, body: &str, text: &str, others: bool) -> Result<Self, StoreError> {
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
