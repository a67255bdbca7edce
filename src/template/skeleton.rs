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
