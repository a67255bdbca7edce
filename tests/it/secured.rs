//! Authentication where something stands in between: NTLM and token requests over TLS, and through every kind of proxy. Both
//! the acceptor and the provider are those that nobody here wrote; TLS is put in front of them, and of the proxy.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::{Home, Process, Service, delivery_to, text};
use crate::peers::Peer;
use crate::proxies::{Manner, Proxy};
use crate::tls::Fronts;

/// `me:p@ss:w/%41`, as HTTP has it and as SOCKS has it.
const BY_HEADER: Manner = Manner::Wants("Basic bWU6cEBzczp3LyU0MQ==");
const BY_SOCKS: Manner = Manner::Wants("me:p@ss:w/%41");

/// The ways to a receiver: directly, and through a proxy of each kind that wants credentials.
const WAYS: [&str; 4] = ["", "http", "https", "socks5"];

/// The section `egress` for one of the ways, and its proxy.
async fn egress(fronts: &Fronts, way: &str) -> (String, Option<Proxy>) {
    if way.is_empty() {
        return ("egress: {allow: [127.0.0.0/8, '::1']}\n".to_owned(), None);
    }
    let proxy = Proxy::start(if way == "socks5" { BY_SOCKS } else { BY_HEADER }).await;
    let port = if way == "https" { fronts.before(proxy.address).await } else { proxy.address.port() };
    let section = format!(
        "egress: {{allow: [127.0.0.0/8, '::1'], proxy: '{way}://localhost:{port}', proxy_username: me, proxy_password: 'p@ss:w/%41'}}\n"
    );
    (section, Some(proxy))
}

/// How often the proxy was asked to connect somewhere.
fn tunnels(proxy: &Proxy) -> usize {
    proxy.asked().iter().filter(|asked| asked.starts_with("CONNECT ") || asked.starts_with("to ")).count()
}

/// The service on a system that trusts the authority of the fronts.
async fn trusting(fronts: &Fronts, yaml: &str) -> Process {
    let ca = fronts.ca_file();
    Process::start_with(&Arc::new(Home::new()), yaml, |command| {
        command.env("SSL_CERT_FILE", ca);
    })
    .await
}

async fn delivered(process: &Process, id: &str, channels: &[&str]) {
    let order = process.api.order(&json!({"id": id})).await;
    for channel in channels {
        let delivery = process.api.settled(&delivery_to(&order, channel)).await;
        assert_eq!(delivery["status"], "accepted", "{delivery:#}");
        assert!(!delivery.to_string().contains("p@ss"), "{delivery:#}");
    }
}

fn on_path<'a>(log: &'a [Value], path: &str) -> Vec<&'a Value> {
    log.iter().filter(|asked| asked["path"] == path).collect()
}

#[tokio::test]
async fn an_identity_is_bound_to_its_connection_under_tls_and_in_a_tunnel() {
    let fronts = Fronts::new();
    let users = json!([["SHOP", "ann", "password-of-ann"], ["SHOP", "bob", "password-of-bob"]]);
    for way in WAYS {
        let acceptor = Peer::start("ntlm_acceptor.py", &json!({"users": users}));
        let port = fronts.before(acceptor.address()).await;
        let (egress, proxy) = egress(&fronts, way).await;
        let channel = |name: &str, user: &str| {
            format!(
                "  - {{name: {name}, url: 'https://localhost:{port}/{name}', retry: {{attempts: 1, interval: 1s}}, auth: {{type: ntlm, username: {user}, password: password-of-{user}, domain: SHOP}}}}\n"
            )
        };
        let yaml = format!("{egress}channels:\n{}{}", channel("erp", "ann"), channel("crm", "bob"));
        let process = trusting(&fronts, &yaml).await;
        for id in ["A-1", "A-2", "A-3"] {
            delivered(&process, id, &["erp", "crm"]).await;
        }
        let log = acceptor.log().await;
        let mut every = HashSet::new();
        for (path, user) in [("/erp", "SHOP\\ann"), ("/crm", "SHOP\\bob")] {
            let asked = on_path(&log, path);
            let types: Vec<u64> = asked.iter().map(|asked| asked["type"].as_u64().unwrap_or(0)).collect();
            assert_eq!(types, [1, 3, 0, 0], "{way}{path}");
            let of: HashSet<_> = asked.iter().filter_map(|asked| asked["user"].as_str()).collect();
            assert_eq!(of, HashSet::from([user]), "{way}");
            let connections: HashSet<u64> = asked.iter().filter_map(|asked| asked["connection"].as_u64()).collect();
            assert_eq!(connections.len(), 1, "{way}{path}: one connection, kept");
            every.extend(connections);
        }
        assert_eq!(every.len(), 2, "{way}: two identities, two connections");
        if let Some(proxy) = proxy {
            assert_eq!(tunnels(&proxy), 2, "{way}: {:?}", proxy.asked());
        }
        process.stop().await;
    }
}

