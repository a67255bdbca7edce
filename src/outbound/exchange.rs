//! The record of an exchange, as the history keeps it: secrets masked.

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, USER_AGENT};

use super::aside::aside;
use super::dialer::AGENT;
use super::mask::{AT_ONCE, MASK, Secrets};
use super::request::{Reply, Request};
use crate::config::{is_secret_name, shown_url};
use crate::domain::{Exchange, HeaderLines};

/// Headers of nearly every exchange that hold no secret: known without a look at their names.
const PLAIN: &[&str] = &[
    "content-type",
    "content-length",
    "date",
    "server",
    "webhook-id",
    "webhook-timestamp",
    "idempotency-key",
    "traceparent",
    "tracestate",
];

/// What was sent and what came back. Masked: credentials, values marked as sensitive, and the values of headers and
/// query fields whose name says that they are secret.
pub fn exchange(request: &Request, reply: &Reply) -> Exchange {
    let mut request_headers = if reply.again && !request.again.is_empty() {
        let mut headers = request.headers.clone();
        headers.extend(request.again.clone());
        shown(&headers, reply.credentials.as_ref())
    } else {
        shown(&request.headers, reply.credentials.as_ref())
    };
    if !request.headers.contains_key(USER_AGENT) {
        request_headers.push(USER_AGENT.as_str(), AGENT);
    }
    if let Some(name) = &reply.credentials {
        request_headers.push(name.as_str(), MASK);
    }
    Exchange {
        method: request.method.as_str().to_owned(),
        url: shown_url(request.url.as_str()),
        request_headers,
        request_body: request.body.clone(),
        response_headers: shown(&reply.headers, None),
        response_body: reply.body.clone(),
        truncated: reply.truncated,
        times: reply.times,
    }
}

/// Masks `secret` wherever a record or the error that goes with it holds it: it was filled in by a template, so it may
/// stand anywhere.
pub async fn hide(mut exchange: Exchange, mut error: Option<String>, secret: String) -> (Exchange, Option<String>) {
    let body = &exchange.request_body;
    let size = body.head.len() + body.spliced.as_ref().map_or(0, Bytes::len) + exchange.response_body.len();
    let method = exchange.method.clone();
    let hidden = move || {
        let secrets = Secrets::new([secret]);
        hide_all(&mut exchange, &secrets);
        if let Some(error) = &mut error {
            secrets.hide_text(error);
        }
        (exchange, error)
    };
    let hidden = if size <= AT_ONCE { Some(hidden()) } else { aside(hidden).await };
    // What could not be looked through is not shown.
    hidden.unwrap_or_else(|| (Exchange { method, ..Exchange::default() }, None))
}

fn hide_all(exchange: &mut Exchange, secrets: &Secrets) {
    secrets.hide_text(&mut exchange.url);
    for headers in [&mut exchange.request_headers, &mut exchange.response_headers] {
        let shown = |(name, value): (&str, &str)| {
            let mut value = value.to_owned();
            secrets.hide_text(&mut value);
            (name.to_owned(), value)
        };
        *headers = headers.iter().map(shown).collect();
    }
    let body = &mut exchange.request_body;
    for bytes in [&mut body.head].into_iter().chain(&mut body.spliced) {
        secrets.hide(bytes, false);
    }
    secrets.hide(&mut exchange.response_body, exchange.truncated);
}

fn shown(headers: &HeaderMap, but: Option<&HeaderName>) -> HeaderLines {
    let mut shown = HeaderLines::with_capacity(48 * (headers.len() + 2));
    for (name, value) in headers.iter().filter(|(name, _)| Some(*name) != but) {
        let open = PLAIN.contains(&name.as_str()) || !is_secret_name(name.as_str());
        if open && !value.is_sensitive() {
            shown.push(name.as_str(), &String::from_utf8_lossy(value.as_bytes()));
        } else {
            shown.push(name.as_str(), MASK);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use crate::domain::{Body, HeaderLines};

    use super::*;

    #[tokio::test]
    async fn a_secret_is_hidden_wherever_it_stands() {
        let header = |value: &str| HeaderLines::from_iter([("a", value)]);
        let exchange = Exchange {
            method: "POST".to_owned(),
            url: "http://a/?k=s3cret&t=s3cret".to_owned(),
            request_headers: header("key=s3cret"),
            request_body: Body { head: "[s3cret,s3cre".into(), spliced: Some("s3crets3cret]".into()) },
            response_headers: header("s3cret"),
            response_body: "\u{ff}s3cret".into(),
            truncated: true,
            times: None,
        };
        let error = Some("no s3cret".to_owned());
        let (exchange, error) = hide(exchange, error, "s3cret".to_owned()).await;
        assert_eq!(error.as_deref(), Some("no ***"));
        let expected = Exchange {
            method: "POST".to_owned(),
            url: "http://a/?k=***&t=***".to_owned(),
            request_headers: header("key=***"),
            request_body: Body { head: "[***,s3cre".into(), spliced: Some("******]".into()) },
            response_headers: header("***"),
            response_body: "\u{ff}***".into(),
            truncated: true,
            times: None,
        };
        assert_eq!(exchange, expected);
    }
}
