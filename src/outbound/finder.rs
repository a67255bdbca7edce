//! The forms of secrets, and the automaton that finds all of them in one pass.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::encodings::{Layer, layers, steps};

/// The shortest secret that is looked for: a shorter one is in any text by chance.
pub(super) const SHORTEST: usize = 4;

/// The longest secret that is looked for in Base64 and hexadecimal digits, too.
const LONGEST: usize = 8 * 1024;

/// Forms of this length in all are searched by the faster automaton, which takes more memory.
const SMALL: usize = 1024;

/// A text that a secret is recognised by.
struct Form {
    text: Vec<u8>,
    /// Whether the characters of Base64 before and after it are made of the secret in part.
    before: bool,
    after: bool,
}

/// The forms of a secret: as it is, in Base64 at each of the three positions that it can have in there, in hexadecimal
/// digits; and each of them as far as it looks encoded itself.
fn forms(secret: &[u8]) -> Vec<Form> {
    let mut forms = vec![Form { text: secret.to_vec(), before: false, after: false }];
    if secret.len() <= LONGEST {
        for shift in 0..3 {
            let shifted = [[0; 2].get(..shift).unwrap_or_default(), secret].concat();
            // Characters that are made of the secret alone: six bits each.
            let (first, last) = ((shift * 8).div_ceil(6), shifted.len() * 8 / 6);
            for text in [STANDARD.encode(&shifted), URL_SAFE.encode(&shifted)] {
                let text = text.as_bytes().get(first..last).unwrap_or_default().to_vec();
                forms.push(Form { text, before: shift > 0, after: shifted.len() % 3 > 0 });
            }
        }
        let hex = secret.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        for text in [hex.to_uppercase(), hex] {
            forms.push(Form { text: text.into_bytes(), before: false, after: false });
        }
    }
    let decoded = |form: &Form| {
        let of = |layer: Layer| Form { text: layer.bytes, before: form.before, after: form.after };
        layers(&form.text, false).map(of).filter(|form| form.text.len() >= SHORTEST).collect::<Vec<_>>()
    };
    forms.iter().flat_map(decoded).collect()
}

/// What finds the forms of secrets.
pub(super) struct Finder {
    forms: Vec<Form>,
    /// None where there are too many: then nothing is shown.
    automaton: Option<AhoCorasick>,
}

impl Finder {
    pub(super) fn new(secrets: &[Vec<u8>]) -> Self {
        let mut forms: Vec<Form> = secrets.iter().flat_map(|secret| forms(secret)).collect();
        forms.sort_unstable_by(|one, other| one.text.cmp(&other.text));
        forms.dedup_by(|one, other| one.text == other.text && one.before == other.before && one.after == other.after);
        let small = forms.iter().map(|form| form.text.len()).sum::<usize>() <= SMALL;
        let kind = if small { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA };
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(kind))
            .build(forms.iter().map(|form| &form.text))
            .ok();
        Self { forms, automaton }
    }

    /// Adds where the original of a layer holds secrets.
    pub(super) fn find(&self, layer: &Layer, cut: bool, found: &mut Vec<Range<usize>>) {
        let text = layer.bytes.as_slice();
        let Some(automaton) = &self.automaton else {
            found.push(layer.origin(0..text.len()));
            return;
        };
        steps::count(text.len());
        for one in automaton.find_overlapping_iter(text) {
            steps::count(1);
            let range =
                self.forms.get(one.pattern().as_usize()).map_or(one.range(), |form| form.widened(text, one.range()));
            let range = layer.origin(range);
            match found.last_mut() {
                Some(last) if last.start <= range.start && range.start < last.end => last.end = last.end.max(range.end),
                _ => found.push(range),
            }
        }
        if cut {
            let longest = self.forms.iter().map(|form| form.begun(text)).max().unwrap_or_default();
            if longest >= SHORTEST {
                found.push(layer.origin(text.len() - longest..text.len()));
            }
        }
    }
}

impl Form {
    /// The range, with what of its neighbours is made of the secret too.
    fn widened(&self, text: &[u8], range: Range<usize>) -> Range<usize> {
        let of_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
        let Range { mut start, mut end } = range;
        if self.before && start.checked_sub(1).and_then(|at| text.get(at)).is_some_and(of_base64) {
            start -= 1;
        }
        if self.after && text.get(end).is_some_and(of_base64) {
            end += 1;
            end += text.iter().skip(end).take(2).take_while(|byte| **byte == b'=').count();
        }
        start..end
    }

    /// How many bytes at the end of a text begin this form, all of it not counted (Knuth, Morris and Pratt).
    fn begun(&self, text: &[u8]) -> usize {
        let form = self.text.as_slice();
        let tail = text.get(text.len().saturating_sub(form.len() - 1)..).unwrap_or_default();
        // The longest proper beginning of each prefix that is its end, too.
        let mut borders: Vec<usize> = vec![0; form.len()];
        let further = |borders: &[usize], mut length: usize, byte: u8| {
            while length > 0 && form.get(length) != Some(&byte) {
                steps::count(1);
                length = borders.get(length - 1).copied().unwrap_or_default();
            }
            steps::count(1);
            length + usize::from(form.get(length) == Some(&byte))
        };
        let mut length = 0;
        for (at, byte) in form.iter().enumerate().skip(1) {
            length = further(&borders, length, *byte);
            if let Some(border) = borders.get_mut(at) {
                *border = length;
            }
        }
        tail.iter().fold(0, |length, byte| further(&borders, length, *byte))
    }
}
