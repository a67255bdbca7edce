//! The encodings in which a text may stand within another, taken off layer by layer: percent-encoding, forms, strings of
//! JSON and of programs, HTML, and UTF-8 whose bytes were taken for Latin-1.
//!
//! A layer decodes each sequence once, whatever its encoding, so that a text in which every character has its own is
//! read as well. Work is linear in the text: a sequence is bounded, or made of digits that begin none themselves.

use std::ops::Range;

/// Layers that are taken off at most: encodings nested deeper are not looked into.
pub(super) const MAX_LAYERS: usize = 5;

/// A text with some layers taken off.
pub(super) struct Layer {
    pub(super) bytes: Vec<u8>,
    /// Where in the original the sequence begins that each byte was made of, and the original's length.
    starts: Vec<u32>,
}

impl Layer {
    /// The text as it is.
    pub(super) fn of(text: &[u8]) -> Self {
        Self { bytes: text.to_vec(), starts: (0..=text.len() as u32).collect() }
    }

    /// The part of the original that these bytes were made of.
    pub(super) fn origin(&self, range: Range<usize>) -> Range<usize> {
        let at = |index: usize| self.starts.get(index).copied();
        let last = at(range.end.saturating_sub(1)).unwrap_or_default();
        // A sequence of several bytes counts whole.
        let end = (range.end..self.starts.len()).filter_map(at).find(|start| *start != last).unwrap_or(last);
        at(range.start).unwrap_or(end) as usize..end as usize
    }

    /// The same with one layer less; `None` where there is nothing to decode. With `cut`, a sequence that the end of the
    /// text interrupts is left out. `nested` percent signs, encoded over and over, are decoded to their end.
    pub(super) fn decoded(&self, nested: bool, cut: bool) -> Option<Self> {
        let text = self.bytes.as_slice();
        let mut layer = Self { bytes: Vec::new(), starts: Vec::new() };
        let (mut from, mut at, mut changed) = (0, 0, false);
        while let Some(found) = text.get(at..).and_then(|rest| rest.iter().position(|byte| begins(*byte))) {
            steps::count(found + 1);
            at += found;
            match sequence(text.get(at..).unwrap_or_default(), nested, cut) {
                Sequence::Stands { read, bytes, count } => {
                    if !changed {
                        layer =
                            Self { bytes: Vec::with_capacity(text.len()), starts: Vec::with_capacity(text.len() + 1) };
                        changed = true;
                    }
                    layer.copy(self, from..at);
                    layer.bytes.extend_from_slice(bytes.get(..count).unwrap_or_default());
                    let start = self.starts.get(at).copied().unwrap_or_default();
                    layer.starts.extend(std::iter::repeat_n(start, count));
                    at += read;
                    from = at;
                }
                Sequence::Ends => {
                    layer.copy(self, from..at);
                    (from, at, changed) = (text.len(), text.len(), true);
                }
                Sequence::None => at += 1,
            }
        }
        steps::count(text.len().saturating_sub(at));
        if !changed {
            return None;
        }
        layer.copy(self, from..text.len());
        layer.starts.extend(self.starts.last());
        Some(layer)
    }

    fn copy(&mut self, other: &Self, range: Range<usize>) {
        self.bytes.extend_from_slice(other.bytes.get(range.clone()).unwrap_or_default());
        self.starts.extend_from_slice(other.starts.get(range).unwrap_or_default());
    }
}

/// The text itself and each of its layers, as long as there is something to decode.
pub(super) fn layers(text: &[u8], cut: bool) -> impl Iterator<Item = Layer> {
    let mut number = 0;
    std::iter::successors(Some(Layer::of(text)), move |layer| {
        number += 1;
        if number > MAX_LAYERS { None } else { layer.decoded(number > 1, cut) }
    })
}

