//! The addresses that no receiver of the public Internet has, as a table: what they are, and the RFC that says so.
//!
//! It follows the special-purpose registries of IANA, and is stricter in two things: nothing of IPv6 outside of
//! 2000::/3 is let through, and no form of IPv6 that carries an IPv4 address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    /// Its addresses.
    pub(crate) net: IpNet,
    /// What they are, behind "is".
    pub(crate) what: &'static str,
    /// Who says so.
    pub(crate) by: &'static str,
    /// Where such an address carries an IPv4 address.
    pub(crate) carries: Carries,
}

/// Where an IPv6 address carries an IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carries {
    /// Nowhere.
    None,
    /// In its last 32 bits.
    Last,
    /// Behind its first 16 bits.
    SixToFour,
    /// Behind its first 32 bits the server's; inverted in its last 32 bits the client's.
    Teredo,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8, what: &'static str, by: &'static str) -> Range {
    let net = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix));
    Range { net, what, by, carries: Carries::None }
}

const fn v6(s: [u16; 8], prefix: u8, what: &'static str, by: &'static str) -> Range {
    let address = Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]);
    let net = IpNet::V6(Ipv6Net::new_assert(address, prefix));
    Range { net, what, by, carries: Carries::None }
}

const fn carrying(range: Range, carries: Carries) -> Range {
    Range { carries, ..range }
}

/// What metadata services are called.
pub(crate) const METADATA: &str = "a cloud's metadata service";
const DOCUMENTATION: &str = "for documentation";
const PRIVATE: &str = "private";

/// The ranges of IPv4, the narrower before the wider.
const V4: &[Range] = &[
    v4(169, 254, 169, 254, 32, METADATA, "AWS, Azure, Google, OpenStack and others"),
    v4(169, 254, 170, 0, 24, METADATA, "AWS"),
    v4(100, 100, 100, 200, 32, METADATA, "Alibaba Cloud"),
    v4(192, 0, 0, 192, 32, METADATA, "Oracle Cloud"),
    v4(168, 63, 129, 16, 32, METADATA, "Azure"),
    v4(0, 0, 0, 0, 32, "unspecified", "RFC 1122"),
    v4(0, 0, 0, 0, 8, "of this network only", "RFC 791"),
    v4(10, 0, 0, 0, 8, PRIVATE, "RFC 1918"),
    v4(100, 64, 0, 0, 10, "shared by carriers (CGNAT)", "RFC 6598"),
    v4(127, 0, 0, 0, 8, "loopback", "RFC 1122"),
    v4(169, 254, 0, 0, 16, "link-local", "RFC 3927"),
    v4(172, 16, 0, 0, 12, PRIVATE, "RFC 1918"),
    v4(192, 0, 0, 0, 24, "reserved for protocols", "RFC 6890"),
    v4(192, 0, 2, 0, 24, DOCUMENTATION, "RFC 5737"),
    v4(192, 88, 99, 0, 24, "reserved (6to4 relays)", "RFC 7526"),
    v4(192, 168, 0, 0, 16, PRIVATE, "RFC 1918"),
    v4(198, 18, 0, 0, 15, "for benchmarking", "RFC 2544"),
    v4(198, 51, 100, 0, 24, DOCUMENTATION, "RFC 5737"),
    v4(203, 0, 113, 0, 24, DOCUMENTATION, "RFC 5737"),
    v4(224, 0, 0, 0, 4, "multicast", "RFC 5771"),
    v4(255, 255, 255, 255, 32, "broadcast", "RFC 919"),
    v4(240, 0, 0, 0, 4, "reserved", "RFC 1112"),
];

