//! What a list is asked for: filters, limit, cursor. The same names in a query and in the JSON of a bulk change.

use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use crate::domain::code::NotCodes;
use crate::domain::{Codes, DeliveryStatus, Granularity, OrderStatus, Timestamp};
use crate::store::{Change, DeliveryFilter, OrderFilter, Page, Period};

use super::object::{self, Members, Reader};
use super::problem::{Fault, Kind, Problem};
use super::reason;

/// Entries of a page, where the caller does not say.
const LIMIT: usize = 50;

/// Entries of a page at most.
pub(super) const MAX_LIMIT: usize = 250;

/// Parameters of a query at most.
const MAX_PARAMETERS: usize = 100;

/// The filters of a list of deliveries.
const DELIVERY_FILTERS: &[&str] = &["status", "channel", "order_id", "code", "cause", "late", "q", "since", "until"];

/// Characters of a text to search for at most.
const MAX_TEXT: usize = 200;

/// A query, taken apart. What is wrong is collected until [`Query::finish`].
pub(super) struct Query {
    pairs: Vec<(String, String)>,
    faults: Vec<Fault>,
}

impl Query {
    /// The parameters of a query; others than `known` are faults.
    pub(super) fn new(query: Option<&str>, known: &[&str]) -> Self {
        let mut faults = Vec::new();
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).take(MAX_PARAMETERS) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (decode(name), decode(value)) {
                (Some(name), _) if !known.contains(&name.as_str()) => {
                    faults.push(Fault::new(object::shown(&name), object::unknown(&name, known)));
                }
                (Some(name), Some(value)) => pairs.push((name, value)),
                _ => faults.push(Fault::new(object::shown(name), "is not UTF-8 when decoded")),
            }
        }
        Self { pairs, faults }
    }

    fn fault(&mut self, name: &str, message: impl Into<String>) {
        self.faults.push(Fault::new(name, message));
    }

    /// A parameter that may be given once.
    pub(super) fn one(&mut self, name: &str) -> Option<String> {
        let mut values = self.pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone());
        let first = values.next();
        if values.next().is_some() {
            self.fault(name, "is given twice");
        }
        first
    }

    /// A parameter that may be repeated, or hold several values with commas between them.
    fn several(&self, name: &str) -> Vec<String> {
        let values = self.pairs.iter().filter(|(known, _)| known == name);
        values.flat_map(|(_, value)| value.split(',')).map(str::to_owned).collect()
    }

    fn time(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.one(name)?;
        // The plus of an offset that was not percent-encoded has become a space.
        text.replace(' ', "+")
            .parse()
            .map_err(|error: crate::domain::clock::NotATime| self.fault(name, error.to_string()))
            .ok()
    }

    fn flag(&mut self, name: &str) -> Option<bool> {
        let text = self.one(name)?;
        let flag = text.parse().ok();
        if flag.is_none() {
            self.fault(name, "must be true or false");
        }
        flag
    }

    /// `limit` and `cursor`.
    pub(super) fn page(&mut self) -> Page {
        let before = self.one("cursor").and_then(|cursor| {
            // Below zero only a search goes on.
            let searching = self.pairs.iter().any(|(name, _)| name == "q");
            let sequence = cursor.parse().ok().filter(|sequence: &i64| *sequence >= 0 || searching);
            if sequence.is_none() {
                self.fault("cursor", "is not a cursor of this list");
            }
            sequence
        });
        Page { limit: self.limit(), before }
    }

    /// `limit` alone.
    pub(super) fn limit(&mut self) -> usize {
        let Some(text) = self.one("limit") else { return LIMIT };
        text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit)).unwrap_or_else(|| {
            self.fault("limit", format!("must be a number from 1 to {MAX_LIMIT}"));
            LIMIT
        })
    }

    /// `cursor`, for a list that is not in the store.
    pub(super) fn cursor(&mut self) -> Option<String> {
        self.one("cursor")
    }

    /// Nothing, or all that is wrong.
    pub(super) fn finish(self) -> Result<(), Problem> {
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::faults(Kind::InvalidParameters, self.faults)) }
    }
}

