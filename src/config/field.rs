//! A value under its kind: [`Field`] reads it, or reports what is wrong with it.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::faults::{Path, Report, nearest};
use super::node::{Data, Node};
use super::scalars;
use super::schema::Kind;
use super::secrets::holds_secret;
use crate::template::{Expression, Language, PathFilter, SyntaxError, Target, Template};

/// A value, what it must be, and where it stands.
pub(crate) struct Field<'r> {
    pub(super) node: Node,
    pub(super) kind: &'static Kind,
    pub(super) path: Path,
    pub(super) masked: bool,
    pub(super) report: &'r Report,
}

impl<'r> Field<'r> {
    /// A value under its kind; nothing of it is shown where it is `masked`.
    pub(crate) fn new(node: Node, kind: &'static Kind, path: Path, masked: bool, report: &'r Report) -> Self {
        Self { node, kind, path, masked, report }
    }

    /// The same value, of which nothing found is shown.
    pub(crate) fn masked(&self) -> Self {
        Self { masked: true, ..self.below(&self.node, self.kind, self.path.clone()) }
    }

    /// Whether nothing found is shown: below `auth` and the like, and where the environment fills it in.
    pub(crate) fn is_masked(&self) -> bool {
        self.masked || self.is_filled_in()
    }

    /// Whether it comes from `${NAME}`, which may name a secret under any key.
    pub(crate) fn is_filled_in(&self) -> bool {
        self.node.is_filled_in()
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
        // Text in place of names and values is perhaps a header as it is sent.
        let lines = matches!((self.kind, &self.node.data), (Kind::Map(_), Data::Text(_)));
        if self.is_masked() || lines || self.kind.holds_secrets() { "***".to_owned() } else { self.node.found() }
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

    /// A secret that is there.
    pub(crate) fn filled_secret(&self) -> Option<SecretString> {
        let secret = self.secret()?;
        if secret.expose_secret().trim().is_empty() {
            self.fault(
                "is empty; write the secret here, or the path of its file under the same name with the suffix _file",
            );
            return None;
        }
        Some(secret)
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
                None if !self.is_masked() && text.trim().parse::<f64>().is_ok() => {
                    return self.wrong_with(&scalars::needs_unit(text.trim()));
                }
                None => return self.wrong(),
            },
            Data::Integer(0) if min.is_zero() => Duration::ZERO,
            Data::Integer(0) => return self.wrong(),
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
    pub(crate) fn template(&self, language: &Language, target: Target) -> Option<Template> {
        Template::compile(language.clone(), self.text()?, target).map_err(|error| self.syntax(&error)).ok()
    }

    /// An expression.
    pub(crate) fn expression(&self) -> Option<Expression> {
        Expression::compile(self.text()?).map_err(|error| self.syntax(&error)).ok()
    }

    /// A path filter.
    pub(crate) fn path_filter(&self) -> Option<PathFilter> {
        PathFilter::compile(self.text()?).map_err(|error| self.syntax(&error)).ok()
    }

    fn syntax(&self, error: &SyntaxError) {
        // The line is not shown where it may hold a secret: below `auth`, out of the environment, in a URL.
        let shown = !self.is_masked() && !self.text().is_some_and(holds_secret);
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

    /// Whether its kind is a list.
    pub(crate) fn is_list(&self) -> bool {
        matches!(self.kind, Kind::List(_))
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

    /// The elements of a list of one at least, each read by `read`.
    pub(crate) fn some<T>(&self, read: impl FnMut(&Self) -> Option<T>) -> Option<Vec<T>> {
        match &self.node.data {
            Data::List(items) if items.is_empty() => self.wrong_with("needs at least one entry"),
            Data::List(_) => {
                let read: Vec<_> = self.items().iter().map(read).collect();
                read.into_iter().collect()
            }
            _ => self.wrong(),
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

    /// The value, with text from the environment or the schema turned into what the kind asks for.
    fn scalar(&self) -> Data {
        match (&self.node.data, &self.node.written) {
            (Data::Text(text), Some(_)) => scalars::as_kind(text, self.kind),
            (data, _) => data.clone(),
        }
    }
}
