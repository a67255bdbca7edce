//! How requests prove who sent them: the block `auth`, and the providers that it may name.

use std::sync::Arc;

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use super::field::Field;
use super::fingerprints::Fingerprint;
use super::jwt_key::{Algorithm, JwtKey};
use super::node::{Data, Node};
use super::read::Reader;
use super::requests::header_name;
use super::settings::{Auth, ClientCredentials, JwtBearer, JwtUse};
use super::unique::Unique;
use super::urls::plain_url;
use super::words;

/// The providers by name; `None` where one is wrong, which is on report.
pub(crate) struct Providers(Vec<(String, Option<Arc<ClientCredentials>>, Fingerprint)>);

impl Providers {
    /// Reads `oauth_providers`.
    pub(crate) fn read(root: &Reader<'_>) -> Self {
        let mut names = Unique::new("a provider");
        let mut all = Vec::new();
        let fields = root.get("oauth_providers").map(|field| field.masked().items()).unwrap_or_default();
        for field in &fields {
            let Some(block) = field.block() else { continue };
            let name = block.get("name").and_then(|field| names.claim(field, words::name(field)?));
            let provider = provider(&block);
            let fingerprint = Fingerprint::of(Some(field.node()), field.report());
            all.extend(name.map(|name| (name, provider, fingerprint)));
        }
        Self(all)
    }

    /// Of the providers that a block names anywhere below an `auth`.
    pub(crate) fn print_for(&self, block: &Node) -> Fingerprint {
        fn named<'n>(node: &'n Node, found: &mut Vec<&'n str>) {
            let items = if let Data::List(items) = &node.data { items.as_slice() } else { &[] };
            let provider = node.get("auth").and_then(|auth| auth.get("provider"));
            if let Some(Data::Text(name)) = provider.map(|node| &node.data) {
                found.push(name);
            }
            node.entries().iter().map(|(_, node)| node).chain(items).for_each(|node| named(node, found));
        }
        let mut found = Vec::new();
        named(block, &mut found);
        let fingerprint =
            |name: &&str| self.0.iter().find_map(|(known, _, fingerprint)| (known == name).then_some(*fingerprint));
        Fingerprint::all(found.iter().filter_map(fingerprint))
    }

    fn named(&self, field: &Field<'_>) -> Option<Arc<ClientCredentials>> {
        let name = words::name(field)?;
        let found = self.0.iter().find(|(known, ..)| *known == name);
        if found.is_none() {
            field.fault("found ***, but oauth_providers has no provider of this name");
        }
        found.and_then(|(_, provider, _)| provider.clone())
    }
}

fn provider(block: &Reader<'_>) -> Option<Arc<ClientCredentials>> {
    let token_url = block.get("token_url").and_then(plain_url);
    let client_id = block.get("client_id").and_then(words_of);
    let client_secret = block.get("client_secret").and_then(Field::filled_secret);
    let scope = block.optional("scope", words_of);
    let audience = block.optional("audience", words_of);
    Some(Arc::new(ClientCredentials {
        token_url: token_url?,
        client_id: client_id?,
        client_secret: client_secret?,
        scope: scope?,
        audience: audience?,
    }))
}

/// How a request proves who sent it; not at all where the block is left out.
pub(crate) fn auth(block: &Reader<'_>, providers: &Providers) -> Option<Auth> {
    let Some(field) = block.get("auth") else { return Some(Auth::None) };
    let (kind, reader) = field.variant()?;
    match kind {
        "basic" => {
            let username = reader.get("username").and_then(|field| {
                field.text_as(|text| {
                    let fine = !text.contains(':') && !text.chars().any(char::is_control);
                    fine.then(|| text.to_owned())
                })
            });
            let password = reader.get("password").and_then(Field::secret);
            let preemptive = reader.get("preemptive").and_then(Field::boolean);
            Some(Auth::Basic { username: username?, password: password?, preemptive: preemptive? })
        }
        "bearer" => Some(Auth::Bearer { token: reader.get("token").and_then(header_secret)? }),
        "header" => {
            let name = reader.get("name").and_then(|field| {
                let name = field.text()?;
                header_name(name).map_err(|problem| field.fault(problem)).ok().map(|_| name.to_owned())
            });
            let value = reader.get("value").and_then(header_secret);
            Some(Auth::Header { name: name?, value: value? })
        }
        "ntlm" => {
            let username = reader.get("username").and_then(|field| {
                let text = words_of(field)?;
                if text.contains('\\') {
                    return field.wrong_with("the domain has a key of its own, domain");
                }
                Some(text)
            });
            let password = reader.get("password").and_then(Field::filled_secret);
            let domain = reader.optional("domain", words_of);
            Some(Auth::Ntlm { username: username?, password: password?, domain: domain?.unwrap_or_default() })
        }
        "oauth2" => oauth2(&reader, providers).map(Auth::OAuth2),
        "jwt_bearer" => jwt_bearer(&reader).map(Arc::new).map(Auth::JwtBearer),
        _ => Some(Auth::None),
    }
}

