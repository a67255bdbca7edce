//! A token by a signed JWT (RFC 7523): as the grant itself, or in place of the client's secret.
//!
//! Each request for a token has an assertion of its own, good for a few minutes and once.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use url::form_urlencoded::Serializer;

use super::endpoint::{Answer, Endpoint, Failure, Issued};
use crate::config::settings::{JwtBearer, JwtUse};
use crate::domain::Timestamp;
use crate::system;

/// By how much the provider's clock may be behind: the assertion says that it is as old as this.
const SKEW: i64 = 60;

/// How long the assertion is good for from now on, in seconds: what its way takes, and a clock that is ahead.
const LIFETIME: i64 = 240;

pub(super) struct Grant(Arc<JwtBearer>);

impl Grant {
    pub(super) fn new(jwt: &Arc<JwtBearer>) -> Self {
        Self(Arc::clone(jwt))
    }

    pub(super) async fn fetch(&self, endpoint: &Endpoint, now: Timestamp) -> Result<Issued, Failure> {
        let host = endpoint.host();
        let assertion = self.assertion(now).map_err(|error| format!("no token from {host}: {error}"))?;
        match endpoint.post(self.form(&assertion), None, Some(&assertion)).await? {
            Answer::Issued(issued) => Ok(issued),
            Answer::Refused(refusal) => Err(Failure::Said(format!(
                "no token from {host}: it refuses the assertion ({}); check issuer, subject, audience, key and key_id, and that its clock and ours agree",
                refusal.words()
            ))),
        }
    }

    fn form(&self, assertion: &str) -> String {
        let mut form = Serializer::new(String::new());
        match self.0.usage {
            JwtUse::Grant => {
                form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
                form.append_pair("assertion", assertion);
            }
            JwtUse::ClientAssertion => {
                form.append_pair("grant_type", "client_credentials");
                form.append_pair("client_id", &self.0.subject);
                form.append_pair("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
                form.append_pair("client_assertion", assertion);
            }
        }
        if let Some(scope) = &self.0.scope {
            form.append_pair("scope", scope);
        }
        form.finish()
    }

    /// `HEADER.CLAIMS.SIGNATURE`.
    fn assertion(&self, now: Timestamp) -> Result<String, String> {
        let JwtBearer { issuer, subject, audience, key, key_id, .. } = &*self.0;
        let mut header = json!({"alg": key.algorithm().as_str(), "typ": "JWT"});
        if let (Some(header), Some(id)) = (header.as_object_mut(), key_id) {
            header.insert("kid".to_owned(), id.as_str().into());
        }
        let once: String = system::secret()?.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let claims = json!({
            "iss": issuer,
            "sub": subject,
            "aud": audience,
            "iat": now.as_secs() - SKEW,
            "exp": now.as_secs() + LIFETIME,
            "jti": once,
        });
        let encoded = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encoded(header), encoded(claims));
        let signature = key.sign(message.as_bytes())?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
