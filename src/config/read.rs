//! Reading a block by its table: [`Reader`] checks which keys are there, [`Field`] reads their values.
//!
//! Every method answers `None` where the value is missing or wrong, and has then reported why. So a resolver reads all
//! of its keys first and puts them together with `?` afterwards: that way every fault is told, not only the first.

use std::sync::Arc;

use super::faults::{Path, Report, nearest};
use super::field::Field;
use super::node::{BUILT_IN, Data, Node, is_extension, present};
use super::schema::{Block, Key, Kind, one_of};

/// A block under its table.
pub(crate) struct Reader<'r> {
    from: Arc<str>,
    path: Path,
    report: &'r Report,
    block: &'static Block,
    fields: Vec<(&'static str, Field<'r>)>,
}

impl<'r> Reader<'r> {
    /// Checks the keys of the block at `path`: unknown ones and missing ones are reported, defaults are filled in.
    pub(crate) fn open(block: &'static Block, node: &Node, path: &Path, masked: bool, report: &'r Report) -> Self {
        for (name, value) in node.entries() {
            if key_of(block, name).is_none() && !is_extension(name) {
                report.fault(&value.from, &path.key(name), unknown(block, name));
            }
        }
        // A section merged of layers comes from nowhere itself.
        let first = node.entries().first().filter(|_| &*node.from == BUILT_IN);
        let from = Arc::clone(first.map_or(&node.from, |(_, value)| &value.from));
        let mut fields = Vec::new();
        for key in block.keys {
            if let Some(field) = open_field(key, node, path, masked, report, &from) {
                fields.push((key.name, field));
            }
        }
        Self { from, path: path.clone(), report, block, fields }
    }

    /// The value of a key, where there is one.
    pub(crate) fn get(&self, key: &str) -> Option<&Field<'r>> {
        self.fields.iter().find_map(|(name, field)| (*name == key).then_some(field))
    }

    /// Reads a key that may be left out: `None` where it is wrong, `Some(None)` where there is none.
    #[expect(clippy::option_option, reason = "wrong is not the same as absent")]
    pub(crate) fn optional<T>(&self, key: &str, read: impl FnOnce(&Field<'r>) -> Option<T>) -> Option<Option<T>> {
        match self.get(key) {
            Some(field) => read(field).map(Some),
            None => Some(None),
        }
    }

    /// The elements of a list; none where it is left out.
    pub(crate) fn items(&self, key: &str) -> Vec<Field<'r>> {
        self.get(key).map(Field::items).unwrap_or_default()
    }

    /// The names and values of a map; none where it is left out.
    pub(crate) fn entries(&self, key: &str) -> Vec<(String, Field<'r>)> {
        self.get(key).map(Field::entries).unwrap_or_default()
    }

    /// Reports that a key is missing which this block needs.
    pub(crate) fn missing<T>(&self, key: &str) -> Option<T> {
        let kind = self.block.keys.iter().find(|known| known.name == key).map(|known| known.kind.allowed());
        let message = format!("missing; allowed: {}", kind.unwrap_or_default());
        self.report.fault(&self.from, &self.path.key(key), message);
        None
    }

    /// Where everything is reported.
    pub(crate) fn report(&self) -> &'r Report {
        self.report
    }

    /// Reports something about the block as a whole.
    pub(crate) fn refuse<T>(&self, message: impl Into<String>) -> Option<T> {
        self.report.fault(&self.from, &self.path, message);
        None
    }
}

impl<'r> Field<'r> {
    /// The block of keys that this is.
    pub(crate) fn block(&self) -> Option<Reader<'r>> {
        let Kind::Block(block) = self.kind else { return self.wrong() };
        self.block_as(block)
    }

    /// The block of keys that may stand in place of a word.
    pub(crate) fn inner_block(&self) -> Option<Reader<'r>> {
        let Kind::WordOr(_, block) = self.kind else { return self.wrong() };
        self.block_as(block)
    }

    /// The same, by another table.
    pub(crate) fn block_as(&self, block: &'static Block) -> Option<Reader<'r>> {
        match &self.node.data {
            Data::Map(_) => Some(Reader::open(block, &self.node, &self.path, self.masked, self.report)),
            _ => self.wrong(),
        }
    }

    /// The block of keys that its `type` names, and that type. What is found below is not shown.
    pub(crate) fn variant(&self) -> Option<(&'static str, Reader<'r>)> {
        let Kind::Variants(variants) = self.kind else { return self.wrong() };
        let masked = self.masked();
        let names: Vec<&str> = variants.iter().map(|(name, _)| *name).collect();
        let allowed = one_of(&names);
        if !matches!(self.node.data, Data::Map(_)) {
            return masked.wrong();
        }
        let Some(of) = present(self.node.get("type")) else {
            self.report.fault(&self.node.from, &self.path.key("type"), format!("missing; allowed: {allowed}"));
            return None;
        };
        let Data::Text(found) = &of.data else {
            if of.data != Data::Broken {
                let found = of.found();
                self.report.fault(&of.from, &self.path.key("type"), format!("found {found}, allowed: {allowed}"));
            }
            return None;
        };
        let Some((name, block)) = variants.iter().find(|(name, _)| name == found) else {
            let hint = nearest(found, names).map(|name| format!("; did you mean {name}?")).unwrap_or_default();
            let shown = if of.is_filled_in() { "***".to_owned() } else { of.found() };
            self.report.fault(&of.from, &self.path.key("type"), format!("found {shown}, allowed: {allowed}{hint}"));
            return None;
        };
        Some((name, masked.block_as(block)?))
    }
}

