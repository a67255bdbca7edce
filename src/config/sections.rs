//! The top level and its small sections: server, store, delivery, orders, limits.

use std::net::SocketAddr;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::auth::Providers;
use super::field::Field;
use super::fingerprints::{Fingerprint, Fingerprints};
use super::limits::limits;
use super::mail::MailServer;
use super::public_url;
use super::read::Reader;
use super::settings::{Channel, Delivery, Orders, Scope, Server, Settings, Store, Token};
use super::unique::Unique;
use super::{chains, channels, network, relationships, requests, telemetry, urls, words};

/// Everything, or `None` where anything is wrong.
pub(crate) fn settings(root: &Reader<'_>) -> Option<Settings> {
    let section = |name: &str| root.get(name).and_then(Field::block);
    let server = section("server").and_then(|block| server(&block));
    let store = section("store").and_then(|block| store(&block));
    let delivery = section("delivery").and_then(|block| delivery(&block));
    let egress = root.optional("egress", |field| network::egress(&field.block()?));
    let orders = section("orders").and_then(|block| orders(&block));
    let template_timeout = section("template").and_then(|block| block.get("timeout").and_then(Field::duration));
    let otlp = root.optional("telemetry", |field| field.block()?.optional("otlp", telemetry::otlp));
    let limits = section("limits").and_then(|block| limits(&block));
    let providers = Providers::read(root);
    let egress_fingerprint = Fingerprint::of(root.get("egress").map(Field::node), root.report());
    let chains = chains::chains(root, &providers, egress_fingerprint);
    let locale = root.optional("locale", words::locale);
    let smtp = MailServer::read(root);
    let around =
        channels::Around {
            limits: limits.as_ref(),
            locale: locale.as_ref().and_then(Option::as_ref),
            providers: &providers,
            smtp: &smtp,
            fingerprint: Fingerprint::all(std::iter::once(egress_fingerprint).chain(
                ["locale", "limits"].map(|name| Fingerprint::of(root.get(name).map(Field::node), root.report())),
            )),
        };
    let channels = channels::channels(root, around);
    if let (Some(delivery), Some(channels)) = (&delivery, &channels) {
        enough_workers(root, delivery, channels);
    }
    smtp.known()?;
    let relationships = root.optional("relationships", |field| relationships::relationships(&field.block()?, root));
    Some(Settings {
        server: server?,
        store: store?,
        delivery: delivery?,
        egress: egress?.unwrap_or_default(),
        orders: orders?,
        template_timeout: template_timeout?,
        chains: chains?,
        channels: channels.filter(|_| limits.is_some() && locale.is_some())?,
        relationships: relationships?,
        otlp: otlp?.flatten(),
        overrides: Vec::new(),
        fingerprints: Fingerprints::read(root),
    })
}

fn server(block: &Reader<'_>) -> Option<Server> {
    let verify = block.optional("verify", |field| requests::signing(&field.masked(), false));
    let tokens = block.get("tokens").map_or(Some(Vec::new()), |field| tokens(&field.masked()));
    let listen = block.get("listen").and_then(|field| {
        let listen: SocketAddr = field.text_as(|text| text.parse().ok())?;
        if !listen.ip().is_loopback() && tokens.as_ref().is_some_and(Vec::is_empty) {
            field.fault(format!(
                "found {}, which other machines can reach, but there are no tokens; add a token under server.tokens, or listen on 127.0.0.1:{}",
                field.found(),
                listen.port()
            ));
            return None;
        }
        Some(listen)
    });
    let given_url = block.optional("public_url", urls::base_url);
    let hosts =
        block.get("hosts").map_or(Some(Vec::new()), |field| field.items().iter().map(urls::host_name).collect());
    let max_body = block.get("max_body").and_then(Field::size);
    let max_depth = block.get("max_depth").and_then(Field::integer);
    let request_timeout = block.get("request_timeout").and_then(Field::duration);
    let header_timeout = block.get("header_timeout").and_then(Field::duration);
    let body_timeout = block.get("body_timeout").and_then(Field::duration);
    let max_connections = block.get("max_connections").and_then(Field::integer);
    let drain_delay = block.get("drain_delay").and_then(Field::duration);
    let shutdown_grace = block.get("shutdown_grace").and_then(Field::duration);
    let (listen, given_url) = (listen?, given_url?);
    Some(Server {
        listen,
        derives_public_url: given_url.is_none(),
        public_url: given_url.unwrap_or_else(|| public_url::of(listen)),
        hosts: hosts?,
        max_body: max_body? as usize,
        max_depth: max_depth?,
        request_timeout: request_timeout?,
        header_timeout: header_timeout?,
        body_timeout: body_timeout?,
        max_connections: max_connections?,
        drain_delay: drain_delay?,
        shutdown_grace: shutdown_grace?,
        tokens: tokens?,
        verify: verify?,
    })
}

