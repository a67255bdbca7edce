//! A template that is text with fields between: what `merge_fields` and `placeholder` compile to.
//!
//! Both know where they fill in: whether a field of a JSON body stands between quotes, and whether it is the very
//! start of a URL. So a value cannot break out there, whatever its type.

use minijinja::{ErrorKind, Value};

use super::fill::{self, Filler, MAX_FILLED, Place};
use super::{Locale, RenderError, Scope, SyntaxError, Target, meter, path};

/// Text and fields, one after another.
pub(super) struct Fields {
    pieces: Vec<Piece>,
    filler: Filler,
    locale: Option<Locale>,
}

pub(super) enum Piece {
    /// Goes out as it is.
    Text(Box<str>),
    /// Is filled in.
    Field(Field),
}

/// A field.
pub(super) struct Field {
    /// As it is written, without its marks.
    pub(super) name: Box<str>,
    /// Where it begins in the source, in bytes.
    pub(super) at: usize,
    /// The name of the scope that fills it.
    pub(super) root: &'static str,
    /// The names and positions below that.
    pub(super) parts: Vec<Box<str>>,
    /// Where it stands.
    pub(super) place: Place,
}

impl Fields {
    /// Puts the pieces of `source` together.
    pub(super) fn new(
        source: &str,
        mut pieces: Vec<Piece>,
        filler: Filler,
        locale: Option<Locale>,
    ) -> Result<Self, SyntaxError> {
        if filler.target == Target::Json {
            let mut quotes = Quotes::default();
            for piece in &mut pieces {
                match piece {
                    Piece::Text(text) => quotes.read(text),
                    Piece::Field(field) if quotes.escaped => {
                        return Err(SyntaxError::at(source, field.at, "there is a backslash before the field"));
                    }
                    Piece::Field(field) => {
                        field.place = if quotes.open { Place::InQuotes } else { Place::OutOfQuotes };
                    }
                }
            }
        }
        Ok(Self { pieces, filler, locale })
    }

    /// Fills it in.
    pub(super) fn render(&self, scope: &Scope) -> Result<String, RenderError> {
        fill::begin();
        meter::begin(scope.bounds());
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(fixed) => text.push_str(fixed),
                Piece::Field(field) => {
                    let failed = |error: minijinja::Error| RenderError(explain(&field.name, &error));
                    let mut value = field.find(scope).map_err(failed)?;
                    if let Some(locale) = &self.locale
                        && let Some(date) = value.as_str().and_then(|text| locale.write(text))
                    {
                        value = date.into();
                    }
                    self.filler.write(&mut text, &value, field.place).map_err(failed)?;
                }
            }
        }
        Ok(text)
    }

    /// The text with `filler` in place of every field.
    pub(super) fn skeleton(&self, filler: &str) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.to_string(),
            Piece::Field(_) => filler.to_owned(),
        };
        self.pieces.iter().map(piece).collect()
    }

    /// The name of the n-th field.
    pub(super) fn name(&self, at: usize) -> Option<String> {
        let mut fields = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Field(field) => Some(field.name.to_string()),
            Piece::Text(_) => None,
        });
        fields.nth(at)
    }

    /// Whether it begins with a field.
    pub(super) fn begins_filled(&self) -> bool {
        matches!(self.pieces.first(), Some(Piece::Field(_)))
    }

    /// Whether the order's own id is filled in.
    pub(super) fn has_order_id(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Field(Field { root: "order_id", .. })))
    }
}

impl Field {
    fn find(&self, scope: &Scope) -> Result<Value, minijinja::Error> {
        let root = match self.root {
            // An order that cannot be read is an error, not one without fields.
            "order" => Some(scope.parsed_order()?),
            name => scope.find(name),
        };
        let found = root.and_then(|value| path::walk(&value, self.parts.iter().map(|part| &**part)));
        Ok(found.unwrap_or_default())
    }
}

fn explain(name: &str, error: &minijinja::Error) -> String {
    match error.kind() {
        ErrorKind::UndefinedError => format!("`{name}` is missing"),
        ErrorKind::WriteFailure => format!("more than {MAX_FILLED} bytes are filled in"),
        ErrorKind::InvalidOperation => format!("`{name}` {}", error.detail().unwrap_or("cannot be filled in")),
        kind => error.detail().map_or_else(|| kind.to_string(), str::to_owned),
    }
}

/// Whether a place in a JSON document is between the quotes of a string.
#[derive(Default)]
struct Quotes {
    open: bool,
    /// A backslash stands before.
    escaped: bool,
}

impl Quotes {
    fn read(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.open => self.escaped = true,
                b'"' => self.open = !self.open,
                _ => {}
            }
        }
    }
}
