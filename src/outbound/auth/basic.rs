//! HTTP Basic (RFC 7617), in UTF-8 whatever `charset` a challenge names: the RFC knows no other.
//!
//! The first request carries no credentials; a 401 with a Basic challenge is answered with them, whatever its realm, as
//! a channel has one pair alone. A second 401 ends it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::challenge::{Challenges, challenges};
use super::value::secret;
use crate::outbound::call::Call;
use crate::outbound::request::ClientError;

/// The header of a user and a password.
pub(super) fn header(username: &str, password: &SecretString) -> Result<HeaderValue, ClientError> {
    if username.contains(':') {
        return Err(ClientError::Username);
    }
    secret(&format!("Basic {}", STANDARD.encode(format!("{username}:{}", password.expose_secret()))))
}

/// The header, if the receiver asks for it; else the call notes what it asks for instead.
pub(super) fn answer(value: &HeaderValue, call: &mut Call<'_>) -> Option<(HeaderName, HeaderValue)> {
    let found = challenges(&call.received.headers);
    if found.of("basic").is_some() {
        return Some((AUTHORIZATION, value.clone()));
    }
    call.note = Some(why_not(&found));
    None
}

fn why_not(found: &Challenges) -> String {
    match (found.broken, found.schemes()) {
        (Some(at), _) => format!(
            "the receiver's WWW-Authenticate header cannot be read from character {at} on, and asks for no Basic before that; with preemptive: true the credentials are sent with the first request"
        ),
        (None, schemes) if schemes.is_empty() => {
            "the receiver answers 401 without a WWW-Authenticate header, so no credentials were sent; with preemptive: true they are sent with the first request".to_owned()
        }
        (None, schemes) => format!("the receiver asks for {schemes}, not for Basic; choose another kind of auth"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_may_hold_any_letters() {
        let value = header("Jürgen", &"p:ä".to_owned().into()).expect("a header");
        assert_eq!(value, HeaderValue::from_static("Basic SsO8cmdlbjpwOsOk"));
        assert!(!format!("{value:?}").contains("SsO8"));
        // The example of RFC 7617, section 2.1.
        let value = header("test", &"123\u{a3}".to_owned().into()).expect("a header");
        assert_eq!(value, HeaderValue::from_static("Basic dGVzdDoxMjPCow=="));
    }

    #[test]
    fn a_colon_would_end_the_user_name() {
        assert_eq!(header("a:b", &"x".to_owned().into()).unwrap_err(), ClientError::Username);
    }
}
