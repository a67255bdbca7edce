//! Header values that hold secrets.

use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use crate::outbound::request::ClientError;

/// Returns a header value that is marked as sensitive.
pub(super) fn secret(text: &str) -> Result<HeaderValue, ClientError> {
    let mut value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| ClientError::HeaderValue)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The same for a scheme followed by a secret.
pub(super) fn with_scheme(scheme: &str, text: &SecretString) -> Result<HeaderValue, ClientError> {
    secret(&format!("{scheme} {}", text.expose_secret()))
}
