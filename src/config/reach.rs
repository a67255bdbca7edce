//! Whether the egress guard lets requests to a host through, as far as the configuration alone says: no name is resolved
//! for it.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

use super::network::{Egress, Place};
use crate::config::ranges::{METADATA_NAMES, carried, range};
use crate::template::{self, Template};

/// Names below which hosts are private.
const PRIVATE: [&str; 9] = ["internal", "local", "localdomain", "lan", "home.arpa", "intranet", "corp", "svc", "test"];

/// What the guard does with a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reach {
    /// It lets public addresses through.
    Public,
    /// `egress.allow` covers the host.
    Allowed(String),
    /// It refuses the host: the reason.
    Refused(String),
    /// The name of a host that is probably not public; it refuses it if it is not.
    Doubtful,
    /// An order fills in the host: one that `egress.allow` covers.
    Filled,
    /// An order fills in the host, and `egress.allow` covers none.
    Nowhere,
}

impl Reach {
    /// The reach of a template's URL.
    pub(super) fn of_template(url: &Template, egress: &Egress) -> Self {
        match (url.host() == template::Host::Filled, egress.allow.is_empty()) {
            (true, false) => Self::Filled,
            (true, true) => Self::Nowhere,
            (false, _) => {
                Url::parse(&url.skeleton("x")).ok().and_then(|url| Self::of_url(&url, egress)).unwrap_or(Self::Public)
            }
        }
    }

    /// The reach of a URL; `None` without a host.
    pub(super) fn of_url(url: &Url, egress: &Egress) -> Option<Self> {
        Some(match url.host()? {
            Host::Ipv4(address) => Self::of_address(address.into(), egress),
            Host::Ipv6(address) => Self::of_address(address.into(), egress),
            Host::Domain(name) => Self::of_name(name, egress),
        })
    }

    /// The reach of a host, a name or an address with or without brackets.
    pub(super) fn of_host(host: &str, egress: &Egress) -> Self {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare.parse().map_or_else(|_| Self::of_name(host, egress), |address| Self::of_address(address, egress))
    }

    fn of_address(address: IpAddr, egress: &Egress) -> Self {
        let mut allowed = None;
        for address in std::iter::once(address).chain(carried(address).map(IpAddr::V4)) {
            if let Some(place) = egress.deny.iter().find(|place| place.holds(address)) {
                return Self::denied(place);
            }
            match (egress.allow.iter().find(|place| place.holds(address)), range(address)) {
                (Some(place), _) => allowed = Some(Self::Allowed(place.to_string())),
                (None, Some(range)) => {
                    return Self::Refused(format!(
                        "{address} is {} ({}), and egress.allow does not cover it",
                        range.what, range.net
                    ));
                }
                (None, None) => {}
            }
        }
        allowed.unwrap_or(Self::Public)
    }

    fn of_name(name: &str, egress: &Egress) -> Self {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let named = |places: &[Place]| places.iter().find(|place| place.is_name(&name)).map(ToString::to_string);
        if let Some(place) = egress.deny.iter().find(|place| place.is_name(&name)) {
            return Self::denied(place);
        }
        if let Some(place) = named(&egress.allow) {
            return Self::Allowed(place);
        }
        if METADATA_NAMES.contains(&name.as_str()) {
            return Self::Refused(format!("{name} is a cloud's metadata service, and egress.allow does not name it"));
        }
        if name == "localhost" || name.ends_with(".localhost") {
            let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0u16, 0, 0, 0, 0, 0, 0, 1])];
            let covering = egress.allow.iter().find(|place| loopback.iter().any(|address| place.holds(*address)));
            let refused = || Self::Refused(format!("{name} is this machine, and egress.allow does not cover it"));
            return covering.map_or_else(refused, |place| Self::Allowed(place.to_string()));
        }
        let below =
            |parent: &&str| name.strip_suffix(*parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        let private = !name.contains('.') || PRIVATE.iter().any(below);
        // A range in `egress.allow` may hold its address.
        let ranges = egress.allow.iter().any(|place| matches!(place, Place::Net(_)));
        if private && !ranges { Self::Doubtful } else { Self::Public }
    }

    fn denied(place: &Place) -> Self {
        Self::Refused(format!("egress.deny lists {place}"))
    }

    /// What is to be warned of, if anything, after the name of a channel or step.
    pub(super) fn warning(&self) -> Option<String> {
        match self {
            Self::Refused(why) => Some(format!("{why}; every attempt fails with -8")),
            Self::Doubtful => Some(
                "its host looks private, and egress.allow does not name it; if its address is not public, every attempt fails with -8"
                    .to_owned(),
            ),
            Self::Nowhere => {
                Some("orders fill in its host, and egress.allow is empty; every attempt fails with -8".to_owned())
            }
            Self::Public | Self::Allowed(_) | Self::Filled => None,
        }
    }
}

/// As a line of a table.
impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public => f.write_str("egress: public addresses"),
            Self::Allowed(place) => write!(f, "egress: allowed by {place}"),
            Self::Refused(_) => f.write_str("egress: refused"),
            Self::Doubtful => f.write_str("egress: public addresses, probably refused"),
            Self::Filled => f.write_str("to hosts in egress.allow"),
            Self::Nowhere => f.write_str("to no host: egress.allow is empty"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_judged_as_the_guard_would() {
        let places = |texts: &[&str]| texts.iter().map(|text| Place::parse(text).expect("a place")).collect();
        let reach = |host: &str, allow: &[&str], deny: &[&str]| {
            Reach::of_host(host, &Egress { allow: places(allow), deny: places(deny), proxy: None })
        };
        let allowed = |place: &str| Reach::Allowed(place.to_owned());
        assert_eq!(reach("erp.example.com", &[], &[]), Reach::Public);
        assert_eq!(reach("8.8.8.8", &["10.0.0.0/8"], &[]), Reach::Public);
        assert_eq!(reach("10.1.2.3", &["10.0.0.0/8"], &[]), allowed("10.0.0.0/8"));
        assert_eq!(reach("[::1]", &["::1"], &[]), allowed("::1/128"));
        assert_eq!(reach("localhost", &["127.0.0.1"], &[]), allowed("127.0.0.1/32"));
        assert_eq!(reach("Billing.Internal.", &["*.internal"], &[]), allowed("*.internal"));
        assert_eq!(reach("billing", &[], &[]), Reach::Doubtful);
        assert_eq!(reach("billing.svc.cluster.local", &[], &[]), Reach::Doubtful);
        assert_eq!(reach("billing.internal", &["10.0.0.0/8"], &[]), Reach::Public);
        for (host, allow, deny, why) in [
            ("127.0.0.1", &[][..], &[][..], "127.0.0.1 is loopback (127.0.0.0/8)"),
            ("192.168.0.9", &["10.0.0.0/8"], &[], "192.168.0.9 is private (192.168.0.0/16)"),
            ("::ffff:10.0.0.1", &["::ffff:0:0/96"], &[], "10.0.0.1 is private"),
            ("localhost", &[], &[], "localhost is this machine"),
            ("metadata", &[], &[], "metadata service"),
            ("10.1.2.3", &["10.0.0.0/8"], &["10.1.0.0/16"], "egress.deny lists 10.1.0.0/16"),
            ("a.example", &["a.example"], &["*.example"], "egress.deny lists *.example"),
        ] {
            let found = reach(host, allow, deny).warning().unwrap_or_default();
            assert!(found.contains(why), "{host}: {found}");
        }
    }
}
