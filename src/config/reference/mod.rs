//! `docs/configuration.md`, written out of the tables of `schema`.

use std::fmt::Write;

use super::faults::Report;
use super::node::{Data, Node};
use super::presets;
use super::schema::{Block, CALLOUT, Key, Kind, ROOT, duration, size};
use super::shown;

const INTRO: &str = include_str!("intro.md");

/// The reference of every key, as Markdown.
pub fn reference() -> String {
    let mut text = INTRO.to_owned();
    for (name, yaml) in presets::ALL {
        _ = write!(text, "\n### preset {name}\n\n```yaml\n{yaml}```\n");
    }
    let standard = presets::keys(presets::STANDARD, &Report::default());
    text.push_str("\n# Every key\n");
    describe(&ROOT, None, &standard, &mut Vec::new(), &mut text);
    text
}

/// A block, then the blocks in it. `preset` is what the preset says of it; `told` are the blocks already described.
fn describe(
    block: &'static Block,
    preset: Option<&Node>,
    standard: &Node,
    told: &mut Vec<&'static str>,
    text: &mut String,
) {
    if told.contains(&block.title) {
        return;
    }
    told.push(block.title);
    _ = write!(text, "\n## {}\n\n{}\n\n", block.title, block.doc);
    if !block.example.is_empty() {
        _ = write!(text, "```yaml\n{}```\n\n", block.example);
    }
    text.push_str("| key | type | allowed | default | meaning |\n|---|---|---|---|---|\n");
    for key in block.keys {
        let default = default(key, preset.and_then(|preset| preset.get(key.name)));
        let name = match key.kind {
            kind if kind.may_be_in_a_file() => format!("`{0}`, `{0}_file`", key.name),
            _ => format!("`{}`", key.name),
        };
        let (kind, allowed) = (kind(&key.kind), allowed(&key.kind));
        let restart = if key.at_start { " A change needs a restart." } else { "" };
        _ = writeln!(text, "| {name} | {kind} | {allowed} | {default} | {}{restart} |", key.doc.replace('|', "\\|"));
    }
    for key in block.keys {
        let within = preset.and_then(|preset| preset.get(key.name));
        for inner in blocks(&key.kind) {
            // A channel's keys are what presets are made of.
            let preset = if key.name == "channels" { Some(standard) } else { within };
            describe(inner, preset, standard, told, text);
        }
    }
}

fn blocks(kind: &Kind) -> Vec<&'static Block> {
    match kind {
        Kind::Block(block) | Kind::WordOr(_, block) | Kind::List(Kind::Block(block)) => vec![block],
        Kind::Variants(variants) => variants.iter().map(|(_, block)| *block).collect(),
        Kind::Options => vec![&CALLOUT],
        _ => Vec::new(),
    }
}

fn default(key: &Key, preset: Option<&Node>) -> String {
    match (key.default, preset) {
        (_, Some(node)) => match &node.data {
            Data::Map(_) => "the preset's".to_owned(),
            Data::List(items) if items.iter().any(|item| matches!(item.data, Data::Map(_))) => {
                "the preset's".to_owned()
            }
            Data::List(items) => {
                let items: Vec<String> = items.iter().map(written).collect();
                format!("the preset's: `[{}]`", items.join(", "))
            }
            _ => format!("the preset's: `{}`", written(node)),
        },
        (Some(default), None) => format!("`{default}`"),
        (None, None) if key.required => "required".to_owned(),
        (None, None) => "none".to_owned(),
    }
}

fn written(node: &Node) -> String {
    match shown::plain(node) {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}

fn kind(kind: &Kind) -> String {
    match kind {
        Kind::Text(_) => "text".to_owned(),
        Kind::Template => "template".to_owned(),
        Kind::Expression => "expression".to_owned(),
        Kind::Secret => "secret".to_owned(),
        Kind::Boolean => "true or false".to_owned(),
        Kind::Integer(_, _, unit) => format!("whole number ({unit})"),
        Kind::Number(..) => "number".to_owned(),
        Kind::Duration(..) => "duration".to_owned(),
        Kind::Size(..) => "size (bytes)".to_owned(),
        Kind::Choice(_) => "word".to_owned(),
        Kind::Class(_) => "class of responses".to_owned(),
        Kind::Parameter => "value".to_owned(),
        Kind::List(inner) => format!("list: {}", self::kind(inner)),
        Kind::Map(inner) => format!("names and values: {}", self::kind(inner)),
        Kind::Block(block) => format!("block [{0}](#{1})", block.title, anchor(block.title)),
        Kind::WordOr(words, block) => {
            let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
            format!("{}, or block [{1}](#{2})", words.join(", "), block.title, anchor(block.title))
        }
        Kind::Variants(_) => "block by its `type`".to_owned(),
        Kind::Options => "block by the plugin".to_owned(),
    }
}

fn allowed(kind: &Kind) -> String {
    match kind {
        Kind::Text(what) => (*what).to_owned(),
        Kind::Integer(min, max, _) => format!("{min} to {max}"),
        Kind::Number(min, max) => format!("{min} to {max}"),
        Kind::Duration(min, max) => format!("{} to {}", duration(*min), duration(*max)),
        Kind::Size(min, max) => format!("{} to {}", size(*min), size(*max)),
        Kind::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Kind::Class(_) | Kind::Parameter => kind.allowed(),
        Kind::List(inner) | Kind::Map(inner) => allowed(inner),
        Kind::Variants(variants) => variants.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", "),
        Kind::Template
        | Kind::Expression
        | Kind::Secret
        | Kind::Boolean
        | Kind::Block(_)
        | Kind::WordOr(..)
        | Kind::Options => String::new(),
    }
}

