//! From a channel and an event to the request that goes out.

use std::cell::LazyCell;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::config::settings::{Channel, Format, Parameter, Payload};
use crate::config::shown_url;
use crate::domain::event::EventStep;
use crate::domain::{AttemptId, Body, Code, Event, Granularity, StepStatus, Timestamp, UrlRules};
use crate::outbound::{HeaderMap, HeaderName, HeaderValue, Request, Url, header, header_value, named_value};
use crate::store::Leased;
use crate::template::{Scope, Template, as_form, as_xml, percent};

pub(super) const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
pub(super) const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Why a request could not be built: code -2000.
#[derive(Debug, Clone)]
pub(super) struct NotBuilt {
    pub(super) error: String,
    /// The filled text that was refused; empty where none was made.
    pub(super) text: String,
}

impl NotBuilt {
    fn of_url(error: String, url: &str) -> Self {
        Self { error, text: shown_url(url) }
    }
}

impl From<String> for NotBuilt {
    fn from(error: String) -> Self {
        Self { error, text: String::new() }
    }
}

impl From<&str> for NotBuilt {
    fn from(error: &str) -> Self {
        error.to_owned().into()
    }
}

/// What of a channel's requests is always the same.
pub(super) struct RequestTemplate {
    url: Option<Url>,
    headers: HeaderMap,
    filled: Vec<(HeaderName, Template)>,
}

impl RequestTemplate {
    /// Prepares a channel. `Err` says what cannot be sent, whatever the event.
    pub(super) fn new(channel: &Channel) -> Result<Self, String> {
        let url = channel.url.as_static().map(|text| parse_url(text, channel.url_rules)).transpose()?;
        let mut headers = HeaderMap::new();
        if channel.method.has_body() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(channel.format.content_type()));
        }
        let mut filled = Vec::new();
        for (name, value) in &channel.headers {
            let key =
                HeaderName::try_from(name.as_str()).map_err(|_| format!("headers.{name}: not a valid header name"))?;
            match value.as_static() {
                Some(text) => drop(headers.insert(key, named_value(name, text)?)),
                None => filled.push((key, value.clone())),
            }
        }
        Ok(Self { url, headers, filled })
    }

    /// The request of one attempt. `Err` says what could not be built: code -2000.
    pub(super) fn build(
        &self,
        channel: &Channel,
        delivery: &Leased,
        scope: impl FnOnce() -> Scope,
        attempt: AttemptId,
        now: Timestamp,
    ) -> Result<Request, NotBuilt> {
        let event = &delivery.event;
        // Names are gathered only for a channel that fills something in.
        let scope = LazyCell::new(scope);
        let mut url = if let Some(url) = &self.url {
            url.clone()
        } else {
            let text = channel.url.render(&scope).map_err(|error| format!("url: {error}"))?;
            parse_url(&text, channel.url_rules).map_err(|error| NotBuilt::of_url(error, &text))?
        };
        let mut headers = self.headers.clone();
        for (name, value) in &self.filled {
            let value = value.render(&scope).map_err(|error| format!("headers.{name}: {error}"))?;
            headers.insert(name, named_value(name.as_str(), &value)?);
        }
        let id = header_value(&delivery.id.to_string())?;
        headers.insert(WEBHOOK_ID, id.clone());
        headers.insert(IDEMPOTENCY_KEY, id);
        headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(now.as_secs()));
        headers.insert(TRACEPARENT, header_value(&event.subject.traceparent(attempt.as_u128() as u64))?);
        if let Some(state) = event.subject.tracestate() {
            headers.insert(TRACESTATE, header_value(state)?);
        }
        let mut again = HeaderMap::new();
        for set in &channel.header_set {
            // No other attempt has an id that begins as this one's does.
            for (headers, request) in [(&mut headers, attempt.as_u128()), (&mut again, attempt.as_u128() ^ 1)] {
                for (name, value) in set.headers(delivery.id, request) {
                    headers.insert(HeaderName::from_static(name), header_value(&value)?);
                }
            }
        }
        let mut body = Body::default();
        if channel.method.has_body() {
            body = match (&channel.body, channel.payload) {
                (Some(template), _) => custom(template, &scope)?,
                (None, _) if !channel.parameters.is_empty() => parameters(channel, &scope)?,
                (None, Payload::Envelope) => envelope(event)?,
                (None, Payload::Order) => Body::order(),
                (None, Payload::Parameters) => Body::whole(Bytes::from_static(b"{}")),
            };
            if let (true, Some(granularity)) = (body.spliced.is_some(), channel.granularity) {
                body = trimmed(granularity, body, &event.subject.body)?;
            }
            if channel.body.is_none() {
                body = formatted(channel.format, body, &event.subject.body)?;
            }
        } else if !channel.parameters.is_empty() {
            // A space is `%20` here as everywhere else; the form encoding of the `url` crate writes `+`.
            let mut query = url.query().filter(|query| !query.is_empty()).map(|query| format!("{query}&"));
            for (name, value) in &channel.parameters {
                let value = parameter_text(channel, name, value, &scope)?;
                let query = query.get_or_insert_default();
                query.extend([&percent(name), "=", &percent(&value), "&"]);
            }
            url.set_query(query.as_deref().and_then(|query| query.strip_suffix('&')));
            check_length(&url, channel.url_rules).map_err(|error| NotBuilt::of_url(error, url.as_str()))?;
        }
        let order = if body.spliced.is_some() { event.subject.body.clone() } else { Bytes::new() };
        if let Some(keys) = &channel.signing {
            let signature = keys.sign(&delivery.id.to_string(), now.as_secs(), &body.join(&order));
            headers.insert(WEBHOOK_SIGNATURE, header_value(&signature)?);
        }
        Ok(Request { method: channel.method, url, headers, again, body, order })
    }
}

