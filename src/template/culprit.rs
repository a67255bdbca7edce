//! Which field made a filled text no document of its target.

use std::ops::Range;

use super::document::fault_of;
use super::{Scope, Syntax, Template};

impl Template {
    /// Checks a text that this template was filled to: valid JSON, well-formed XML. `Err` says what it is instead, with the
    /// place and the field there, as in "is not valid JSON after filling (line 1, column 23, in {{ order.note }})".
    pub fn check_filled(&self, text: &str, scope: &Scope) -> Result<(), String> {
        let Some(fault) = fault_of(self.target, text) else { return Ok(()) };
        let field = self.field_at(scope, text, fault.offset(text));
        let field = field.map(|field| format!(", in {field}")).unwrap_or_default();
        Err(fault.sentence(" after filling", &field))
    }

    /// The field whose value is at `offset` of the filled text, or ends there with nothing but white space between. `None`
    /// for fixed text, and for a template with branches, where text and template do not run alongside.
    fn field_at(&self, scope: &Scope, text: &str, offset: usize) -> Option<&str> {
        // Filled up to a field, a template gives the text up to that field's value.
        let length_to = |end: usize| {
            let before = Self::compile(self.language.clone(), self.source.get(..end)?, self.target).ok()?;
            Some(before.render(scope).ok()?.len())
        };
        let fields = fields_of(&self.source, self.language.syntax);
        let (mut low, mut high) = (0, fields.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if length_to(fields.get(middle)?.start)? <= offset {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let field = fields.get(low.checked_sub(1)?)?;
        let end = length_to(field.end)?;
        let between = text.get(end.min(offset)..offset)?;
        if between.trim().is_empty() { self.source.get(field.clone()) } else { None }
    }
}

/// Where the fields of a template without branches are.
fn fields_of(source: &str, syntax: Syntax) -> Vec<Range<usize>> {
    let (open, close) = match syntax {
        Syntax::Jinja if source.contains("{%") || source.contains("{#") => return Vec::new(),
        Syntax::Jinja => ("{{", "}}"),
        Syntax::MergeFields => ("<", ">"),
        Syntax::Placeholder => ("${", "}"),
    };
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = source.get(from..).and_then(|rest| rest.find(open)).map(|at| from + at) {
        let inside = start + open.len();
        let Some(end) = source.get(inside..).and_then(|rest| rest.find(close)).map(|at| inside + at + close.len())
        else {
            break;
        };
        let field = source.get(start..end).unwrap_or_default();
        // A tag of HTML has no dot.
        if syntax == Syntax::MergeFields && (!field.contains('.') || field.contains(char::is_whitespace)) {
            from = inside;
            continue;
        }
        found.push(start..end);
        from = end;
    }
    found
}