#[tokio::test]
async fn tokens_are_asked_for_under_tls_and_through_a_proxy() {
    const SECRET: &str = "a-secret-of-more-than-thirty-two-bytes";
    let fronts = Fronts::new();
    for way in WAYS {
        let by_secret = json!({"method": "client_secret_post", "secret": SECRET, "scope": "orders"});
        let by_jwt =
            json!({"method": "client_assertion_jwt", "key": SECRET, "algorithm": "HS256", "audience": "the provider"});
        let (first, second) = (Peer::start("oauth_provider.py", &by_secret), Peer::start("oauth_provider.py", &by_jwt));
        let ports = (fronts.before(first.address()).await, fronts.before(second.address()).await);
        let (egress, proxy) = egress(&fronts, way).await;
        let channel = |name: &str, port: u16, auth: &str| {
            format!(
                "  - {{name: {name}, url: 'https://localhost:{port}/orders', retry: {{attempts: 1, interval: 1s}}, auth: {{token_url: 'https://localhost:{port}/token', {auth}}}}}\n"
            )
        };
        let oauth = format!("type: oauth2, client_id: shop, client_secret: {SECRET}, scope: orders");
        let jwt = format!(
            "type: jwt_bearer, issuer: shop, audience: the provider, key: {SECRET}, algorithm: HS256, use: client_assertion"
        );
        let yaml = format!("{egress}channels:\n{}{}", channel("erp", ports.0, &oauth), channel("crm", ports.1, &jwt));
        let process = trusting(&fronts, &yaml).await;
        for id in ["A-1", "A-2"] {
            delivered(&process, id, &["erp", "crm"]).await;
        }
        assert_eq!((first.log().await.len(), second.log().await.len()), (1, 1), "{way}: one token each");
        if let Some(proxy) = proxy {
            // Each channel has a connection to the endpoint, and one to the receiver.
            assert_eq!(tunnels(&proxy), 4, "{way}: {:?}", proxy.asked());
            let asked = proxy.asked().concat();
            assert!(!asked.contains("/token") && !asked.contains("grant_type"), "{way}: {asked}");
        }
        process.stop().await;
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_our_credentials_is_told_apart_from_the_token_endpoint() {
    let fronts = Fronts::new();
    let provider = Peer::start("oauth_provider.py", &json!({"method": "client_secret_post", "secret": "s3cret"}));
    let port = fronts.before(provider.address()).await;
    for way in &WAYS[1..] {
        let (egress, proxy) = egress(&fronts, way).await;
        let egress = egress.replace("p@ss:w/%41", "an0ther");
        let yaml = format!(
            "{egress}channels: [{{name: erp, url: 'https://localhost:{port}/orders', retry: {{attempts: 1, interval: 1s}}, auth: {{type: oauth2, token_url: 'https://localhost:{port}/token', client_id: shop, client_secret: s3cret}}}}]"
        );
        let process = trusting(&fronts, &yaml).await;
        let order = process.api.order(&json!({"id": "A-1"})).await;
        let delivery = process.api.settled(&delivery_to(&order, "erp")).await;
        let attempt = &delivery["attempts"][0];
        assert_eq!(attempt["code"], -9, "{way}: {attempt:#}");
        let error = text(attempt, "error");
        assert!(
            error.contains(&format!("the proxy {way}://localhost:")) && error.contains("failed: "),
            "{way}: {error}"
        );
        assert!(!delivery.to_string().contains("an0ther"), "{delivery:#}");
        assert!(!proxy.expect("a proxy").asked().is_empty(), "{way}");
        process.stop().await;
    }
    assert_eq!(provider.log().await.len(), 0);
}

#[tokio::test]
async fn a_token_endpoint_is_verified_by_the_system_whatever_the_channel_trusts() {
    let fronts = Fronts::new();
    let provider = Peer::start("oauth_provider.py", &json!({"method": "client_secret_post", "secret": "s3cret"}));
    let port = fronts.before(provider.address()).await;
    let yaml = format!(
        "channels: [{{name: erp, url: 'https://localhost:{port}/orders', retry: {{attempts: 1, interval: 1s}}, tls: {{ca_file: '{}'}}, auth: {{type: oauth2, token_url: 'https://localhost:{port}/token', client_id: shop, client_secret: s3cret}}}}]",
        fronts.ca_file()
    );
    let service = Service::start(&yaml).await;
    let order = service.api.order(&json!({"id": "A-1"})).await;
    let delivery = service.api.settled(&delivery_to(&order, "erp")).await;
    let attempt = &delivery["attempts"][0];
    assert_eq!(attempt["code"], -9, "{attempt:#}");
    let error = text(attempt, "error");
    assert!(
        error.contains("TLS with localhost:") && error.contains("self-signed or from an unknown authority"),
        "{error}"
    );
    assert_eq!(provider.log().await.len(), 0);
    service.stop().await;
}
