//! The text format of Prometheus (0.0.4).

use std::fmt::{Display, Write as _};

/// A page being written.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// What stands above the samples of a name.
    pub(super) fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a text cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A sample; `labels` without braces.
    pub(super) fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        self.sample_of(name, "", labels, value);
    }

    /// A sample of a part of a histogram.
    pub(super) fn sample_of(&mut self, name: &str, suffix: &str, labels: &str, value: impl Display) {
        let (open, close) = if labels.is_empty() { ("", "") } else { ("{", "}") };
        let _ = writeln!(self.0, "{name}{suffix}{open}{labels}{close} {value}");
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// A label, its value escaped.
pub(super) fn label(name: &str, value: &str) -> String {
    let mut text = format!("{name}=\"");
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_break_out_of_its_quotes() {
        assert_eq!(label("step", "a\"b\\c\nd"), r#"step="a\"b\\c\nd""#);
    }
}
