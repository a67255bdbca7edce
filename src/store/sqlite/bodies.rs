//! Text searches within the bodies of orders and events.

use rusqlite::{CachedStatement, Connection, OptionalExtension};

use crate::domain::DeliveryId;
use crate::store::StoreError;
use crate::store::spellings::Spellings;

/// Bytes of bodies searched for one page, but for the last body.
const BUDGET: usize = 16 << 20;

/// Bodies of orders and events, searched for a text in any letter case and in any of the ways that JSON has to write it.
pub(super) struct Bodies<'c> {
    body: CachedStatement<'c>,
    text: String,
    email: String,
    /// Whether those that are found by index are left out.
    others: bool,
    spellings: Spellings,
    searched: usize,
}

impl<'c> Bodies<'c> {
    /// Prepares a search. With `others`, orders that an index finds are left out.
    pub(super) fn new(conn: &'c Connection, body: &str, text: &str, others: bool) -> Result<Self, StoreError> {
        let spellings = Spellings::new(text)?;
        let body = conn.prepare_cached(body)?;
        Ok(Self { body, text: text.to_owned(), email: text.to_lowercase(), others, spellings, searched: 0 })
    }

    /// Whether as many bytes have been searched as one page may search.
    pub(super) fn is_spent(&self) -> bool {
        self.searched >= BUDGET
    }

    /// Whether the text is in the body of the order or delivery with that key.
    pub(super) fn matches(&mut self, seq: i64) -> Result<bool, StoreError> {
        let Self { body, text, email, others, spellings, searched } = self;
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
                Ok(spellings.are_in(body))
            })
            .optional()?;
        Ok(found.unwrap_or(false))
    }
}
