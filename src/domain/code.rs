//! The code of an attempt or step: an HTTP status, or below zero why there was none.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An HTTP status, or one of the negative codes of the API's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(i32);

impl Code {
    /// No connection: refused, reset while connecting, unreachable.
    pub const NO_CONNECTION: Self = Self(-1);
    /// The host name has no address.
    pub const DNS: Self = Self(-2);
    /// The TLS handshake failed.
    pub const TLS: Self = Self(-3);
    /// No connection within the time to connect.
    pub const CONNECT_TIMEOUT: Self = Self(-4);
    /// No complete response in time.
    pub const TIMEOUT: Self = Self(-5);
    /// The connection closed, or what came was no HTTP, before the response was complete.
    pub const CLOSED: Self = Self(-6);
    /// The response is larger than allowed.
    pub const TOO_LARGE: Self = Self(-7);
    /// The egress guard refused the address.
    pub const EGRESS: Self = Self(-8);
    /// Credentials could not be had.
    pub const AUTH: Self = Self(-9);
    /// The request could not be built.
    pub const NOT_BUILT: Self = Self(-2000);

    /// The code of a response with this HTTP status.
    pub const fn status(status: u16) -> Self {
        Self(status as i32)
    }

    /// A code as it was stored.
    pub const fn from_i32(code: i32) -> Self {
        Self(code)
    }

    /// The number, as stored and shown.
    pub const fn as_i32(self) -> i32 {
        self.0
    }

    /// The HTTP status, where there was a response.
    pub fn http_status(self) -> Option<u16> {
        u16::try_from(self.0).ok().filter(|status| *status >= 100)
    }

    /// Whether the time ran out.
    pub fn is_timeout(self) -> bool {
        self == Self::TIMEOUT || self == Self::CONNECT_TIMEOUT
    }

    /// Whether no further attempt could go better: such a delivery fails at once, before any rule.
    pub fn is_final(self) -> bool {
        self == Self::NOT_BUILT || self == Self::EGRESS
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Codes that a list is asked for: one, or a class of HTTP statuses such as `5xx`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codes {
    /// The lowest.
    pub from: i32,
    /// The highest.
    pub to: i32,
}

/// The text does not name codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a code; expected an HTTP status such as 503, a class such as 5xx, or a code below zero such as -5")]
pub struct NotCodes;

impl std::str::FromStr for Codes {
    type Err = NotCodes;

    fn from_str(text: &str) -> Result<Self, NotCodes> {
        if let [class @ b'1'..=b'5', b'x' | b'X', b'x' | b'X'] = text.as_bytes() {
            let from = i32::from(class - b'0') * 100;
            return Ok(Self { from, to: from + 99 });
        }
        // A plus sign is no part of a code.
        let code = Some(text).filter(|text| !text.starts_with('+')).and_then(|text| text.parse().ok());
        let code = code.filter(|code| (100..=999).contains(code) || (-9999..=-1).contains(code)).ok_or(NotCodes)?;
        Ok(Self { from: code, to: code })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_a_status_a_class_or_below_zero() {
        for (text, from, to) in [("503", 503, 503), ("5xx", 500, 599), ("2XX", 200, 299), ("-2000", -2000, -2000)] {
            assert_eq!(text.parse(), Ok(Codes { from, to }), "{text}");
        }
        for wrong in
            ["", "0", "99", "1000", "6xx", "xx", "5x", "+503", "-0", "5.0", "--1", "-99999", " 503", "\u{665}00"]
        {
            assert_eq!(wrong.parse::<Codes>(), Err(NotCodes), "{wrong}");
        }
    }
}