/// The `key` of an accept URL.
pub(super) fn settle_key(query: Option<&str>) -> Result<Option<String>, Problem> {
    let mut query = Query::new(query, &["key"]);
    let key = query.one("key");
    query.finish()?;
    Ok(key)
}

/// Decodes a part of a query or of a form.
pub(super) fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(Cow::into_owned)
}

/// Names of statuses, in any letter case; the others are told to `fault`.
fn statuses<T>(
    names: Vec<String>,
    all: &[&'static str],
    read: fn(&str) -> Option<T>,
    mut fault: impl FnMut(&str, String),
) -> Vec<T> {
    let mut known = Vec::new();
    for name in names {
        match read(&name.to_ascii_lowercase()) {
            Some(status) => known.push(status),
            None => fault("status", format!("{:?} {}", object::shown(&name), object::unknown(&name, all))),
        }
    }
    known
}

/// Codes and classes of codes; what is neither is reported to `fault`.
fn codes(names: Vec<String>, mut fault: impl FnMut(&str, String)) -> Vec<Codes> {
    let read = |name: String| {
        name.parse().map_err(|error: NotCodes| fault("code", format!("{:?} {error}", object::shown(&name)))).ok()
    };
    names.into_iter().filter_map(read).collect()
}

/// The number of a cause.
fn cause(text: Option<String>, mut fault: impl FnMut(&str, String)) -> Option<i64> {
    let text = text?;
    let number = text.parse().ok().filter(|number| *number > 0);
    if number.is_none() {
        fault("cause", format!("{:?} is not the number of a cause in /v1/problems", object::shown(&text)));
    }
    number
}

/// A text to search for, without blanks around it.
fn searched(text: Option<String>, mut fault: impl FnMut(&str, String)) -> Option<String> {
    let text = text?.trim().to_owned();
    if text.is_empty() {
        fault("q", "is empty; expected a text to search for".to_owned());
        return None;
    }
    if text.chars().count() > MAX_TEXT {
        fault("q", format!("is longer than {MAX_TEXT} characters"));
        return None;
    }
    Some(text)
}

fn delivery_statuses() -> Vec<&'static str> {
    DeliveryStatus::ALL.iter().map(|status| status.as_str()).collect()
}

/// The query of a list of orders.
pub(super) fn orders(query: Option<&str>) -> Result<(OrderFilter, Page), Problem> {
    let mut query = Query::new(query, &["status", "type", "order_id", "q", "since", "until", "limit", "cursor"]);
    let all: Vec<_> = OrderStatus::ALL.iter().map(|status| status.as_str()).collect();
    let names = query.several("status");
    let filter = OrderFilter {
        status: statuses(names, &all, OrderStatus::from_name, |name, message| query.fault(name, message)),
        kind: query.one("type"),
        order_id: query.one("order_id"),
        q: searched(query.one("q"), |name, message| query.fault(name, message)),
        since: query.time("since"),
        until: query.time("until"),
    };
    let page = query.page();
    query.finish()?;
    Ok((filter, page))
}

/// The query of one order.
pub(super) fn order(query: Option<&str>) -> Result<Option<Granularity>, Problem> {
    let mut query = Query::new(query, &["granularity"]);
    let granularity = query.one("granularity").and_then(|word| {
        let known = Granularity::from_name(&word);
        if known.is_none() {
            let all: Vec<_> = Granularity::ALL.iter().map(|word| word.as_str()).collect();
            query.fault("granularity", format!("{:?} {}", object::shown(&word), object::unknown(&word, &all)));
        }
        known
    });
    query.finish()?;
    Ok(granularity)
}

/// The query of a list of deliveries.
pub(super) fn deliveries(query: Option<&str>) -> Result<(DeliveryFilter, Page), Problem> {
    let mut query = Query::new(query, &[DELIVERY_FILTERS, &["limit", "cursor"]].concat());
    let names = query.several("status");
    let filter = DeliveryFilter {
        status: statuses(names, &delivery_statuses(), DeliveryStatus::from_name, |name, message| {
            query.fault(name, message);
        }),
        channel: query.one("channel"),
        order_id: query.one("order_id"),
        code: codes(query.several("code"), |name, message| query.fault(name, message)),
        cause: cause(query.one("cause"), |name, message| query.fault(name, message)),
        late: query.flag("late"),
        q: searched(query.one("q"), |name, message| query.fault(name, message)),
        since: query.time("since"),
        until: query.time("until"),
    };
    let page = query.page();
    query.finish()?;
    Ok((filter, page))
}

