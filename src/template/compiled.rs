//! Compiled templates and conditions.

use std::fmt;
use std::sync::Arc;

use super::error::{RenderError, SyntaxError};
use super::fill::Filler;
use super::filled_url::{self, Host};
use super::scope::Scope;
use super::syntax::{Language, Syntax, Target};
use super::{fields, jinja, merge_fields, placeholder, skeleton};

/// A compiled template. Cheap to clone.
#[derive(Clone)]
pub struct Template {
    pub(super) source: Arc<str>,
    pub(super) language: Language,
    pub(super) target: Target,
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
    source: Arc<str>,
    program: Arc<jinja::Condition>,
}

impl Expression {
    /// Compiles `source`.
    pub fn compile(source: &str) -> Result<Self, SyntaxError> {
        Ok(Self { source: source.into(), program: Arc::new(jinja::Condition::compile(source)?) })
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
