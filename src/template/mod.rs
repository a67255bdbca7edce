//! Filling in: one [`Template`] over every syntax, one [`Expression`], one [`Scope`] of names they can use.
//!
//! A template knows its [`Target`], so that what is filled in cannot break out of it: JSON text is escaped in JSON,
//! a path segment is percent-encoded in a URL. `docs/templates.md` tells it to users.
//!
//! To add a syntax, add a variant to [`Syntax`] and a file that compiles its source: `jinja.rs` is an engine of its
//! own, `merge_fields.rs` and `placeholder.rs` only find the fields, which `fields.rs` fills in. To add a target, add a
//! variant to [`Target`], a writer to `escape.rs`, and its line in `fill.rs`.

mod compiled;
mod costs;
mod culprit;
mod decimal;
mod depth;
mod document;
mod error;
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
mod syntax;
#[cfg(test)]
mod tests;
mod words;

pub use compiled::{Expression, Template};
pub use document::{check as check_document, form as as_form, xml as as_xml};
pub use error::{RenderError, SyntaxError};
pub use escape::percent;
pub use filled_url::Host;
pub use locale::Locale;
pub use meter::Bounds;
pub use path_filter::PathFilter;
pub use scope::{Places, Scope};
pub use syntax::{Language, Syntax, Target};
