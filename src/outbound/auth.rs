//! How a request proves who sent it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use secrecy::ExposeSecret;

use super::client::ClientError;
use crate::config::settings::Auth;

/// Credentials as they go over the wire, made once.
#[derive(Debug)]
pub(super) enum Credentials {
    None,
    /// With every request.
    Always(HeaderName, HeaderValue),
    /// Only in answer to a Basic challenge.
    Challenged(HeaderValue),
}

impl Credentials {
    pub(super) fn new(auth: &Auth) -> Result<Self, ClientError> {
        Ok(match auth {
            Auth::None => Self::None,
            Auth::Basic { username, password, preemptive } => {
                if username.contains(':') {
                    return Err(ClientError::Username);
                }
                let pair = STANDARD.encode(format!("{username}:{}", password.expose_secret()));
                let value = secret(&format!("Basic {pair}"))?;
                if *preemptive { Self::Always(AUTHORIZATION, value) } else { Self::Challenged(value) }
            }
            Auth::Bearer { token } => {
                Self::Always(AUTHORIZATION, secret(&format!("Bearer {}", token.expose_secret()))?)
            }
            Auth::Header { name, value } => {
                let name = HeaderName::try_from(name.as_str()).map_err(|_| ClientError::HeaderName(name.clone()))?;
                Self::Always(name, secret(value.expose_secret())?)
            }
        })
    }

    /// The header of the first request.
    pub(super) fn at_first(&self) -> Option<(&HeaderName, &HeaderValue)> {
        match self {
            Self::Always(name, value) => Some((name, value)),
            Self::None | Self::Challenged(_) => None,
        }
    }

    /// The header that answers a 401 with these headers, where there is one to give.
    pub(super) fn in_answer_to(&self, headers: &HeaderMap) -> Option<(&'static HeaderName, &HeaderValue)> {
        match self {
            Self::Challenged(value) if asks_for_basic(headers) => Some((&AUTHORIZATION, value)),
            _ => None,
        }
    }
}

/// A header value that shows itself nowhere.
fn secret(text: &str) -> Result<HeaderValue, ClientError> {
    let mut value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| ClientError::HeaderValue)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether one of the challenges is for Basic. One header may hold several, told from their own parameters only by
/// the space behind the scheme.
fn asks_for_basic(headers: &HeaderMap) -> bool {
    headers.get_all(WWW_AUTHENTICATE).iter().any(|value| {
        let mut quoted = false;
        let mut escaped = false;
        let text = String::from_utf8_lossy(value.as_bytes());
        text.split(|c: char| {
            let separates = c == ',' && !quoted;
            if c == '"' && !escaped {
                quoted = !quoted;
            }
            escaped = c == '\\' && quoted && !escaped;
            separates
        })
        .any(|part| part.split_whitespace().next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_basic_challenge_is_found_among_others() {
        for (values, expected) in [
            (&["Basic realm=\"shop\""][..], true),
            (&["basic"], true),
            (&["Digest realm=\"a, Basic b\", nonce=\"x\""], false),
            (&["Digest realm=\"a \\\", Basic b\", nonce=\"x\""], false),
            (&["Digest realm=\"a\", nonce=\"x\", Basic realm=\"b\""], true),
            (&["Negotiate", "Basic realm=\"b\""], true),
            (&["Bearer realm=\"Basic\""], false),
            (&["BasicPlus x"], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(value));
            }
            assert_eq!(asks_for_basic(&headers), expected, "{values:?}");
        }
    }

    #[test]
    fn credentials_may_hold_any_letters() {
        let auth = Auth::Basic { username: "Jürgen".into(), password: "p:ä".to_owned().into(), preemptive: true };
        let credentials = Credentials::new(&auth).expect("credentials");
        let (name, value) = credentials.at_first().expect("preemptive");
        assert_eq!((name, value), (&AUTHORIZATION, &HeaderValue::from_static("Basic SsO8cmdlbjpwOsOk")));
        assert!(!format!("{credentials:?}").contains("SsO8"));
    }

    #[test]
    fn credentials_that_no_header_can_carry_are_an_error() {
        let wrong = [
            Auth::Basic { username: "a:b".into(), password: "x".to_owned().into(), preemptive: true },
            Auth::Bearer { token: "a\nb".to_owned().into() },
            Auth::Header { name: "X Y".into(), value: "x".to_owned().into() },
        ];
        for auth in wrong {
            assert!(Credentials::new(&auth).is_err(), "{auth:?}");
        }
    }
}
