//! Credentials that go out with every request: a bearer token (RFC 6750), or a header of one's own.

use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::{Way, secret, with_scheme};
use crate::outbound::client::ClientError;

pub(super) fn authorization(value: HeaderValue) -> Way {
    Way::Always(AUTHORIZATION, value)
}

pub(super) fn bearer(token: &SecretString) -> Result<Way, ClientError> {
    with_scheme("Bearer", token).map(authorization)
}

pub(super) fn header(name: &str, value: &SecretString) -> Result<Way, ClientError> {
    let name = HeaderName::try_from(name).map_err(|_| ClientError::HeaderName(name.to_owned()))?;
    Ok(Way::Always(name, secret(value.expose_secret())?))
}
