//! Kinds of values that several tables share.

use super::kinds::Kind;

/// What chains, channels and tokens are called.
pub(super) const NAME: Kind = Kind::Text("a name of a-z, 0-9 and -");

/// A place in a JSON document.
pub(super) const POINTER: Kind = Kind::Text("a JSON pointer such as /customer/email");

/// A locale.
pub(super) const LOCALE: Kind = Kind::Text("a locale such as en-US, de or pt-BR");

/// The methods of a request.
pub(super) const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE"];

/// Where a request goes.
pub(super) const URL: Kind = Kind::Text("an http or https URL without user name and password, a template");

/// Headers and the templates that fill them.
pub(super) const HEADERS: Kind = Kind::Map(&Kind::Template);