/// What begins a text.
enum Sequence {
    /// So many bytes that stand for these.
    Stands { read: usize, bytes: [u8; 4], count: usize },
    /// A sequence that the end of the text interrupts.
    Ends,
    /// No sequence.
    None,
}

impl Sequence {
    fn byte(read: usize, byte: u8) -> Self {
        Self::Stands { read, bytes: [byte, 0, 0, 0], count: 1 }
    }

    fn character(read: usize, point: u32) -> Self {
        let Some(character) = char::from_u32(point) else { return Self::None };
        let mut bytes = [0; 4];
        let count = character.encode_utf8(&mut bytes).len();
        Self::Stands { read, bytes, count }
    }
}

/// Whether a byte can begin a sequence.
const fn begins(byte: u8) -> bool {
    matches!(byte, b'%' | b'\\' | b'&' | b'+' | 0xc2 | 0xc3)
}

/// Whether there is nothing to decode in a text.
pub(super) fn is_plain(text: &[u8]) -> bool {
    !text.iter().copied().any(begins)
}

fn sequence(text: &[u8], nested: bool, cut: bool) -> Sequence {
    let found = match text.first() {
        Some(b'%') => percent(text, nested),
        Some(b'\\') => backslash(text, cut),
        Some(b'&') => reference(text, cut),
        Some(b'+') => Sequence::byte(1, b' '),
        // Bytes of UTF-8 taken for Latin-1 and written as UTF-8 again; also a character of Latin-1, compared as such.
        Some(lead) => match text.get(1) {
            Some(next @ 0x80..=0xbf) => Sequence::byte(2, (lead & 3) << 6 | next & 0x3f),
            Some(_) => Sequence::None,
            None => Sequence::Ends,
        },
        None => Sequence::None,
    };
    if matches!(found, Sequence::Ends) && !cut { Sequence::None } else { found }
}

/// `%2F`, `%u002f`; nested, `%25252F`.
fn percent(text: &[u8], nested: bool) -> Sequence {
    if matches!(text.get(1), Some(b'u' | b'U')) {
        return utf16(text, *b"%u");
    }
    let mut at = 1;
    // The same `25` that this passes begins no sequence of its own.
    while nested && text.get(at..at + 2) == Some(b"25") && text.get(at + 2).is_some_and(u8::is_ascii_hexdigit) {
        at += 2;
        steps::count(2);
    }
    match hex(text, at, 2) {
        Digits::Number(byte) => Sequence::byte(at + 2, byte as u8),
        Digits::End => Sequence::Ends,
        Digits::None if at > 1 => Sequence::byte(at, b'%'),
        Digits::None => Sequence::None,
    }
}

/// `\/`, `\n`, `\x2f`, `\x{2f}`, `\057`, `\u002f`, `\u{2f}`, `\U0000002f`.
fn backslash(text: &[u8], cut: bool) -> Sequence {
    let Some(next) = text.get(1) else { return Sequence::Ends };
    let of = |digits: Digits, read: usize, whole: bool| match digits {
        Digits::Number(number) if whole => Sequence::character(read, number),
        Digits::Number(number) => Sequence::byte(read, number as u8),
        Digits::End => Sequence::Ends,
        Digits::None => Sequence::byte(2, *next),
    };
    match next {
        b'u' | b'x' if text.get(2) == Some(&b'{') => braces(text, *next),
        b'u' => utf16(text, *b"\\u"),
        b'U' => of(hex(text, 2, 8), 10, true),
        b'x' => of(hex(text, 2, 2), 4, false),
        b'0'..=b'7' => {
            let digits = text.iter().skip(1).take(3).take_while(|digit| matches!(digit, b'0'..=b'7'));
            let (count, value) =
                digits.fold((0, 0), |(count, value), digit| (count + 1, value * 8 + u32::from(digit - b'0')));
            match u8::try_from(value) {
                Ok(_) if cut && count < 3 && text.len() == count + 1 => Sequence::Ends,
                Ok(byte) => Sequence::byte(count + 1, byte),
                // A byte has two digits more where the first is 3 at most.
                Err(_) => Sequence::byte(3, (value / 8) as u8),
            }
        }
        b'n' => Sequence::byte(2, b'\n'),
        b't' => Sequence::byte(2, b'\t'),
        b'r' => Sequence::byte(2, b'\r'),
        b'b' => Sequence::byte(2, 0x08),
        b'f' => Sequence::byte(2, 0x0c),
        b'v' => Sequence::byte(2, 0x0b),
        next => Sequence::byte(2, *next),
    }
}

