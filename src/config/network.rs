//! What outbound connections may reach and how: the section `egress`, and a channel's `tls`.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use secrecy::SecretString;
use url::{Host, Url};

use super::field::Field;
use super::read::Reader;
use super::secrets::credentials;

/// What outbound connections may reach.
#[derive(Debug, Clone, Default)]
pub struct Egress {
    /// What may be reached although it is not public.
    pub allow: Vec<Place>,
    /// What may not be reached; wins over `allow`.
    pub deny: Vec<Place>,
    /// What outbound HTTP goes through.
    pub proxy: Option<Proxy>,
}

impl Egress {
    /// Anything at all, without a proxy: for requests whose target a person at this machine has named.
    pub fn anywhere() -> Self {
        let everything = [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
        Self { allow: everything.map(Place::Net).into(), deny: Vec::new(), proxy: None }
    }
}

/// A place in the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A range of addresses.
    Net(IpNet),
    /// A host, in lower case, without a dot at its end.
    Name(String),
    /// All hosts below that name: `*.example.com`.
    Below(String),
}

impl Place {
    /// Reads `10.0.0.0/8`, `::1`, `billing.internal` or `*.internal`. Bits behind a prefix do not count.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(net) = text.parse::<IpNet>() {
            return Some(Self::Net(net.trunc()));
        }
        if let Some(parent) = text.strip_prefix("*.") {
            return match host(parent)? {
                Host::Domain(name) => Some(Self::Below(name)),
                Host::Ipv4(_) | Host::Ipv6(_) => None,
            };
        }
        match host(text)? {
            Host::Domain(name) => Some(Self::Name(name)),
            Host::Ipv4(address) => Some(Self::Net(IpNet::V4(address.into()))),
            Host::Ipv6(address) => Some(Self::Net(IpNet::V6(address.into()))),
        }
    }
}

impl Place {
    /// Whether it holds an address.
    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        matches!(self, Self::Net(net) if net.contains(&address))
    }

    /// Whether it names a host, in lower case and without a dot at its end.
    pub(crate) fn is_name(&self, host: &str) -> bool {
        match self {
            Self::Name(name) => name == host,
            Self::Below(parent) => host.strip_suffix(parent.as_str()).is_some_and(|rest| rest.ends_with('.')),
            Self::Net(_) => false,
        }
    }
}

/// A host as URLs name it, without a dot at its end; an address of IPv6 may lack its brackets.
fn host(text: &str) -> Option<Host> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if let Ok(address) = text.parse() {
        return Some(Host::Ipv6(address));
    }
    // What would end the host of a URL, and the star of a pattern, is no part of a name.
    let fine = !text.is_empty() && !text.contains(['*', '%']) && !text.contains(|c: char| c.is_whitespace());
    match Host::parse(text).ok().filter(|_| fine)? {
        // Characters that IDNA maps to a dot, or to nothing, can leave one at the end.
        Host::Domain(name) => Some(name.strip_suffix('.').unwrap_or(&name))
            .filter(|name| !name.is_empty())
            .map(|name| Host::Domain(name.to_owned())),
        address => Some(address),
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(net) => fmt::Display::fmt(net, f),
            Self::Name(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
        }
    }
}

/// A proxy.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Its URL, of scheme `http`, `https` or `socks5`.
    pub url: String,
    pub host: String,
    /// User name and password for it.
    pub credentials: Option<(String, SecretString)>,
}

/// The section `egress`.
pub(crate) fn egress(block: &Reader<'_>) -> Option<Arc<Egress>> {
    let allow = places(block, "allow");
    let deny = places(block, "deny");
    let url = block.optional("proxy", proxy);
    let username = block.optional("proxy_username", |field| {
        let fine = |text: &str| !text.is_empty() && !text.contains(':') && !text.chars().any(char::is_control);
        field.text_as(|text| fine(text).then(|| text.to_owned()))
    });
    let password = block.optional("proxy_password", Field::filled_secret);
    let credentials = match (username?, password?) {
        (Some(username), Some(password)) => Some((username, password)),
        (None, None) => None,
        (Some(_), None) => return block.refuse("has proxy_username; also needs proxy_password"),
        (None, Some(_)) => return block.refuse("has proxy_password; also needs proxy_username"),
    };
    let proxy = match (url?, credentials) {
        (None, Some(_)) => return block.refuse("has proxy_username; also needs proxy"),
        (None, None) => None,
        (Some((url, host)), credentials) => Some(Proxy { url, host, credentials }),
    };
    Some(Arc::new(Egress { allow: allow?, deny: deny?, proxy }))
}

fn places(block: &Reader<'_>, key: &str) -> Option<Vec<Place>> {
    let read: Vec<_> = block.items(key).iter().map(|field| field.text_as(Place::parse)).collect();
    read.into_iter().collect()
}

/// The URL of a proxy, and its host.
fn proxy(field: &Field<'_>) -> Option<(String, String)> {
    let text = field.text()?;
    if credentials(text).is_some() {
        return field.wrong_with("credentials belong in proxy_username and proxy_password");
    }
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https" | "socks5"));
    let Some(host) = url.as_ref().and_then(Url::host_str).filter(|host| !host.is_empty()) else { return field.wrong() };
    let nothing_else = url.as_ref().is_some_and(|url| {
        matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none() && url.port() != Some(0)
    });
    if !nothing_else || !text.contains("://") {
        return field.wrong_with("it must be a scheme, a host and a port only");
    }
    Some((text.to_owned(), host.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn places_are_ranges_addresses_and_names_in_any_spelling() {
        for (text, read) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("127.0.0.1/8", "127.0.0.0/8"),
            ("127.0.0.1", "127.0.0.1/32"),
            ("0x7f.1", "127.0.0.1/32"),
            ("2130706433", "127.0.0.1/32"),
            ("::1", "::1/128"),
            ("[::1]", "::1/128"),
            ("fd00::/8", "fd00::/8"),
            ("billing.internal", "billing.internal"),
            ("Billing.Internal.", "billing.internal"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("*.internal", "*.internal"),
        ] {
            assert_eq!(Place::parse(text).map(|place| place.to_string()).as_deref(), Some(read), "{text}");
        }
        for wrong in [
            "",
            ".",
            "*",
            "*.",
            "*.10.0.0.1",
            "a b",
            "10.0.0.0/33",
            "a/8",
            "http://a",
            "a:80",
            "[::1",
            "a%41",
            "a.*.b",
            ".\u{fe00}",
        ] {
            assert_eq!(Place::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_dot_that_idna_makes_at_the_end_is_left_out() {
        assert_eq!(Place::parse("a\u{3002}"), Some(Place::Name("a".to_owned())));
    }

    proptest! {
        #[test]
        fn any_text_is_a_place_or_none(text in ".{0,40}") {
            if let Some(place) = Place::parse(&text) {
                prop_assert_eq!(Place::parse(&place.to_string()), Some(place));
            }
        }
    }
}
