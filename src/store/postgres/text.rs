//! Text as PostgreSQL takes it: without U+0000, which its text cannot hold and for which U+2400 stands.

use std::borrow::Cow;

/// Text that can be written.
pub(super) type Text<'a> = Cow<'a, str>;

/// Text as it is written, and as it is looked for.
pub(super) fn text(text: &str) -> Text<'_> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{2400}")) } else { Cow::Borrowed(text) }
}
