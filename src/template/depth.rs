//! How deep a template or expression may be nested: counted in its text, before anything that recurses reads it.

use super::SyntaxError;

/// The most brackets, prefix operators (`not`, `-`) and blocks within each other.
pub(super) const DEEPEST: usize = 64;

/// The most operators, filters and fields in one expression, which stand within each other once they are read.
const LONGEST: usize = 400;

/// Checks an expression that stands alone.
pub(super) fn check_expression(source: &str) -> Result<(), SyntaxError> {
    Scan::new(source, 0).expression(&[]).map(drop)
}

/// Checks every expression and block of a template.
pub(super) fn check_template(source: &str) -> Result<(), SyntaxError> {
    let mut at = 0;
    // How many levels each block that is open adds: an `elif` stands within the `if` before it.
    let mut blocks: Vec<usize> = Vec::new();
    while let Some(found) = source.get(at..).and_then(|rest| rest.find('{')) {
        let mark = at + found;
        let rest = source.get(mark..).unwrap_or_default();
        if rest.starts_with("{#") {
            at = rest.find("#}").map_or(source.len(), |end| mark + end + 2);
        } else if rest.starts_with("{{") {
            at = Scan::new(source, mark + 2).expression(b"}}")?;
        } else if let Some(block) = rest.strip_prefix("{%") {
            let block = block.trim_start_matches(['-', '+']).trim_start();
            let word = block.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
            match word {
                "if" | "for" | "with" | "filter" | "macro" | "call" | "block" | "autoescape" | "set" => blocks.push(1),
                "elif" | "else" => blocks.iter_mut().next_back().into_iter().for_each(|levels| *levels += 1),
                word if word.starts_with("end") => drop(blocks.pop()),
                _ => {}
            }
            if blocks.iter().sum::<usize>() > DEEPEST {
                let message = format!("blocks are nested more than {DEEPEST} deep");
                return Err(SyntaxError::at(source, mark, message));
            }
            at = Scan::new(source, mark + 2).expression(b"%}")?;
            if word == "set" && source.get(mark..at).is_some_and(|block| block.contains('=')) {
                blocks.pop();
            }
        } else {
            at = mark + 1;
        }
    }
    Ok(())
}

/// The numbers with a fraction or an exponent in `source`, as they are written.
pub(super) fn fractions(source: &str) -> impl Iterator<Item = &str> {
    let in_number = |c: char| c.is_ascii_digit() || c == '.';
    source.split(move |c: char| !(in_number(c) || matches!(c, 'e' | 'E' | '+' | '-'))).flat_map(move |run| {
        // A sign that follows an exponent belongs to the number; any other ends it.
        let mut rest = run;
        std::iter::from_fn(move || {
            rest = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
            let mut before = ' ';
            let end = rest.find(|c: char| {
                let ends = matches!(c, '+' | '-') && !matches!(before, 'e' | 'E');
                before = c;
                ends
            });
            let number = rest.get(..end.unwrap_or(rest.len()))?;
            rest = rest.get(number.len()..)?;
            (!number.is_empty()).then_some(number)
        })
        .filter(|number| number.contains(['.', 'e', 'E']))
    })
}

struct Scan<'a> {
    source: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn new(source: &'a str, at: usize) -> Self {
        Self { source, at }
    }

    /// Goes to the end of an expression, which is `end` or that of the source; returns where it is.
    fn expression(mut self, end: &[u8]) -> Result<usize, SyntaxError> {
        let bytes = self.source.as_bytes();
        // Levels outside each bracket that is open, and prefix operators since the last operand.
        let (mut outside, mut prefixes, mut links) = (Vec::<usize>::new(), 0usize, 0usize);
        let mut operand_before = false;
        while let Some(&byte) = bytes.get(self.at) {
            let start = self.at;
            let rest = bytes.get(start..).unwrap_or_default();
            if !end.is_empty() && outside.is_empty() && rest.strip_prefix(b"-").unwrap_or(rest).starts_with(end) {
                break;
            }
            self.at += 1;
            match byte {
                b'"' | b'\'' => {
                    self.string(byte);
                    (operand_before, prefixes) = (true, 0);
                }
                b'(' | b'[' | b'{' => {
                    links += usize::from(operand_before);
                    outside.push(prefixes + 1);
                    (operand_before, prefixes) = (false, 0);
                }
                b')' | b']' | b'}' => {
                    outside.pop();
                    (operand_before, prefixes) = (true, 0);
                }
                b'-' | b'+' if !operand_before => prefixes += 1,
                b',' => (operand_before, prefixes) = (false, 0),
                b'.' | b'|' | b'+' | b'-' | b'*' | b'/' | b'%' | b'~' | b'<' | b'>' | b'=' | b'!' => {
                    links += 1;
                    (operand_before, prefixes) = (false, 0);
                }
                b'_' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {
                    while bytes.get(self.at).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') {
                        self.at += 1;
                    }
                    match bytes.get(start..self.at) {
                        Some(b"not") => {
                            operand_before = false;
                            prefixes += 1;
                        }
                        Some(b"and" | b"or" | b"in" | b"is" | b"if" | b"else" | b"elif") => {
                            links += 1;
                            (operand_before, prefixes) = (false, 0);
                        }
                        _ => (operand_before, prefixes) = (true, 0),
                    }
                }
                _ => {}
            }
            let depth = outside.iter().sum::<usize>() + prefixes;
            if depth > DEEPEST {
                let message = format!("brackets and operators are nested more than {DEEPEST} deep");
                return Err(SyntaxError::at(self.source, start, message));
            }
            if links > LONGEST {
                let message = format!("an expression can have at most {LONGEST} operators, filters and fields");
                return Err(SyntaxError::at(self.source, start, message));
            }
        }
        Ok(self.at.saturating_add(end.len()).min(self.source.len()))
    }

    /// Goes behind the string whose opening quote was just read.
    fn string(&mut self, quote: u8) {
        let bytes = self.source.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == quote {
                return;
            }
        }
    }
}
