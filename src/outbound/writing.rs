//! The ways in which a text may be written within another: percent-encoded (also twice), as a form, within a string of
//! JSON or of a program, as HTML, and as text whose bytes were taken for Latin-1. Each character has its own way.

/// How a text begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// With what was looked for; so many bytes stand for it.
    Whole(usize),
    /// It ends too early to say; so many bytes of what was looked for were there.
    Cut(usize),
    /// With something else.
    Other,
}

/// Whether `text` begins with `wanted` in any writing.
pub(super) fn begin(text: &[u8], wanted: &[u8]) -> Begin {
    // A percent sign that is encoded twice looks like one encoded once and digits: so one way at a time.
    match (begin_with(text, wanted, 1), begin_with(text, wanted, 2)) {
        (Begin::Whole(read), _) | (_, Begin::Whole(read)) => Begin::Whole(read),
        (Begin::Cut(once), Begin::Cut(twice)) => Begin::Cut(once.max(twice)),
        (Begin::Cut(found), _) | (_, Begin::Cut(found)) => Begin::Cut(found),
        (Begin::Other, Begin::Other) => Begin::Other,
    }
}

/// The same, percent-encoded so many times where it is.
fn begin_with(text: &[u8], wanted: &[u8], times: usize) -> Begin {
    let (mut read, mut found) = (0, 0);
    while found < wanted.len() {
        let (rest, missing) = (text.get(read..).unwrap_or_default(), wanted.get(found..).unwrap_or_default());
        match unit(rest, missing, times) {
            Unit::Stands { read: more, stands_for } => {
                read += more;
                found += stands_for;
            }
            Unit::Ends => return Begin::Cut(found),
            Unit::Other => return Begin::Other,
        }
    }
    Begin::Whole(read)
}

/// One character in its writing.
enum Unit {
    /// So many bytes of the text stand for so many of what is looked for.
    Stands {
        read: usize,
        stands_for: usize,
    },
    /// The text ends within it.
    Ends,
    Other,
}

fn unit(text: &[u8], wanted: &[u8], times: usize) -> Unit {
    let (Some(first), Some(next)) = (text.first(), wanted.first()) else { return Unit::Ends };
    let coded = match first {
        b'%' => percent(text, *next, times),
        b'\\' => backslash(text, wanted),
        b'&' => entity(text, wanted),
        b'+' if *next == b' ' => Unit::Stands { read: 1, stands_for: 1 },
        // Bytes of UTF-8 taken for Latin-1 and written as UTF-8 again.
        0xc2 | 0xc3 if *next >= 0x80 => as_character(text.get(..2), char::from(*next)),
        _ => Unit::Other,
    };
    match coded {
        Unit::Other if first == next => Unit::Stands { read: 1, stands_for: 1 },
        coded => coded,
    }
}

fn as_character(text: Option<&[u8]>, character: char) -> Unit {
    match text {
        None => Unit::Ends,
        Some(text) if text == character.encode_utf8(&mut [0; 4]).as_bytes() => Unit::Stands { read: 2, stands_for: 1 },
        Some(_) => Unit::Other,
    }
}

/// `%2F`; encoded twice, `%252F`.
fn percent(text: &[u8], wanted: u8, times: usize) -> Unit {
    let signs = 2 * (times - 1);
    for at in (1..=signs).step_by(2) {
        match hex(text, at, 2) {
            None => return Unit::Ends,
            Some(Some(0x25)) => {}
            Some(_) => return Unit::Other,
        }
    }
    match hex(text, 1 + signs, 2) {
        None => Unit::Ends,
        Some(Some(byte)) if byte == u32::from(wanted) => Unit::Stands { read: signs + 3, stands_for: 1 },
        Some(_) => Unit::Other,
    }
}

/// `\/`, `\"`, `\\`, `\x2f`, `\u002f`, and each of them within another string.
fn backslash(text: &[u8], wanted: &[u8]) -> Unit {
    let run = |text: &[u8]| text.iter().take_while(|byte| **byte == b'\\').count();
    let (slashes, own) = (run(text), run(wanted));
    let Some(next) = text.get(slashes).or(wanted.first().filter(|_| own > 0)) else { return Unit::Ends };
    let coded = match next {
        b'u' => unicode(text, slashes, wanted),
        b'x' => match hex(text, slashes + 1, 2) {
            None => Unit::Ends,
            Some(Some(byte)) => character(byte, slashes + 3, wanted),
            Some(None) => Unit::Other,
        },
        _ => Unit::Other,
    };
    match coded {
        Unit::Stands { .. } => coded,
        _ if own > 0 => doubled(slashes, own),
        Unit::Ends => coded,
        Unit::Other => plain(*next, slashes, wanted),
    }
}

/// Backslashes that what is looked for has itself, each doubled once or more. A rest belongs to what comes behind.
fn doubled(slashes: usize, own: usize) -> Unit {
    let mut read = own;
    while 2 * read <= slashes {
        read *= 2;
    }
    if read <= slashes { Unit::Stands { read, stands_for: own } } else { Unit::Other }
}

