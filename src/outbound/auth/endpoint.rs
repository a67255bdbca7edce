//! A token endpoint (RFC 6749): asks it for a token, and makes a sentence of whatever else comes.
//!
//! Its connections are its own: nothing that a channel says about TLS holds here, so a certificate is always checked. The
//! crate `oauth2` is not used: it has one way of sending the client's secret, while some providers take it in the form
//! and others in the header; it leaves bounds on what is read to its caller; and what goes wrong is to become a
//! sentence here, without anything secret in it.

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use secrecy::SecretString;
use serde_json::Value;

use crate::domain::json;
use crate::outbound::dialer::{Dialer, Http};
use crate::outbound::egress::Forbidden;
use crate::outbound::fault::Fault;
use crate::outbound::mask::Secrets;
use crate::outbound::received::Received;
use crate::outbound::request::{ClientError, WANTS_CREDENTIALS, host};

/// The largest answer that is read.
const MAX_ANSWER: usize = 64 * 1024;

/// How long a token is kept whose lifetime the endpoint does not tell.
const UNTOLD: Duration = Duration::from_secs(5 * 60);

/// The longest that a token is kept: further ahead no clock is to be trusted.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Characters of an endpoint's own words that are quoted.
const QUOTED: usize = 200;

/// A token, and how long it is good for.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) token: SecretString,
    pub(super) lifetime: Duration,
}

/// Why there is no token.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// As a sentence.
    Said(String),
    /// The guard does not let anybody ask.
    Forbidden(Forbidden),
    /// This machine can open no connection to that host: what it lacks.
    Starved(String, &'static str),
}

impl From<String> for Failure {
    fn from(sentence: String) -> Self {
        Self::Said(sentence)
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Said(sentence) => Self::NoCredentials(sentence),
            Failure::Forbidden(forbidden) => Self::Egress(forbidden),
            Failure::Starved(host, what) => Self::Starved(host, what),
        }
    }
}

/// What an endpoint says to a client that it can be talked to about.
#[derive(Debug)]
pub(super) enum Answer {
    Issued(Issued),
    Refused(Refusal),
}

/// A client, or its assertion, refused.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// `invalid_client` and the like; empty where the endpoint does not say.
    pub(super) error: String,
    pub(super) description: String,
}

impl Refusal {
    /// The status and what the endpoint says about it.
    pub(super) fn words(&self) -> String {
        let Self { status, error, description } = self;
        match (error.is_empty(), description.is_empty()) {
            (true, _) => status.to_string(),
            (false, true) => format!("{status} {error}"),
            (false, false) => format!("{status} {error}: {description}"),
        }
    }
}

/// Where tokens come from.
pub(super) struct Endpoint {
    http: Http,
    url: Url,
    /// What its answers are not to be quoted with.
    secrets: Secrets,
}

impl Endpoint {
    pub(super) fn new(url: &Url, dialer: &Dialer, secrets: Secrets) -> Result<Self, ClientError> {
        Ok(Self { http: dialer.verified()?.client(1)?, url: url.clone(), secrets })
    }

    /// Its host, for sentences.
    pub(super) fn host(&self) -> String {
        host(&self.url)
    }

