//! Names of which there can be only one.

use super::field::Field;

/// The names that are taken, and by whom.
pub(crate) struct Unique {
    what: &'static str,
    taken: Vec<(String, String)>,
}

impl Unique {
    /// No name is taken yet. `what` is who has such a name: `a channel`.
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, taken: Vec::new() }
    }

    /// Takes the name, or reports who has it.
    pub(crate) fn claim(&mut self, field: &Field<'_>, name: String) -> Option<String> {
        if let Some((_, owner)) = self.taken.iter().find(|(taken, _)| *taken == name) {
            let shown = if field.is_masked() { "***" } else { &name };
            field.fault(format!("the name {shown} is taken: {owner} is {} of that name", self.what));
            return None;
        }
        self.taken.push((name.clone(), field.path().to_string()));
        Some(name)
    }
}
