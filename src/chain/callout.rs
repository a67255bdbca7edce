//! `calloutPlugin`: posts the order to an endpoint and reads the response.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;

use crate::config::settings::{CalloutOptions, Egress, Payload, Timeout};
use crate::config::shown_url;
use crate::domain::json::{self, Unreadable};
use crate::domain::order::RejectedBy;
use crate::domain::{Body, Clock, Code, Subject, Timestamp};
use crate::outbound::{
    Client, ClientOptions, HeaderMap, HeaderName, HeaderValue, Reply, Request, Url, header, header_value, named_value,
};
use crate::template::Host;

use super::plugin::{BuildError, Call, Failure, Plugin, StepResult};

/// The largest response that is read.
const MAX_RESPONSE: usize = 1024 * 1024;

/// The deepest nesting of lists and objects in a response. Receivers of the context read it within their own bound, often 128.
const MAX_DEPTH: usize = 64;

/// Idle connections kept to an endpoint.
const POOL: usize = 64;

pub(super) struct Callout {
    options: CalloutOptions,
    client: Client,
}

impl Callout {
    pub(super) fn new(
        options: &CalloutOptions,
        egress: &Arc<Egress>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BuildError> {
        let client = Client::new(&ClientOptions {
            timeout: Timeout::Total(options.timeout),
            max_response: MAX_RESPONSE,
            refuse_large: true,
            pool: POOL,
            resend: true,
            auth: options.auth.clone(),
            shared: Vec::new(),
            egress: Arc::clone(egress),
            covered: options.endpoint.host() == Host::Filled,
            clock,
            tls: options.tls.clone(),
        });
        let client = client.map_err(|error| BuildError(error.to_string()))?;
        Ok(Self { options: options.clone(), client })
    }

    fn request(&self, call: &Call<'_>) -> Result<Request, String> {
        let url = self.options.endpoint.render(call.scope).map_err(|error| format!("endpoint: {error}"))?;
        let url = Url::parse(&url).map_err(|error| format!("endpoint {:?}: {error}", shown_url(&url)))?;
        let mut headers = HeaderMap::new();
        let body = if self.options.method.has_body() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            self.body(call)?
        } else {
            Bytes::new()
        };
        let id = call.subject.id();
        headers.insert("idempotency-key", header_value(&format!("{id}-{}", call.step))?);
        headers.insert("traceparent", header_value(&call.subject.traceparent(call.span))?);
        if let Some(state) = call.subject.tracestate() {
            headers.insert("tracestate", header_value(state)?);
        }
        for (name, value) in &self.options.headers {
            let value = value.render(call.scope).map_err(|error| format!("headers.{name}: {error}"))?;
            let key =
                HeaderName::try_from(name.as_str()).map_err(|_| format!("headers.{name}: not a valid header name"))?;
            headers.insert(key, named_value(name, &value)?);
        }
        let (body, order) = (Body::whole(body), Bytes::new());
        Ok(Request { method: self.options.method, url, headers, again: HeaderMap::new(), body, order })
    }

    fn body(&self, call: &Call<'_>) -> Result<Bytes, String> {
        if let Some(body) = &self.options.body {
            let text = body.render(call.scope).map_err(|error| format!("body: {error}"))?;
            body.check_filled(&text, call.scope).map_err(|problem| format!("body {problem}"))?;
            return Ok(text.into());
        }
        if self.options.payload == Payload::Order {
            return Ok(call.subject.body.clone());
        }
        let metadata = Metadata::new(call);
        let metadata = serde_json::to_vec(&metadata).map_err(|error| format!("metadata: {error}"))?;
        let parts: [&[u8]; 7] = [
            b"{\"order\":",
            &call.subject.body,
            b",\"context\":",
            call.context.as_bytes(),
            b",\"metadata\":",
            &metadata,
            b"}",
        ];
        Ok(parts.concat().into())
    }

    fn read(&self, reply: &Reply) -> StepResult {
        let mut result = StepResult { code: Some(reply.code), ..StepResult::default() };
        let Some(status) = reply.code.http_status() else {
            let timeout = reply.code.is_timeout();
            let text = if timeout { ABORTED.to_owned() } else { reply.error.clone().unwrap_or_default() };
            let by = if timeout { RejectedBy::Timeout } else { RejectedBy::NoResponse };
            result.failure = Some(Failure { by, text });
            return result;
        };
        if self.options.reject_on.iter().any(|class| class.matches(reply.code, reply.auth)) {
            let text = format!("callout plugin failed due to response status: [{status}]");
            result.failure = Some(Failure { by: RejectedBy::Status, text });
        }
        match json::read(&reply.body, MAX_DEPTH) {
            Ok(value) => {
                for (name, pointer) in &self.options.capture {
                    if let Some(found) = value.pointer(pointer) {
                        result.captured.insert(name.clone(), found.clone());
                    }
                }
                result.answer = Some(value);
            }
            Err(Unreadable::TooDeep(levels)) if result.failure.is_none() => {
                let text = format!("the response is nested deeper than {levels} levels");
                result.failure = Some(Failure { by: RejectedBy::NoResponse, text });
            }
            // A response that is not JSON adds nothing to the context.
            Err(_) => {}
        }
        result
    }
}

const ABORTED: &str = "This operation was aborted";

#[async_trait]
impl Plugin for Callout {
    async fn run(&self, call: Call<'_>) -> StepResult {
        match self.request(&call) {
            Ok(request) => self.read(&self.client.send(&request).await),
            Err(error) => StepResult {
                code: Some(Code::NOT_BUILT),
                failure: Some(Failure {
                    by: RejectedBy::NoResponse,
                    text: format!("the request could not be built: {error}"),
                }),
                ..StepResult::default()
            },
        }
    }
}

#[derive(Serialize)]
struct Metadata<'a> {
    id: String,
    order_id: &'a str,
    r#type: &'a str,
    received_at: Timestamp,
    chain: Option<&'a str>,
    step: &'a str,
    attempt: u32,
}

impl<'a> Metadata<'a> {
    fn new(call: &Call<'a>) -> Self {
        let subject: &'a Subject = call.subject;
        Self {
            id: subject.id(),
            order_id: &subject.order_id,
            r#type: &subject.kind,
            received_at: subject.received_at,
            chain: subject.chain.as_deref(),
            step: call.step,
            attempt: call.attempt,
        }
    }
}