/// The link to a heading, as GitHub makes it.
fn anchor(title: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    title.chars().filter(kept).flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Environment, load_text};
    use super::*;

    fn every_block() -> Vec<&'static Block> {
        let (mut found, mut at): (Vec<&'static Block>, _) = (vec![&ROOT], 0);
        while at < found.len() {
            let inner = found[at].keys.iter().flat_map(|key| blocks(&key.kind));
            let new: Vec<_> = inner.filter(|block| !found.iter().any(|known| std::ptr::eq(*known, *block))).collect();
            found.extend(new);
            at += 1;
        }
        found
    }

    #[test]
    fn the_reference_in_docs_is_the_one_that_the_tables_make() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        let fresh = reference();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &fresh).unwrap();
        }
        let stored = std::fs::read_to_string(path).unwrap_or_default();
        assert!(stored == fresh, "docs/configuration.md is stale: run `UPDATE_DOCS=1 cargo test --lib reference`");
    }

    #[test]
    fn every_example_in_the_reference_loads() {
        let secrets = [
            "PROXY_PASSWORD",
            "SHOP_TOKEN",
            "SUPPORT_TOKEN",
            "ERP_PASSWORD",
            "CRM_TOKEN",
            "STOCK_KEY",
            "BILLING_TOKEN",
            "SMTP_PASSWORD",
            "OAUTH_SECRET",
            "TRACES_KEY",
            "PARTNER_JWT_SIGNING_SECRET",
        ];
        let signing = ["ORDER_SYSTEM_SECRET", "NEW_SECRET", "OLD_SECRET"];
        let tokens = secrets.iter().map(|name| ((*name).to_owned(), format!("secret-of-{name}")));
        let keys = signing.iter().map(|name| ((*name).to_owned(), format!("whsec_{}", "abcd".repeat(8))));
        let environment: Environment = tokens.chain(keys).collect();
        let mut shown = 0;
        for block in every_block() {
            if !block.example.is_empty() {
                shown += 1;
                if let Err(faults) = load_text(block.title, block.example, &environment) {
                    panic!("{faults}");
                }
            }
        }
        assert!(shown >= 15, "{shown}");
    }

    #[test]
    fn the_message_that_the_reference_shows_is_the_one_that_comes() {
        let yaml = "channels: [{name: a, url: 'http://a'}, {name: b, url: 'http://b'}, {name: c, url: 'http://c', retry: {interval: 30}}]";
        let message = load_text("shop.yaml", yaml, &Environment::new()).unwrap_err().to_string();
        assert!(INTRO.contains(&message), "{message}");
    }

    #[test]
    fn the_words_in_the_tables_are_those_of_the_domain() {
        use super::super::schema::CHANNEL;
        use crate::config::settings::Method;
        use crate::domain::{Outcome, event::OWN_EVENTS};

        let kind_of = |title: &str, name: &str| {
            let block = every_block().into_iter().find(|block| block.title == title).unwrap();
            block.keys.iter().find(|key| key.name == name).unwrap().kind
        };
        let words = |kind: Kind| match kind {
            Kind::Choice(words) => words.to_vec(),
            _ => panic!("{kind:?}"),
        };
        let outcomes: Vec<_> = Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
        assert_eq!(words(kind_of("channels[].outcomes[]", "then")), outcomes);
        let methods: Vec<_> = Method::ALL.iter().map(|method| method.as_str()).collect();
        assert_eq!(words(kind_of(CHANNEL.title, "method")), methods);
        let events = kind_of(CHANNEL.title, "events").allowed();
        assert!(OWN_EVENTS.iter().all(|event| events.contains(event)), "{events}");
    }

    #[test]
    fn every_name_is_told_once_in_its_block_and_every_line_is_a_sentence() {
        for block in every_block() {
            let mut names: Vec<_> = block.keys.iter().map(|key| key.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), block.keys.len(), "{}", block.title);
            for doc in block.keys.iter().map(|key| key.doc).chain([block.doc]) {
                assert!(doc.ends_with('.') && !doc.contains('\n'), "{}: {doc}", block.title);
            }
        }
    }
}