pub(crate) fn key_of(block: &'static Block, name: &str) -> Option<&'static Key> {
    let secret = name.strip_suffix("_file");
    block
        .keys
        .iter()
        .find(|key| key.name == name || (key.kind.may_be_in_a_file() && secret.is_some_and(|name| key.name == name)))
}

/// What is said about a key that a block does not have.
pub(crate) fn unknown(block: &'static Block, name: &str) -> String {
    let names: Vec<String> = block
        .keys
        .iter()
        .flat_map(|key| {
            let file = key.kind.may_be_in_a_file().then(|| format!("{}_file", key.name));
            std::iter::once(key.name.to_owned()).chain(file)
        })
        .collect();
    let mut text = format!("unknown key; allowed: {}", names.join(", "));
    if let Some(name) = nearest(name, names.iter().map(String::as_str)) {
        text = format!("{text}; did you mean {name}?");
    }
    text
}

fn open_field<'r>(
    key: &'static Key,
    node: &Node,
    path: &Path,
    masked: bool,
    report: &'r Report,
    from: &Arc<str>,
) -> Option<Field<'r>> {
    let field = |node: Node, name: &str| Field::new(node, &key.kind, path.key(name), masked, report);
    if key.kind.may_be_in_a_file() {
        let file = format!("{}_file", key.name);
        let (own, beside) = (present(node.get(key.name)), present(node.get(&file)));
        match (own, beside) {
            (Some(_), Some(beside)) => {
                report.fault(
                    &beside.from,
                    &path.key(&file),
                    format!("{} is set too; give only one of the two", key.name),
                );
                return Some(field(Node { data: Data::Broken, ..beside.clone() }, &file));
            }
            (None, Some(beside)) => return Some(field(secret_file(&field(beside.clone(), &file)), &file)),
            (Some(own), None) => return Some(field(listed(own, &key.kind), key.name)),
            (None, None) => {}
        }
    } else if let Some(value) = node.get(key.name) {
        match (&value.data, key.default) {
            (Data::Null, None) => {}
            (Data::Null, Some(default)) => {
                let wrong = field(value.clone(), key.name);
                wrong.wrong_with::<()>(&format!("leave the key out for its default, {default}"));
                return Some(field(Node { data: Data::Broken, ..value.clone() }, key.name));
            }
            _ => return Some(field(listed(value, &key.kind), key.name)),
        }
    }
    if let Some(default) = key.default {
        return Some(field(Node::built_in(default), key.name));
    }
    if key.required {
        let also = if key.kind.may_be_in_a_file() { format!(", or {}_file", key.name) } else { String::new() };
        let (found, from) = node.get(key.name).map_or(("missing;", from), |null| ("found null,", &null.from));
        report.fault(from, &path.key(key.name), format!("{found} allowed: {}{also}", key.kind.allowed()));
    }
    None
}

/// Where a list is expected, one value is a list of one.
pub(crate) fn listed(node: &Node, kind: &Kind) -> Node {
    match (kind, &node.data) {
        (Kind::List(_), Data::List(_) | Data::Null | Data::Broken) => node.clone(),
        (Kind::List(_), _) => {
            Node { data: Data::List(vec![node.clone()]), written: None, from: Arc::clone(&node.from) }
        }
        _ => node.clone(),
    }
}

/// The content of the file that `field` names, without the line break at its end.
fn secret_file(field: &Field<'_>) -> Node {
    let broken = || Node { data: Data::Broken, ..field.node().clone() };
    let Data::Text(name) = &field.node().data else {
        if field.node().data != Data::Broken {
            field.fault(format!("found {}, allowed: the path of a file, as text", field.found()));
        }
        return broken();
    };
    let read = field
        .report()
        .read(name)
        .map_err(|error| error.to_string())
        .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned()));
    match read {
        Ok(text) => {
            let secret = |text: &str| Node { data: Data::Text(text.to_owned()), ..field.node().clone() };
            if field.is_list() {
                let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
                return Node { data: Data::List(lines.map(secret).collect()), ..field.node().clone() };
            }
            secret(text.trim_end_matches(['\n', '\r']))
        }
        Err(error) => {
            let shown = field.node().written.as_deref().unwrap_or(name);
            field.fault(format!("the file {shown:?} cannot be read: {error}"));
            broken()
        }
    }
}
