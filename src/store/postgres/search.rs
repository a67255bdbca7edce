//! Text searches: first the orders whose id or e-mail is the text, by index, then those with the text in their bodies.
//!
//! A page looks at a bounded number of bytes of bodies, newest first, and says how far back it looked.

use std::collections::HashMap;

use bytes::Bytes;

use super::connections::Loan;
use super::pages::{one_more, paged};
use super::rows;
use super::sources::{self, BUDGET, Exact, Window};
use super::text::text as kept;
use crate::domain::DeliveryId;
use crate::store::spellings::Spellings;
use crate::store::{DeliveryFilter, OrderFilter, Page, Paged, StoreError};

/// Bytes of bodies searched for one page, but for the last body.
const BYTES: usize = 16 << 20;

/// Keys whose bodies are asked for at a time, and about how many bytes of them.
const KEYS: usize = 500;
const READ: usize = 1 << 20;

/// Who is searched.
#[derive(Debug, Clone, Copy)]
enum Filter<'a> {
    Orders(&'a OrderFilter),
    Deliveries(&'a DeliveryFilter),
}

/// Keys of the orders on a page of a search.
pub(super) async fn orders(
    loan: &Loan,
    filter: &OrderFilter,
    text: &str,
    page: Page,
) -> Result<Paged<i64>, StoreError> {
    search(loan, Filter::Orders(filter), text, page).await
}

/// Keys of the deliveries on a page of a search.
pub(super) async fn deliveries(
    loan: &Loan,
    filter: &DeliveryFilter,
    text: &str,
    page: Page,
) -> Result<Paged<i64>, StoreError> {
    search(loan, Filter::Deliveries(filter), text, page).await
}

impl Filter<'_> {
    /// Whether it names one order already, so that the text is only looked for in bodies.
    fn names_an_order(self) -> bool {
        match self {
            Self::Orders(filter) => filter.order_id.is_some(),
            Self::Deliveries(filter) => filter.order_id.is_some(),
        }
    }

    /// What has the text as an id or e-mail.
    async fn exact(self, loan: &Loan, text: &str, page: Page) -> Result<Window, StoreError> {
        let email = text.to_lowercase();
        let exact = Exact { id: text, email: Some(&email) };
        match self {
            Self::Orders(filter) => sources::exact_orders(loan, filter, page, exact).await,
            Self::Deliveries(filter) => sources::exact_deliveries(loan, filter, page, exact, text.parse().ok()).await,
        }
    }

    /// What the filter takes but for the text.
    async fn candidates(self, loan: &Loan, page: Page, budget: usize) -> Result<Window, StoreError> {
        match self {
            Self::Orders(filter) => sources::orders(loan, filter, page, budget).await,
            Self::Deliveries(filter) => sources::deliveries(loan, filter, page, budget).await,
        }
    }

    /// The statement that finds the bodies of keys: for each, its origin, its bytes and whether it has the text as id or e-mail.
    const fn sizes(self) -> &'static str {
        match self {
            Self::Orders(_) => {
                "SELECT k.seq, o.seq, octet_length(o.body),
                    coalesce(o.order_id = $2, false) OR coalesce(o.email = $3, false)
                    FROM unnest($1::bigint[]) k (seq)
                    CROSS JOIN LATERAL (SELECT * FROM orders WHERE orders.seq = k.seq LIMIT 1) o"
            }
            Self::Deliveries(_) => {
                "SELECT k.seq, d.origin, octet_length(coalesce(o.body, e.body)),
                    coalesce(o.order_id = $2, false) OR coalesce(o.email = $3, false)
                    FROM unnest($1::bigint[]) k (seq)
                    CROSS JOIN LATERAL (SELECT origin FROM deliveries WHERE deliveries.seq = k.seq LIMIT 1) d
                    LEFT JOIN LATERAL (SELECT * FROM orders WHERE orders.seq = d.origin LIMIT 1) o ON true
                    LEFT JOIN LATERAL (SELECT * FROM events WHERE events.seq = -d.origin LIMIT 1) e ON true"
            }
        }
    }
}