/// `\u00e4`, or two of them for a character of the higher planes.
fn unicode(text: &[u8], slashes: usize, wanted: &[u8]) -> Unit {
    match hex(text, slashes + 1, 4) {
        None => Unit::Ends,
        Some(Some(high @ 0xd800..0xdc00)) => match hex(text, 2 * slashes + 6, 4) {
            None => Unit::Ends,
            Some(Some(low @ 0xdc00..0xe000)) => {
                character(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00), 2 * (slashes + 5), wanted)
            }
            Some(_) => Unit::Other,
        },
        Some(Some(point)) => character(point, slashes + 5, wanted),
        Some(None) => Unit::Other,
    }
}

fn plain(next: u8, slashes: usize, wanted: &[u8]) -> Unit {
    if wanted.first() == Some(&next) { Unit::Stands { read: slashes + 1, stands_for: 1 } } else { Unit::Other }
}

/// `&amp;`, `&#47;`, `&#x2f;`.
fn entity(text: &[u8], wanted: &[u8]) -> Unit {
    /// The longest that is read, from `&` to `;`.
    const LONGEST: usize = 10;
    let Some(end) = text.iter().take(LONGEST).position(|byte| *byte == b';') else {
        return if text.len() < LONGEST && wanted.first() != Some(&b'&') { Unit::Ends } else { Unit::Other };
    };
    let name = std::str::from_utf8(text.get(1..end).unwrap_or_default()).unwrap_or_default();
    let number = |digits: &str| match digits.strip_prefix(['x', 'X']) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => digits.parse().ok(),
    };
    let point = match name {
        "amp" => Some(u32::from('&')),
        "lt" => Some(u32::from('<')),
        "gt" => Some(u32::from('>')),
        "quot" => Some(u32::from('"')),
        "apos" => Some(u32::from('\'')),
        _ => name.strip_prefix('#').and_then(number),
    };
    point.map_or(Unit::Other, |point| character(point, end + 1, wanted))
}

/// A character by its number: as a whole, or as a byte that was taken for one.
fn character(point: u32, read: usize, wanted: &[u8]) -> Unit {
    let Some(character) = char::from_u32(point) else { return Unit::Other };
    let mut bytes = [0; 4];
    let utf8 = character.encode_utf8(&mut bytes).as_bytes();
    if wanted.starts_with(utf8) {
        Unit::Stands { read, stands_for: utf8.len() }
    } else if wanted.first().is_some_and(|byte| u32::from(*byte) == point) {
        Unit::Stands { read, stands_for: 1 }
    } else {
        Unit::Other
    }
}

/// The number in `count` hexadecimal digits; `None` where the text ends within them, `Some(None)` where they are none.
#[expect(clippy::option_option, reason = "no digits are not the same as the end of the text")]
fn hex(text: &[u8], at: usize, count: usize) -> Option<Option<u32>> {
    let digits = text.get(at..).unwrap_or_default();
    let digits = digits.get(..count.min(digits.len())).unwrap_or_default();
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return Some(None);
    }
    if digits.len() < count {
        return None;
    }
    let digits = std::str::from_utf8(digits).unwrap_or_default();
    Some(u32::from_str_radix(digits, 16).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "p/1+\"ä\\&€😀 %z";

    #[test]
    fn every_writing_is_read() {
        for text in [
            SECRET,
            "p%2F1%2B%22%C3%A4%5C%26%E2%82%AC%F0%9F%98%80%20%25z",
            "p%2f1%2b%22%c3%a4%5c%26%e2%82%ac%f0%9f%98%80+%25z",
            "p%252F1%252B%2522%25C3%25A4%255C%2526%25E2%2582%25AC%25F0%259F%2598%2580%2520%2525z",
            r#"p\/1+\"ä\\&€😀 %z"#,
            r#"p/1\u002b\"\u00e4\\\u0026\u20ac\ud83d\ude00 %z"#,
            r#"p\\\/1+\\\"\\u00e4\\\\&\\u20ac\\ud83d\\ude00 %z"#,
            r"p/1+\x22\xc3\xa4\x5c&\xe2\x82\xac\xf0\x9f\x98\x80 %z",
            "p&#x2F;1+&#34;&#xe4;\\&amp;&#8364;&#128512; %z",
            "p/1+\"\u{c3}\u{a4}\\&\u{e2}\u{82}\u{ac}\u{f0}\u{9f}\u{98}\u{80} %z",
        ] {
            assert_eq!(begin(text.as_bytes(), SECRET.as_bytes()), Begin::Whole(text.len()), "{text}");
        }
    }

    #[test]
    fn what_is_another_text_is_told_from_what_is_cut_off() {
        for (text, expected) in [
            ("p%2F", Begin::Cut(2)),
            ("p%2", Begin::Cut(1)),
            ("p\\", Begin::Cut(1)),
            ("p&#4", Begin::Cut(1)),
            ("", Begin::Cut(0)),
            ("p%2E", Begin::Other),
            ("p\\u00zz", Begin::Other),
            ("q", Begin::Other),
        ] {
            assert_eq!(begin(text.as_bytes(), SECRET.as_bytes()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_looked_at(text in proptest::collection::vec(any::<u8>(), 0..30), wanted in "\\PC{1,8}") {
            if let Begin::Whole(read) = begin(&text, wanted.as_bytes()) {
                prop_assert!(read <= text.len() && read > 0);
            }
        }
    }
}
