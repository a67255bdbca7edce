//! The demo's own caller of the API.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::config::settings::{Auth, Egress, Method, Timeout};
use crate::domain::Body;
use crate::outbound::{self, ClientOptions, HeaderMap, HeaderValue, Request, Url, header};
use crate::system::SystemClock;

/// Calls the service as an order system would.
pub(super) struct Client {
    inner: outbound::Client,
    base: Url,
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Result<Self, String> {
        let inner = outbound::Client::new(&ClientOptions {
            timeout: Timeout::Total(Duration::from_secs(65)),
            max_response: 4 * 1024 * 1024,
            refuse_large: true,
            pool: 64,
            resend: false,
            auth: Auth::None,
            shared: Vec::new(),
            egress: Arc::new(Egress::anywhere()),
            covered: false,
            clock: Arc::new(SystemClock),
            tls: None,
        });
        let base = Url::parse(&format!("http://{address}")).map_err(|error| error.to_string())?;
        Ok(Self { inner: inner.map_err(|error| error.to_string())?, base })
    }

    /// The status of the answer and its JSON, or why there was none.
    pub(super) async fn call(&self, method: Method, path: &str, body: Option<String>) -> Result<(u16, Value), String> {
        let url = self.base.join(path).map_err(|error| error.to_string())?;
        let mut headers = HeaderMap::new();
        if body.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let body = Body::whole(body.unwrap_or_default());
        let request = Request { method, url, headers, again: HeaderMap::new(), body, order: Bytes::new() };
        let reply = self.inner.send(&request).await;
        match reply.code.http_status() {
            Some(status) => Ok((status, serde_json::from_slice(&reply.body).unwrap_or(Value::Null))),
            None => Err(reply.error.unwrap_or_default()),
        }
    }

    /// `GET /v1/channels`.
    pub(super) async fn channels(&self) -> Vec<Value> {
        match self.call(Method::Get, "/v1/channels", None).await {
            Ok((200, Value::Object(mut answer))) => match answer.remove("data") {
                Some(Value::Array(channels)) => channels,
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }
}
