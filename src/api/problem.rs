//! Errors as problems (RFC 9457): the one table of what can go wrong, its HTTP status, and its stable `type`.
//!
//! To add a problem, add a line to the table below: its `type` is `/problems/` and the slug, which is never changed
//! afterwards. What went wrong in this case goes into `detail`, where it is safe to tell; the cause behind it goes to
//! the log. `docs/api-errors.md` is the same table for people, and a test keeps it so.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use axum::http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::domain::Rate;

/// The content type of every error.
pub(super) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

macro_rules! problems {
    ($($(#[doc = $doc:literal])* $kind:ident $slug:literal $status:literal $title:literal;)*) => {
        /// What can go wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind { $($(#[doc = $doc])* $kind,)* }

        impl Kind {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The `type` without `/problems/`.
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$kind => $slug),* }
            }

            /// The HTTP status.
            pub const fn status(self) -> u16 {
                match self { $(Self::$kind => $status),* }
            }

            /// The `title`.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$kind => $title),* }
            }

            /// What it means, for people.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$kind => concat!($($doc),*)),* }
            }

            /// The whole `type`.
            pub const fn uri(self) -> &'static str {
                match self { $(Self::$kind => concat!("/problems/", $slug)),* }
            }
        }
    };
}

problems! {
    /// The body is not valid JSON, not UTF-8, or empty.
    InvalidJson "invalid-json" 400 "The body is not valid JSON";
    /// The body is JSON, but not an object.
    NotAnObject "not-an-object" 400 "The order is not a JSON object";
    /// The body is nested deeper than `server.max_depth`.
    TooDeep "too-deep" 400 "The body is nested too deeply";
    /// Fields of the body, named in `errors`, cannot be used.
    InvalidFields "invalid-fields" 400 "Fields of the body cannot be used";
    /// Parameters of the query or path, named in `errors`, cannot be used.
    InvalidParameters "invalid-parameters" 400 "Parameters cannot be used";
    /// A header, named in `errors`, cannot be used.
    InvalidHeader "invalid-header" 400 "A header cannot be used";
    /// The request is not valid HTTP.
    MalformedRequest "malformed-request" 400 "The request is not valid HTTP";
    /// The body ended before it was complete.
    IncompleteBody "incomplete-body" 400 "The body is incomplete";
    /// The call needs a token: `Authorization: Bearer …`. `detail` names the scope.
    Unauthorized "unauthorized" 401 "Authentication required";
    /// `server.verify` asks for a signature, and the request has no valid one. `detail` says what is missing.
    BadSignature "bad-signature" 401 "The signature is not valid";
    /// The token is known, but lacks the scope that `detail` names.
    Forbidden "forbidden" 403 "The token lacks a scope";
    /// A page of another site sent the request (`Origin`, `Sec-Fetch-Site`), and the server accepts none of those.
    CrossSite "cross-site-request" 403 "The request comes from another site";
    /// Route not found.
    UnknownRoute "unknown-route" 404 "Route not found";
    /// No order, delivery or channel has that name.
    NotFound "not-found" 404 "Not found";
    /// The path exists, but not for this method; `Allow` lists those it has.
    MethodNotAllowed "method-not-allowed" 405 "Method not allowed";
    /// The head or body of the request did not arrive in `server.header_timeout` or `server.body_timeout`.
    RequestTimeout "request-timeout" 408 "The request took too long to arrive";
    /// The delivery's or channel's status does not allow it.
    Conflict "conflict" 409 "The status does not allow this";
    /// The first request with this `Idempotency-Key` has no answer yet. Ask again later.
    KeyUnderWay "idempotency-key-under-way" 409 "The first request with this key is under way";
    /// A signed request (`server.verify`) with the same `webhook-id` was accepted before, and this is not its repeat.
    SignedIdReused "webhook-id-reused" 409 "The signed request was accepted before";
    /// The body is larger than `server.max_body`.
    BodyTooLarge "body-too-large" 413 "The body is too large";
    /// This call does not accept the `Content-Type` or `Content-Encoding`.
    UnsupportedMediaType "unsupported-media-type" 415 "The content type is not supported";
    /// The request is for a host that is not a name of this server (`server.hosts`).
    MisdirectedRequest "misdirected-request" 421 "The request is for another host";
    /// The `when` of a chain cannot be evaluated for the order; `detail` names the chain.
    Condition "condition-failed" 422 "A condition of the configuration cannot be evaluated for this order";
    /// A trading partner (`relationships`) is neither text nor a number. The order is kept as rejected, and goes to no channel.
    PartnersUnreadable "partners-unreadable" 422 "The trading partners of the order cannot be read";
    /// The `Idempotency-Key` was used before with another body or other `ce-` headers.
    KeyMismatch "idempotency-key-reused" 422 "The key belongs to another request";
    /// An event with the same id (a CloudEvent: the same `source` and `id`) was accepted before, with other content.
    EventIdReused "event-id-reused" 422 "The id belongs to another event";
    /// Types below `order.`, `delivery.` and `channel.` belong to events of this service; nobody else can post them.
    ReservedType "reserved-type" 422 "The event type is reserved";
    /// A critical step rejected the order by the status of its response; `step` and `plugin` say which.
    OrderRejected "order-rejected" 422 "The order was rejected";
    /// A bulk call without a filter would change every delivery; it needs at least one, such as `channel` or `status`.
    MissingFilter "missing-filter" 422 "A filter is required";
    /// The channel that the body names is not configured.
    UnknownChannel "unknown-channel" 422 "The channel is not configured";
    /// `POST /v1/orders/{id}/rerun`: the configuration lacks the chain, or the step at which the order failed.
    StepNotConfigured "step-not-configured" 422 "The step is not configured";
    /// The channel can make no request of this order. `detail` says why.
    NotBuilt "not-built" 422 "The request cannot be built";
    /// `POST /v1/config/reload`: the new configuration has the `errors` listed. The current one stays in use.
    WrongConfiguration "wrong-configuration" 422 "The configuration has errors";
    /// The token's requests come faster than its `rate_limit` allows. `Retry-After` says when there is room again.
    TooManyRequests "too-many-requests" 429 "Too many requests";
    /// `GET /v1/stream`: as many streams are open as the service keeps.
    TooManyStreams "too-many-streams" 429 "Too many streams";
    /// The head of the request is too large: more than 100 headers, or 32 KiB with the path.
    HeadersTooLarge "headers-too-large" 431 "The head of the request is too large";
    /// An internal error. See the log.
    Internal "internal" 500 "Something failed";
    /// A critical step rejected the order, because it had no usable response.
    StepNoResponse "step-no-response" 502 "A critical step had no response";
    /// The store is full.
    StoreFull "store-full" 503 "The store is full";
    /// The store is locked or cannot be reached.
    StoreUnavailable "store-unavailable" 503 "The store cannot be reached";
    /// The service is shutting down.
    ShuttingDown "shutting-down" 503 "The service is shutting down";
    /// `/readyz`: the store does not respond, or the workers have stopped.
    NotReady "not-ready" 503 "The service is not ready";
    /// A critical step rejected the order, because its time ran out.
    StepTimeout "step-timeout" 504 "A critical step timed out";
}

