//! What requests of chains and channels have in common.

use super::Kind;

/// Headers and the templates that fill them.
pub(crate) const HEADERS: Kind = Kind::Map(&Kind::Template);