/// `\u{2f}`, with leading zeros up to sixteen digits.
fn braces(text: &[u8], next: u8) -> Sequence {
    const LONGEST: usize = 16;
    let digits = text.iter().skip(3).take(LONGEST).take_while(|digit| digit.is_ascii_hexdigit()).count();
    steps::count(digits);
    match text.get(3 + digits) {
        None => Sequence::Ends,
        Some(b'}') if digits > 0 => {
            let digits = std::str::from_utf8(text.get(3..3 + digits).unwrap_or_default()).unwrap_or_default();
            let point = u64::from_str_radix(digits, 16).ok().and_then(|point| u32::try_from(point).ok());
            point.map_or(Sequence::None, |point| Sequence::character(4 + digits.len(), point))
        }
        Some(_) => Sequence::byte(2, next),
    }
}

/// `\u00e4`, or two of them for a character of the higher planes.
fn utf16(text: &[u8], prefix: [u8; 2]) -> Sequence {
    match hex(text, 2, 4) {
        Digits::End => Sequence::Ends,
        Digits::Number(high @ 0xd800..0xdc00) => match hex(text, 8, 4) {
            Digits::Number(low @ 0xdc00..0xe000) if text.get(6..8) == Some(&prefix) => {
                Sequence::character(12, 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00))
            }
            Digits::End if text.get(6..8).is_none_or(|between| between == prefix) => Sequence::Ends,
            _ => Sequence::None,
        },
        Digits::Number(point) => Sequence::character(6, point),
        Digits::None if prefix == *b"\\u" => Sequence::byte(2, b'u'),
        Digits::None => Sequence::None,
    }
}

/// `&amp;`, `&#47;`, `&#x0000002f;`, the last two also without the semicolon.
fn reference(text: &[u8], cut: bool) -> Sequence {
    let (digits, radix) = match (text.get(1), text.get(2)) {
        (Some(b'#'), Some(b'x' | b'X')) => (3, 16),
        (Some(b'#'), Some(_)) => (2, 10),
        (Some(b'#') | None, _) => return Sequence::Ends,
        (Some(_), _) => return named(text),
    };
    let (mut point, mut end) = (0_u32, digits);
    while let Some(digit) = text.get(end).and_then(|byte| char::from(*byte).to_digit(radix)) {
        point = point.saturating_mul(radix).saturating_add(digit);
        end += 1;
    }
    steps::count(end);
    match text.get(end) {
        None if cut => Sequence::Ends,
        _ if end == digits => Sequence::None,
        Some(b';') => Sequence::character(end + 1, point),
        _ => Sequence::character(end, point),
    }
}

/// The characters of ASCII that have a name in HTML, and their names.
const NAMES: &[(&str, char)] = &[
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("Tab", '\t'),
    ("NewLine", '\n'),
    ("excl", '!'),
    ("num", '#'),
    ("dollar", '$'),
    ("percnt", '%'),
    ("lpar", '('),
    ("rpar", ')'),
    ("ast", '*'),
    ("midast", '*'),
    ("plus", '+'),
    ("comma", ','),
    ("hyphen", '-'),
    ("period", '.'),
    ("sol", '/'),
    ("colon", ':'),
    ("semi", ';'),
    ("equals", '='),
    ("quest", '?'),
    ("commat", '@'),
    ("lsqb", '['),
    ("lbrack", '['),
    ("bsol", '\\'),
    ("rsqb", ']'),
    ("rbrack", ']'),
    ("Hat", '^'),
    ("lowbar", '_'),
    ("grave", '`'),
    ("lcub", '{'),
    ("lbrace", '{'),
    ("verbar", '|'),
    ("vert", '|'),
    ("rcub", '}'),
    ("rbrace", '}'),
];

