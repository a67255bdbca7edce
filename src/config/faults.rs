//! What is wrong with a configuration, all of it at once: each [`Fault`] with its file, its path and a sentence.
//!
//! While a configuration is read, everything reports into one [`Report`]; nothing stops at the first fault.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io;

use crate::domain::json::BOM;

use super::settled::{self, Reading};

/// Where a value stands: `channels[2].retry.interval`. Ordered as people count, so `[2]` stands before `[10]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Path(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Index(usize),
    Key(String),
}

impl Path {
    /// The path of a key in the block at this path.
    pub(crate) fn key(&self, key: &str) -> Self {
        self.and(Part::Key(key.to_owned()))
    }

    /// The path of an element, counted from 0, of the list at this path.
    pub(crate) fn index(&self, index: usize) -> Self {
        self.and(Part::Index(index))
    }

    fn and(&self, part: Part) -> Self {
        let mut parts = self.0.clone();
        parts.push(part);
        Self(parts)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.0.iter().enumerate() {
            match part {
                Part::Index(index) => write!(f, "[{index}]")?,
                Part::Key(key) => {
                    if at > 0 {
                        f.write_str(".")?;
                    }
                    let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
                    if !key.is_empty() && key.chars().all(plain) {
                        f.write_str(key)?;
                    } else {
                        write!(f, "{:?}", shortened(key))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// A text short enough for a message.
pub(crate) fn shortened(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    file: String,
    path: Path,
    message: String,
}

impl Fault {
    pub(crate) fn new(file: &str, path: &Path, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), path: path.clone(), message: message.into() }
    }

    /// Where the value comes from: a file as named on the command line, `environment` and the variable's name, or
    /// `preset` and its name.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The key's path, such as `channels[2].retry.interval`; empty where the whole file is meant.
    pub fn path(&self) -> String {
        self.path.to_string()
    }

    /// What was found, what is allowed, and the nearest known name where it looks like a slip. Holds no secret. May
    /// have several lines, where a template is shown with a caret under the place.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        let path = self.path();
        if !path.is_empty() {
            write!(f, ": {path}")?;
        }
        write!(f, ": {}", self.message.trim_end().replace('\n', "\n    "))
    }
}

/// Everything that is wrong with a configuration: at least one fault, sorted by file and path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// What is wrong with a configuration as a whole: it cannot be put to work.
    pub fn whole(message: impl Into<String>) -> Self {
        Self(vec![Fault::new("configuration", &Path::default(), message)])
    }

    /// These, if there are any.
    pub(crate) fn any(faults: Vec<Fault>) -> Result<(), Self> {
        if faults.is_empty() { Ok(()) } else { Err(Self(faults)) }
    }

    /// The faults, sorted by file and path.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }

    /// How many there are: one at least.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            fmt::Display::fmt(fault, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Gathers faults while a configuration is read, and keeps the files that it names: each is read once, so that all who
/// name it see the same.
#[derive(Default)]
pub(crate) struct Report {
    faults: RefCell<Vec<Fault>>,
    files: RefCell<BTreeMap<String, Vec<u8>>>,
    overrides: RefCell<Vec<Fault>>,
    reading: Reading,
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Files hold secrets.
        f.debug_tuple("Report").field(&self.faults).finish()
    }
}

impl Report {
    /// An empty report that reads files as `reading` says.
    pub(crate) fn reading(reading: Reading) -> Self {
        Self { reading, ..Self::default() }
    }

    /// One more thing that is wrong.
    pub(crate) fn fault(&self, file: &str, path: &Path, message: impl Into<String>) {
        self.faults.borrow_mut().push(Fault::new(file, path, message));
    }

    /// A key by which `file` changes what an earlier file says.
    pub(crate) fn note_override(&self, file: &str, path: &Path, message: String) {
        self.overrides.borrow_mut().push(Fault::new(file, path, message));
    }

    /// The keys of files that later files replace.
    pub(crate) fn overrides(&self) -> Vec<String> {
        let mut overrides = self.overrides.take();
        overrides.sort();
        overrides.dedup();
        overrides.iter().map(ToString::to_string).collect()
    }

    /// The content of a file that the configuration names.
    pub(crate) fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        if let Some(known) = self.files.borrow().get(path) {
            return Ok(known.clone());
        }
        let content = self.read_once(path.as_ref())?;
        self.files.borrow_mut().insert(path.to_owned(), content.clone());
        Ok(content)
    }

    /// The content of a file that nobody reads again, without a byte order mark before it.
    pub(crate) fn read_once(&self, path: &std::path::Path) -> io::Result<Vec<u8>> {
        let mut content = settled::read(path, self.reading)?;
        if content.starts_with(BOM) {
            content.drain(..BOM.len());
        }
        Ok(content)
    }

    /// Hands the content of a file to `look` that has been read before.
    pub(crate) fn known_file(&self, path: &str, look: impl FnOnce(&[u8])) {
        if let Some(known) = self.files.borrow().get(path) {
            look(known);
        }
    }

    /// What was read, or all that is wrong. A value that could not be read has reported why.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Faults> {
        let mut faults = self.faults.into_inner();
        faults.sort();
        faults.dedup();
        match value {
            Some(value) if faults.is_empty() => Ok(value),
            _ => Err(Faults(faults)),
        }
    }
}

/// The one of `known` that `found` is probably meant to be.
pub(crate) fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| -> String {
        text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).take(64).collect()
    };
    let wanted = plain(found);
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(&wanted, &plain(name)), name))
        .filter(|(distance, name)| *distance <= 1 + name.len().min(wanted.len()) / 4 && *distance < wanted.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_read_like_the_contract_writes_them() {
        let path = Path::default().key("channels").index(2).key("retry").key("interval");
        assert_eq!(path.to_string(), "channels[2].retry.interval");
        assert_eq!(Path::default().key("headers").key("X.Y z").to_string(), r#"headers."X.Y z""#);
    }

    #[test]
    fn faults_are_sorted_as_people_count_and_told_once() {
        let report = Report::default();
        let channels = Path::default().key("channels");
        report.fault("b", &channels, "last");
        report.fault("a", &channels.index(10), "third");
        report.fault("a", &channels.index(2), "second\n  ^");
        report.fault("a", &Path::default(), "first");
        report.fault("a", &Path::default(), "first");
        let faults = report.finish(Some(())).unwrap_err();
        assert_eq!(
            faults.to_string(),
            "a: first\na: channels[2]: second\n      ^\na: channels[10]: third\nb: channels: last"
        );
        assert_eq!(faults.len(), 4);
    }

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["listen", "public_url", "max_body", "tokens"];
        assert_eq!(nearest("listn", known), Some("listen"));
        assert_eq!(nearest("publicUrl", known), Some("public_url"));
        assert_eq!(nearest("max-body", known), Some("max_body"));
        assert_eq!(nearest("token", known), Some("tokens"));
        assert_eq!(nearest("workers", known), None);
        assert_eq!(nearest("", known), None);
    }

    proptest! {
        #[test]
        fn any_text_has_a_nearest_name_or_none(found in ".{0,100}") {
            let known = ["a", "öäü", "a_long_name_of_a_key"];
            if let Some(name) = nearest(&found, known) {
                prop_assert!(known.contains(&name));
            }
        }
    }
}