/// What stands for a receiver where else the name of a token stands.
const RECEIVER: &str = "receiver";

/// The name of a token. The audit names a receiver, which has no token, by `receiver`.
fn token_name(field: &Field<'_>) -> Option<String> {
    let name = words::name(field)?;
    if name == RECEIVER {
        field.fault(format!("found {name}, which the audit calls receivers that have no token; choose another name"));
        return None;
    }
    Some(name)
}

fn tokens(field: &Field<'_>) -> Option<Vec<Token>> {
    let mut names = Unique::new("a token");
    let mut secrets: Vec<(SecretString, String)> = Vec::new();
    let read: Vec<_> = field
        .items()
        .iter()
        .map(|field| {
            let block = field.block()?;
            let name = block.get("name").and_then(|field| names.claim(field, token_name(field)?));
            let token = block.get("token").and_then(|field| token(field, &mut secrets));
            let scopes = block.get("scopes").and_then(scopes);
            let rate_limit = block.optional("rate_limit", |field| {
                let rate = field.text_as(|text| text.parse().ok())?;
                let ingests = scopes.as_ref().is_none_or(|scopes| scopes.contains(&Scope::Ingest));
                if !ingests {
                    field.fault("applies only to tokens with the scope ingest, which this token lacks");
                }
                ingests.then_some(rate)
            });
            Some(Token { name: name?.into(), token: token?, scopes: scopes?, rate_limit: rate_limit? })
        })
        .collect();
    read.into_iter().collect()
}

fn token(field: &Field<'_>, taken: &mut Vec<(SecretString, String)>) -> Option<SecretString> {
    let secret = field.secret()?;
    let text = secret.expose_secret();
    if text.is_empty() || !text.chars().all(|c| c.is_ascii_graphic()) {
        field.fault("found ***, allowed: one or more printable ASCII characters without spaces");
        return None;
    }
    let same = |other: &SecretString| bool::from(other.expose_secret().as_bytes().ct_eq(text.as_bytes()));
    if let Some((_, owner)) = taken.iter().find(|(other, _)| same(other)) {
        field.fault(format!("is the same secret as {owner}; give each name a token of its own"));
        return None;
    }
    taken.push((secret.clone(), field.path().to_string()));
    Some(secret)
}

fn scopes(field: &Field<'_>) -> Option<Vec<Scope>> {
    field.some(|field| {
        field.choice(|word| match word {
            "ingest" => Some(Scope::Ingest),
            "read" => Some(Scope::Read),
            "manage" => Some(Scope::Manage),
            _ => None,
        })
    })
}

