//! A mailbox, as mail is sent from and to: an address, and perhaps a name in front of it.

use std::fmt;
use std::str::FromStr;

/// `Shop <orders@example.com>`, or the address alone. Never more than one, never with control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// The name in front, as people see it.
    pub name: Option<String>,
    /// What stands in front of the `@`.
    pub local: String,
    /// The domain, as written.
    pub domain: String,
}

/// Why a text is no mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoMailbox {
    /// There is nothing.
    #[error("no address given")]
    Empty,
    /// It has line breaks or other control characters.
    #[error("an address has no line breaks or control characters")]
    Control,
    /// It names several.
    #[error("several addresses; one is allowed")]
    Several,
    /// It is something else.
    #[error("not an e-mail address such as jane@example.com or Jane <jane@example.com>")]
    Malformed,
}

/// The longest address (RFC 5321, 4.5.3.1.3, less the brackets) and the longest part in front of the `@`.
const LONGEST: (usize, usize) = (254, 64);

impl Mailbox {
    /// The address without the name.
    pub fn address(&self) -> String {
        format!("{}@{}", self.local, self.domain)
    }
}

impl FromStr for Mailbox {
    type Err = NoMailbox;

    fn from_str(text: &str) -> Result<Self, NoMailbox> {
        if text.chars().any(char::is_control) {
            return Err(NoMailbox::Control);
        }
        let text = text.trim();
        if text.is_empty() {
            return Err(NoMailbox::Empty);
        }
        let (name, address) = match text.strip_suffix('>') {
            None => (None, text),
            Some(rest) => {
                let (name, address) = rest.rsplit_once('<').ok_or(NoMailbox::Malformed)?;
                (Some(name.trim()), address.trim())
            }
        };
        let several = |text: &str| text.contains([',', ';']) && text.matches('@').count() > 1;
        if several(address) || name.is_some_and(|name| several(name) || name.contains(['<', '>', '@'])) {
            return Err(NoMailbox::Several);
        }
        let (local, domain) = address.rsplit_once('@').ok_or(NoMailbox::Malformed)?;
        if address.len() > LONGEST.0 || !is_local(local) || !is_domain(domain) {
            return Err(NoMailbox::Malformed);
        }
        let name = name.map(unquoted).filter(|name| !name.is_empty());
        Ok(Self { name, local: local.to_owned(), domain: domain.to_owned() })
    }
}

/// A name without the quotes that may stand around it.
fn unquoted(name: &str) -> String {
    let inner = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
    let Some(inner) = inner else { return name.to_owned() };
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        text.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    text
}

/// A dot-atom of RFC 5322, beyond ASCII too (RFC 6531). Quoted ones exist on paper alone.
fn is_local(local: &str) -> bool {
    let atom =
        |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || (!c.is_ascii() && !c.is_whitespace());
    local.len() <= LONGEST.1 && local.split('.').all(|part| !part.is_empty() && part.chars().all(atom))
}

/// Labels of letters, digits and hyphens.
fn is_domain(domain: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    domain.split('.').all(label)
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            None => f.write_str(&self.address()),
            Some(name) => write!(f, "\"{}\" <{}>", name.replace('\\', "\\\\").replace('"', "\\\""), self.address()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_with_and_without_a_name() {
        for (text, name, address) in [
            ("jane@example.com", None, "jane@example.com"),
            (" jane@example.com ", None, "jane@example.com"),
            ("<jane@example.com>", None, "jane@example.com"),
            ("Shop <orders@example.com>", Some("Shop"), "orders@example.com"),
            ("\"Shop, the \\\"best\\\"\" <orders@example.com>", Some("Shop, the \"best\""), "orders@example.com"),
            ("a.b+c@sub.example.co", None, "a.b+c@sub.example.co"),
            ("root@localhost", None, "root@localhost"),
            ("josé@münchen.de", None, "josé@münchen.de"),
        ] {
            let mailbox: Mailbox = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((mailbox.name.as_deref(), mailbox.address().as_str()), (name, address), "{text}");
        }
    }

    #[test]
    fn what_is_no_single_address() {
        for (text, expected) in [
            ("", NoMailbox::Empty),
            ("  ", NoMailbox::Empty),
            ("jane", NoMailbox::Malformed),
            ("jane@", NoMailbox::Malformed),
            ("@example.com", NoMailbox::Malformed),
            ("jane@exa mple.com", NoMailbox::Malformed),
            ("ja ne@example.com", NoMailbox::Malformed),
            ("jane@-example.com", NoMailbox::Malformed),
            ("jane@example..com", NoMailbox::Malformed),
            ("a..b@example.com", NoMailbox::Malformed),
            ("Jane <jane@example.com", NoMailbox::Malformed),
            ("jane@example.com>", NoMailbox::Malformed),
            ("a@example.com, b@example.com", NoMailbox::Several),
            ("a@example.com;b@example.com", NoMailbox::Several),
            ("A <a@example.com>, B <b@example.com>", NoMailbox::Several),
            ("jane@example.com\r\nBcc: eve@example.com", NoMailbox::Control),
            ("jane@example.com\u{0}", NoMailbox::Control),
        ] {
            assert_eq!(text.parse::<Mailbox>(), Err(expected), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_mailbox_or_is_refused_and_one_reads_back_as_written(text in "(\"|\\\\|[ -~]|é|@|<|>|a@b){0,30}") {
            if let Ok(mailbox) = text.parse::<Mailbox>() {
                let again: Mailbox = mailbox.to_string().parse().expect("a mailbox as written");
                prop_assert_eq!(again.address(), mailbox.address());
            }
        }
    }
}