/// The ranges of IPv6, the narrower before the wider. The last three are all that is not 2000::/3.
const V6: &[Range] = &[
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified", "RFC 4291"),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback", "RFC 4291"),
    carrying(v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, "IPv4 mapped into IPv6", "RFC 4291"), Carries::Last),
    carrying(v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, "IPv4 translated into IPv6", "RFC 2765"), Carries::Last),
    carrying(v6([0, 0, 0, 0, 0, 0, 0, 0], 96, "IPv4 within IPv6 (compatible)", "RFC 4291"), Carries::Last),
    carrying(v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, "IPv4 within IPv6 (NAT64)", "RFC 6052"), Carries::Last),
    carrying(v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "IPv4 within IPv6 (local NAT64)", "RFC 8215"), Carries::Last),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "discarded", "RFC 6666"),
    carrying(v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, "IPv4 within IPv6 (Teredo)", "RFC 4380"), Carries::Teredo),
    v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, "for benchmarking", "RFC 5180"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "reserved for protocols", "RFC 2928"),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, DOCUMENTATION, "RFC 3849"),
    carrying(v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "IPv4 within IPv6 (6to4)", "RFC 3056"), Carries::SixToFour),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, DOCUMENTATION, "RFC 9637"),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "for segment routing", "RFC 9602"),
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32, METADATA, "AWS"),
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128, METADATA, "Google Cloud"),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "private (unique-local)", "RFC 4193"),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local", "RFC 4291"),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "private (site-local)", "RFC 3879"),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast", "RFC 4291"),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 3, "reserved", "RFC 4291"),
    v6([0x4000, 0, 0, 0, 0, 0, 0, 0], 2, "reserved", "RFC 4291"),
    v6([0x8000, 0, 0, 0, 0, 0, 0, 0], 1, "reserved", "RFC 4291"),
];

/// The names by which clouds offer their metadata service.
pub(crate) const METADATA_NAMES: &[&str] = &[
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "metadata.azure.internal",
    "metadata.platformequinix.com",
    "metadata.tencentyun.com",
    "instance-data",
    "instance-data.ec2.internal",
];

/// The narrowest range that an address is in, where it is none of the public Internet.
pub(crate) fn range(address: IpAddr) -> Option<&'static Range> {
    let ranges = if address.is_ipv4() { V4 } else { V6 };
    ranges.iter().find(|range| range.net.contains(&address))
}

