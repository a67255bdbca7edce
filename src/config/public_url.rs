//! The base of the links that receivers get: where `server.public_url` says nothing, this machine at the port of `listen`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use url::{Host, Url};

use super::settings::{Channel, ChannelKind, Server, Settings};

/// What stands in the configuration of a channel that gives a link.
const LINKS: [&str; 3] = ["accept_url", "order_url", "orderUrl"];

/// The base of links to a server that listens there.
pub(super) fn of(listen: SocketAddr) -> String {
    let host = match listen.ip() {
        ip if ip.is_unspecified() || ip == Ipv4Addr::LOCALHOST => "localhost".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    format!("http://{host}:{}", listen.port())
}

impl Server {
    /// Takes the address that the server has in the end: port 0 of `listen` takes any free port.
    pub fn bound_to(&mut self, address: SocketAddr) {
        if self.derives_public_url {
            self.public_url = of(address);
        }
    }
}

/// Channels whose receivers get links that they cannot follow, each as a sentence.
pub(super) fn warnings(settings: &Settings) -> Vec<String> {
    let base = &settings.server.public_url;
    if !is_loopback(base) {
        return Vec::new();
    }
    let unreachable = settings.channels.iter().filter(|channel| gives_link(channel) && !is_local(channel));
    let sentence = |channel: &Channel| {
        let name = &channel.name;
        format!(
            "channel {name}: its receiver gets links that begin with {base}, which only this machine can reach; set server.public_url"
        )
    };
    unreachable.map(|channel| sentence(channel)).collect()
}

/// Whether a template of the channel, or its preset, gives a link.
fn gives_link(channel: &Channel) -> bool {
    let shown = channel.shown.to_string();
    channel.enabled && LINKS.iter().any(|link| shown.contains(link))
}

/// Whether the receiver is on this machine.
fn is_local(channel: &Channel) -> bool {
    channel.kind == ChannelKind::Http && is_loopback(&channel.url.skeleton("x"))
}

fn is_loopback(url: &str) -> bool {
    match Url::parse(url).ok().as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback() || ip.is_unspecified(),
        Some(Host::Ipv6(ip)) => ip.is_loopback() || ip.is_unspecified(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Environment, load_text, summary};
    use super::*;

    fn load(yaml: &str) -> Settings {
        load_text("a.yaml", yaml, &Environment::new()).unwrap_or_else(|faults| panic!("{faults}"))
    }

    #[test]
    fn the_base_of_links_is_where_the_server_listens() {
        let tokens = "tokens: [{name: a, token: a-token-of-some-length, scopes: [manage]}]";
        for (listen, expected) in [
            ("127.0.0.1:8080", "http://localhost:8080"),
            ("127.0.0.1:9000", "http://localhost:9000"),
            ("0.0.0.0:9000", "http://localhost:9000"),
            ("[::]:9000", "http://localhost:9000"),
            ("127.0.0.2:9000", "http://127.0.0.2:9000"),
            ("10.1.2.3:80", "http://10.1.2.3:80"),
            ("[::1]:9000", "http://[::1]:9000"),
        ] {
            let settings = load(&format!("server: {{listen: '{listen}', {tokens}}}"));
            assert_eq!(settings.server.public_url, expected);
        }
        let mut server = load("server: {listen: '127.0.0.1:0'}").server;
        server.bound_to("127.0.0.1:4321".parse().expect("an address"));
        assert_eq!(server.public_url, "http://localhost:4321");
        let mut server = load("server: {listen: '127.0.0.1:0', public_url: 'https://a.example'}").server;
        server.bound_to("127.0.0.1:4321".parse().expect("an address"));
        assert_eq!(server.public_url, "https://a.example");
    }

    #[test]
    fn a_link_that_its_receiver_cannot_follow_is_a_warning() {
        let link = "{name: link, url: 'https://a.example', body: '{\"see\": \"{{ order_url }}\"}'}";
        let preset = "{name: orderful, preset: orderful, url: 'https://a.example'}";
        let local = "{name: local, preset: orderful, url: 'http://127.0.0.1:1'}";
        let plain = "{name: plain, url: 'https://a.example'}";
        let warned = |server: &str| {
            let yaml = format!("{server}\nchannels: [{link}, {preset}, {local}, {plain}]");
            summary(&load(&yaml), None).lines().filter(|line| line.contains("server.public_url")).count()
        };
        assert_eq!(warned(""), 2);
        assert_eq!(warned("server: {public_url: 'https://orders.example.com'}"), 0);
        assert_eq!(warned("server: {public_url: 'http://127.0.0.1:8080'}"), 2);
    }
}
