//! The likeness of error texts: what remains when ids, numbers and addresses are taken out, so that the same failure of many
//! orders is one cause.

/// Characters of a text that are looked at.
const LOOKED_AT: usize = 600;

/// Characters of a likeness at most.
const LONGEST: usize = 200;

/// Words of that many characters are ids, whatever they are made of.
const ID: usize = 24;

/// The likeness of a text: words that hold a digit or an `@`, and very long ones, are `#`; blanks are single.
pub fn likeness(text: &str) -> String {
    let text: String = text.chars().take(LOOKED_AT).collect();
    let mut like = String::new();
    for blank in text.split_whitespace() {
        if !like.is_empty() {
            like.push(' ');
        }
        let mut rest = blank;
        while let Some(first) = rest.chars().next() {
            let end = rest.find(|c| is_word(c) != is_word(first)).unwrap_or(rest.len());
            let (part, after) = rest.split_at(end);
            let id = is_word(first) && (part.chars().any(|c| c.is_numeric() || c == '@') || part.chars().count() >= ID);
            if !id {
                like.push_str(part);
            } else if !like.ends_with('#') {
                like.push('#');
            }
            rest = after;
        }
    }
    like.chars().take(LONGEST).collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_' | '@' | '.' | '+')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_that_differ_in_ids_and_numbers_are_alike() {
        for (text, expected) in [
            ("order SO-1234 not found", "order # not found"),
            (
                r#"{"error":"unknown customer anna@example.com","at":1769860800}"#,
                r#"{"error":"unknown customer #","at":#}"#,
            ),
            ("no such id 0198f0a2-7c1e-7000-8000-0123456789ab", "no such id #"),
            ("connection  refused\n(os error 111)", "connection refused (os error #)"),
            ("token abcdefghijklmnopqrstuvwxyzabc expired", "token # expired"),
            ("", ""),
        ] {
            assert_eq!(likeness(text), expected);
        }
    }

    proptest! {
        #[test]
        fn a_likeness_is_short_and_its_own_likeness(text in ".{0,900}") {
            let like = likeness(&text);
            prop_assert!(like.chars().count() <= LONGEST);
            prop_assert!(!like.chars().any(char::is_numeric));
        }
    }
}
