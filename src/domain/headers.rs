//! Header lines as the history keeps them: one text, not two for every line. An attempt has about a dozen of them, and
//! each is written once and hardly ever read.

use serde::{Deserialize, Serialize};

/// Header lines in their order, names as they came; each `name: value` and a line feed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HeaderLines(String);

impl HeaderLines {
    /// None, with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    /// Adds a line. A name has no colon; what would end a line is a space in its value.
    pub fn push(&mut self, name: &str, value: &str) {
        self.0.push_str(name);
        self.0.push_str(": ");
        if value.contains(['\r', '\n']) {
            self.0.push_str(&value.replace(['\r', '\n'], " "));
        } else {
            self.0.push_str(value);
        }
        self.0.push('\n');
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.split_terminator('\n').map(|line| line.split_once(": ").unwrap_or((line, "")))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for HeaderLines {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(lines: T) -> Self {
        let mut headers = Self::default();
        for (name, value) in lines {
            headers.push(name.as_ref(), value.as_ref());
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lines_come_back_as_they_were(lines in proptest::collection::vec(("[!#-9;-~]{1,12}", "[^\r\n]{0,20}"), 0..9)) {
            let headers: HeaderLines = lines.iter().map(|(name, value)| (name, value)).collect();
            let read: Vec<_> = headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            prop_assert_eq!(headers.is_empty(), lines.is_empty());
            prop_assert_eq!(read, lines);
        }

        #[test]
        fn no_value_makes_a_line_of_its_own(value in "(.|\r|\n){0,20}") {
            let headers: HeaderLines = [("x", &value)].into_iter().collect();
            prop_assert_eq!(headers.iter().count(), 1);
        }
    }
}
