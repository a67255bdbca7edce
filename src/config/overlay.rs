//! One layer over another, key by key: blocks merge, named lists are joined by name, other lists are replaced.

use config::{Map, Value, ValueKind};

use super::faults::{Path, Report};
use super::node::BUILT_IN;
use super::schema::{Block, Kind};
use super::values;

/// Lists whose elements have a name that is unique among them.
const NAMED: &[&str] = &["channels", "chains", "tokens", "oauth_providers"];

/// Where two layers are laid over each other, and what is told of it.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) path: &'a Path,
    pub(crate) report: &'a Report,
}

impl At<'_> {
    /// Notes that a value of one file replaces a different one of another file.
    fn replaces(self, upper: &Value, lower: &Value) {
        if !is_same(&upper.kind, &lower.kind) {
            self.note(upper, lower, |earlier| format!("replaces the value of {earlier}"));
        }
    }

    /// Notes that a file drops a value of another file, as it has another alternative.
    fn drops(self, upper: &Value, lower: &Value) {
        self.note(upper, lower, |earlier| format!("drops the value of {earlier}, for which it has an alternative"));
    }

    fn note(self, upper: &Value, lower: &Value, message: impl FnOnce(&str) -> String) {
        let file = |value: &Value| value.origin().filter(|origin| is_file(origin)).map(str::to_owned);
        if let (Some(later), Some(earlier)) = (file(upper), file(lower))
            && later != earlier
        {
            self.report.note_override(&later, self.path, message(&earlier));
        }
    }
}

/// Whether a value comes from a file.
fn is_file(origin: &str) -> bool {
    origin != BUILT_IN && !origin.starts_with("environment ")
}

/// Whether two values are the same, wherever they come from.
fn is_same(one: &ValueKind, other: &ValueKind) -> bool {
    match (one, other) {
        (ValueKind::Array(one), ValueKind::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(&one.kind, &other.kind))
        }
        (ValueKind::Table(one), ValueKind::Table(other)) => {
            let within =
                |(key, value): (&String, &Value)| other.get(key).is_some_and(|it| is_same(&value.kind, &it.kind));
            one.len() == other.len() && one.iter().all(within)
        }
        _ => one == other,
    }
}

/// `upper` over `lower`: its keys win. An element of a named list is overlaid on the one of the same name.
pub(crate) fn overlay(lower: &mut Map<String, Value>, upper: Map<String, Value>, block: &'static Block, at: At<'_>) {
    drop_alternatives(lower, &upper, block, at);
    for (name, value) in upper {
        let kind = kind_of(block, &name);
        match lower.get_mut(&name) {
            Some(there) => {
                let old = std::mem::replace(there, Value::new(None, ValueKind::Nil));
                *there = over(old, value, &name, kind, At { path: &at.path.key(&name), ..at });
            }
            None => _ = lower.insert(name, value),
        }
    }
}

/// The values of a map of any keys over those of another one.
fn extend(lower: &mut Map<String, Value>, upper: Map<String, Value>, at: At<'_>) {
    for (name, value) in upper {
        if let Some(old) = lower.get(&name) {
            At { path: &at.path.key(&name), ..at }.replaces(&value, old);
        }
        lower.insert(name, value);
    }
}

/// The keys of `more` beside those of `known`, as if both were one file: a key or a name in both is reported.
pub(crate) fn join(
    known: &mut Map<String, Value>,
    more: Map<String, Value>,
    block: &Block,
    at: &Path,
    report: &Report,
) {
    for (name, value) in more {
        let path = at.key(&name);
        let Some(there) = known.get_mut(&name) else {
            known.insert(name, value);
            continue;
        };
        let origin = value.origin().unwrap_or_default().to_owned();
        match (&mut there.kind, value.kind, kind_of(block, &name)) {
            (ValueKind::Table(there), ValueKind::Table(more), Some(Kind::Block(block) | Kind::WordOr(_, block))) => {
                join(there, more, block, &path, report);
            }
            (ValueKind::Array(there), ValueKind::Array(more), Some(Kind::List(_))) if is_named(&name) => {
                for element in more {
                    let twin = there.iter().find(|other| same_name(other, &element));
                    if let Some(twin) = twin {
                        let name = name_of(&element).unwrap_or_default();
                        let other = twin.origin().unwrap_or_default();
                        report.fault(
                            &origin,
                            &path,
                            format!(
                                "the name {name} is already used in {other}; files of one folder are read as one file"
                            ),
                        );
                    } else {
                        there.push(element);
                    }
                }
            }
            _ => {
                let other = there.origin().unwrap_or_default();
                report.fault(
                    &origin,
                    &path,
                    format!("this key is already set in {other}; files of one folder are read as one file"),
                );
            }
        }
    }
}

fn is_named(list: &str) -> bool {
    NAMED.contains(&list)
}

fn kind_of(block: &Block, name: &str) -> Option<Kind> {
    block.keys.iter().find(|key| key.name == name).map(|key| key.kind)
}

/// Removes from `lower` what `upper` names another alternative of, `KEY` and `KEY_file` included.
fn drop_alternatives(lower: &mut Map<String, Value>, upper: &Map<String, Value>, block: &Block, at: At<'_>) {
    let names = |key: &str| upper.get(key).is_some_and(|value| !matches!(value.kind, ValueKind::Nil));
    lower.retain(|key, old| {
        if upper.contains_key(key) {
            return true;
        }
        let mut groups = block.either.iter();
        let other = groups.clone().any(|group| group.contains(&key.as_str()))
            && groups.any(|group| !group.contains(&key.as_str()) && group.iter().any(|name| names(name)));
        let secret = match key.strip_suffix("_file") {
            Some(secret) => kind_of(block, secret).is_some_and(|kind| kind.may_be_in_a_file()) && names(secret),
            None => kind_of(block, key).is_some_and(|kind| kind.may_be_in_a_file()) && names(&format!("{key}_file")),
        };
        let dropped = other || secret;
        if dropped && let Some(value) = upper.values().find(|value| value.origin().is_some()) {
            At { path: &at.path.key(key), ..at }.drops(value, old);
        }
        !dropped
    });
}