/// The filters in the body of a bulk change, as sent.
pub(super) fn filter_of(body: &[u8]) -> Option<String> {
    let mut members: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
    members.retain(|name, _| DELIVERY_FILTERS.contains(&name.as_str()));
    serde_json::to_string(&members).ok()
}

/// The query of the list of problems.
pub(super) fn problems(query: Option<&str>) -> Result<(Option<Timestamp>, Page), Problem> {
    let mut query = Query::new(query, &["since", "limit", "cursor"]);
    let (since, page) = (query.time("since"), query.page());
    query.finish()?;
    Ok((since, page))
}

/// The query of the audit: which times, which act alone, which page.
pub(super) fn audit(query: Option<&str>) -> Result<(Period, Option<String>, Page), Problem> {
    let mut query = Query::new(query, &["act", "since", "until", "limit", "cursor"]);
    let act = query.one("act");
    let period = Period { since: query.time("since"), until: query.time("until") };
    let page = query.page();
    query.finish()?;
    Ok((period, act, page))
}

/// The statuses that a bulk retry takes where the caller names none: what has ended without success. Nothing is sent
/// twice unless somebody asks for it.
const RETRIED: [DeliveryStatus; 3] = [DeliveryStatus::Failed, DeliveryStatus::Rejected, DeliveryStatus::Cancelled];

/// The body of a bulk change.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bulk {
    pub(super) filter: DeliveryFilter,
    /// Only to count.
    pub(super) dry_run: bool,
    /// Whether the caller does not wait for the end.
    pub(super) background: bool,
    pub(super) reason: Option<Arc<str>>,
}