impl Kind {
    /// Seconds after which the same request may go better, where that is worth trying.
    const fn retry_after(self) -> Option<u16> {
        match self {
            Self::KeyUnderWay => Some(1),
            Self::TooManyStreams => Some(10),
            Self::StoreUnavailable | Self::ShuttingDown | Self::NotReady => Some(5),
            Self::StoreFull => Some(60),
            _ => None,
        }
    }

    /// Whether what is left of the request is not worth reading.
    const fn closes(self) -> bool {
        matches!(self, Self::MalformedRequest | Self::IncompleteBody | Self::RequestTimeout | Self::BodyTooLarge)
    }
}

/// One of several things wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file, environment variable or preset that says it, where it is of a configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Where: a field's path, a parameter's or header's name.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

impl Fault {
    /// A fault at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: None, path: path.into(), message: message.into() }
    }
}

/// An error on its way to the caller.
#[derive(Debug, Clone)]
pub struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    kind: Kind,
    detail: Cow<'static, str>,
    faults: Vec<Fault>,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem, and what it is in this case.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        let (detail, faults, members, headers) = (detail.into(), Vec::new(), Map::new(), Vec::new());
        Self(Box::new(Parts { kind, detail, faults, members, headers }))
    }

    /// Several things wrong at once. There must be one at least; its text is the detail where it is alone.
    pub fn faults(kind: Kind, faults: Vec<Fault>) -> Self {
        let detail = match faults.as_slice() {
            [Fault { file: Some(file), path, message }] if path.is_empty() => format!("{file}: {message}"),
            [only] => format!("{}: {}", only.path, only.message),
            several => format!("{} errors, see `errors`", several.len()),
        };
        let mut problem = Self::new(kind, detail);
        problem.0.faults = faults;
        problem
    }

    /// What the log has more to say about.
    pub fn internal() -> Self {
        Self::new(Kind::Internal, "see the log")
    }

    /// There is no `what` of that name.
    pub fn not_found(what: &str, name: &str) -> Self {
        Self::new(Kind::NotFound, format!("{what} {name:?} not found"))
    }

    /// No token, or an unknown one. `scope` is what the call needs.
    pub fn unauthorized(scope: &str, presented: bool) -> Self {
        let detail = if presented {
            format!("the token is unknown; this call needs one with the scope `{scope}`")
        } else {
            format!("this call needs a token with the scope `{scope}`: Authorization: Bearer …")
        };
        let error = if presented { "error=\"invalid_token\", " } else { "" };
        let challenge = format!("Bearer realm=\"orderhook\", {error}scope=\"{scope}\"");
        Self::new(Kind::Unauthorized, detail).header(WWW_AUTHENTICATE, &challenge)
    }

    /// A key that is not that of the delivery.
    pub fn wrong_key() -> Self {
        Self::new(Kind::Unauthorized, "the key does not belong to this delivery")
            .header(WWW_AUTHENTICATE, "Bearer realm=\"orderhook\", scope=\"manage\"")
    }

    /// A request more than the token's pace allows: there is room again after `wait`.
    pub fn too_many(rate: Rate, wait: Duration) -> Self {
        let seconds = (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1);
        Self::new(Kind::TooManyRequests, format!("this token may send {rate} (rate_limit); try again in {seconds} s"))
            .header(RETRY_AFTER, &seconds.to_string())
    }

    /// A token without `scope`.
    pub fn forbidden(scope: &str) -> Self {
        let challenge = format!("Bearer realm=\"orderhook\", error=\"insufficient_scope\", scope=\"{scope}\"");
        Self::new(Kind::Forbidden, format!("this call needs a token with the scope `{scope}`"))
            .header(WWW_AUTHENTICATE, &challenge)
    }

    /// A method that the path does not have; the router adds `Allow` where it is not given.
    pub fn method_not_allowed(method: &axum::http::Method, allow: Option<&str>) -> Self {
        let problem = Self::new(Kind::MethodNotAllowed, format!("this path does not support {method}, see Allow"));
        match allow {
            Some(allow) => problem.header(ALLOW, allow),
            None => problem,
        }
    }

    /// A member of its own beside the standard ones.
    #[must_use]
    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers.push((name, value));
        }
        self
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The body.
    pub fn to_json(&self) -> Vec<u8> {
        let Parts { kind, detail, faults, members, .. } = &*self.0;
        serde_json::to_vec(&Shape {
            uri: kind.uri(),
            title: kind.title(),
            status: kind.status(),
            detail,
            errors: faults,
            members,
        })
        .unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Shape<'a> {
    #[serde(rename = "type")]
    uri: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Fault],
    #[serde(flatten)]
    members: &'a Map<String, Value>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind.title(), self.0.detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let kind = self.0.kind;
        let mut response = Response::new(self.to_json().into());
        *response.status_mut() = StatusCode::from_u16(kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        if let Some(seconds) = kind.retry_after() {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if kind.closes() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        headers.extend(self.0.headers);
        response.extensions_mut().insert(kind);
        response
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn every_type_is_one_of_a_kind_and_a_status_of_an_error() {
        let slugs: HashSet<_> = Kind::ALL.iter().map(|kind| kind.slug()).collect();
        assert_eq!(slugs.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert!((400..600).contains(&kind.status()), "{kind:?}");
            assert!(kind.slug().chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{kind:?}");
        }
    }

    #[test]
    fn whatever_is_answered_503_says_when_to_try_again() {
        for kind in Kind::ALL.iter().filter(|kind| kind.status() == 503) {
            assert!(Problem::new(*kind, "x").into_response().headers().contains_key(RETRY_AFTER), "{kind:?}");
        }
    }

    #[test]
    fn a_problem_is_written_with_its_errors_and_members() {
        let problem =
            Problem::faults(Kind::InvalidFields, vec![Fault::new("type", "is missing")]).member("step", "billing");
        insta::assert_snapshot!(
            String::from_utf8(problem.to_json()).expect("text"),
            @r#"{"type":"/problems/invalid-fields","title":"Fields of the body cannot be used","status":400,"detail":"type: is missing","errors":[{"path":"type","message":"is missing"}],"step":"billing"}"#
        );
    }

    /// `UPDATE=1 cargo test the_table_of_problems` writes the page anew.
    #[test]
    fn the_table_of_problems_in_the_documents_is_this_one() {
        let mut page = String::from(
            "# Errors of the HTTP API\n\n\
            Every error is `application/problem+json` (RFC 9457): `type`, `title`, `status`, `detail`, and `errors` with a `path` and a `message` \
            each where fields, parameters or headers are at fault. `type` never changes; the texts may.\n\
            A 429 and a 503 say in `Retry-After` when to try again; with an `Idempotency-Key` a repeated order or event counts once. `/problems/order-rejected`, `/problems/step-no-response` and \
            `/problems/step-timeout` tell about an order that was kept and rejected: they carry `id`, `order_id`, `order_status`, `step`, `plugin`, `context` and `steps`. \
            `/problems/partners-unreadable` of an order carries the first three.\n\n\
            | type | status | meaning |\n|---|---|---|\n",
        );
        for kind in Kind::ALL {
            writeln!(page, "| `{}` | {} | {} |", kind.uri(), kind.status(), kind.meaning().trim()).expect("text");
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api-errors.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &page).expect("docs/api-errors.md");
        }
        assert_eq!(std::fs::read_to_string(path).expect("docs/api-errors.md"), page);
    }
}
