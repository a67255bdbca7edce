//! What outbound connections may reach, and how TLS is spoken.

use super::kinds::{Block, Key, Kind};

/// How TLS is spoken with a receiver.
pub(crate) static TLS: Block = Block {
    title: "tls",
    doc: "TLS with the receiver of a channel or callout. All files are PEM, and are read at the start. See `docs/tls.md`.",
    example: "",
    keys: &[
        Key::new("ca_file", FILE, "The certificates of the authorities to trust, instead of the system's."),
        Key::new("client_cert_file", FILE, "The client certificate, followed by its intermediates."),
        Key::new("client_key_file", FILE, "Its private key, not encrypted."),
    ],
    either: &[],
};

const FILE: Kind = Kind::Text("the path of a PEM file");

/// The section `egress`.
pub(crate) static EGRESS: Block = Block {
    title: "egress",
    doc: "What outbound connections may reach: those of channels, callouts, token endpoints, proxies and the mail server of `smtp`. Loopback, private and other addresses that are not of the public Internet are refused with code -8 unless `allow` names them. It is checked when a connection is made, at the address connected to. See `docs/egress.md`.",
    example: "\
egress:
  allow: [10.1.0.0/16, billing.internal]
  deny: [\"*.test.example.com\"]
  proxy: http://proxy.example.com:3128
  proxy_username: orderhook
  proxy_password: \"${PROXY_PASSWORD}\"
",
    keys: &[
        Key::new(
            "allow",
            Kind::List(&PLACE),
            "Destinations to allow although they are not public. A name covers all its addresses.",
        ),
        Key::new("deny", Kind::List(&PLACE), "Destinations to refuse although they are public. Wins over `allow`."),
        Key::new(
            "proxy",
            Kind::Text(
                "a URL of http://, https:// or socks5:// with a host and a port, such as http://proxy.example.com:3128",
            ),
            "The proxy that outbound HTTP goes through. Mail does not.",
        ),
        Key::new("proxy_username", Kind::Text("text without a colon"), "The user at the proxy."),
        Key::new("proxy_password", Kind::Secret, "The password at the proxy."),
    ],
    either: &[],
};

const PLACE: Kind =
    Kind::Text("a range of addresses such as 10.1.0.0/16, an address, a host name, or *.name for all hosts below it");
