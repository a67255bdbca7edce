//! Credentials that go out with every request: a bearer token (RFC 6750), or a header of one's own.

use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::value::{secret, with_scheme};
use crate::outbound::request::ClientError;

pub(super) fn authorization(value: HeaderValue) -> (HeaderName, HeaderValue) {
    (AUTHORIZATION, value)
}

pub(super) fn bearer(token: &SecretString) -> Result<(HeaderName, HeaderValue), ClientError> {
    with_scheme("Bearer", token).map(authorization)
}

pub(super) fn header(name: &str, value: &SecretString) -> Result<(HeaderName, HeaderValue), ClientError> {
    let name = HeaderName::try_from(name).map_err(|_| ClientError::HeaderName(name.to_owned()))?;
    Ok((name, secret(value.expose_secret())?))
}