/// A URL that satisfies the channel's rules.
fn parse_url(text: &str, rules: UrlRules) -> Result<Url, String> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("url: filled in, it has spaces or line breaks".to_owned());
    }
    let url = Url::parse(text).map_err(|error| format!("url {:?}: {error}", shown_url(text)))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(format!("url {:?}: needs http:// or https:// and a host", shown_url(text)));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("url: a user name or password belongs under `auth`".to_owned());
    }
    rules.check_start(text).map_err(|problem| format!("url: filled in, {problem}"))?;
    check_length(&url, rules)?;
    Ok(url)
}

fn check_length(url: &Url, rules: UrlRules) -> Result<(), String> {
    rules.check_length(url.as_str().len()).map_err(|problem| format!("url: filled in, {problem}"))
}

fn custom(template: &Template, scope: &Scope) -> Result<Body, NotBuilt> {
    let text = template.render(scope).map_err(|error| format!("body: {error}"))?;
    match template.check_filled(&text, scope) {
        Ok(()) => Ok(Body::whole(text)),
        Err(problem) => Err(NotBuilt { error: format!("body {problem}"), text }),
    }
}

/// A body with as much of the order in it as the granularity shows.
fn trimmed(granularity: Granularity, body: Body, order: &Bytes) -> Result<Body, String> {
    if granularity == Granularity::Tickets {
        return Ok(body);
    }
    let order = granularity.trim(order).map_err(|error| format!("granularity: {error}"))?;
    Ok(Body::whole(body.join(&order.into())))
}

/// A body of JSON in the channel's format. `order` is what stands between the parts of a spliced body.
fn formatted(format: Format, body: Body, order: &Bytes) -> Result<Body, String> {
    let write = match format {
        Format::Json => return Ok(body),
        Format::Form => as_form,
        Format::Xml => as_xml,
    };
    write(&body.join(order)).map(Body::whole).map_err(|error| format!("body: {error}"))
}

fn parameters(channel: &Channel, scope: &Scope) -> Result<Body, String> {
    let mut object = Map::new();
    for (name, value) in &channel.parameters {
        let value = match value {
            Parameter::Literal(value) => value.clone(),
            Parameter::Template(_) => Value::String(parameter_text(channel, name, value, scope)?),
        };
        object.insert(name.clone(), value);
    }
    serde_json::to_vec(&object).map(Body::whole).map_err(|error| format!("parameters: {error}"))
}

fn parameter_text(channel: &Channel, name: &str, value: &Parameter, scope: &Scope) -> Result<String, String> {
    let text = match value {
        Parameter::Template(template) => {
            template.render(scope).map_err(|error| format!("parameters.{name}: {error}"))?
        }
        Parameter::Literal(Value::Null) => String::new(),
        Parameter::Literal(Value::String(text)) => text.clone(),
        Parameter::Literal(value) => value.to_string(),
    };
    Ok(if text.is_empty() && channel.empty_as_null { "null".to_owned() } else { text })
}

#[derive(Serialize)]
struct Metadata<'a> {
    id: String,
    order_id: &'a str,
    r#type: &'a str,
    received_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloudevent: Option<&'a serde_json::Map<String, serde_json::Value>>,
}

/// A step as the standard body lists it.
#[derive(Serialize)]
struct StepShown<'a> {
    step: &'a str,
    status: StepStatus,
    code: Option<Code>,
}

/// The step that failed, as the standard body names it.
#[derive(Serialize)]
struct FailedStep<'a> {
    step: &'a str,
    plugin: &'a str,
    code: Option<Code>,
    error: Option<&'a str>,
}

/// The standard body: the order's bytes as received, between a head and a tail. The same for every attempt.
fn envelope(event: &Event) -> Result<Body, String> {
    let subject = &event.subject;
    let metadata = Metadata {
        id: subject.id(),
        order_id: &subject.order_id,
        r#type: &subject.kind,
        received_at: subject.received_at,
        chain: subject.chain.as_deref(),
        cloudevent: subject.cloudevent(),
    };
    let failed = |error: serde_json::Error| format!("body: {error}");
    let mut head = Vec::with_capacity(96);
    head.extend_from_slice(b"{\"type\":");
    serde_json::to_writer(&mut head, &*event.kind).map_err(failed)?;
    head.extend_from_slice(b",\"timestamp\":");
    serde_json::to_writer(&mut head, &event.at).map_err(failed)?;
    head.extend_from_slice(b",\"data\":{\"order\":");
    let mut tail = Vec::with_capacity(192 + event.context.len());
    tail.extend_from_slice(b",\"context\":");
    tail.extend_from_slice(event.context.as_bytes());
    tail.extend_from_slice(b",\"metadata\":");
    serde_json::to_writer(&mut tail, &metadata).map_err(failed)?;
    if subject.order().is_some() {
        tail.extend_from_slice(b",\"steps\":");
        let shown = event.steps.iter().map(|EventStep { step, status, code, .. }| StepShown {
            step,
            status: *status,
            code: *code,
        });
        let steps: Vec<_> = shown.collect();
        serde_json::to_writer(&mut tail, &steps).map_err(failed)?;
    }
    if let Some(EventStep { step, plugin, code, error, .. }) = event.failed() {
        // Its fields, next to the others: an object without its first brace.
        let fields = FailedStep { step, plugin, code: *code, error: error.as_deref() };
        let fields = serde_json::to_vec(&fields).map_err(failed)?;
        tail.push(b',');
        tail.extend_from_slice(fields.strip_prefix(b"{").and_then(|f| f.strip_suffix(b"}")).unwrap_or_default());
    }
    tail.extend_from_slice(b"}}");
    Ok(Body { head: head.into(), spliced: Some(tail.into()) })
}
