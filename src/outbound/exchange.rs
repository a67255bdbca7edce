//! The record of an exchange, as the history keeps it: secrets masked.

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, USER_AGENT};

use super::client::{Reply, Request};
use super::dialer::AGENT;
use super::mask::{MASK, without};
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
        url: masked(&request.url),
        request_headers,
        request_body: request.body.clone(),
        response_headers: shown(&reply.headers, None),
        response_body: reply.body.clone(),
        truncated: reply.truncated,
    }
}

/// Masks `secret` wherever a record holds it: it was filled in by a template, so it may stand anywhere.
pub fn hide(exchange: &mut Exchange, secret: &str) {
    let text = |text: &mut String| {
        if text.contains(secret) {
            *text = text.replace(secret, MASK);
        }
    };
    text(&mut exchange.url);
    for headers in [&mut exchange.request_headers, &mut exchange.response_headers] {
        *headers = headers.iter().map(|(name, value)| (name, value.replace(secret, MASK))).collect();
    }
    let body = &mut exchange.request_body;
    for bytes in [&mut body.head, &mut exchange.response_body].into_iter().chain(&mut body.spliced) {
        *bytes = without(bytes, secret.as_bytes());
    }
}

/// A URL without the values of query fields that are secret by their name.
fn masked(url: &Url) -> String {
    if !url.query_pairs().any(|(name, _)| is_secret(&name)) {
        return url.as_str().to_owned();
    }
    let mut masked = url.clone();
    let pairs =
        url.query_pairs().map(|(name, value)| if is_secret(&name) { (name, MASK.into()) } else { (name, value) });
    masked.query_pairs_mut().clear().extend_pairs(pairs);
    masked.into()
}

fn shown(headers: &HeaderMap, but: Option<&HeaderName>) -> HeaderLines {
    let mut shown = HeaderLines::with_capacity(48 * (headers.len() + 2));
    for (name, value) in headers.iter().filter(|(name, _)| Some(*name) != but) {
        let open = PLAIN.contains(&name.as_str()) || !is_secret(name.as_str());
        if open && !value.is_sensitive() {
            shown.push(name.as_str(), &String::from_utf8_lossy(value.as_bytes()));
        } else {
            shown.push(name.as_str(), MASK);
        }
    }
    shown
}

/// Whether the value under such a name is a secret.
fn is_secret(name: &str) -> bool {
    const PARTS: &[&str] = &["authorization", "cookie", "password", "passwd", "secret", "token", "credential"];
    const KEYS: &[&str] = &["key", "apikey", "api-key", "api_key", "access-key", "access_key", "sig", "signature"];
    let contains =
        |part: &str| name.as_bytes().windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()));
    let key = |key: &&str| name.eq_ignore_ascii_case(key);
    PARTS.iter().any(|part| contains(part)) || KEYS.iter().any(key) || contains("api-key") || contains("apikey")
}

#[cfg(test)]
mod tests {
    use crate::domain::{Body, HeaderLines};

    use super::*;

    #[test]
    fn a_secret_is_hidden_wherever_it_stands() {
        let header = |value: &str| HeaderLines::from_iter([("a", value)]);
        let mut exchange = Exchange {
            method: "POST".to_owned(),
            url: "http://a/?k=s3cret&t=s3cret".to_owned(),
            request_headers: header("key=s3cret"),
            request_body: Body { head: "[s3cret,s3cre".into(), spliced: Some("s3crets3cret]".into()) },
            response_headers: header("s3cret"),
            response_body: "\u{ff}s3cret".into(),
            truncated: true,
        };
        hide(&mut exchange, "s3cret");
        let expected = Exchange {
            method: "POST".to_owned(),
            url: "http://a/?k=***&t=***".to_owned(),
            request_headers: header("key=***"),
            request_body: Body { head: "[***,s3cre".into(), spliced: Some("******]".into()) },
            response_headers: header("***"),
            response_body: "\u{ff}***".into(),
            truncated: true,
        };
        assert_eq!(exchange, expected);
    }

    #[test]
    fn names_of_secrets_are_known() {
        for name in [
            "authorization",
            "Proxy-Authorization",
            "set-cookie",
            "x-api-key",
            "X-Auth-Token",
            "access_token",
            "client_secret",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["idempotency-key", "content-type", "webhook-id", "webhook-signature", "x-shop", "keyword", "id"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