/// A page: what has the text as an id or e-mail, where that is to be looked at, then what has it in its body.
async fn search(loan: &Loan, filter: Filter<'_>, text: &str, page: Page) -> Result<Paged<i64>, StoreError> {
    let by_index = !filter.names_an_order();
    let mut found = Paged { data: Vec::new(), next: None, searched_back_to: None };
    let mut before = page.before.map(i64::saturating_neg);
    if by_index && page.before.is_none_or(|before| before >= 0) {
        found = paged(filter.exact(loan, text, one_more(page)).await?, page);
        if found.next.is_some() {
            return Ok(found);
        }
        before = None;
    }
    let limit = page.limit.saturating_sub(found.data.len());
    if limit == 0 {
        found.next = Some(before.map_or(-i64::MAX, i64::saturating_neg));
        return Ok(found);
    }
    let bodies = Bodies { loan, filter, text, by_index, spellings: Spellings::new(text)? };
    let (data, next) = bodies.search(limit, before).await?;
    found.data.extend(data);
    found.data.sort_unstable_by(|one, other| other.cmp(one));
    found.searched_back_to = next.map(DeliveryId::time_of);
    found.next = next.map(i64::saturating_neg);
    Ok(found)
}

/// Bodies of orders and events, searched for a text.
struct Bodies<'a> {
    loan: &'a Loan,
    filter: Filter<'a>,
    text: &'a str,
    /// Whether those that are found by index are left out.
    by_index: bool,
    spellings: Spellings,
}

/// A key whose body is to be searched.
struct Candidate {
    seq: i64,
    /// As `deliveries.origin`: whose body.
    origin: i64,
    bytes: usize,
}

impl Bodies<'_> {
    /// Keys that have the text in their bodies, and where to go on, if anywhere.
    async fn search(&self, limit: usize, mut before: Option<i64>) -> Result<(Vec<i64>, Option<i64>), StoreError> {
        let (mut data, mut last, mut searched, mut rows) = (Vec::new(), None, 0, BUDGET);
        loop {
            let window = self.filter.candidates(self.loan, Page { limit: KEYS, before }, rows).await?;
            let mut candidates = self.candidates(&window.keys).await?.into_iter().peekable();
            while candidates.peek().is_some() {
                let (mut group, mut bytes) = (Vec::new(), 0);
                while let Some(candidate) = candidates.next_if(|_| bytes < READ && searched + bytes < BYTES) {
                    bytes += candidate.bytes;
                    group.push(candidate);
                }
                if group.is_empty() {
                    return Ok((data, last));
                }
                searched += bytes;
                let bodies = self.bodies(&group).await?;
                for Candidate { seq, origin, .. } in group {
                    if data.len() == limit {
                        return Ok((data, last));
                    }
                    last = Some(seq);
                    if bodies.get(&origin).is_some_and(|body| self.spellings.are_in(body)) {
                        data.push(seq);
                    }
                }
            }
            rows = rows.saturating_sub(window.looked_at);
            if rows == 0 {
                return Ok((data, window.last));
            }
            if window.keys.len() < KEYS {
                return Ok((data, None));
            }
            before = window.last;
            last = window.last;
        }
    }

    /// What there is to search of these keys, in their order.
    async fn candidates(&self, keys: &[i64]) -> Result<Vec<Candidate>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let own = self.text.parse::<DeliveryId>().ok().filter(|_| self.by_index).map(DeliveryId::sequence);
        let (text, email) = (kept(self.text), kept(self.text).to_lowercase());
        let mut candidates = Vec::new();
        for row in self.loan.query(self.filter.sizes(), &[&keys, &text, &email]).await? {
            let (seq, origin) = (rows::get(&row, 0)?, rows::get(&row, 1)?);
            let bytes = rows::get::<Option<i32>>(&row, 2)?.and_then(|bytes| usize::try_from(bytes).ok());
            let by_index = self.by_index && (rows::get(&row, 3)? || own == Some(seq));
            candidates.extend(bytes.filter(|_| !by_index).map(|bytes| Candidate { seq, origin, bytes }));
        }
        candidates.sort_unstable_by_key(|candidate| std::cmp::Reverse(candidate.seq));
        candidates.dedup_by_key(|candidate| candidate.seq);
        Ok(candidates)
    }

    /// The bodies of orders and events by their origin.
    async fn bodies(&self, group: &[Candidate]) -> Result<HashMap<i64, Bytes>, StoreError> {
        let mut origins: Vec<i64> = group.iter().map(|candidate| candidate.origin).collect();
        origins.sort_unstable();
        origins.dedup();
        let sql = "SELECT k.seq, coalesce(o.body, e.body) FROM unnest($1::bigint[]) k (seq)
            LEFT JOIN LATERAL (SELECT body FROM orders WHERE orders.seq = k.seq LIMIT 1) o ON true
            LEFT JOIN LATERAL (SELECT body FROM events WHERE events.seq = -k.seq LIMIT 1) e ON true";
        let bodies = self.loan.query(sql, &[&origins]).await?;
        bodies.iter().map(|row| Ok((rows::get(row, 0)?, rows::bytes(row, 1)?))).collect()
    }
}
