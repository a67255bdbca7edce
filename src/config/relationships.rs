//! Relationships: pointers to the parties of an order, and the routes between them.

use std::sync::Arc;

use super::field::Field;
use super::node::Data;
use super::read::Reader;
use super::settings::{Relationships, Route};
use super::words;

/// What makes a relationship, in the order of [`Relationships::pointers`].
const PARTIES: [&str; 3] = ["sender", "receiver", "type"];

/// The relationships; `root` knows the channels that they may name.
pub(crate) fn relationships(block: &Reader<'_>, root: &Reader<'_>) -> Option<Relationships> {
    let known: Vec<String> = root
        .items("channels")
        .iter()
        .filter_map(|field| match field.node().get("name").map(|name| &name.data) {
            Some(Data::Text(name)) => Some(name.clone()),
            _ => None,
        })
        .collect();
    let [sender, receiver, kind] = PARTIES.map(|party| block.optional(party, words::pointer));
    let default_channel = block.optional("default_channel", |field| channel(field, &known));
    let pointers = [sender?, receiver?, kind?];
    if pointers.iter().all(Option::is_none) {
        return block.refuse("needs sender, receiver or type: a JSON pointer into the order");
    }
    let mut routes: Vec<(Route, String)> = Vec::new();
    let mut whole = true;
    for field in block.items("routes") {
        match route(&field, &pointers, &known) {
            Some(route) => match routes.iter().find(|(other, _)| other.parties == route.parties) {
                Some((_, other)) => {
                    field.fault(format!("fits the same relationships as {other}; name each once"));
                    whole = false;
                }
                None => routes.push((route, field.path().to_string())),
            },
            None => whole = false,
        }
    }
    let mut routes: Vec<Route> = routes.into_iter().map(|(route, _)| route).collect();
    // Stable: of routes that name as many, the first stays in front.
    routes.sort_by_key(|route| route.parties.iter().filter(|party| party.is_none()).count());
    Some(Relationships { pointers, default_channel: default_channel?, routes }).filter(|_| whole)
}

fn route(field: &Field<'_>, pointers: &[Option<String>; 3], known: &[String]) -> Option<Route> {
    let block = field.block()?;
    let [sender, receiver, kind] = PARTIES.map(|party| block.optional(party, value));
    let channel = block.get("channel").and_then(|field| channel(field, known));
    let parties = [sender?, receiver?, kind?];
    if parties.iter().all(Option::is_none) {
        return block.refuse("needs sender, receiver or type; default_channel is for all the rest");
    }
    for ((party, pointer), name) in parties.iter().zip(pointers).zip(PARTIES) {
        if party.is_some() && pointer.is_none() {
            return block
                .refuse(format!("names a {name}, but relationships.{name} does not say where an order has it"));
        }
    }
    Some(Route { parties, channel: channel? })
}

/// A sender, receiver or type.
fn value(field: &Field<'_>) -> Option<String> {
    field.text_as(|text| (!text.is_empty()).then(|| text.to_owned()))
}

/// The name of a channel that there is.
fn channel(field: &Field<'_>, known: &[String]) -> Option<Arc<str>> {
    let name = words::name(field)?;
    if known.contains(&name) {
        return Some(name.into());
    }
    let near = super::faults::nearest(&name, known.iter().map(String::as_str));
    let hint = near.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
    field.fault(format!("found {}, but no channel has this name{hint}", field.found()));
    None
}