fn over(lower: Value, upper: Value, name: &str, kind: Option<Kind>, at: At<'_>) -> Value {
    let origin = upper.origin().map(str::to_owned);
    let merges = match (&lower.kind, &upper.kind, kind) {
        (
            ValueKind::Table(_),
            ValueKind::Table(_),
            Some(Kind::Block(_) | Kind::WordOr(..) | Kind::Map(_) | Kind::Variants(_)),
        ) => true,
        (ValueKind::Array(_), ValueKind::Array(_), Some(Kind::List(Kind::Block(_)))) => is_named(name),
        _ => false,
    };
    if !merges {
        at.replaces(&upper, &lower);
    }
    let kind = match (lower.kind, upper.kind, kind) {
        (ValueKind::Table(mut lower), ValueKind::Table(upper), Some(Kind::Block(block) | Kind::WordOr(_, block))) => {
            overlay(&mut lower, upper, block, at);
            ValueKind::Table(lower)
        }
        (ValueKind::Table(mut lower), ValueKind::Table(upper), Some(Kind::Map(_))) => {
            extend(&mut lower, upper, at);
            ValueKind::Table(lower)
        }
        (ValueKind::Table(mut lower), ValueKind::Table(upper), Some(Kind::Variants(variants))) => {
            let old = type_of(&lower);
            if upper.contains_key("type") && type_of(&upper) != old {
                ValueKind::Table(upper)
            } else {
                match variants.iter().find(|(name, _)| old.as_deref() == Some(*name)) {
                    Some((_, block)) => overlay(&mut lower, upper, block, at),
                    None => extend(&mut lower, upper, at),
                }
                ValueKind::Table(lower)
            }
        }
        (ValueKind::Array(lower), ValueKind::Array(upper), Some(Kind::List(Kind::Block(block)))) if is_named(name) => {
            ValueKind::Array(by_name(lower, upper, block, at))
        }
        (_, upper, _) => upper,
    };
    Value::new(origin.as_ref(), kind)
}

/// Elements of `upper` on those of the same name, and new ones behind them. A name that `upper` itself has twice stays
/// twice, for the reader to report.
fn by_name(mut lower: Vec<Value>, upper: Vec<Value>, block: &'static Block, at: At<'_>) -> Vec<Value> {
    let known = lower.len();
    let mut used = vec![false; known];
    for element in upper {
        let twin = lower.iter().take(known).position(|other| same_name(other, &element));
        let free = twin.and_then(|twin| Some((twin, used.get_mut(twin)?, lower.get_mut(twin)?)));
        match free {
            Some((index, used, twin)) if !*used => {
                *used = true;
                let origin = element.origin().map(str::to_owned);
                if let (ValueKind::Table(twin), ValueKind::Table(element)) = (&mut twin.kind, element.kind) {
                    overlay(twin, element, block, At { path: &at.path.index(index), ..at });
                }
                *twin = Value::new(origin.as_ref(), std::mem::replace(&mut twin.kind, ValueKind::Nil));
            }
            _ => lower.push(element),
        }
    }
    lower
}

fn same_name(one: &Value, other: &Value) -> bool {
    name_of(one).is_some_and(|name| Some(name) == name_of(other))
}

fn name_of(element: &Value) -> Option<&str> {
    text_at(element_table(element)?, "name")
}

fn element_table(element: &Value) -> Option<&Map<String, Value>> {
    match &element.kind {
        ValueKind::Table(table) => Some(table),
        _ => None,
    }
}

fn type_of(table: &Map<String, Value>) -> Option<String> {
    text_at(table, "type").map(str::to_owned)
}

fn text_at<'a>(table: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    match &table.get(key)?.kind {
        ValueKind::String(text) => values::number(text).is_none().then_some(text.as_str()),
        _ => None,
    }
}

/// Takes the values of a block's merge keys (`<<`) into the block, where it does not have the key itself.
pub(crate) fn unfold_merges(value: &mut Value, path: &Path, report: &Report) {
    let origin = value.origin().unwrap_or_default().to_owned();
    match &mut value.kind {
        ValueKind::Array(items) => {
            for (at, item) in items.iter_mut().enumerate() {
                unfold_merges(item, &path.index(at), report);
            }
        }
        ValueKind::Table(table) => {
            for (key, item) in table.iter_mut() {
                unfold_merges(item, &path.key(key), report);
            }
            let Some(merged) = table.get("<<").cloned() else { return };
            table.retain(|key, _| key != "<<");
            let blocks = match merged.kind {
                ValueKind::Array(items) => items,
                kind => vec![Value::new(None, kind)],
            };
            for block in blocks {
                let ValueKind::Table(block) = block.kind else {
                    report.fault(
                        &origin,
                        &path.key("<<"),
                        "a merge key takes a block, or a list of blocks, such as *common",
                    );
                    continue;
                };
                for (key, item) in block {
                    if !table.contains_key(&key) {
                        table.insert(key, item);
                    }
                }
            }
        }
        _ => {}
    }
}
