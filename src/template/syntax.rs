//! Syntaxes of templates, and the targets that they fill.

use super::locale::Locale;

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
