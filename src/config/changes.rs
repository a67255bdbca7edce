//! What a configuration says otherwise than the one before it: what a reload has to do, and what it cannot.

use std::sync::Arc;

use serde::Serialize;

use super::faults::{Fault, Faults, Path};
use super::fingerprints::Fingerprint;
use super::settings::Settings;

/// What differs between two configurations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    pub channels: Named,
    pub chains: Named,
    /// The paths of other keys that have changed, such as `server.tokens`; `chains` or `channels` where their order has.
    pub keys: Vec<String>,
}

/// Names of what is there now, is another, or is there no more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Named {
    /// New ones.
    pub added: Vec<Arc<str>>,
    /// Those with another key, or another content of a file that they name.
    pub changed: Vec<Arc<str>>,
    /// Those that are gone.
    pub removed: Vec<Arc<str>>,
}

impl Changes {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Named {
    fn between(old: &[(Arc<str>, Fingerprint)], new: &[(Arc<str>, Fingerprint)]) -> Self {
        let find = |all: &[(Arc<str>, Fingerprint)], name: &Arc<str>| {
            all.iter().find_map(|(other, fingerprint)| (other == name).then_some(*fingerprint))
        };
        let mut named = Self::default();
        for (name, fingerprint) in new {
            match find(old, name) {
                None => named.added.push(Arc::clone(name)),
                Some(before) if before != *fingerprint => named.changed.push(Arc::clone(name)),
                Some(_) => {}
            }
        }
        let gone = old.iter().filter(|(name, _)| find(new, name).is_none());
        named.removed = gone.map(|(name, _)| Arc::clone(name)).collect();
        named
    }
}

/// Whether those that are in both stand in another order.
fn is_reordered(old: &[(Arc<str>, Fingerprint)], new: &[(Arc<str>, Fingerprint)]) -> bool {
    let both = |one: &[(Arc<str>, Fingerprint)], other: &[(Arc<str>, Fingerprint)]| -> Vec<Arc<str>> {
        let names = one.iter().map(|(name, _)| name);
        names.filter(|name| other.iter().any(|(known, _)| known == *name)).cloned().collect()
    };
    both(old, new) != both(new, old)
}

impl Settings {
    /// What `next` changes. `Err`: keys among it that only a start takes up.
    pub fn changes_to(&self, next: &Self) -> Result<Changes, Faults> {
        let (mut keys, mut faults) = (Vec::new(), Vec::new());
        // The same tables made both, so they have the same keys in the same order.
        let both = self.fingerprints.0.iter().zip(&next.fingerprints.0);
        for (_, new) in both.filter(|(old, new)| old.fingerprint != new.fingerprint) {
            if new.at_start {
                let message = "has changed, which needs a restart; put it back as it was to reload the rest";
                faults.push(Fault::new(&new.from, &new.path, message));
            }
            keys.push(new.path.to_string());
        }
        Faults::any(faults)?;
        let channels = |all: &Self| -> Vec<_> {
            all.channels.iter().map(|channel| (Arc::clone(&channel.name), channel.fingerprint)).collect()
        };
        let chains = |all: &Self| -> Vec<_> {
            all.chains.iter().map(|chain| (chain.name.as_str().into(), chain.fingerprint)).collect()
        };
        for (name, old, new) in [("chains", chains(self), chains(next)), ("channels", channels(self), channels(next))] {
            if is_reordered(&old, &new) {
                keys.push(name.to_owned());
            }
        }
        Ok(Changes {
            channels: Named::between(&channels(self), &channels(next)),
            chains: Named::between(&chains(self), &chains(next)),
            keys,
        })
    }
}

impl Settings {
    /// Refuses a reload to `next` that may be a slip: one that removes the last token, or more than half of the channels.
    pub fn check_losses(&self, next: &Self, changes: &Changes) -> Result<(), Faults> {
        const FORCE: &str = "if that is intended, use POST /v1/config/reload with {\"force\": true}";
        let mut faults = Vec::new();
        let mut refuse = |path: &str, loss: String| {
            let path = path.split('.').fold(Path::default(), |path, key| path.key(key));
            faults.push(Fault::new("configuration", &path, format!("{loss}; {FORCE}")));
        };
        if !self.server.tokens.is_empty() && next.server.tokens.is_empty() {
            let loss = "the reload would remove the last token, and every caller would be let in without one";
            refuse("server.tokens", loss.to_owned());
        }
        let (removed, all) = (changes.channels.removed.len(), self.channels.len());
        if removed * 2 > all {
            let names = changes.channels.removed.join(", ");
            refuse("channels", format!("the reload would remove {removed} of {all} channels ({names})"));
        }
        Faults::any(faults)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Environment, load_text};
    use super::*;

    fn changes(old: &str, new: &str) -> Result<Changes, String> {
        let load = |yaml| load_text("a.yaml", yaml, &Environment::new()).unwrap_or_else(|faults| panic!("{faults}"));
        load(old).changes_to(&load(new)).map_err(|faults| faults.to_string())
    }