fn store(block: &Reader<'_>) -> Option<Store> {
    let url = block.get("url").and_then(|field| store_url(field));
    let password = block.optional("password", Field::filled_secret);
    let connect_timeout = block.get("connect_timeout").and_then(Field::duration);
    let connections = block.get("connections").and_then(Field::integer);
    let retention = block.get("retention").and_then(Field::duration);
    let max_size = block.optional("max_size", Field::size);
    let (url, in_url) = url?;
    if url.starts_with("sqlite:") && password.as_ref().is_some_and(Option::is_some) {
        if let Some(field) = block.get("password") {
            field.fault("has no use with a SQLite file: remove it, or give a postgres:// URL");
        }
        return None;
    }
    if !url.starts_with("sqlite:") && max_size.is_some_and(|max_size| max_size.is_some()) {
        if let Some(field) = block.get("max_size") {
            field.fault("bounds a SQLite file only: remove it, and bound the disk of the PostgreSQL server");
        }
        return None;
    }
    if in_url.is_some() && password.as_ref().is_some_and(Option::is_some) {
        if let Some(field) = block.get("password") {
            field.fault("stands in `url` too: remove one of them");
        }
        return None;
    }
    Some(Store {
        url,
        password: in_url.or(password?),
        connect_timeout: connect_timeout?,
        connections: connections?,
        retention: Some(retention?).filter(|retention| !retention.is_zero()),
        max_size: max_size?,
    })
}

/// The URL of a store without the password in it, and that.
fn store_url(field: &Field<'_>) -> Option<(String, Option<SecretString>)> {
    let text = field.text()?;
    if let Some(path) = text.strip_prefix("sqlite://") {
        // A store in memory would lose every order with the process.
        return if path.is_empty() || path == ":memory:" { field.wrong() } else { Some((text.to_owned(), None)) };
    }
    let server = ["postgres://", "postgresql://"].into_iter().find_map(|scheme| text.strip_prefix(scheme));
    let Some(server) = server.filter(|server| !server.is_empty()) else {
        // What stands there may hold a password.
        if text.contains('@') {
            field.fault("must be sqlite:// and a file's path, or postgres://USER@HOST/DATABASE");
            return None;
        }
        return field.wrong();
    };
    let authority = server.split(['/', '?']).next().unwrap_or(server);
    let rest = server.strip_prefix(authority).unwrap_or_default();
    if rest.split('?').next().is_some_and(|path| path.contains('@')) {
        field.fault("must have the special characters of its user and password percent-encoded (/ is %2F), or give the password as store.password");
        return None;
    }
    let password = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
    let Some((user, password)) = password else { return Some((text.to_owned(), None)) };
    let decoded = percent_encoding::percent_decode_str(password).decode_utf8_lossy().into_owned();
    let url = text.replacen(&format!("{user}:{password}@"), &format!("{user}@"), 1);
    Some((url, Some(SecretString::from(decoded))))
}

fn delivery(block: &Reader<'_>) -> Option<Delivery> {
    let workers = block.get("workers").and_then(Field::integer);
    let lane_memory = block.get("lane_memory").and_then(Field::size);
    let chain_concurrency = block.get("chain_concurrency").and_then(Field::integer);
    Some(Delivery { workers: workers?, lane_memory: lane_memory? as usize, chain_concurrency: chain_concurrency? })
}

/// Each channel has a worker of its own.
fn enough_workers(root: &Reader<'_>, delivery: &Delivery, channels: &[Arc<Channel>]) {
    let enabled = channels.iter().filter(|channel| channel.enabled).count();
    let block = root.get("delivery").and_then(Field::block).filter(|_| delivery.workers < enabled);
    if let Some(field) = block.as_ref().and_then(|block| block.get("workers")) {
        field.fault(format!(
            "{} workers are fewer than the {enabled} enabled channels, each of which needs one; raise it to {enabled} or more",
            delivery.workers
        ));
    }
}

fn orders(block: &Reader<'_>) -> Option<Orders> {
    let id = block.get("id").and_then(words::pointer);
    let kind = block.get("type").and_then(words::pointer);
    let items = block.get("items").and_then(words::pointer);
    let quantity = block.get("quantity").and_then(words::pointer);
    let product = block.get("product").and_then(|field| field.some(words::pointer));
    let customer_email = block.get("customer_email").and_then(words::pointer);
    Some(Orders {
        id: id?,
        kind: kind?,
        items: items?,
        quantity: quantity?,
        product: product?,
        customer_email: customer_email?,
    })
}
