//! What a YAML text may not be, looked at event by event before it is read as a whole: nested without end, unfolding
//! into millions of values by aliases, or naming a key twice.

use std::collections::{HashMap, HashSet};

use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::scanner::Marker;

/// Levels of lists and blocks.
const DEEPEST: usize = 64;
/// Values, each as often as aliases repeat it.
const LARGEST: u64 = 100_000;

/// What is wrong with the text, and where.
pub(crate) fn check(text: &str) -> Result<(), String> {
    let mut parser = Parser::new_from_str(text);
    let mut open: Vec<Open> = Vec::new();
    let mut sizes: HashMap<usize, u64> = HashMap::new();
    loop {
        let (event, mark) = parser.next_token().map_err(|error| error.to_string())?;
        let (anchor, size, key) = match event {
            Event::StreamEnd => return Ok(()),
            Event::MappingStart(anchor, _) => {
                open.push(Open { anchor, size: 1, keys: Some(HashSet::new()), at_key: true });
                if open.len() > DEEPEST {
                    return Err(format!(
                        "{} lists and blocks are nested too deeply; allowed: {DEEPEST} levels",
                        place(mark)
                    ));
                }
                continue;
            }
            Event::SequenceStart(anchor, _) => {
                open.push(Open { anchor, size: 1, keys: None, at_key: false });
                if open.len() > DEEPEST {
                    return Err(format!(
                        "{} lists and blocks are nested too deeply; allowed: {DEEPEST} levels",
                        place(mark)
                    ));
                }
                continue;
            }
            Event::MappingEnd | Event::SequenceEnd => match open.pop() {
                Some(closed) => (closed.anchor, closed.size, None),
                None => continue,
            },
            Event::Scalar(text, _, anchor, _) => (anchor, 1, Some(text)),
            Event::Alias(id) => match sizes.get(&id) {
                Some(size) => (0, *size, None),
                None => return Err(format!("{} an alias within its own anchor", place(mark))),
            },
            Event::Nothing | Event::StreamStart | Event::DocumentStart | Event::DocumentEnd => continue,
        };
        if anchor > 0 {
            sizes.insert(anchor, size);
        }
        let Some(parent) = open.last_mut() else { continue };
        parent.size = parent.size.saturating_add(size);
        if parent.size > LARGEST {
            return Err(format!("{} aliases expand into more than {LARGEST} values", place(mark)));
        }
        if let Some(keys) = &mut parent.keys {
            if let (true, Some(key)) = (parent.at_key, key)
                && !keys.insert(key.clone())
            {
                return Err(format!("{} the key {key:?} is in this block twice", place(mark)));
            }
            parent.at_key = !parent.at_key;
        }
    }
}

/// A list or block whose end has not come yet.
struct Open {
    anchor: usize,
    size: u64,
    keys: Option<HashSet<String>>,
    at_key: bool,
}

fn place(mark: Marker) -> String {
    format!("line {}, column {}:", mark.line(), mark.col() + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_twice_in_one_block_is_refused_and_named() {
        assert_eq!(check("a: 1\nb: {a: 2}\nc: [{a: 1}, {a: 1}]\nd: a"), Ok(()));
        assert_eq!(
            check("a:\n  b: 1\n  c: 2\n  b: 3").unwrap_err(),
            "line 4, column 3: the key \"b\" is in this block twice"
        );
    }

    #[test]
    fn aliases_that_unfold_without_end_are_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let repeated = format!("*a{}, ", level - 1).repeat(10);
            text = format!("{text}a{level}: &a{level} [{repeated}]\n");
        }
        assert!(check(&text).unwrap_err().contains("aliases expand"), "{:?}", check(&text));
        assert!(check("a: &a {x: *a}").unwrap_err().contains("within its own anchor"));
        assert_eq!(check("a: &a {x: 1}\nb: *a\nc: [*a, *a]"), Ok(()));
    }

    #[test]
    fn nesting_without_end_is_refused() {
        for text in ["- ".repeat(50_000), "[".repeat(200), "a: [".repeat(200)] {
            assert!(check(&text).is_err());
        }
        assert_eq!(check(&format!("{}{}", "[".repeat(DEEPEST), "]".repeat(DEEPEST))), Ok(()));
    }

    proptest! {
        #[test]
        fn any_text_is_checked_without_panic(text in "([ -~]|\n|: |- |&a |[*]a |[{]|[}]|é){0,60}") {
            let _ = check(&text);
        }
    }
}