/// The names of U+00A0 to U+00FF in HTML, in their order.
const LATIN: [&str; 96] = [
    "nbsp", "iexcl", "cent", "pound", "curren", "yen", "brvbar", "sect", "uml", "copy", "ordf", "laquo", "not", "shy",
    "reg", "macr", "deg", "plusmn", "sup2", "sup3", "acute", "micro", "para", "middot", "cedil", "sup1", "ordm",
    "raquo", "frac14", "frac12", "frac34", "iquest", "Agrave", "Aacute", "Acirc", "Atilde", "Auml", "Aring", "AElig",
    "Ccedil", "Egrave", "Eacute", "Ecirc", "Euml", "Igrave", "Iacute", "Icirc", "Iuml", "ETH", "Ntilde", "Ograve",
    "Oacute", "Ocirc", "Otilde", "Ouml", "times", "Oslash", "Ugrave", "Uacute", "Ucirc", "Uuml", "Yacute", "THORN",
    "szlig", "agrave", "aacute", "acirc", "atilde", "auml", "aring", "aelig", "ccedil", "egrave", "eacute", "ecirc",
    "euml", "igrave", "iacute", "icirc", "iuml", "eth", "ntilde", "ograve", "oacute", "ocirc", "otilde", "ouml",
    "divide", "oslash", "ugrave", "uacute", "ucirc", "uuml", "yacute", "thorn", "yuml",
];

fn named(text: &[u8]) -> Sequence {
    /// The longest name.
    const LONGEST: usize = 8;
    let name: &[u8] = text.get(1..).unwrap_or_default();
    let length = name.iter().take(LONGEST + 1).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    steps::count(length);
    match name.get(length) {
        None if length <= LONGEST => return Sequence::Ends,
        Some(b';') if length > 0 => {}
        _ => return Sequence::None,
    }
    let name = name.get(..length).unwrap_or_default();
    let ascii = NAMES.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, character)| u32::from(*character));
    let latin = || LATIN.iter().position(|known| known.as_bytes() == name).map(|at| 0xa0 + at as u32);
    ascii.or_else(latin).map_or(Sequence::None, |point| Sequence::character(length + 2, point))
}

/// A number in hexadecimal digits.
enum Digits {
    Number(u32),
    /// The text ends within them.
    End,
    /// There is something else.
    None,
}

fn hex(text: &[u8], at: usize, count: usize) -> Digits {
    let digits = text.get(at..).unwrap_or_default();
    let digits = digits.get(..count.min(digits.len())).unwrap_or_default();
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return Digits::None;
    }
    if digits.len() < count {
        return Digits::End;
    }
    let digits = std::str::from_utf8(digits).unwrap_or_default();
    u32::from_str_radix(digits, 16).map_or(Digits::None, Digits::Number)
}

