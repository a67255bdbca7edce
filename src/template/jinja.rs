//! Jinja, by minijinja.
use super::{RenderError, Scope, SyntaxError, Target};
pub(super) struct Program;
impl Program {
    pub(super) fn compile(_source: &str, _target: Target) -> Result<Self, SyntaxError> {
        Ok(Self)
    }
    pub(super) fn render(&self, _scope: &Scope) -> Result<String, RenderError> {
        Err(RenderError(String::new()))
    }
}
pub(super) struct Condition;
impl Condition {
    pub(super) fn compile(_source: &str) -> Result<Self, SyntaxError> {
        Ok(Self)
    }
    pub(super) fn holds(&self, _scope: &Scope) -> Result<bool, RenderError> {
        Ok(false)
    }
}
