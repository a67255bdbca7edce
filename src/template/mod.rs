//! Filling in: one [`Template`] over every syntax, one [`Expression`], one [`Scope`] of names they can use.
//!
//! A template knows its [`Target`], so that what is filled in cannot break out of it: JSON text is escaped in JSON,
//! a path segment is percent-encoded in a URL. `docs/templates.md` tells it to users.
//!
//! To add a syntax, add a variant to [`Syntax`] and a file that compiles its source: `jinja.rs` is an engine of its
//! own, `merge_fields.rs` and `placeholder.rs` only find the fields, which `fields.rs` fills in. To add a target, add a
//! variant to [`Target`], a writer to `escape.rs`, and its line in `fill.rs`.

mod costs;
mod culprit;
mod decimal;
mod depth;
mod document;
mod escape;
mod exact;
mod fault;
mod fields;
mod fill;
mod filled_url;
mod filters;
mod jinja;
mod json;
mod locale;
mod merge_fields;
mod meter;
mod operators;
pub mod path;
mod path_filter;
mod placeholder;
mod scope;
mod skeleton;
mod structures;
#[cfg(test)]
mod tests;

mod words;

use std::fmt;
use std::sync::Arc;

pub use document::{check as check_document, form as as_form, xml as as_xml};
pub use escape::percent;
use fill::Filler;
pub use filled_url::Host;
pub use locale::Locale;
pub use meter::Bounds;
pub use path_filter::PathFilter;
pub use scope::{Places, Scope};

/// The syntax a template is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Syntax {
    /// `{{ order.id }}`, as in Jinja.
    #[default]
    Jinja,
    /// `<DataSource.Account.Id>`.
    MergeFields,
    /// `${orderId}`.
    Placeholder,
}

impl Syntax {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Jinja, Self::MergeFields, Self::Placeholder];

    /// Its name in a configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jinja => "jinja",
            Self::MergeFields => "merge_fields",
            Self::Placeholder => "placeholder",
        }
    }
}

/// Where the filled text goes: decides how values are escaped, and whether a missing field is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A URL: values percent-encoded, a missing field is an error.
    Url,
    /// A JSON document: text escaped for a JSON string, other values as JSON.
    Json,
    /// Form fields: values percent-encoded; a missing field is empty.
    Form,
    /// An XML document: values escaped for elements and attributes; a missing field is empty.
    Xml,
    /// A header's value or a parameter: as it is; a missing field is empty.
    Text,
    /// HTML or Markdown: what would mean something there is written as a character reference; a missing field is
    /// empty.
    Markup,
}

/// How templates are written and how their values are filled in. From a [`Syntax`] alone: as values come.
#[derive(Debug, Clone, Default)]
pub struct Language {
    /// The syntax.
    pub syntax: Syntax,
    /// Whether a value that is empty or missing is filled in as the text `null`. Never in a URL.
    pub empty_as_null: bool,
    /// How dates and date-times fill merge fields; without it as they come.
    pub locale: Option<Locale>,
}

impl From<Syntax> for Language {
    fn from(syntax: Syntax) -> Self {
        Self { syntax, ..Self::default() }
    }
}

/// A compiled template. Cheap to clone.
#[derive(Clone)]
pub struct Template {
    source: Arc<str>,
    language: Language,
    target: Target,
    program: Option<Program>,
}

#[derive(Clone)]
enum Program {
    Jinja(Arc<jinja::Program>),
    Fields(Arc<fields::Fields>),
}

impl Template {
    /// Compiles `source`.
    pub fn compile(language: impl Into<Language>, source: &str, target: Target) -> Result<Self, SyntaxError> {
        let language = language.into();
        let filler = Filler { target, empty_as_null: language.empty_as_null };
        let pieces = match language.syntax {
            Syntax::Jinja => {
                let dynamic = ["{{", "{%", "{#"].iter().any(|mark| source.contains(mark));
                let program = if dynamic { Some(jinja::Program::compile(source, filler)?) } else { None };
                let program = program.map(Arc::new).map(Program::Jinja);
                return Ok(Self { source: source.into(), language, target, program });
            }
            Syntax::MergeFields => merge_fields::parse(source, target)?,
            Syntax::Placeholder => placeholder::parse(source, target)?,
        };
        let dynamic = pieces.iter().any(|piece| matches!(piece, fields::Piece::Field(_)));
        let program =
            if dynamic { Some(fields::Fields::new(source, pieces, filler, language.locale.clone())?) } else { None };
        Ok(Self { source: source.into(), language, target, program: program.map(Arc::new).map(Program::Fields) })
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

    /// The text with `filler` in place of whatever is filled in.
    pub fn skeleton(&self, filler: &str) -> String {
        match &self.program {
            None => self.source.to_string(),
            Some(Program::Jinja(_)) => skeleton::of_jinja(&self.source, filler),
            Some(Program::Fields(fields)) => fields.skeleton(filler),
        }
    }

    /// The fewest characters that it comes to, as far as that is known.
    pub fn shortest(&self) -> usize {
        let branches = matches!(self.program, Some(Program::Jinja(_))) && self.source.contains("{%");
        if branches { 0 } else { self.skeleton("").chars().count() }
    }

    /// Whether nothing fixed stands before the first value.
    pub fn begins_filled(&self) -> bool {
        match &self.program {
            None => false,
            Some(Program::Jinja(_)) => ["{{", "{%"].iter().any(|mark| self.source.trim_start().starts_with(mark)),
            Some(Program::Fields(fields)) => fields.begins_filled(),
        }
    }

    /// Where the host comes from, in a template of a URL.
    pub fn host(&self) -> Host {
        let mut mark = [0; 4];
        match &self.program {
            None => Host::Fixed,
            Some(_) => {
                filled_url::host_of(&self.skeleton(filled_url::OPEN.encode_utf8(&mut mark)), self.begins_filled())
            }
        }
    }

    /// Whether it has the placeholder `${orderId}`.
    pub fn has_order_id(&self) -> bool {
        matches!(&self.program, Some(Program::Fields(fields)) if fields.has_order_id())
    }

    /// Fills it in.
    pub fn render(&self, scope: &Scope) -> Result<String, RenderError> {
        let text = match &self.program {
            None => return Ok(self.source.to_string()),
            Some(Program::Jinja(program)) => program.render(scope)?,
            Some(Program::Fields(fields)) => fields.render(scope)?,
        };
        if self.target == Target::Url { filled_url::finish(&text, self.host(), |at| self.value(at)) } else { Ok(text) }
    }

    /// The n-th value as the template names it, where each is filled in once.
    fn value(&self, at: usize) -> Option<String> {
        match &self.program {
            Some(Program::Jinja(_)) if !self.source.contains("{%") => skeleton::value_of_jinja(&self.source, at),
            Some(Program::Fields(fields)) => fields.name(at),
            Some(Program::Jinja(_)) | None => None,
        }
    }
}

/// Without the text, which may be a header's secret.
impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({} bytes)", self.source.len())
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

    /// Whether it holds. A comparison with a field that is missing or null is false, and so is its negation; a value of
    /// the wrong type is an error.
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
