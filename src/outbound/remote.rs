//! A client of a running orderhook, for the command line.

use std::time::Duration;

use reqwest::{Method, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::tls;

/// How long a server may take to be reached.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a call may take: a bulk change of many deliveries takes its time.
const CALL: Duration = Duration::from_secs(600);

/// A running orderhook.
#[derive(Debug, Clone)]
pub struct Remote {
    client: reqwest::Client,
    server: Url,
    token: Option<SecretString>,
}

impl Remote {
    /// The server at that URL, called with a bearer token where there is one. `Err` is a sentence.
    #[allow(
        clippy::disallowed_methods,
        reason = "a person names the server on the command line; no egress guard applies"
    )]
    pub fn new(server: &str, token: Option<SecretString>) -> Result<Self, String> {
        let server: Url = server.parse().map_err(|error| format!("{server:?} is not a URL: {error}"))?;
        if !matches!(server.scheme(), "http" | "https") {
            return Err(format!("{server} is not an http or https URL"));
        }
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::shared()?)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { client, server, token })
    }

    /// Gets or, with a body, posts JSON. `path` is taken apart into segments, which are encoded. Returns the status and the
    /// JSON of the response.
    pub async fn call(
        &self,
        path: &[&str],
        query: &[(String, String)],
        body: Option<&Value>,
    ) -> Result<(u16, Value), String> {
        let response = tokio::time::timeout(CALL, self.send(path, query, body))
            .await
            .map_err(|_| format!("{} did not answer within {} s", self.server, CALL.as_secs()))??;
        let status = response.status().as_u16();
        let bytes = response.bytes().await.map_err(|error| self.failed(&error))?;
        let json = serde_json::from_slice(&bytes)
            .map_err(|_| format!("{} answered {status} with a body that is not JSON; is it orderhook?", self.server))?;
        Ok((status, json))
    }

    /// Opens a stream of server-sent events. `Err` where the answer is not 200: its status and JSON.
    pub async fn stream(&self, path: &[&str], query: &[(String, String)]) -> Result<Lines, (u16, Value)> {
        let failed = |error: String| (0, Value::String(error));
        let response = self.send(path, query, None).await.map_err(failed)?;
        let status = response.status().as_u16();
        if status == 200 {
            return Ok(Lines { response, rest: Vec::new() });
        }
        let bytes = response.bytes().await.map_err(|error| failed(self.failed(&error)))?;
        Err((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    #[allow(clippy::disallowed_methods, reason = "as above")]
    async fn send(&self, path: &[&str], query: &[(String, String)], body: Option<&Value>) -> Result<Response, String> {
        let mut url = self.server.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let mut request = self.client.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        if let Some(body) = body {
            request = request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body.to_string());
        }
        request.send().await.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &reqwest::Error) -> String {
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        format!("{} cannot be reached: {cause}", self.server)
    }
}

/// The lines of a stream.
#[derive(Debug)]
pub struct Lines {
    response: Response,
    rest: Vec<u8>,
}

impl Lines {
    /// The next line; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<String>, String> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned()));
            }
            match self.response.chunk().await.map_err(|error| format!("the stream broke off: {error}"))? {
                Some(chunk) => self.rest.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}
