//! What of a jinja template stays whatever is filled in: for checks of a URL before it is known.

/// The text with `filler` in place of every `{{ … }}`, and nothing in place of `{% … %}` and `{# … #}`.
pub(super) fn of_jinja(text: &str, filler: &str) -> String {
    let (mut plain, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        plain.push_str(before);
        let (end, with) = match from.get(..2) {
            Some("{{") => ("}}", filler),
            Some("{%") => ("%}", ""),
            Some("{#") => ("#}", ""),
            _ => {
                plain.push('{');
                rest = from.get(1..).unwrap_or_default();
                continue;
            }
        };
        plain.push_str(with);
        rest = from.find(end).and_then(|at| from.get(at + 2..)).unwrap_or_default();
    }
    plain.push_str(rest);
    plain
}

/// What stands in the n-th `{{ … }}`.
pub(super) fn value_of_jinja(text: &str, at: usize) -> Option<String> {
    let (mut rest, mut seen) = (text, 0);
    while let Some(found) = rest.find('{') {
        let from = rest.get(found..)?;
        let end = match from.get(..2) {
            Some("{{") => "}}",
            Some("{%") => "%}",
            Some("{#") => "#}",
            _ => {
                rest = from.get(1..)?;
                continue;
            }
        };
        let inside = from.get(2..from.find(end)?)?;
        if end == "}}" {
            if seen == at {
                return Some(inside.trim_matches(['-', '+']).trim().to_owned());
            }
            seen += 1;
        }
        rest = from.get(inside.len() + 4..)?;
    }
    None
}