    /// Sends a form, with the client's credentials or an assertion in it, which no answer is to be quoted with.
    pub(super) async fn post(
        &self,
        form: String,
        authorization: Option<HeaderValue>,
        assertion: Option<&str>,
    ) -> Result<Answer, Failure> {
        let host = self.host();
        let mut told = Secrets::new(assertion);
        told.extend(&self.secrets);
        if let Some(value) = &authorization {
            told.add_header(value);
        }
        let mut request = reqwest::Request::new(Method::POST, self.url.clone());
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value);
        }
        *request.body_mut() = Some(form.into());
        let unreachable = |error: &reqwest::Error| match Fault::of(error, &host, self.http.proxy().map(AsRef::as_ref)) {
            Fault::Egress(forbidden) => Failure::Forbidden(forbidden),
            Fault::Starved(host, what) => Failure::Starved(host, what),
            fault => {
                let fault = quoted(&fault.to_string(), &told);
                Failure::Said(format!("no token from {host}: {fault}; check token_url, and whether it can be reached"))
            }
        };
        let mut response = self.http.execute(request).await.map_err(|error| unreachable(&error))?;
        let mut received = Received::default();
        let status = response.status();
        let kind = response.headers().get(CONTENT_TYPE).cloned();
        received.read(&mut response, MAX_ANSWER).await.map_err(|error| unreachable(&error))?;
        if received.truncated {
            let status = status.as_u16();
            let sentence =
                format!("no token from {host}: it answers {status} with more than {MAX_ANSWER} bytes; check token_url");
            return Err(sentence.into());
        }
        if let Some(proxy) = self.http.proxy().filter(|_| status == StatusCode::PROXY_AUTHENTICATION_REQUIRED) {
            return Err(format!("no token from {host}: the proxy {proxy} failed: {WANTS_CREDENTIALS}").into());
        }
        Ok(self.read(status, kind.as_ref(), &received.body(false), &told)?)
    }

    fn read(
        &self,
        status: StatusCode,
        kind: Option<&HeaderValue>,
        body: &[u8],
        told: &Secrets,
    ) -> Result<Answer, String> {
        let (host, code) = (self.host(), status.as_u16());
        let answer = json::read(body, json::MAX_DEPTH).ok().filter(Value::is_object);
        let member = |name: &str| answer.as_ref().and_then(|answer| answer.get(name)?.as_str()).unwrap_or_default();
        if matches!(code, 400 | 401 | 403) {
            let (error, description) = (quoted(member("error"), told), quoted(member("error_description"), told));
            return Ok(Answer::Refused(Refusal { status: code, error, description }));
        }
        if status.is_redirection() {
            return Err(format!("no token from {host}: it answers {code}, a redirect; token_url must name its target"));
        }
        if !status.is_success() {
            let hint =
                if status.is_server_error() || code == 429 { "the next attempt asks again" } else { "check token_url" };
            return Err(format!("no token from {host}: it answers {code}; {hint}"));
        }
        if answer.is_none() {
            let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or("no content type");
            return Err(format!(
                "no token from {host}: it answers {code} with {}, not with a JSON object; check token_url",
                quoted(kind, told)
            ));
        }
        let token = member("access_token");
        if token.is_empty() {
            return Err(format!(
                "no token from {host}: its response has no access_token; check token_url, and that it is a token endpoint"
            ));
        }
        let scheme = member("token_type");
        if !scheme.is_empty() && !scheme.eq_ignore_ascii_case("bearer") {
            return Err(format!(
                "no token from {host}: its token is of type {}; only Bearer is supported; configure the provider to issue those",
                quoted(scheme, told)
            ));
        }
        let lifetime = answer.as_ref().and_then(|answer| seconds(answer.get("expires_in")?)).unwrap_or(UNTOLD);
        Ok(Answer::Issued(Issued { token: token.into(), lifetime: lifetime.min(LONGEST) }))
    }
}

/// An endpoint's own words, as far as they may stand in a sentence: without what it was told.
fn quoted(words: &str, told: &Secrets) -> String {
    let mut words = words.to_owned();
    told.hide_text(&mut words);
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(QUOTED).collect()
}

/// A number of seconds; some endpoints write it as text.
fn seconds(value: &Value) -> Option<Duration> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    Duration::try_from_secs_f64(number.max(0.0)).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::config::settings::Egress;

    fn endpoint() -> Endpoint {
        let url = Url::parse("http://id.example/token").expect("a URL");
        let dialer = Dialer::new(&Arc::new(Egress::anywhere())).expect("a dialer");
        Endpoint::new(&url, &dialer, Secrets::new(["s3cret"])).expect("an endpoint")
    }

    #[test]
    fn lifetimes_are_read_as_endpoints_write_them() {
        for (value, expected) in [
            (json!(3600), Some(3600)),
            (json!("3600"), Some(3600)),
            (json!(59.9), Some(59)),
            (json!(-5), Some(0)),
            (json!("soon"), None),
            (json!(null), None),
        ] {
            assert_eq!(seconds(&value).map(|time| time.as_secs()), expected, "{value}");
        }
    }

    #[test]
    fn a_secret_in_an_endpoints_words_is_not_quoted() {
        let body = json!({"error": "invalid_client", "error_description": "s3cret is\nwrong"}).to_string();
        let answer =
            endpoint().read(StatusCode::UNAUTHORIZED, None, body.as_bytes(), &endpoint().secrets).expect("an answer");
        let Answer::Refused(refusal) = answer else { panic!("{answer:?}") };
        assert_eq!(refusal.words(), "401 invalid_client: *** is wrong");
    }

    proptest! {
        #[test]
        fn any_answer_is_a_token_a_refusal_or_a_sentence(
            status in 200u16..600,
            expires in proptest::option::of(any::<f64>()),
            token in "[a-z\n]{0,5}",
            scheme in "(bearer|mac|)",
            garbage in proptest::option::of(".{0,20}"),
        ) {
            let body = json!({"access_token": token, "token_type": scheme, "expires_in": expires}).to_string();
            let body = garbage.unwrap_or(body);
            let status = StatusCode::from_u16(status).expect("a status");
            match endpoint().read(status, None, body.as_bytes(), &Secrets::default()) {
                Ok(Answer::Issued(issued)) => prop_assert!(issued.lifetime <= LONGEST),
                Ok(Answer::Refused(refusal)) => prop_assert_eq!(refusal.words(), status.as_str()),
                Err(sentence) => prop_assert!(sentence.starts_with("no token from id.example:80: ")),
            }
        }
    }
}
