//! Reading a block by its table: [`Reader`] checks which keys are there, [`Field`] what their values are.
//!
//! Every method answers `None` where the value is missing or wrong, and has then reported why. So a resolver reads all
//! of its keys first and puts them together with `?` afterwards: that way every fault is told, not only the first.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::faults::{Path, Report, nearest};
use super::node::{Data, Node};
use super::scalars;
use super::schema::{Block, Key, Kind};
use crate::template::{Expression, Syntax, SyntaxError, Target, Template};

/// A block under its table.
pub(crate) struct Reader<'r> {
    from: Arc<str>,
    path: Path,
    report: &'r Report,
    fields: Vec<(&'static str, Field<'r>)>,
}

impl<'r> Reader<'r> {
    /// Checks the keys of the block at `path`: unknown ones and missing ones are reported, defaults are filled in.
    pub(crate) fn open(block: &'static Block, node: &Node, path: &Path, masked: bool, report: &'r Report) -> Self {
        for (name, value) in node.entries() {
            if key_of(block, name).is_none() {
                report.fault(&value.from, &path.key(name), unknown(block, name));
            }
        }
        let mut fields = Vec::new();
        for key in block.keys {
            if let Some(field) = open_field(key, node, path, masked, report) {
                fields.push((key.name, field));
            }
        }
        Self { from: Arc::clone(&node.from), path: path.clone(), report, fields }
    }

    /// The value of a key, where there is one.
    pub(crate) fn get(&self, key: &str) -> Option<&Field<'r>> {
        self.fields.iter().find_map(|(name, field)| (*name == key).then_some(field))
    }

    /// Whether there is a value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
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

    /// Reports something about the block as a whole.
    pub(crate) fn refuse<T>(&self, message: impl Into<String>) -> Option<T> {
        self.report.fault(&self.from, &self.path, message);
        None
    }
}

fn key_of(block: &'static Block, name: &str) -> Option<&'static Key> {
    let secret = name.strip_suffix("_file");
    block.keys.iter().find(|key| {
        key.name == name || (matches!(key.kind, Kind::Secret) && secret.is_some_and(|name| key.name == name))
    })
}

fn unknown(block: &'static Block, name: &str) -> String {
    let names: Vec<String> = block
        .keys
        .iter()
        .flat_map(|key| {
            let file = matches!(key.kind, Kind::Secret).then(|| format!("{}_file", key.name));
            std::iter::once(key.name.to_owned()).chain(file)
        })
        .collect();
    let mut text = format!("unknown key; allowed: {}", names.join(", "));
    if let Some(name) = nearest(name, names.iter().map(String::as_str)) {
        text.push_str(&format!("; did you mean {name}?"));
    }
    text
}

fn open_field<'r>(key: &'static Key, node: &Node, path: &Path, masked: bool, report: &'r Report) -> Option<Field<'r>> {
    let field = |node: Node, name: &str| Field { node, kind: &key.kind, path: path.key(name), masked, report };
    if matches!(key.kind, Kind::Secret) {
        let file = format!("{}_file", key.name);
        let (own, beside) = (present(node.get(key.name)), present(node.get(&file)));
        match (own, beside) {
            (Some(_), Some(beside)) => {
                report.fault(&beside.from, &path.key(&file), format!("{} is there too; name one of the two", key.name));
                return Some(field(Node { data: Data::Broken, ..beside.clone() }, &file));
            }
            (None, Some(beside)) => return Some(field(secret_file(&field(beside.clone(), &file)), &file)),
            (Some(own), None) => return Some(field(own.clone(), key.name)),
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
            _ => return Some(field(value.clone(), key.name)),
        }
    }
    if let Some(default) = key.default {
        return Some(field(Node::built_in(default), key.name));
    }
    if key.required {
        let also = if matches!(key.kind, Kind::Secret) { format!(", or {}_file", key.name) } else { String::new() };
        report.fault(&node.from, &path.key(key.name), format!("missing; allowed: {}{also}", key.kind.allowed()));
    }
    None
}

fn present(node: Option<&Node>) -> Option<&Node> {
    node.filter(|node| node.data != Data::Null)
}

/// The content of the file that `field` names, without the line break at its end.
fn secret_file(field: &Field<'_>) -> Node {
    let broken = || Node { data: Data::Broken, ..field.node.clone() };
    let Data::Text(name) = &field.node.data else {
        if field.node.data != Data::Broken {
            field.fault(format!("found {}, allowed: the path of a file, as text", field.found()));
        }
        return broken();
    };
    let read = std::fs::read(FilePath::new(name))
        .map_err(|error| error.to_string())
        .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is no UTF-8".to_owned()));
    match read {
        Ok(text) => {
            let text = text.trim_end_matches(['\n', '\r']).to_owned();
            Node { data: Data::Text(text), ..field.node.clone() }
        }
        Err(error) => {
            // Not even the path is shown: somebody may have put the secret itself here.
            field.fault(format!("the file that it names cannot be read: {error}"));
            broken()
        }
    }
}

/// A value, what it must be, and where it stands.
pub(crate) struct Field<'r> {
    node: Node,
    kind: &'static Kind,
    path: Path,
    masked: bool,
    report: &'r Report,
}

