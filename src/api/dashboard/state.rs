//! What every page needs: the sessions, the key of the forms, and the API's calls, made within the process.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, Request};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::Sha256;
use tower::ServiceExt;

use crate::domain::Timestamp;
use crate::system;

use super::super::problem::{Kind, Problem};
use super::super::state::Api;
use super::super::tokens::SessionToken;
use super::sessions::{SessionId, Sessions};

/// Cheap to clone.
#[derive(Clone)]
pub(in crate::api) struct Dashboard(Arc<Parts>);

struct Parts {
    api: Api,
    /// The routes of the API that read and change something.
    calls: Router,
    sessions: Sessions,
    /// Makes the tokens of forms. `None`: the system gave no random bytes, and no form is accepted.
    key: Option<[u8; 32]>,
}

/// Who looks at a page.
#[derive(Debug, Clone)]
pub(in crate::api) struct Visitor {
    /// `None` where no token is needed.
    pub(super) token: Option<SessionToken>,
    /// `None` without a session: where no token is needed, or the request brings one.
    pub(super) session: Option<SessionId>,
    /// The name of the token.
    pub(super) name: Option<Arc<str>>,
    /// Whether the token has the scope `manage`.
    pub(super) may_act: bool,
    /// The token that each form of this visitor has.
    pub(super) csrf: String,
    /// When the page was asked for.
    pub(super) now: Timestamp,
}

/// Why a call did not succeed.
#[derive(Debug, Deserialize)]
pub(super) struct Failure {
    pub(super) status: u16,
    pub(super) title: String,
    #[serde(default)]
    pub(super) detail: String,
    #[serde(default)]
    pub(super) errors: Vec<Wrong>,
}

/// One of several things wrong.
#[derive(Debug, Deserialize)]
pub(super) struct Wrong {
    pub(super) path: String,
    pub(super) message: String,
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        serde_json::from_slice(&problem.to_json()).unwrap_or_else(|_| Self {
            status: problem.kind().status(),
            title: problem.kind().title().to_owned(),
            detail: String::new(),
            errors: Vec::new(),
        })
    }
}

impl Dashboard {
    pub(in crate::api) fn new(api: Api, calls: Router) -> Self {
        let key = system::secret().map_err(|error| tracing::error!(%error, "no key for the forms of the dashboard"));
        Self(Arc::new(Parts { api, calls, sessions: Sessions::default(), key: key.ok() }))
    }

    pub(super) fn api(&self) -> &Api {
        &self.0.api
    }

    /// The names of the configured channels.
    pub(super) fn channels(&self) -> Vec<Arc<str>> {
        self.0.api.view().channels.iter().map(|channel| Arc::clone(&channel.name)).collect()
    }

    pub(super) fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// The token of the forms of a visitor, whom `of` tells from others.
    pub(super) fn csrf(&self, of: &[u8]) -> Option<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0.key?).ok()?;
        mac.update(of);
        Some(URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }

    /// Reads something from the API.
    pub(super) async fn read<T: DeserializeOwned>(&self, visitor: &Visitor, target: &str) -> Result<T, Failure> {
        self.call(visitor, Method::GET, target, String::new()).await
    }

    /// Changes something by the API.
    pub(super) async fn change(&self, visitor: &Visitor, target: &str, body: &Value) -> Result<Value, Failure> {
        self.post(visitor, target, body.to_string()).await
    }

    /// Makes a call of the API with a body as it is.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        visitor: &Visitor,
        target: &str,
        body: String,
    ) -> Result<T, Failure> {
        self.call(visitor, Method::POST, target, body).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        visitor: &Visitor,
        method: Method,
        target: &str,
        body: String,
    ) -> Result<T, Failure> {
        let request = Request::builder().method(method).uri(target).header(CONTENT_TYPE, "application/json");
        let request = request.body(Body::from(body));
        let mut request = request.map_err(|_| Problem::new(Kind::NotFound, "the name cannot be part of a path"))?;
        if let Some(token) = visitor.token {
            request.extensions_mut().insert(token);
        }
        let response = match self.0.calls.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let succeeded = response.status().is_success();
        let body = to_bytes(response.into_body(), usize::MAX).await.map_err(|_| Problem::internal())?;
        let unreadable = |error: serde_json::Error| {
            tracing::error!(%error, target, "the dashboard cannot read a response of the API");
            Problem::internal()
        };
        if succeeded {
            return serde_json::from_slice(&body).map_err(|error| unreadable(error).into());
        }
        Err(serde_json::from_slice(&body).unwrap_or_else(|error| unreadable(error).into()))
    }
}
