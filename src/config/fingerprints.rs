//! What a configuration said, as fingerprints: so that a reload can tell what has changed without keeping a secret twice.
//!
//! A fingerprint is a digest of values as they were resolved: presets merged in, `${NAME}` filled in, and where a key names a
//! file, of the file's content too. So a secret that was rotated in its file is a change, though no line of YAML is
//! another one.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::faults::{Path, Report};
use super::node::{Data, Node};
use super::read::Reader;
use super::schema::{Kind, ROOT};

/// The digest of a part of a configuration. Of use only for comparing: equal fingerprints mean that nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A digest of a short secret would give it away to whoever tries them all.
        f.write_str("Fingerprint")
    }
}

impl Fingerprint {
    /// The fingerprint of a value, and of the files that it names.
    pub(crate) fn of(node: Option<&Node>, report: &Report) -> Self {
        let mut hash = Sha256::new();
        if let Some(node) = node {
            add(&mut hash, "", node, report);
        }
        Self(hash.finalize().into())
    }

    /// The fingerprint of several parts together.
    pub(crate) fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut hash = Sha256::new();
        parts.into_iter().for_each(|part| hash.update(part.0));
        Self(hash.finalize().into())
    }
}

/// Adds a value, so that no two different values add the same bytes.
fn add(hash: &mut Sha256, key: &str, node: &Node, report: &Report) {
    match &node.data {
        Data::Null => hash.update([0]),
        Data::Broken => hash.update([1]),
        Data::Boolean(value) => hash.update([2, u8::from(*value)]),
        Data::Integer(value) => {
            hash.update([3]);
            hash.update(value.to_le_bytes());
            sized(hash, node.written.as_deref().unwrap_or_default().as_bytes());
        }
        Data::Number(value) => {
            hash.update([4]);
            hash.update(value.to_le_bytes());
            sized(hash, node.written.as_deref().unwrap_or_default().as_bytes());
        }
        Data::Text(text) => {
            hash.update([5]);
            sized(hash, text.as_bytes());
            if key.ends_with("_file") {
                report.known_file(text, |content| sized(hash, &Sha256::digest(content)));
            }
        }
        Data::List(items) => {
            hash.update([6]);
            hash.update(items.len().to_le_bytes());
            for item in items {
                add(hash, "", item, report);
            }
        }
        Data::Map(entries) => {
            hash.update([7]);
            hash.update(entries.len().to_le_bytes());
            for (name, value) in entries {
                sized(hash, name.as_bytes());
                add(hash, name, value, report);
            }
        }
    }
}

fn sized(hash: &mut Sha256, bytes: &[u8]) {
    hash.update(bytes.len().to_le_bytes());
    hash.update(bytes);
}

/// The fingerprints of all keys but those of chains and channels, which have their own.
#[derive(Debug, Clone, Default)]
pub struct Fingerprints(pub(super) Vec<KeyPrint>);

/// The fingerprint of a key.
#[derive(Debug, Clone)]
pub(super) struct KeyPrint {
    /// Where it stands.
    pub(super) path: Path,
    /// Who says what it is.
    pub(super) from: Arc<str>,
    /// Of its value.
    pub(super) fingerprint: Fingerprint,
    /// Whether only a start takes it up.
    pub(super) at_start: bool,
}

impl Fingerprints {
    /// Of the top level's sections, key by key.
    pub(crate) fn read(root: &Reader<'_>) -> Self {
        let mut all = Vec::new();
        for section in ROOT.keys.iter().filter(|key| !matches!(key.name, "chains" | "channels")) {
            let (path, field) = (Path::default().key(section.name), root.get(section.name));
            let (node, report) = (field.map(super::field::Field::node), root.report());
            let Kind::Block(block) = section.kind else {
                let from = node.map_or_else(|| "".into(), |node| Arc::clone(&node.from));
                all.push(KeyPrint {
                    path,
                    from,
                    fingerprint: Fingerprint::of(node, report),
                    at_start: section.at_start,
                });
                continue;
            };
            for key in block.keys {
                let file = format!("{}_file", key.name);
                let (value, beside) = (node.and_then(|node| node.get(key.name)), node.and_then(|node| node.get(&file)));
                let from = value.or(beside).or(node).map_or_else(|| "".into(), |node| Arc::clone(&node.from));
                // Under its name, so that the file's content counts.
                let beside = beside.map(|node| Node { data: Data::Map(vec![(file, node.clone())]), ..node.clone() });
                let fingerprint =
                    Fingerprint::all([Fingerprint::of(value, report), Fingerprint::of(beside.as_ref(), report)]);
                all.push(KeyPrint { path: path.key(key.name), from, fingerprint, at_start: key.at_start });
            }
        }
        Self(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(yaml: &str) -> Fingerprint {
        let report = Report::default();
        let text = super::super::layers::Text { name: "a".to_owned(), yaml: yaml.to_owned() };
        let node = super::super::layers::merge(&[vec![text]], &super::super::Environment::new(), &report);
        Fingerprint::of(node.get("orders"), &report)
    }

    #[test]
    fn values_that_differ_in_anything_have_prints_that_differ() {
        let texts = ["{a: 1}", "{a: '1'}", "{a: 1.0}", "{a: true}", "{a: null}", "{a: [1]}", "{a: {b: 1}}", "{ab: 1}"];
        let fingerprints: Vec<Fingerprint> = texts.iter().map(|text| fingerprint(&format!("orders: {text}"))).collect();
        for (at, one) in fingerprints.iter().enumerate() {
            assert_eq!(*one, fingerprint(&format!("orders: {}", texts[at])));
            assert!(fingerprints.iter().skip(at + 1).all(|other| other != one), "{}", texts[at]);
        }
        assert_eq!(format!("{:?}", fingerprints[0]), "Fingerprint");
    }
}