/// The IPv4 addresses that an address carries.
pub(crate) fn carried(address: IpAddr) -> impl Iterator<Item = Ipv4Addr> {
    let carries = range(address).map_or(Carries::None, |range| range.carries);
    let found = match address {
        IpAddr::V4(_) => [None, None],
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            let at = |shift: u32| Ipv4Addr::from_bits((bits >> shift) as u32);
            match carries {
                Carries::None => [None, None],
                Carries::Last => [Some(at(0)), None],
                Carries::SixToFour => [Some(at(80)), None],
                Carries::Teredo => [Some(at(64)), Some(Ipv4Addr::from_bits(!at(0).to_bits()))],
            }
        }
    };
    found.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The whole table.
    fn rows() -> impl Iterator<Item = &'static Range> {
        V4.iter().chain(V6)
    }

    fn address(net: &IpNet, offset: u128) -> IpAddr {
        match net {
            IpNet::V4(net) => {
                IpAddr::V4(Ipv4Addr::from_bits(net.network().to_bits() | (offset as u32 & net.hostmask().to_bits())))
            }
            IpNet::V6(net) => {
                IpAddr::V6(Ipv6Addr::from_bits(net.network().to_bits() | (offset & net.hostmask().to_bits())))
            }
        }
    }

    /// The addresses right before and right behind a range.
    fn neighbours(net: &IpNet) -> Vec<IpAddr> {
        match net {
            IpNet::V4(net) => [net.network().to_bits().checked_sub(1), net.broadcast().to_bits().checked_add(1)]
                .into_iter()
                .flatten()
                .map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)))
                .collect(),
            IpNet::V6(net) => [net.network().to_bits().checked_sub(1), net.broadcast().to_bits().checked_add(1)]
                .into_iter()
                .flatten()
                .map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)))
                .collect(),
        }
    }

    #[test]
    fn every_row_is_a_whole_prefix_and_can_be_met() {
        for (at, row) in rows().enumerate() {
            assert_eq!(row.net, row.net.trunc(), "{row:?} has bits behind its prefix");
            let hidden = rows().take(at).any(|before| before.net.contains(&row.net));
            assert!(!hidden, "{row:?} stands behind one that holds it all");
        }
    }

    #[test]
    fn the_edges_of_every_row_are_inside_and_what_is_beside_is_outside() {
        for row in rows() {
            for edge in [row.net.network(), row.net.broadcast()] {
                assert!(range(edge).is_some(), "{edge} of {row:?}");
            }
            for beside in neighbours(&row.net) {
                let other = rows().any(|row| row.net.contains(&beside));
                assert_eq!(range(beside).is_some(), other, "{beside} beside {row:?}");
                assert_ne!(range(beside), Some(row), "{beside}");
            }
        }
    }

    #[test]
    fn addresses_of_the_public_internet_are_in_no_range() {
        for public in [
            "1.0.0.0",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2000::",
            "2001:200::",
            "2001:db7:ffff::",
            "2001:db9::",
            "2003::",
            "2606:4700::1111",
            "2a00:1450:4001::200e",
            "3ffe:ffff::",
            "3fff:1000::",
            "3fff:ffff:ffff::",
        ] {
            assert_eq!(range(public.parse().unwrap()), None, "{public}");
        }
    }

    #[test]
    fn what_is_not_of_the_public_internet_is_called_by_its_name() {
        for (address, what) in [
            ("0.0.0.0", "unspecified"),
            ("0.0.0.1", "of this network only"),
            ("10.255.0.1", PRIVATE),
            ("172.31.255.255", PRIVATE),
            ("192.168.0.1", PRIVATE),
            ("100.64.0.1", "shared by carriers (CGNAT)"),
            ("127.0.0.1", "loopback"),
            ("169.254.1.1", "link-local"),
            ("169.254.169.254", METADATA),
            ("198.19.255.255", "for benchmarking"),
            ("192.0.2.1", DOCUMENTATION),
            ("239.1.2.3", "multicast"),
            ("255.255.255.255", "broadcast"),
            ("250.1.1.1", "reserved"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::2", "IPv4 within IPv6 (compatible)"),
            ("::ffff:8.8.8.8", "IPv4 mapped into IPv6"),
            ("64:ff9b::8.8.8.8", "IPv4 within IPv6 (NAT64)"),
            ("64:ff9b:1:fff::1", "IPv4 within IPv6 (local NAT64)"),
            ("2001::1", "IPv4 within IPv6 (Teredo)"),
            ("2002:808:808::1", "IPv4 within IPv6 (6to4)"),
            ("2001:db8::1", DOCUMENTATION),
            ("2001:2::1", "for benchmarking"),
            ("fc00::1", "private (unique-local)"),
            ("fd00:ec2::254", METADATA),
            ("fe80::1", "link-local"),
            ("ff02::1", "multicast"),
            ("4000::1", "reserved"),
            ("fe00::1", "reserved"),
            ("1000::1", "reserved"),
        ] {
            assert_eq!(range(address.parse().unwrap()).map(|range| range.what), Some(what), "{address}");
        }
    }

    #[test]
    fn the_ipv4_address_within_is_found() {
        for (address, within) in [
            ("::ffff:10.1.2.3", &["10.1.2.3"][..]),
            ("::10.1.2.3", &["10.1.2.3"]),
            ("64:ff9b::10.1.2.3", &["10.1.2.3"]),
            ("64:ff9b:1::10.1.2.3", &["10.1.2.3"]),
            ("2002:a01:203:1::1", &["10.1.2.3"]),
            ("2001:0:a01:203::f5fe:fdfc", &["10.1.2.3", "10.1.2.3"]),
            ("2606:4700::a01:203", &[]),
            ("10.1.2.3", &[]),
        ] {
            let found: Vec<String> = carried(address.parse().unwrap()).map(|address| address.to_string()).collect();
            assert_eq!(found, within, "{address}");
        }
    }

    proptest! {
        #[test]
        fn every_address_of_a_row_is_in_a_range_no_wider(row in 0..V4.len() + V6.len(), offset: u128) {
            let row = rows().nth(row).unwrap();
            let found = range(address(&row.net, offset)).expect("a range");
            prop_assert!(found == row || found.net.prefix_len() >= row.net.prefix_len() || row.net.contains(&found.net));
        }

        #[test]
        fn an_address_is_public_exactly_where_std_and_the_table_agree(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            let special = address.is_loopback() || address.is_private() || address.is_link_local() || address.is_broadcast()
                || address.is_documentation() || address.is_multicast() || address.is_unspecified() || bits >= 0xf000_0000
                || bits >> 24 == 0 || bits >> 22 == 0x6440_0000 >> 22 || bits >> 17 == 0xc612_0000 >> 17
                || bits >> 8 == 0x00c0_0000 || bits >> 8 == 0x00c0_5863 || bits == 0xa83f_8110;
            prop_assert_eq!(range(IpAddr::V4(address)).is_some(), special, "{}", address);
        }

        #[test]
        fn of_ipv6_nothing_but_global_unicast_is_public(bits: u128) {
            let public = range(IpAddr::V6(Ipv6Addr::from_bits(bits))).is_none();
            prop_assert!(!public || bits >> 125 == 1);
        }
    }
}