    fn names(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    #[test]
    fn channels_chains_and_keys_are_told_apart() {
        let old = "
chains: [{name: one, plugins: []}, {name: two, plugins: []}]
channels: [{name: a, url: 'http://a'}, {name: b, url: 'http://b'}, {name: c, url: 'http://c'}]
";
        let new = "
server: {max_body: 2MiB}
chains: [{name: two, plugins: []}, {name: one, plugins: [], when: 'true'}]
channels: [{name: d, url: 'http://d'}, {name: a, url: 'http://a'}, {name: b, url: 'http://b', concurrency: 1}]
";
        let found = changes(old, new).expect("fine");
        let channels = Named { added: names(&["d"]), changed: names(&["b"]), removed: names(&["c"]) };
        let chains = Named { changed: names(&["one"]), ..Named::default() };
        assert_eq!(found, Changes { channels, chains, keys: vec!["server.max_body".to_owned(), "chains".to_owned()] });
        assert!(changes(old, old).expect("fine").is_empty());
    }

    #[test]
    fn what_a_channel_takes_from_other_sections_changes_it() {
        let with = |top: &str| {
            format!(
                "{top}\nchannels: [{{name: a, url: 'http://a', auth: {{type: oauth2, provider: p}}}}, {{name: b, url: 'http://b'}}]"
            )
        };
        let provider = |name: &str, secret: &str| {
            format!("{{name: {name}, token_url: 'http://id', client_id: shop, client_secret: {secret}}}")
        };
        let old = with(&format!("oauth_providers: [{}]", provider("p", "one")));
        let rotated = with(&format!("oauth_providers: [{}]", provider("p", "two")));
        assert_eq!(changes(&old, &rotated).expect("fine").channels.changed, names(&["a"]), "only who uses it");
        let another = with(&format!("oauth_providers: [{}, {}]", provider("p", "one"), provider("q", "two")));
        assert_eq!(changes(&old, &another).expect("fine").channels.changed, names(&[]));
        for top in ["egress: {deny: [a]}", "locale: de", "limits: {max_interval: 23h}"] {
            let other = with(&format!("oauth_providers: [{}]\n{top}", provider("p", "one")));
            assert_eq!(changes(&old, &other).expect("fine").channels.changed, names(&["a", "b"]), "{top}");
        }
    }

    #[test]
    fn another_content_of_a_file_is_a_change() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("secret");
        let secret = path.display();
        let load = |content: &str| {
            std::fs::write(&path, content).expect("a file");
            let yaml = format!(
                "
server: {{tokens: [{{name: shop, token_file: {secret}, scopes: [ingest]}}]}}
egress: {{proxy: 'http://p', proxy_username: me, proxy_password: x}}
chains: [{{name: one, plugins: [{{name: calloutPlugin, options: {{endpoint: 'http://a', auth: {{type: bearer, token_file: {secret}}}}}}}]}}]
channels:
  - {{name: a, url: 'http://a', auth: {{type: basic, username: me, password_file: {secret}}}}}
  - {{name: b, url: 'http://b', signing: {{secrets_file: {secret}}}}}
  - {{name: c, url: 'http://c'}}
"
            );
            load_text("a.yaml", &yaml, &Environment::new()).unwrap_or_else(|faults| panic!("{faults}"))
        };
        let old = load("whsec_b25lb25lb25lb25lb25lb25lb25lb25l\n");
        assert!(old.changes_to(&old.clone()).expect("fine").is_empty());
        let found = old.changes_to(&load("whsec_dHdvdHdvdHdvdHdvdHdvdHdvdHdvdHdv\n")).expect("fine");
        assert_eq!((found.channels.changed, found.chains.changed), (names(&["a", "b"]), names(&["one"])));
        assert_eq!(found.keys, ["server.tokens"]);
    }

    #[test]
    fn what_may_be_a_slip_is_refused() {
        let load =
            |yaml: &str| load_text("a.yaml", yaml, &Environment::new()).unwrap_or_else(|faults| panic!("{faults}"));
        let losses = |old: &str, new: &str| {
            let (old, new) = (load(old), load(new));
            let changes = old.changes_to(&new).expect("fine");
            old.check_losses(&new, &changes).map_err(|faults| faults.to_string())
        };
        let channels = |names: &str| {
            let list: Vec<_> = names.chars().map(|name| format!("{{name: {name}, url: 'http://a'}}")).collect();
            format!("channels: [{}]", list.join(", "))
        };
        for (old, new, fine) in [
            ("", "a", true),
            ("abcd", "abcd", true),
            ("abcd", "cdef", true),
            ("abcd", "d", false),
            ("ab", "c", false),
            ("a", "", false),
            ("abc", "a", false),
        ] {
            assert_eq!(losses(&channels(old), &channels(new)).is_ok(), fine, "{old} {new}");
        }
        let token = |name: &str| {
            format!("server: {{tokens: [{{name: {name}, token: a-token-of-some-length, scopes: [ingest]}}]}}")
        };
        assert_eq!(losses(&token("a"), &token("b")), Ok(()));
        assert_eq!(losses("", ""), Ok(()));
        let told = losses(&token("a"), "").expect_err("refused");
        assert!(told.contains("server.tokens: the reload would remove the last token"), "{told}");
        assert!(told.contains("{\"force\": true}"), "{told}");
    }

    #[test]
    fn keys_that_only_a_start_takes_up_are_refused_by_name() {
        let told = changes("", "server: {listen: '127.0.0.1:1'}\nstore: {url: 'sqlite://b.db', max_size: 1GiB}")
            .expect_err("refused");
        for path in ["a.yaml: server.listen: has changed, which needs a restart", "store.max_size", "store.url"] {
            assert!(told.contains(path), "{path} is not in {told}");
        }
    }
}
