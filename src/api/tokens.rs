//! Who may call: bearer tokens and their scopes.
//!
//! Only digests are kept, and every one of them is compared, in constant time: how long it takes tells nothing about
//! the tokens. Without any token configured everything is open; the configuration allows that on loopback alone.

use std::sync::Arc;

use axum::http::header::AUTHORIZATION;
use axum::http::{Extensions, HeaderMap};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::config::settings::{Scope, Token};
use crate::domain::Timestamp;
use crate::store::Cause;

use super::pace::Pace;
use super::problem::Problem;

/// The tokens configured.
pub struct Tokens {
    known: Vec<Known>,
    /// The caller's name where no token is needed.
    nobody: Arc<str>,
}

pub(super) struct Known {
    name: Arc<str>,
    digest: [u8; 32],
    scopes: Vec<Scope>,
    pace: Option<Arc<Pace>>,
}

/// The name of a scope in the configuration and in errors.
const fn name(scope: Scope) -> &'static str {
    match scope {
        Scope::Ingest => "ingest",
        Scope::Read => "read",
        Scope::Manage => "manage",
    }
}

impl Known {
    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn may(&self, wanted: Scope) -> bool {
        self.scopes.iter().any(|scope| *scope == wanted || (*scope == Scope::Manage && wanted == Scope::Read))
    }
}

impl Tokens {
    /// The tokens of a configuration. One that had the same name and rate `before` goes on where its pace stands.
    pub fn new(tokens: &[Token], before: Option<&Self>) -> Self {
        let pace = |token: &Token| {
            let rate = token.rate_limit?;
            let same = before.into_iter().flat_map(|before| &before.known).find(|known| known.name == token.name);
            let kept = same.and_then(|known| known.pace.clone()).filter(|pace| pace.rate() == rate);
            Some(kept.unwrap_or_else(|| Arc::new(Pace::new(rate))))
        };
        let known = |token: &Token| Known {
            name: Arc::clone(&token.name),
            digest: Sha256::digest(token.token.expose_secret().as_bytes()).into(),
            scopes: token.scopes.clone(),
            pace: pace(token),
        };
        Self { known: tokens.iter().map(known).collect(), nobody: Arc::from("") }
    }

    /// The name of who brings an order or events, if they may and keep their pace: empty where no token is needed.
    pub fn sender(&self, headers: &HeaderMap) -> Result<Arc<str>, Problem> {
        let Some(known) = self.caller(headers, Scope::Ingest)? else { return Ok(Arc::clone(&self.nobody)) };
        if let Some(pace) = &known.pace {
            pace.take().map_err(|wait| Problem::too_many(pace.rate(), wait))?;
        }
        Ok(Arc::clone(&known.name))
    }

    /// Whose token it is, if it is good for that: nobody's where none is needed.
    pub(super) fn caller(&self, headers: &HeaderMap, wanted: Scope) -> Result<Option<&Known>, Problem> {
        if self.known.is_empty() {
            return Ok(None);
        }
        let Some(presented) = bearer(headers) else {
            return Err(Problem::unauthorized(name(wanted), headers.contains_key(AUTHORIZATION)));
        };
        self.holder(SessionToken::of(presented), wanted).map(Some)
    }

    /// The same for a call that may come from a session of the dashboard, which puts its [`SessionToken`] into the
    /// request's extensions.
    pub(super) fn caller_of(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
        wanted: Scope,
    ) -> Result<Option<&Known>, Problem> {
        match extensions.get::<SessionToken>() {
            Some(token) if !self.is_open() => self.holder(*token, wanted).map(Some),
            _ => self.caller(headers, wanted),
        }
    }

    /// Whether every call is allowed without a token.
    pub(super) fn is_open(&self) -> bool {
        self.known.is_empty()
    }

    /// The token with that digest, if it has the scope.
    pub(super) fn holder(&self, token: SessionToken, wanted: Scope) -> Result<&Known, Problem> {
        let mut found = None;
        for known in &self.known {
            let same: Choice = known.digest.ct_eq(&token.0);
            if bool::from(same) {
                found = Some(known);
            }
        }
        match found {
            None => Err(Problem::unauthorized(name(wanted), true)),
            Some(known) if known.may(wanted) => Ok(known),
            Some(_) => Err(Problem::forbidden(name(wanted))),
        }
    }
}

/// The digest of a token that a session of the dashboard was opened with. The token itself is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SessionToken(pub(super) [u8; 32]);

impl SessionToken {
    pub(super) fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }
}

/// The token of an `Authorization: Bearer …` header. A request with two such headers presents none.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}

