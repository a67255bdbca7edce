//! Filling in: one [`Template`] over every syntax, one [`Expression`], one [`Scope`] of names they can use.
//!
//! A template knows its [`Target`], so that what is filled in cannot break out of it: JSON text is escaped in JSON,
//! a path segment is percent-encoded in a URL. To add a syntax, add a variant to [`Syntax`] and a file beside
//! `jinja.rs` that compiles to the same type.

mod fault;
mod fill;
mod jinja;
mod json;
mod path_filter;
mod scope;
#[cfg(test)]
mod tests;
mod words;

use std::fmt;

pub use path_filter::PathFilter;
pub use scope::{Places, Scope};

/// The language a template is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Syntax {
    /// `{{ order.id }}`, as in Jinja.
    #[default]
    Jinja,
}

/// Where the filled text goes: decides how values are escaped, and whether a missing field is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A URL: values percent-encoded, a missing field is an error.
    Url,
    /// A JSON document: text escaped for a JSON string, other values as JSON.
    Json,
    /// A header's value or a parameter: as it is; a missing field is empty.
    Text,
}

/// A compiled template. Cheap to clone.
#[derive(Clone)]
pub struct Template {
    source: std::sync::Arc<str>,
    target: Target,
    program: Option<std::sync::Arc<jinja::Program>>,
}

impl Template {
    /// Compiles `source`.
    pub fn compile(syntax: Syntax, source: &str, target: Target) -> Result<Self, SyntaxError> {
        let Syntax::Jinja = syntax;
        let dynamic = ["{{", "{%", "{#"].iter().any(|mark| source.contains(mark));
        let program = if dynamic { Some(std::sync::Arc::new(jinja::Program::compile(source, target)?)) } else { None };
        Ok(Self { source: source.into(), target, program })
    }

    /// The text as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What it fills.
    pub fn target(&self) -> Target {
        self.target
    }

    /// The text itself where nothing is to be filled in.
    pub fn as_static(&self) -> Option<&str> {
        if self.program.is_none() { Some(&self.source) } else { None }
    }

    /// Fills it in.
    pub fn render(&self, scope: &Scope) -> Result<String, RenderError> {
        match &self.program {
            None => Ok(self.source.to_string()),
            Some(program) => program.render(scope),
        }
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.source, f)
    }
}

/// A condition over the same names as templates: `order.total > 100`.
#[derive(Clone)]
pub struct Expression {
    source: std::sync::Arc<str>,
    program: std::sync::Arc<jinja::Condition>,
}

impl Expression {
    /// Compiles `source`.
    pub fn compile(source: &str) -> Result<Self, SyntaxError> {
        Ok(Self { source: source.into(), program: std::sync::Arc::new(jinja::Condition::compile(source)?) })
    }

    /// As written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it holds. A missing field is undefined, which is false and compares to nothing.
    pub fn holds(&self, scope: &Scope) -> Result<bool, RenderError> {
        self.program.holds(scope)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.source, f)
    }
}

/// What is wrong with a template or expression, and where. Displayed with the line and a caret under the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}, at line {line}, column {column}\n{excerpt}")]
pub struct SyntaxError {
    /// What is wrong.
    pub message: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The line, and below it a caret under the place.
    pub excerpt: String,
}

/// Why a template could not be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RenderError(pub String);
