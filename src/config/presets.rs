//! Presets: files of `config/presets`, embedded, that say what a channel does where it does not say so itself.
//!
//! To add one, write `config/presets/NAME.yaml` with only keys of a channel, and add it to [`ALL`].

use std::collections::BTreeMap;

use bytes::Bytes;
use config::{Value, ValueKind};

use super::faults::{Path, Report};
use super::layers::{Text, parse};
use super::mail;
use super::node::{Data, Node};
use super::schema::{self, Block, CHANNEL, Kind};
use super::settings::{Channel, Orders};

/// Every preset: its name and its file.
pub(crate) static ALL: &[(&str, &str)] = &[
    ("standard", include_str!("../../config/presets/standard.yaml")),
    ("zuora", include_str!("../../config/presets/zuora.yaml")),
    ("orderful", include_str!("../../config/presets/orderful.yaml")),
    ("secutix", include_str!("../../config/presets/secutix.yaml")),
    ("fulfillment", include_str!("../../config/presets/fulfillment.yaml")),
    ("email", include_str!("../../config/presets/email.yaml")),
];

/// An order to try each preset with.
static SAMPLES: &[(&str, &str)] = &[
    ("standard", include_str!("../../config/samples/standard.json")),
    ("zuora", include_str!("../../config/samples/zuora.json")),
    ("orderful", include_str!("../../config/samples/orderful.json")),
    ("secutix", include_str!("../../config/samples/secutix.json")),
    ("fulfillment", include_str!("../../config/samples/fulfillment.json")),
];

/// The sample order of a channel's preset, as JSON. Where the channel takes some products only, its items are of the
/// first of them.
pub fn sample(channel: &Channel, orders: &Orders) -> Bytes {
    let find = |name: &str| SAMPLES.iter().find_map(|(known, text)| (*known == name).then_some(*text));
    let text = find(&channel.preset).or_else(|| find(STANDARD)).unwrap_or("{}");
    let product = channel.items.as_ref().and_then(|items| items.products.first());
    let Some(product) = product else { return Bytes::from_static(text.as_bytes()) };
    let mut order: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let items = order.pointer_mut(&orders.items).and_then(serde_json::Value::as_array_mut);
    for item in items.into_iter().flatten() {
        if let Some(place) = orders.product.iter().find_map(|place| place.strip_prefix('/')) {
            item[place] = product.as_str().into();
        }
    }
    Bytes::from(order.to_string())
}

/// The preset that holds where a channel names none.
pub(crate) const STANDARD: &str = "standard";

/// The preset of channels of kind `email`, and of what a mail server's replies mean.
pub(crate) const EMAIL: &str = "email";

/// The file of a preset, as embedded; `None` where there is none of that name.
pub fn preset(name: &str) -> Option<&'static str> {
    ALL.iter().find_map(|(known, text)| (*known == name).then_some(*text))
}

/// The names of all presets.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|(name, _)| *name)
}

/// The keys of a preset. `${NAME}` in it is text: a preset knows no environment.
pub(crate) fn keys(name: &str, report: &Report) -> Node {
    let text = Text { name: format!("preset {name}"), yaml: preset(name).unwrap_or_default().to_owned() };
    let table = Value::new(Some(&text.name), ValueKind::Table(parse(&text, report)));
    Node::from_value(table, &text.name.as_str().into(), &Path::default(), &BTreeMap::new(), report)
}

/// `own` over `preset`, key by key, blocks within blocks too. Naming a key of one alternative drops the preset's other;
/// `null` takes a preset's key away.
pub(crate) fn merge(preset: &Node, own: &Node, block: &Block) -> Node {
    let Data::Map(mine) = &own.data else { return own.clone() };
    let names = |key: &str| own.get(key).is_some_and(|node| node.data != Data::Null);
    let rejected = |key: &str| {
        block.either.iter().any(|group| {
            !group.contains(&key)
                && group.iter().any(|other| names(other))
                && block.either.iter().any(|group| group.contains(&key))
        })
    };
    let mut merged: Vec<(String, Node)> = Vec::new();
    for (name, theirs) in preset.entries() {
        match own.get(name) {
            Some(Node { data: Data::Null, .. }) => {}
            Some(node) => {
                let kind = block.keys.iter().find(|key| key.name == name).map(|key| key.kind);
                merged.push((name.clone(), merge_value(theirs, node, kind)));
            }
            None if rejected(name) => {}
            None => merged.push((name.clone(), theirs.clone())),
        }
    }
    let new = mine.iter().filter(|(name, _)| preset.get(name).is_none());
    merged.extend(new.cloned());
    Node { data: Data::Map(merged), ..own.clone() }
}

fn merge_value(preset: &Node, own: &Node, kind: Option<Kind>) -> Node {
    match kind {
        Some(Kind::Block(block)) => merge(preset, own, block),
        Some(Kind::Map(_)) => merge(preset, own, &FREE),
        Some(Kind::Variants(_))
            if preset.get("type").map(|node| &node.data) == own.get("type").map(|node| &node.data) =>
        {
            merge(preset, own, &FREE)
        }
        _ => own.clone(),
    }
}