/// The name of the token that a call presents; `None` where no token is needed.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub(super) Option<Arc<str>>);

impl Caller {
    /// Whose token it is.
    pub(super) fn of(known: Option<&Known>) -> Self {
        Self(known.map(|known| Arc::clone(&known.name)))
    }

    /// A receiver that presents the key of a delivery.
    pub(super) fn receiver() -> Self {
        Self(Some(Arc::from(Cause::RECEIVER)))
    }

    /// Its cause for a change at `at`.
    pub(super) fn cause(self, at: Timestamp, reason: Option<Arc<str>>) -> Cause {
        Cause { at, by: self.0, reason }
    }
}

/// Who changed something, for the log.
pub(super) fn author(cause: &Cause) -> String {
    match cause.by.as_deref() {
        Some("receiver") => "its receiver".to_owned(),
        Some(token) => format!("token {token}"),
        None => "a caller without a token".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::super::problem::Kind;
    use super::*;

    fn tokens() -> Tokens {
        let token = |name: &str, secret: &str, scopes: &[Scope]| Token {
            name: name.into(),
            token: secret.to_owned().into(),
            scopes: scopes.to_vec(),
            rate_limit: None,
        };
        Tokens::new(
            &[
                token("shop", "s3cret", &[Scope::Ingest]),
                token("viewer", "v1ew", &[Scope::Read]),
                token("boss", "b0ss", &[Scope::Manage]),
            ],
            None,
        )
    }

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_str(value).expect("a header"))).collect()
    }

    fn outcome(values: &[&str], scope: Scope) -> Result<String, Kind> {
        let tokens = tokens();
        let caller = tokens.caller(&headers(values), scope);
        caller.map(|known| known.expect("a token").name.to_string()).map_err(|problem| problem.kind())
    }

    #[test]
    fn a_token_is_good_for_its_scopes_and_manage_for_reading_too() {
        for (token, scope, expected) in [
            ("Bearer s3cret", Scope::Ingest, Ok("shop")),
            ("bearer  s3cret", Scope::Ingest, Ok("shop")),
            ("Bearer s3cret", Scope::Read, Err(Kind::Forbidden)),
            ("Bearer v1ew", Scope::Read, Ok("viewer")),
            ("Bearer v1ew", Scope::Manage, Err(Kind::Forbidden)),
            ("Bearer b0ss", Scope::Read, Ok("boss")),
            ("Bearer b0ss", Scope::Manage, Ok("boss")),
            ("Bearer b0ss", Scope::Ingest, Err(Kind::Forbidden)),
            ("Bearer s3cre", Scope::Ingest, Err(Kind::Unauthorized)),
            ("Bearer ", Scope::Ingest, Err(Kind::Unauthorized)),
            ("Basic s3cret", Scope::Ingest, Err(Kind::Unauthorized)),
            ("", Scope::Ingest, Err(Kind::Unauthorized)),
        ] {
            assert_eq!(outcome(&[token], scope), expected.map(str::to_owned), "{token} for {scope:?}");
        }
    }

    #[test]
    fn no_token_and_two_tokens_are_no_token() {
        assert_eq!(outcome(&[], Scope::Ingest), Err(Kind::Unauthorized));
        assert_eq!(outcome(&["Bearer s3cret", "Bearer s3cret"], Scope::Ingest), Err(Kind::Unauthorized));
    }

    #[test]
    fn a_token_goes_on_where_its_pace_stands_unless_its_rate_is_another() {
        let token = |rate: &str| Token {
            name: "shop".into(),
            token: "s3cret".to_owned().into(),
            scopes: vec![Scope::Ingest],
            rate_limit: Some(rate.parse().expect("a rate")),
        };
        let headers = headers(&["Bearer s3cret"]);
        let sent = |tokens: &Tokens| tokens.sender(&headers).map_err(|problem| problem.kind()).map(drop);
        let first = Tokens::new(&[token("1/h")], None);
        assert_eq!(sent(&first), Ok(()));
        let same = Tokens::new(&[token("1/h")], Some(&first));
        assert_eq!(sent(&same), Err(Kind::TooManyRequests));
        let other = Tokens::new(&[token("2/h")], Some(&same));
        assert_eq!(sent(&other), Ok(()));
    }

    #[test]
    fn without_any_token_configured_everybody_may() {
        assert!(Tokens::new(&[], None).caller(&HeaderMap::new(), Scope::Manage).expect("open").is_none());
        assert_eq!(Tokens::new(&[], None).sender(&HeaderMap::new()).expect("open").as_ref(), "");
    }
}
