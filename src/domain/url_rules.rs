//! What a channel's URLs must satisfy.

/// Rules for the URLs of a channel, once they are filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UrlRules {
    /// Whether only `https` is allowed.
    pub https: bool,
    /// Whether a URL may name a port.
    pub port: bool,
    /// The most characters of a URL, its query included.
    pub max_length: usize,
}

impl Default for UrlRules {
    fn default() -> Self {
        Self { https: false, port: true, max_length: 8192 }
    }
}

impl UrlRules {
    /// Whether scheme and port of a URL, as it is written, are allowed. `Err` says what is not.
    pub fn check_start(&self, url: &str) -> Result<(), &'static str> {
        let Some((scheme, rest)) = url.split_once("://") else { return Ok(()) };
        if self.https && !scheme.trim_start().eq_ignore_ascii_case("https") {
            return Err("it must begin with https:// (url_rules.https)");
        }
        if !self.port && names_port(rest) {
            return Err("it must not name a port (url_rules.port)");
        }
        Ok(())
    }

    /// Whether a URL of so many characters is allowed. `Err` says what is.
    pub fn check_length(&self, characters: usize) -> Result<(), String> {
        if characters <= self.max_length {
            return Ok(());
        }
        let longest = self.max_length;
        Err(format!("it has {characters} characters, more than the {longest} allowed (url_rules.max_length)"))
    }
}

/// Whether the host that the text begins with is followed by a port. A browser takes `\` for a slash.
fn names_port(rest: &str) -> bool {
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    // The colons of an IPv6 address stand in brackets.
    host.rsplit(']').next().is_some_and(|behind| behind.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: UrlRules = UrlRules { https: true, port: false, max_length: 20 };

    #[test]
    fn scheme_and_port_are_checked() {
        for fine in ["https://a.example/x:1", "HTTPS://a", "https://[::1]/", "https://a?b=c:1", "https://u:p@a/"] {
            assert_eq!(STRICT.check_start(fine), Ok(()), "{fine}");
        }
        for (wrong, said) in [
            ("http://a.example/", "https"),
            ("https://a:443/", "port"),
            ("https://[::1]:8443", "port"),
            ("https://a:", "port"),
            ("https://u@a:1\\x", "port"),
        ] {
            let error = STRICT.check_start(wrong).expect_err(wrong);
            assert!(error.contains(said), "{wrong}: {error}");
            assert_eq!(UrlRules::default().check_start(wrong), Ok(()));
        }
    }

    #[test]
    fn length_is_checked() {
        assert_eq!(STRICT.check_length(20), Ok(()));
        let error = STRICT.check_length(21).expect_err("too long");
        assert_eq!(error, "it has 21 characters, more than the 20 allowed (url_rules.max_length)");
    }
}