/// Steps of decoding and searching, counted in tests: their number is the same on every machine.
pub(super) mod steps {
    #[cfg(test)]
    thread_local!(static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) });

    #[cfg(test)]
    pub(in crate::outbound) fn count(steps: usize) {
        STEPS.set(STEPS.get() + steps);
    }

    #[cfg(not(test))]
    #[inline]
    pub(in crate::outbound) const fn count(_steps: usize) {}

    /// How many steps something takes.
    #[cfg(test)]
    pub(in crate::outbound) fn of(work: impl FnOnce()) -> usize {
        let before = STEPS.get();
        work();
        STEPS.get() - before
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "p/1+\"ä\\&€😀 %z";

    fn ends(text: &str) -> Vec<Vec<u8>> {
        layers(text.as_bytes(), false).map(|layer| layer.bytes).collect()
    }

    #[test]
    fn every_encoding_is_decoded() {
        let secret = ends(SECRET);
        for text in [
            SECRET,
            "p%2F1%2B%22%C3%A4%5C%26%E2%82%AC%F0%9F%98%80%20%25z",
            "p%2f1%2b%22%c3%a4%5c%26%e2%82%ac%f0%9f%98%80+%25z",
            "p%252F1%252B%2522%25C3%25A4%255C%2526%25E2%2582%25AC%25F0%259F%2598%2580%2520%2525z",
            "p%2525252F1%2525252B%25252522%252525C3%252525A4%2525255C%25252526%252525E2%25252582%252525AC😀%25252520%25252525z",
            "p%u002F1+%u0022%u00e4%u005c&%u20ac%ud83d%ude00 %25z",
            r#"p\/1+\"ä\\&€😀 %z"#,
            r#"p/1\u002b\"\u00e4\\\u0026\u20ac\ud83d\ude00 %z"#,
            r#"p\\\/1+\\\"\\u00e4\\\\&\\u20ac\\ud83d\\ude00 %z"#,
            r"p/1+\x22\xc3\xa4\x5c&\xe2\x82\xac\xf0\x9f\x98\x80 %z",
            r"p\u{2f}1+\u{0022}\u{e4}\u{5c}&\u{20AC}\u{00001f600} %z",
            r"p\x{2f}1+\U00000022\U000000e4\\&\U000020ac\U0001F600 %z",
            r"p\0571\53\42\303\244\134&\342\202\254\360\237\230\200\40%z",
            "p&#x2F;1+&#34;&#xe4;\\&amp;&#8364;&#128512; %z",
            "p&#x000000002F;1&plus;&quot;&auml;&bsol;&#00000000000000000000000038;&#x20ac&#128512 &percnt;z",
            "p/1+\"\u{c3}\u{a4}\\&\u{e2}\u{82}\u{ac}\u{f0}\u{9f}\u{98}\u{80} %z",
        ] {
            let decoded = ends(text);
            assert!(decoded.iter().any(|layer| secret.contains(layer)), "{text}: {decoded:?}");
        }
    }

    #[test]
    fn a_sequence_that_is_cut_off_is_left_out() {
        for (text, expected) in [
            ("p%2", "p"),
            ("p\\", "p"),
            ("p\\u00", "p"),
            ("p\\ud83d\\", "p"),
            ("p\\u{2", "p"),
            ("p\\05", "p"),
            ("p&#4", "p"),
            ("p&#", "p"),
            ("p&am", "p"),
            ("p&amp;&", "p&"),
        ] {
            let layer = Layer::of(text.as_bytes()).decoded(false, true).expect("something to decode");
            assert_eq!(String::from_utf8_lossy(&layer.bytes), expected, "{text}");
        }
        for text in ["p", "p%2E%", "p%zz", "p&nothing;", "p&;"] {
            let layer = Layer::of(text.as_bytes()).decoded(false, false);
            assert!(layer.is_none_or(|layer| layer.bytes == b"p.%"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_byte_comes_from_somewhere(text in "([%&+;#xu0-9a-f]|\\\\|\\PC){0,40}", cut: bool) {
            let mut length = usize::MAX;
            for (number, layer) in layers(text.as_bytes(), cut).enumerate() {
                prop_assert!(number == 0 || layer.bytes.len() <= length && number <= MAX_LAYERS);
                length = layer.bytes.len();
                let mut last = 0;
                for at in 0..length {
                    let origin = layer.origin(at..at + 1);
                    prop_assert!(last <= origin.start && origin.start < origin.end && origin.end <= text.len());
                    last = origin.start;
                }
            }
        }
    }
}