fn oauth2(block: &Reader<'_>, providers: &Providers) -> Option<Arc<ClientCredentials>> {
    const OWN: [&str; 3] = ["token_url", "client_id", "client_secret"];
    let Some(field) = block.get("provider") else {
        let missing: Vec<&str> = OWN.into_iter().filter(|key| block.get(key).is_none()).collect();
        if missing.is_empty() {
            return provider(block);
        }
        return block.refuse(format!(
            "needs provider, or token_url, client_id and client_secret; missing: {}",
            missing.join(", ")
        ));
    };
    let named = providers.named(field);
    let own: Vec<&str> = OWN.into_iter().filter(|key| block.get(key).is_some()).collect();
    if !own.is_empty() {
        return block.refuse(format!("has provider next to {}; give either the provider or its keys", own.join(", ")));
    }
    let scope = block.optional("scope", words_of);
    let audience = block.optional("audience", words_of);
    let (named, scope, audience) = (named?, scope?, audience?);
    if scope.is_none() && audience.is_none() {
        return Some(named);
    }
    let named = ClientCredentials::clone(&named);
    Some(Arc::new(ClientCredentials { scope: scope.or(named.scope), audience: audience.or(named.audience), ..named }))
}

fn jwt_bearer(block: &Reader<'_>) -> Option<JwtBearer> {
    let token_url = block.get("token_url").and_then(plain_url);
    let issuer = block.get("issuer").and_then(words_of);
    let subject = block.optional("subject", words_of);
    let audience = block.optional("audience", words_of);
    let scope = block.optional("scope", words_of);
    let key_id = block.optional("key_id", words_of);
    let algorithm = block
        .get("algorithm")
        .and_then(|field| field.choice(|word| Algorithm::ALL.iter().copied().find(|known| known.as_str() == word)));
    let usage = block.get("use").and_then(|field| {
        field.choice(|word| match word {
            "grant" => Some(JwtUse::Grant),
            "client_assertion" => Some(JwtUse::ClientAssertion),
            _ => None,
        })
    });
    let key = block.get("key").and_then(|field| {
        let text = field.secret()?;
        JwtKey::read(algorithm?, text.expose_secret()).map_err(|problem| field.fault(problem)).ok()
    });
    let (token_url, issuer) = (token_url?, issuer?);
    Some(JwtBearer {
        subject: subject?.unwrap_or_else(|| issuer.clone()),
        audience: audience?.unwrap_or_else(|| token_url.to_string()),
        token_url,
        issuer,
        scope: scope?,
        key: key?,
        key_id: key_id?,
        usage: usage?,
    })
}

/// Text that is there.
fn words_of(field: &Field<'_>) -> Option<String> {
    field.text_as(|text| {
        let fine = !text.trim().is_empty() && !text.chars().any(char::is_control);
        fine.then(|| text.to_owned())
    })
}

/// A secret that travels in a header.
fn header_secret(field: &Field<'_>) -> Option<SecretString> {
    let secret = field.filled_secret()?;
    if HeaderValue::from_str(secret.expose_secret()).is_err() {
        field.fault("has characters that a header cannot carry, such as a line break; take them out");
        return None;
    }
    Some(secret)
}
