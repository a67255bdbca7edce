//! What a table of keys is made of: blocks, keys, and the kinds of values.

use std::fmt::Write;
use std::time::Duration;

/// A block of keys.
#[derive(Debug)]
pub(crate) struct Block {
    /// What it is called in the documentation.
    pub(crate) title: &'static str,
    /// What it is for, in a sentence or two.
    pub(crate) doc: &'static str,
    /// An example that loads by itself, as YAML from the top level on; empty where the block around it shows one.
    pub(crate) example: &'static str,
    /// Its keys, in the order of the documentation.
    pub(crate) keys: &'static [Key],
    /// Groups of keys of which a configuration names one: naming a key of one drops the preset's keys of the others.
    pub(crate) either: &'static [&'static [&'static str]],
}

/// A key of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// What holds without it, as it would be written.
    pub(crate) default: Option<&'static str>,
    /// Whether there must be a value.
    pub(crate) required: bool,
    /// Whether only a start takes it up: a reload that changes it is refused.
    pub(crate) at_start: bool,
    /// What it means.
    pub(crate) doc: &'static str,
}

impl Key {
    /// A key that may be left out.
    pub(crate) const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, default: None, required: false, at_start: false, doc }
    }

    /// The same with a default.
    pub(crate) const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    /// The same, but there must be a value.
    pub(crate) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The same, but what it says holds until the service is started anew.
    pub(crate) const fn at_start(mut self) -> Self {
        self.at_start = true;
        self
    }
}

/// What a value must be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Text of some form, which the words describe: `a JSON pointer such as /id`.
    Text(&'static str),
    /// Text that is filled in.
    Template,
    /// A condition.
    Expression,
    /// Text that is never shown. `NAME_file` beside it names a file that holds it; beside a list of such texts, one
    /// that holds one in each line.
    Secret,
    /// `true` or `false`.
    Boolean,
    /// A whole number within bounds, of a unit.
    Integer(i64, i64, &'static str),
    /// A number within bounds.
    Number(f64, f64),
    /// A duration within bounds. A lower bound of zero allows a bare `0`.
    Duration(Duration, Duration),
    /// A size in bytes within bounds.
    Size(u64, u64),
    /// One of some words.
    Choice(&'static [&'static str]),
    /// A class of responses; only statuses unless the flag allows `auth`, `timeout`, `error` and `any`.
    Class(bool),
    /// A template, a number, a truth value or `null`.
    Parameter,
    List(&'static Kind),
    /// Names of one's own and their values.
    Map(&'static Kind),
    /// One of some words, or a block.
    WordOr(&'static [&'static str], &'static Block),
    Block(&'static Block),
    /// A block whose keys depend on its `type`. What is found below is never shown.
    Variants(&'static [(&'static str, &'static Block)]),
    /// A block whose keys depend on the step's plugin.
    Options,
}

impl Kind {
    /// Whether `NAME_file` beside a key of that kind names a file that holds its value.
    pub(crate) const fn may_be_in_a_file(&self) -> bool {
        matches!(self, Self::Secret | Self::List(Self::Secret))
    }

    /// Whether a secret may stand there in place of what belongs there: a slip of one level.
    pub(crate) fn holds_secrets(&self) -> bool {
        match self {
            Self::Secret | Self::Variants(_) => true,
            Self::List(kind) | Self::Map(kind) => kind.holds_secrets(),
            Self::Block(block) => block.keys.iter().any(|key| key.kind.may_be_in_a_file()),
            _ => false,
        }
    }

    /// What is allowed, in words: for error messages and the documentation.
    pub(crate) fn allowed(&self) -> String {
        match self {
            Self::Text(what) => (*what).to_owned(),
            Self::Template => "text, a template".to_owned(),
            Self::Expression => "text, an expression such as order.total > 0".to_owned(),
            Self::Secret => "text".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::Integer(min, max, unit) => {
                format!(
                    "a whole number{} from {min} to {max}",
                    if unit.is_empty() { String::new() } else { format!(" of {unit}") }
                )
            }
            Self::Number(min, max) => format!("a number from {min} to {max}"),
            Self::Duration(min, max) => {
                format!("a duration from {} to {}, such as 250ms, 30s or 5m", duration(*min), duration(*max))
            }
            Self::Size(min, max) => format!("a size from {} to {}, such as 600KB or 1MiB", size(*min), size(*max)),
            Self::Choice(words) => one_of(words),
            Self::Class(false) => "a status (404), a class (5xx) or a range (500-504)".to_owned(),
            Self::Class(true) => {
                "a status (404), a class (5xx), a range (500-504), auth, timeout, error or any".to_owned()
            }
            Self::Parameter => "text (a template), a number, true, false or null".to_owned(),
            Self::List(kind) => match kind {
                Self::Block(block) => format!("a list of blocks, each as in \"{}\"", block.title),
                other => format!("a list, each: {}", other.allowed()),
            },
            Self::Map(kind) => format!("a block of names and values, each value: {}", kind.allowed()),
            Self::WordOr(words, _) => format!("{}, or a block of keys", words.join(", ")),
            Self::Block(_) | Self::Options => "a block of keys".to_owned(),
            Self::Variants(variants) => {
                let names: Vec<&str> = variants.iter().map(|(name, _)| *name).collect();
                format!("a block with the key type: {}", one_of(&names))
            }
        }
    }
}

/// `a`, `a or b`, `a, b or c`.
pub(crate) fn one_of(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// A duration as people write it.
pub(crate) fn duration(duration: Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    if duration.is_zero() {
        return "0".to_owned();
    }
    let seconds = duration.as_secs();
    if duration.subsec_nanos() == 0 && seconds.is_multiple_of(DAY) {
        return format!("{}d", seconds / DAY);
    }
    humantime::format_duration(duration).to_string().replace(' ', "")
}

/// A size as people write it.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 5] =
        [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("KB", 1000)];
    let mut text = String::new();
    match UNITS.into_iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((name, unit)) => _ = write!(text, "{}{name}", bytes / unit),
        None => _ = write!(text, "{bytes}"),
    }
    text
}

pub(super) const MILLISECOND: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_written_as_people_write_them() {
        assert_eq!(
            Kind::Duration(Duration::ZERO, DAY * 30).allowed(),
            "a duration from 0 to 30d, such as 250ms, 30s or 5m"
        );
        assert_eq!(duration(Duration::from_millis(90_250)), "1m30s250ms");
        assert_eq!(Kind::Size(1, 1 << 20).allowed(), "a size from 1 to 1MiB, such as 600KB or 1MiB");
        assert_eq!(size(60_000), "60KB");
        assert_eq!(one_of(&["a", "b", "c"]), "a, b or c");
    }
}
