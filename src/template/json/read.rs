//! Reading JSON into values, without recursion.

use minijinja::{Error, ErrorKind, Value};

use super::{Fields, MAX_DEPTH, number};

/// Reads one JSON value.
pub(in crate::template) fn parse(text: &[u8]) -> Result<Value, Error> {
    let text = std::str::from_utf8(text).map_err(|_| fault("no UTF-8"))?;
    Reader { text, at: 0 }.document()
}

fn fault(what: &'static str) -> Error {
    Error::new(ErrorKind::BadSerialization, format!("the JSON cannot be read: {what}"))
}

/// A list or object that is not complete yet.
enum Open {
    List(Vec<Value>),
    Map(Vec<(Value, Value)>, Value),
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn document(mut self) -> Result<Value, Error> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            // A value begins here.
            let mut value = match self.next_mark() {
                Some(b'[') => {
                    self.at += 1;
                    if self.next_mark() == Some(b']') {
                        self.at += 1;
                        Value::from(Vec::<Value>::new())
                    } else {
                        open.push(Open::List(Vec::new()));
                        if open.len() > MAX_DEPTH {
                            return Err(fault("it is nested too deeply for templates"));
                        }
                        continue;
                    }
                }
                Some(b'{') => {
                    self.at += 1;
                    if self.next_mark() == Some(b'}') {
                        self.at += 1;
                        Value::from_object(Fields::new(Vec::new()))
                    } else {
                        let name = self.name()?;
                        open.push(Open::Map(Vec::new(), name));
                        if open.len() > MAX_DEPTH {
                            return Err(fault("it is nested too deeply for templates"));
                        }
                        continue;
                    }
                }
                Some(_) => self.scalar()?,
                None => return Err(fault("it ends early")),
            };
            // A value has ended: it goes into what is open, which may end with it.
            loop {
                let Some(mut inner) = open.pop() else {
                    return if self.next_mark().is_none() { Ok(value) } else { Err(fault("there is more behind it")) };
                };
                let mark = self.next_mark();
                self.at += 1;
                match (&mut inner, mark) {
                    (Open::List(items), Some(b',')) => items.push(value),
                    (Open::List(items), Some(b']')) => {
                        items.push(value);
                        value = Value::from(std::mem::take(items));
                        continue;
                    }
                    (Open::Map(entries, name), Some(b',')) => {
                        entries.push((std::mem::take(name), value));
                        *name = self.name()?;
                    }
                    (Open::Map(entries, name), Some(b'}')) => {
                        entries.push((std::mem::take(name), value));
                        value = Value::from_object(Fields::new(std::mem::take(entries)));
                        continue;
                    }
                    _ => return Err(fault("it is no JSON")),
                }
                open.push(inner);
                break;
            }
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no white space.
    fn next_mark(&mut self) -> Option<u8> {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.peek()
    }

    fn name(&mut self) -> Result<Value, Error> {
        if self.next_mark() != Some(b'"') {
            return Err(fault("it is no JSON"));
        }
        let name = self.string()?;
        if self.next_mark() != Some(b':') {
            return Err(fault("it is no JSON"));
        }
        self.at += 1;
        Ok(name)
    }

    fn scalar(&mut self) -> Result<Value, Error> {
        if self.peek() == Some(b'"') {
            return self.string();
        }
        for (word, value) in [("true", Value::from(true)), ("false", Value::from(false)), ("null", Value::from(()))] {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        self.digits()?;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(number(self.text.get(start..self.at).unwrap_or_default()))
    }

    fn digits(&mut self) -> Result<(), Error> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(fault("it is no JSON")) } else { Ok(()) }
    }

    /// A string, from its opening quote to behind its closing one.
    fn string(&mut self) -> Result<Value, Error> {
        self.at += 1;
        let mut unescaped: Option<String> = None;
        loop {
            let run = self.rest();
            let length = run.find(['"', '\\']).ok_or_else(|| fault("it ends early"))?;
            let plain = run.get(..length).unwrap_or_default();
            self.at += length + 1;
            if run.as_bytes().get(length) == Some(&b'"') {
                return Ok(match unescaped {
                    None => Value::from(plain),
                    Some(text) => Value::from(text + plain),
                });
            }
            let text = unescaped.get_or_insert_default();
            text.push_str(plain);
            let escaped = self.escape()?;
            text.push(escaped);
        }
    }

    /// What stands behind a backslash. Half a surrogate pair becomes a replacement character.
    fn escape(&mut self) -> Result<char, Error> {
        let mark = self.peek();
        self.at += 1;
        Ok(match mark {
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(mark @ (b'"' | b'\\' | b'/')) => char::from(mark),
            Some(b'u') => {
                let high = self.hex()?;
                if (0xd800..0xdc00).contains(&high) && self.rest().starts_with("\\u") {
                    let before = self.at;
                    self.at += 2;
                    let low = self.hex()?;
                    if (0xdc00..0xe000).contains(&low) {
                        let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                        return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    self.at = before;
                }
                char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return Err(fault("it is no JSON")),
        })
    }

    fn hex(&mut self) -> Result<u32, Error> {
        let digits = self.rest().get(..4).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        self.at += 4;
        code.ok_or_else(|| fault("it is no JSON"))
    }
}
