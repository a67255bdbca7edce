//! Reading a filter.

use super::condition::{Condition, Select, Step, Wanted};
use crate::template::SyntaxError;

/// The longest filter, in bytes.
const LONGEST: usize = 8192;

/// The most names in one path: bounds the stack.
const DEEPEST: usize = 64;

/// Reads a whole filter.
pub(super) fn filter(source: &str) -> Result<Vec<Condition>, SyntaxError> {
    if source.len() > LONGEST {
        return Err(SyntaxError::at(source, LONGEST, format!("a filter can have at most {LONGEST} bytes")));
    }
    let mut reader = Reader { source, at: 0 };
    let mut conditions = vec![reader.condition()?];
    while reader.take(';') {
        conditions.push(reader.condition()?);
    }
    match reader.peek() {
        None => Ok(conditions),
        Some(_) => Err(reader.fault("expected ; and another condition, or the end")),
    }
}

struct Reader<'a> {
    source: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.source.get(self.at..).unwrap_or_default()
    }

    /// The next character that is no white space.
    fn peek(&mut self) -> Option<char> {
        self.at = self.source.len() - self.rest().trim_start().len();
        self.rest().chars().next()
    }

    fn take(&mut self, mark: char) -> bool {
        let there = self.peek() == Some(mark);
        if there {
            self.at += mark.len_utf8();
        }
        there
    }

    fn fault(&self, message: &str) -> SyntaxError {
        SyntaxError::at(self.source, self.at, message)
    }

    /// `A.B(*).C=v`.
    fn condition(&mut self) -> Result<Condition, SyntaxError> {
        match self.peek() {
            None | Some(';') => return Err(self.fault("a condition is missing, such as Type=SALE")),
            Some(_) => {}
        }
        let mut path = vec![self.step()?];
        while self.take('.') {
            if path.len() == DEEPEST {
                return Err(self.fault(&format!("a path can have at most {DEEPEST} names")));
            }
            path.push(self.step()?);
        }
        if !self.take('=') {
            let message = match self.peek() {
                None | Some(';') => "expected = and a value",
                Some(_) => "expected a . and a name, or = and a value",
            };
            return Err(self.fault(message));
        }
        Ok(Condition { path, wanted: self.value(';')? })
    }

    /// A name, and what of a list there is meant.
    fn step(&mut self) -> Result<Step, SyntaxError> {
        let name = self.name()?;
        if !self.take('(') {
            return Ok(Step { name, select: Select::This });
        }
        let select = if self.take('*') {
            Select::Any
        } else {
            if self.peek() == Some(')') {
                return Err(self.fault("expected * for any element, or a field and its value, such as Code=X"));
            }
            let key = self.name()?;
            if !self.take('=') {
                return Err(self.fault("expected = and a value"));
            }
            Select::With(key, self.value(')')?)
        };
        if !self.take(')') {
            return Err(self.fault("expected )"));
        }
        Ok(Step { name, select })
    }

    fn name(&mut self) -> Result<String, SyntaxError> {
        self.peek();
        let marks = ['.', '(', ')', '=', ';', '*', '"'];
        let length = self.rest().find(marks).unwrap_or(self.rest().len());
        let name = self.rest().get(..length).unwrap_or_default().trim_end().to_owned();
        if name.is_empty() {
            return Err(self.fault("expected the name of a field"));
        }
        self.at += name.len();
        Ok(name)
    }

    /// A value, in quotes or up to `end`.
    fn value(&mut self, end: char) -> Result<Wanted, SyntaxError> {
        if self.peek() == Some('"') {
            return self.quoted();
        }
        let length = match self.rest().find(end) {
            Some(length) => length,
            None if end == ')' => {
                self.at = self.source.len();
                return Err(self.fault("expected )"));
            }
            None => self.rest().len(),
        };
        let value = self.rest().get(..length).unwrap_or_default().trim_end().to_owned();
        self.at += length;
        Ok(Wanted::new(value))
    }

    fn quoted(&mut self) -> Result<Wanted, SyntaxError> {
        let begin = self.at;
        let mut value = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += at + 1;
                    return Ok(Wanted::new(value));
                }
                '\\' => {
                    let Some((_, escaped @ ('"' | '\\'))) = chars.next() else {
                        self.at += at;
                        return Err(self.fault("within quotes, \\ stands before \" or \\ only"));
                    };
                    value.push(escaped);
                }
                c => value.push(c),
            }
        }
        self.at = begin;
        Err(self.fault("these quotes are not closed"))
    }
}