/// A block without alternatives.
static FREE: Block = Block { title: "", doc: "", example: "", keys: &[], either: &[] };

/// A channel's block with its preset's keys below its own.
pub(crate) fn effective(own: &Node, report: &Report) -> Node {
    let named = match own.get("preset").map(|node| &node.data) {
        Some(Data::Text(name)) if preset(name).is_some() => name.as_str(),
        None if mail::is_email(own) => EMAIL,
        // A name that does not exist is reported where it is read; the standard's keys keep other messages to the point.
        _ => STANDARD,
    };
    let keys_of = keys(named, report);
    let kind = own.get("kind").map_or_else(|| mail::is_email(&keys_of), |_| mail::is_email(own));
    if !kind {
        return merge(&keys_of, own, &CHANNEL);
    }
    let mut merged = merge(&of_mail(&keys_of, report), own, &CHANNEL);
    if let (Data::Map(entries), None) = (&mut merged.data, own.get("preset")) {
        entries.push(("preset".to_owned(), Node { data: Data::Text(named.to_owned()), ..Node::built_in(named) }));
    }
    merged
}

/// What a preset says to a channel of kind `email`: nothing about requests and their responses. For the rest of what a
/// channel must have, the presets `email` and `standard` stand in.
fn of_mail(preset: &Node, report: &Report) -> Node {
    let (email, standard) = (keys(EMAIL, report), keys(STANDARD, report));
    let own = |(name, _): &&(String, Node)| schema::EMAIL_KEYS.contains(&name.as_str()) && name != "outcomes";
    let mut entries: Vec<(String, Node)> = preset.entries().iter().filter(own).cloned().collect();
    for (name, node) in email.entries().iter().chain(standard.entries()) {
        if !entries.iter().any(|(known, _)| known == name) {
            entries.push((name.clone(), node.clone()));
        }
    }
    Node { data: Data::Map(entries), ..preset.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(yaml: &str) -> Node {
        let report = Report::default();
        let text = Text { name: "test".to_owned(), yaml: yaml.to_owned() };
        let table = Value::new(Some(&text.name), ValueKind::Table(parse(&text, &report)));
        let node = Node::from_value(table, &"test".into(), &Path::default(), &BTreeMap::new(), &report);
        report.finish(Some(node)).unwrap()
    }

    fn merged(preset: &str, own: &str) -> Node {
        merge(&node(preset), &node(own), &CHANNEL)
    }

    #[track_caller]
    fn assert_merges(preset: &str, own: &str, expected: &str) {
        let keys = |node: &Node| super::super::shown::plain(node);
        assert_eq!(keys(&merged(preset, own)), keys(&node(expected)));
    }

    #[test]
    fn blocks_merge_key_by_key_and_lists_are_replaced() {
        assert_merges(
            "{method: POST, headers: {A: a, B: b}, events: [x, y], retry: {attempts: 3, jitter: 0.1}}",
            "{headers: {B: c, C: d}, events: [z], retry: {attempts: 5}, url: u}",
            "{method: POST, headers: {A: a, B: c, C: d}, events: [z], retry: {attempts: 5, jitter: 0.1}, url: u}",
        );
    }

    #[test]
    fn naming_one_alternative_drops_the_presets_other() {
        assert_merges(
            "{retry: {attempts: 3, schedule: [1s]}, timeout: {total: 1s}}",
            "{retry: {interval: 5s}, timeout: {connect: 1s, transfer: 2s}}",
            "{retry: {attempts: 3, interval: 5s}, timeout: {connect: 1s, transfer: 2s}}",
        );
        assert_merges(
            "{timeout: {connect: 1s, transfer: 2s}}",
            "{timeout: {transfer: 3s}}",
            "{timeout: {connect: 1s, transfer: 3s}}",
        );
        assert_merges("{timeout: {connect: 1s, transfer: 2s}}", "{timeout: {total: 3s}}", "{timeout: {total: 3s}}");
    }

    #[test]
    fn null_takes_a_presets_key_away() {
        assert_merges(
            "{body: x, retry: {attempts: 3, schedule: [1s]}, headers: {A: a}}",
            "{body: null, retry: {schedule: null}, headers: {A: null}, parameters: {p: null}}",
            "{retry: {attempts: 3}, headers: {}, parameters: {p: null}}",
        );
    }

    #[test]
    fn another_kind_of_authentication_replaces_the_presets() {
        assert_merges(
            "{auth: {type: basic, username: u}}",
            "{auth: {type: bearer, token: t}}",
            "{auth: {type: bearer, token: t}}",
        );
        assert_merges(
            "{auth: {type: basic, username: u}}",
            "{auth: {type: basic, password: p}}",
            "{auth: {type: basic, username: u, password: p}}",
        );
    }
}