/// The body of a bulk change. Without any filter it is refused.
pub(super) fn bulk(body: &[u8], change: Change) -> Result<Bulk, Problem> {
    let text = object::text(body)?;
    let members: Members<'_> = object::json(text)?;
    let mut faults = Vec::new();
    let mut reader = Reader::new(members, String::new(), &mut faults);
    reader.only(&[DELIVERY_FILTERS, &["dry_run", "background", "reason"]].concat());
    let names = reader.texts("status");
    let mut filter = DeliveryFilter {
        status: statuses(names, &delivery_statuses(), DeliveryStatus::from_name, |name, message| {
            reader.fault(name, message);
        }),
        channel: reader.text("channel"),
        order_id: reader.text("order_id"),
        code: codes(reader.words("code"), |name, message| reader.fault(name, message)),
        cause: cause(reader.words("cause").into_iter().next(), |name, message| reader.fault(name, message)),
        late: reader.optional_flag("late"),
        q: searched(reader.text("q"), |name, message| reader.fault(name, message)),
        since: reader.time("since"),
        until: reader.time("until"),
    };
    let (dry_run, background) = (reader.flag("dry_run"), reader.flag("background"));
    let reason = reason::member(&mut reader);
    if !faults.is_empty() {
        return Err(Problem::faults(Kind::InvalidFields, faults));
    }
    if filter == DeliveryFilter::default() {
        let detail = format!("the body has no filter; add one of {}", DELIVERY_FILTERS.join(", "));
        return Err(Problem::new(Kind::MissingFilter, detail));
    }
    if change == Change::Retry && filter.status.is_empty() {
        filter.status = RETRIED.to_vec();
    }
    Ok(Bulk { filter, dry_run, background, reason })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(problem: &Problem) -> String {
        String::from_utf8(problem.to_json()).expect("text")
    }

    #[test]
    fn a_list_of_deliveries_takes_every_filter() {
        let (filter, page) = deliveries(Some(
            "status=failed&status=REJECTED,Cancelled&channel=erp&order_id=A%2F1+b&code=5xx,-5&code=404&q=+anna%40example.com&since=2026-01-31T13:00:00+01:00&until=2026-02-01T00:00:00Z&limit=250&cursor=77",
        ))
        .expect("a query");
        assert_eq!(filter.status, [DeliveryStatus::Failed, DeliveryStatus::Rejected, DeliveryStatus::Cancelled]);
        assert_eq!(filter.channel.as_deref(), Some("erp"));
        assert_eq!(filter.order_id.as_deref(), Some("A/1 b"));
        let codes: Vec<_> = filter.code.iter().map(|codes| (codes.from, codes.to)).collect();
        assert_eq!(codes, [(500, 599), (-5, -5), (404, 404)]);
        assert_eq!(filter.q.as_deref(), Some("anna@example.com"));
        assert_eq!(filter.since, "2026-01-31T12:00:00Z".parse().ok());
        assert_eq!(filter.until, "2026-02-01T00:00:00Z".parse().ok());
        assert_eq!(page, Page { limit: 250, before: Some(77) });
        assert_eq!(deliveries(None).expect("no query").1, Page { limit: 50, before: None });
    }

    #[test]
    fn everything_wrong_with_a_query_is_told_at_once() {
        let problem = deliveries(Some(
            "status=faild&chanel=erp&since=yesterday&limit=251&cursor=x&order_id=1&order_id=2&until=%ff&code=5y&q=+",
        ))
        .expect_err("a wrong query");
        let told = told(&problem);
        for part in [
            "did you mean `failed`",
            "did you mean `channel`",
            "RFC 3339",
            "1 to 250",
            "cursor",
            "given twice",
            "not UTF-8",
            "\\\"5y\\\" is not a code",
            "q\",\"message\":\"is empty",
        ] {
            assert!(told.contains(part), "{part} is not in {told}");
        }
    }

    #[test]
    fn a_bulk_change_takes_the_same_filters_and_nothing_else() {
        let bulk = |body: &[u8]| bulk(body, Change::Retry).map(|bulk| (bulk.filter, bulk.dry_run));
        let (filter, dry_run) = bulk(br#"{"status":["Failed"],"channel":"erp","dry_run":true}"#).expect("a body");
        assert!(dry_run && filter.status == [DeliveryStatus::Failed] && filter.channel.as_deref() == Some("erp"));
        assert_eq!(bulk(br#"{"status":"failed"}"#).expect("a body").0.status, [DeliveryStatus::Failed]);
        assert_eq!(bulk(br#"{"channel":"erp"}"#).expect("a body").0.status, RETRIED);
        let coded = bulk(br#"{"code":[503,"4xx"],"q":"anna"}"#).expect("a body").0;
        assert_eq!(coded.code, [Codes { from: 503, to: 503 }, Codes { from: 400, to: 499 }]);
        assert_eq!(coded.q.as_deref(), Some("anna"));
        assert_eq!(bulk(br#"{"code":-5}"#).expect("a body").0.code, [Codes { from: -5, to: -5 }]);
        for wrong in [&br#"{"code":[]}"#[..], br#"{"code":5.5}"#, br#"{"code":true}"#, br#"{"q":""}"#, br#"{"q":7}"#] {
            assert_eq!(bulk(wrong).expect_err("a wrong filter").kind(), Kind::InvalidFields);
        }
        let cancel = super::bulk(br#"{"channel":"erp"}"#, Change::Cancel).expect("a body");
        assert_eq!((cancel.filter.status, cancel.dry_run), (vec![], false));
        for all in [&b"{}"[..], br#"{"dry_run":true}"#, br#"{"channel":null}"#] {
            assert_eq!(bulk(all).expect_err("no filter").kind(), Kind::MissingFilter);
        }
        assert_eq!(bulk(b"").expect_err("no body").kind(), Kind::InvalidJson);
        assert_eq!(bulk(b"[]").expect_err("no object").kind(), Kind::InvalidJson);
        for empty in [&br#"{"status":[]}"#[..], br#"{"status":null}"#] {
            assert_eq!(bulk(empty).expect_err("no status").kind(), Kind::InvalidFields);
        }
        let wrong = bulk(br#"{"states":"failed","dry_run":"yes","status":7}"#).expect_err("wrong");
        assert!(told(&wrong).contains("did you mean `status`") && told(&wrong).contains("true or false"));
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_refused(query in ".{0,60}") {
            let _ = deliveries(Some(&query));
            let _ = orders(Some(&query));
        }
    }
}
