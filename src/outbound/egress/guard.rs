//! The guard: which addresses a name leads to, and whether they may be reached.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::config::ranges::{METADATA, METADATA_NAMES, Range, carried, range};
use crate::config::settings::{Egress, Place};
use crate::system;

/// Why an address or a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the egress guard refuses {who}: {why}")]
pub(in crate::outbound) struct Forbidden {
    who: String,
    why: String,
}

/// A name has no address.
#[derive(Debug, thiserror::Error)]
#[error("DNS lookup for {name} failed: {cause}")]
pub(in crate::outbound) struct NoAddress {
    pub(in crate::outbound) name: String,
    pub(in crate::outbound) cause: io::Error,
}

/// Why a name cannot be connected to.
#[derive(Debug, thiserror::Error)]
pub(in crate::outbound) enum Unreachable {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error(transparent)]
    NoAddress(#[from] NoAddress),
}

/// Where names get their addresses from.
pub(in crate::outbound) trait Lookup: Send + Sync {
    /// The addresses of a name.
    fn addresses<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;
}

/// The system's resolver.
struct System;

impl Lookup for System {
    fn addresses<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await;
            // The resolver does not say that it could open neither a file nor a socket.
            let found = found.map_err(|error| system::no_file_left().unwrap_or(error))?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Says where connections may go.
#[derive(Clone)]
pub(in crate::outbound) struct Guard {
    pub(super) egress: Arc<Egress>,
    lookup: Arc<dyn Lookup>,
    /// Only what `egress.allow` covers may be reached, public or not: the host comes from an order.
    pub(super) covered: bool,
}

impl Guard {
    /// A guard by these settings.
    pub(in crate::outbound) fn new(egress: &Arc<Egress>) -> Self {
        Self::with_lookup(egress, Arc::new(System))
    }

    pub(in crate::outbound) fn with_lookup(egress: &Arc<Egress>, lookup: Arc<dyn Lookup>) -> Self {
        Self { egress: Arc::clone(egress), lookup, covered: false }
    }

    /// The same guard for hosts that come from an order: `covered` lets only those through that `egress.allow` covers.
    pub(in crate::outbound) fn covering(&self, covered: bool) -> Self {
        Self { covered, ..self.clone() }
    }

    /// The addresses that a connection to `host`, a name or an address without brackets, may go to: all that it has,
    /// as one that is forbidden refuses it altogether.
    pub(in crate::outbound) async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Unreachable> {
        if let Ok(address) = host.parse() {
            self.check_address(address)?;
            return Ok(vec![address]);
        }
        let by_name = self.check_name(host)?;
        let found = self.lookup.addresses(host).await;
        let nothing = |cause| NoAddress { name: host.to_owned(), cause };
        let found = found.map_err(nothing)?;
        if found.is_empty() {
            return Err(nothing(io::Error::other("it resolves to no address")).into());
        }
        for address in &found {
            let fault = self.check(*address, by_name);
            fault.map_err(|reason| self.forbidden(host, &format!("its address {address} {reason}")))?;
        }
        Ok(found)
    }

    /// Whether an address that a URL names itself may be connected to.
    pub(in crate::outbound) fn check_address(&self, address: IpAddr) -> Result<(), Forbidden> {
        let fault = self.check(address, false);
        fault.map_err(|reason| self.forbidden(&address.to_string(), &format!("it {reason}")))
    }

    /// Whether a name may be resolved at all, and whether its addresses may be any.
    pub(super) fn check_name(&self, name: &str) -> Result<bool, Forbidden> {
        let plain = plain(name);
        if let Some(place) = self.egress.deny.iter().find(|place| place.is_name(&plain)) {
            return Err(self.forbidden(name, &format!("it {}", Reason::Denied(place))));
        }
        let allowed = self.egress.allow.iter().any(|place| place.is_name(&plain));
        if !allowed && METADATA_NAMES.contains(&plain.as_str()) {
            return Err(self.forbidden(name, &format!("it is {METADATA}; {ALLOW}")));
        }
        Ok(allowed)
    }

    /// Whether an address is fine. An IPv4 address within one of IPv6 must pass as well.
    pub(super) fn check(&self, address: IpAddr, by_name: bool) -> Result<(), Reason<'_>> {
        for address in std::iter::once(address).chain(carried(address).map(IpAddr::V4)) {
            if let Some(place) = holds(&self.egress.deny, address) {
                return Err(Reason::Denied(place));
            }
            if by_name || holds(&self.egress.allow, address).is_some() {
                continue;
            }
            if self.covered {
                return Err(Reason::NotCovered);
            }
            if let Some(range) = range(address) {
                return Err(Reason::NotPublic(range));
            }
        }
        Ok(())
    }

    pub(super) fn forbidden(&self, who: &str, why: &str) -> Forbidden {
        let proxy = self.egress.proxy.as_ref().is_some_and(|proxy| plain(&proxy.host) == plain(who));
        Forbidden { who: if proxy { format!("the proxy {who}") } else { who.to_owned() }, why: why.to_owned() }
    }
}

/// What is wrong with an address: the words behind "it".
#[derive(Debug)]
pub(super) enum Reason<'a> {
    /// The configuration refuses it.
    Denied(&'a Place),
    /// It, or the IPv4 address within it, is in that range, and nothing allows it.
    NotPublic(&'static Range),
    /// It comes from an order, and nothing allows it.
    NotCovered,
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(place) => write!(f, "is listed in egress.deny as {place}"),
            Self::NotCovered => write!(f, "is not covered by egress.allow, which a filled-in host requires"),
            Self::NotPublic(range) => write!(f, "is {} ({}, {}); {ALLOW}", range.what, range.net, range.by),
        }
    }
}

const ALLOW: &str = "to allow it, add it to egress.allow";

/// A name as it is compared: in lower case, without the dot at its end, an address without its brackets.
fn plain(name: &str) -> String {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase()
}

fn holds(places: &[Place], address: IpAddr) -> Option<&Place> {
    places.iter().find(|place| place.holds(address))
}

/// The resolver of an HTTP client: its connector goes to what this answers, and nowhere else.
impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            // A proxy is not what an order fills in.
            let proxy = guard.egress.proxy.as_ref().is_some_and(|proxy| plain(&proxy.host) == plain(name.as_str()));
            let guard = guard.covering(guard.covered && !proxy);
            match Self::resolve(&guard, name.as_str()).await {
                Ok(found) => Ok(Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs),
                Err(Unreachable::Forbidden(forbidden)) => Err(forbidden.into()),
                Err(Unreachable::NoAddress(none)) => Err(none.into()),
            }
        })
    }
}
