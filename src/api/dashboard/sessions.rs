//! Sessions of the dashboard: which browser has logged in with which token.
//!
//! A cookie holds a random id. The table, in memory, holds only digests: of that id, and of the token. A restart, a reload
//! that removes the token, and the time end a session.

use std::collections::HashMap;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::domain::Timestamp;
use crate::system;

use super::super::tokens::SessionToken;

/// How long a session lasts.
const LASTS: Duration = Duration::from_secs(12 * 3600);

/// Sessions at most; one more ends the oldest.
const MOST: usize = 1000;

/// The name of the cookie.
const NAME: &str = "orderhook_session";

/// The digest of a session's id.
pub(super) type SessionId = [u8; 32];

#[derive(Debug, Clone, Copy)]
struct Session {
    token: SessionToken,
    until: Timestamp,
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<SessionId, Session>>);

impl Sessions {
    /// Opens a session. Returns the `Set-Cookie` header.
    pub(super) fn open(&self, token: SessionToken, now: Timestamp, https: bool) -> Result<String, String> {
        let id = URL_SAFE_NO_PAD.encode(system::secret()?);
        let mut sessions = self.0.lock();
        sessions.retain(|_, session| session.until > now);
        if sessions.len() >= MOST
            && let Some(oldest) = sessions.iter().min_by_key(|(_, session)| session.until).map(|(id, _)| *id)
        {
            sessions.remove(&oldest);
        }
        sessions.insert(digest(&id), Session { token, until: now.after(LASTS) });
        let secure = if https { "; Secure" } else { "" };
        Ok(format!("{NAME}={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}", LASTS.as_secs()))
    }

    /// The session that a request's cookie names, while it lasts.
    pub(super) fn find(&self, headers: &HeaderMap, now: Timestamp) -> Option<(SessionId, SessionToken)> {
        let sessions = self.0.lock();
        // A page of another port may have set a cookie of the same name.
        cookies(headers).find_map(|id| {
            let session = sessions.get(&id).filter(|session| session.until > now)?;
            Some((id, session.token))
        })
    }

    pub(super) fn close(&self, id: SessionId) {
        self.0.lock().remove(&id);
    }

    /// The `Set-Cookie` header that removes the cookie.
    pub(super) fn removed() -> String {
        format!("{NAME}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0")
    }
}

fn digest(id: &str) -> SessionId {
    Sha256::digest(id.as_bytes()).into()
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = SessionId> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(name, _)| *name == NAME).map(|(_, id)| digest(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie(set: &str) -> HeaderMap {
        let pair = set.split(';').next().expect("a pair");
        [(COOKIE, format!("theme=x; {pair}").parse().expect("a header"))].into_iter().collect()
    }

    #[test]
    fn a_session_lasts_twelve_hours_and_the_oldest_makes_room() {
        let (sessions, start) = (Sessions::default(), Timestamp::from_millis(0));
        let token = SessionToken::of(b"t0ken");
        let first = cookie(&sessions.open(token, start, false).expect("a session"));
        assert_eq!(sessions.find(&first, start).map(|(_, token)| token), Some(token));
        assert!(sessions.find(&first, start.after(LASTS)).is_none());
        let later = start.after(Duration::from_secs(1));
        for _ in 0..MOST {
            sessions.open(token, later, false).expect("a session");
        }
        assert!(sessions.find(&first, later).is_none());
    }

    #[test]
    fn the_cookie_says_nothing_of_the_token_and_ends_with_the_session() {
        let (sessions, now) = (Sessions::default(), Timestamp::from_millis(0));
        let set = sessions.open(SessionToken::of(b"t0ken"), now, true).expect("a session");
        assert!(!set.contains("t0ken") && set.contains("HttpOnly; SameSite=Strict") && set.ends_with("; Secure"));
        let (id, _) = sessions.find(&cookie(&set), now).expect("a session");
        sessions.close(id);
        assert!(sessions.find(&cookie(&set), now).is_none());
    }
}