impl<'r> Field<'r> {
    /// The same value, of which nothing found is shown.
    pub(crate) fn masked(&self) -> Self {
        Self { masked: true, ..self.below(&self.node, self.kind, self.path.clone()) }
    }

    /// Whether nothing found is shown.
    pub(crate) fn is_masked(&self) -> bool {
        self.masked
    }

    /// Where it stands.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where everything is reported.
    pub(crate) fn report(&self) -> &'r Report {
        self.report
    }

    /// The value itself.
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// Reports something about this value.
    pub(crate) fn fault(&self, message: impl Into<String>) {
        self.report.fault(&self.node.from, &self.path, message);
    }

    /// What was found, or `***` where it may be a secret.
    pub(crate) fn found(&self) -> String {
        if self.masked || matches!(self.kind, Kind::Secret) { "***".to_owned() } else { self.node.found() }
    }

    /// Reports that the value is not what its kind allows.
    pub(crate) fn wrong<T>(&self) -> Option<T> {
        self.wrong_with("")
    }

    /// The same with a hint behind it.
    pub(crate) fn wrong_with<T>(&self, hint: &str) -> Option<T> {
        if self.node.data != Data::Broken {
            let hint = if hint.is_empty() { String::new() } else { format!("; {hint}") };
            self.fault(format!("found {}, allowed: {}{hint}", self.found(), self.kind.allowed()));
        }
        None
    }

    /// The same with the nearest of the names that exist.
    pub(crate) fn wrong_name<'a, T>(&self, found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<T> {
        let hint = nearest(found, known).map(|name| format!("did you mean {name}?")).unwrap_or_default();
        self.wrong_with(&hint)
    }

    /// Text, as it is.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.node.data {
            Data::Text(text) => Some(text),
            Data::Boolean(_) | Data::Integer(_) | Data::Number(_) => {
                self.wrong_with("put it in quotes to make it text")
            }
            _ => self.wrong(),
        }
    }

    /// Text that `read` understands.
    pub(crate) fn text_as<T>(&self, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.text()?;
        read(text).or_else(|| self.wrong())
    }

    /// A secret.
    pub(crate) fn secret(&self) -> Option<SecretString> {
        self.text().map(SecretString::from)
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.scalar() {
            Data::Boolean(value) => Some(value),
            _ => self.wrong(),
        }
    }

    /// A whole number within its bounds.
    pub(crate) fn integer<T: TryFrom<i64>>(&self) -> Option<T> {
        match (self.scalar(), self.kind) {
            (Data::Integer(value), Kind::Integer(min, max, _)) if (*min..=*max).contains(&value) => {
                T::try_from(value).ok().or_else(|| self.wrong())
            }
            _ => self.wrong(),
        }
    }

    /// A number within its bounds.
    pub(crate) fn number(&self) -> Option<f64> {
        let value = match self.scalar() {
            Data::Integer(value) => value as f64,
            Data::Number(value) => value,
            _ => return self.wrong(),
        };
        match self.kind {
            Kind::Number(min, max) if (*min..=*max).contains(&value) => Some(value),
            _ => self.wrong(),
        }
    }

    /// A duration within its bounds.
    pub(crate) fn duration(&self) -> Option<Duration> {
        let Kind::Duration(min, max) = self.kind else { return self.wrong() };
        let value = match &self.node.data {
            Data::Text(text) => match scalars::duration(text) {
                Some(value) => value,
                None if text.trim().parse::<f64>().is_ok() => {
                    return self.wrong_with(&scalars::needs_unit(text.trim()));
                }
                None => return self.wrong(),
            },
            Data::Integer(0) if min.is_zero() => Duration::ZERO,
            Data::Integer(_) | Data::Number(_) => return self.wrong_with(&scalars::needs_unit(&self.node.found())),
            _ => return self.wrong(),
        };
        if (*min..=*max).contains(&value) { Some(value) } else { self.wrong() }
    }

    /// A size in bytes within its bounds.
    pub(crate) fn size(&self) -> Option<u64> {
        let Kind::Size(min, max) = self.kind else { return self.wrong() };
        let value = match &self.node.data {
            Data::Text(text) => scalars::size(text),
            Data::Integer(bytes) => u64::try_from(*bytes).ok(),
            _ => None,
        };
        value.filter(|value| (*min..=*max).contains(value)).or_else(|| self.wrong())
    }

    /// One of the words that its kind lists, as `read` understands it.
    pub(crate) fn choice<T>(&self, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let Kind::Choice(words) = self.kind else { return self.wrong() };
        let Data::Text(text) = &self.node.data else { return self.wrong() };
        if words.contains(&text.as_str()) {
            return read(text).or_else(|| self.wrong());
        }
        self.wrong_name(text, words.iter().copied())
    }

    /// A template.
    pub(crate) fn template(&self, target: Target) -> Option<Template> {
        Template::compile(Syntax::Jinja, self.text()?, target).map_err(|error| self.syntax(&error)).ok()
    }

    /// An expression.
    pub(crate) fn expression(&self) -> Option<Expression> {
        Expression::compile(self.text()?).map_err(|error| self.syntax(&error)).ok()
    }

    fn syntax(&self, error: &SyntaxError) {
        // The line is not shown where it may hold a secret: below `auth`, out of the environment, in a URL.
        let shown = !self.masked && self.node.written.is_none() && super::node::credentials(&error.excerpt).is_none();
        if shown {
            self.fault(error.to_string());
        } else {
            self.fault(format!("{}, at line {}, column {}", error.message, error.line, error.column));
        }
    }

    /// Whether its kind allows `auth`, `timeout`, `error` and `any`.
    pub(crate) fn takes_any_class(&self) -> bool {
        matches!(self.kind, Kind::Class(true))
    }

    /// The elements of a list.
    pub(crate) fn items(&self) -> Vec<Field<'r>> {
        let Kind::List(kind) = self.kind else { return Vec::new() };
        match &self.node.data {
            Data::List(items) => {
                items.iter().enumerate().map(|(at, node)| self.below(node, kind, self.path.index(at))).collect()
            }
            Data::Null => Vec::new(),
            _ => self.wrong().unwrap_or_default(),
        }
    }

    /// The names and values of a map.
    pub(crate) fn entries(&self) -> Vec<(String, Field<'r>)> {
        let Kind::Map(kind) = self.kind else { return Vec::new() };
        match &self.node.data {
            Data::Map(entries) => {
                entries.iter().map(|(name, node)| (name.clone(), self.below(node, kind, self.path.key(name)))).collect()
            }
            Data::Null => Vec::new(),
            _ => self.wrong().unwrap_or_default(),
        }
    }

    fn below(&self, node: &Node, kind: &'static Kind, path: Path) -> Self {
        Self { node: node.clone(), kind, path, masked: self.masked, report: self.report }
    }

    /// The block of keys that this is.
    pub(crate) fn block(&self) -> Option<Reader<'r>> {
        let Kind::Block(block) = self.kind else { return self.wrong() };
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
        let allowed = super::schema::one_of(&names);
        if !matches!(self.node.data, Data::Map(_)) {
            return masked.wrong();
        }
        let Some(of) = present(self.node.get("type")) else {
            self.report.fault(&self.node.from, &self.path.key("type"), format!("missing; allowed: {allowed}"));
            return None;
        };
        let Data::Text(found) = &of.data else {
            if of.data != Data::Broken {
                self.report.fault(&of.from, &self.path.key("type"), format!("found ***, allowed: {allowed}"));
            }
            return None;
        };
        let Some((name, block)) = variants.iter().find(|(name, _)| name == found) else {
            let hint = nearest(found, names).map(|name| format!("; did you mean {name}?")).unwrap_or_default();
            self.report.fault(&of.from, &self.path.key("type"), format!("found ***, allowed: {allowed}{hint}"));
            return None;
        };
        Some((name, masked.block_as(block)?))
    }

    /// The value, with text from the environment or the schema turned into what the kind asks for.
    fn scalar(&self) -> Data {
        match (&self.node.data, &self.node.written) {
            (Data::Text(text), Some(_)) => scalars::as_kind(text, self.kind),
            (data, _) => data.clone(),
        }
    }
}
