//! Errors of compiling and of rendering.

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
