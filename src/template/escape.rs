//! Writers that escape what goes through them, one for each language that text is filled into.

use std::fmt::{self, Write};

use super::json;

/// The text with all but the unreserved characters of RFC 3986 percent-encoded.
pub fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    // Writing to a string does not fail.
    let _ = Percent(&mut encoded).write_str(text);
    encoded
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
pub(super) struct Percent<'a>(pub(super) &'a mut dyn Write);

impl Write for Percent<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut from = 0;
        for (at, byte) in text.bytes().enumerate() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                continue;
            }
            self.0.write_str(text.get(from..at).unwrap_or_default())?;
            write!(self.0, "%{byte:02X}")?;
            from = at + 1;
        }
        self.0.write_str(text.get(from..).unwrap_or_default())
    }
}

/// As text stands between the quotes of a JSON string.
pub(super) struct Json<'a>(pub(super) &'a mut dyn Write);

impl Write for Json<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        json::write_escaped(self.0, text)
    }
}

/// As text stands in an XML element or in an attribute's value. A character that XML 1.0 cannot hold becomes U+FFFD.
pub(super) struct Xml<'a>(pub(super) &'a mut dyn Write);

impl Write for Xml<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut from = 0;
        for (at, c) in text.char_indices() {
            let escaped = match c {
                '&' => "&amp;",
                '<' => "&lt;",
                '>' => "&gt;",
                '"' => "&quot;",
                '\'' => "&apos;",
                // A parser would make a line feed of it.
                '\r' => "&#13;",
                '\t' | '\n' => continue,
                '\0'..'\u{20}' | '\u{fffe}' | '\u{ffff}' => "\u{fffd}",
                _ => continue,
            };
            self.0.write_str(text.get(from..at).unwrap_or_default())?;
            self.0.write_str(escaped)?;
            from = at + c.len_utf8();
        }
        self.0.write_str(text.get(from..).unwrap_or_default())
    }
}

/// As text stands in HTML and in Markdown: what means something in either is written as a character reference.
pub(super) struct Markup<'a>(pub(super) &'a mut dyn Write);

impl Write for Markup<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if "&<>\"'*_`[]()\\~|#".contains(c) {
                write!(self.0, "&#{};", u32::from(c))?;
            } else {
                self.0.write_char(c)?;
            }
        }
        Ok(())
    }
}
