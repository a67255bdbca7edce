//! What HTML would cost a parser: an HTML parser repairs whatever it is given, at a price that may be the square of its
//! length, or many times its length in elements. This reads the tags once and says whether the price is modest.
//!
//! It counts more than the parser would where it is not sure, never less: a document is refused for being hostile, and
//! one that a person or a program wrote in earnest is far from the limits.

use crate::outbound::encodings::steps;

/// Elements within each other at most, those of text styles that were not closed included.
pub(super) const MAX_NESTING: usize = 64;

/// Separators within one tag at most, which is more than the attributes it can have: a parser compares each with all.
const MAX_SEPARATORS: usize = 1024;

/// Pieces of a table outside its cells at most: a parser moves each in front of the table.
const MAX_MISPLACED: usize = 256;

/// Copies of text styles at most that blocks begin with because the styles were not closed before, beside one for
/// each tag.
const MAX_COPIES: usize = 1024;

/// Elements of text styles: one that is left open is opened again in the next block.
const STYLES: &[&str] =
    &["a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"];

/// Elements without content.
const VOID: &[&str] = &[
    "area", "base", "basefont", "bgsound", "br", "col", "embed", "frame", "hr", "img", "input", "keygen", "link",
    "meta", "param", "source", "track", "wbr",
];

/// Elements that an end tag of another kind does not reach beyond.
const WALLS: &[&str] = &[
    "table",
    "td",
    "th",
    "caption",
    "template",
    "object",
    "marquee",
    "applet",
    "select",
    "svg",
    "math",
    "button",
    "foreignobject",
];

/// The parts of a table whose end tags reach beyond cells.
const TABLE: &[&str] = &["table", "thead", "tbody", "tfoot", "tr", "td", "th", "caption"];

/// Elements that end with the next of their group.
const GROUPS: &[&[&str]] = &[&["li"], &["dt", "dd"], &["p"]];

/// Cells, rows and groups of rows.
const CELLS: &[&str] = &["td", "th", "tr", "thead", "tbody", "tfoot"];

/// Elements whose content is text up to their end tag.
const RAW: &[&str] = &["script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"];

/// Whether a parser's work on `html` is a small multiple of its length.
pub(super) fn is_modest(html: &str) -> bool {
    let mut state = State::default();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let (before, from) = rest.split_at(at);
        steps::count(at + 1);
        if !before.trim_ascii().is_empty() {
            state.text();
        }
        let Some(after) = state.markup(from) else { return false };
        steps::count(from.len() - after.len());
        rest = after;
        if !state.is_modest() {
            return false;
        }
    }
    true
}

#[derive(Default)]
struct State {
    /// Names of the elements that are open, other than text styles.
    open: Vec<String>,
    /// The same of text styles, closed or not by the end of what is around them.
    styles: Vec<String>,
    tags: usize,
    misplaced: usize,
    copies: usize,
}

impl State {
    fn is_modest(&self) -> bool {
        self.open.len() + self.styles.len() <= MAX_NESTING
            && self.misplaced <= MAX_MISPLACED
            && self.copies <= MAX_COPIES + self.tags
    }

    /// Reads what begins with `<`, and returns what follows it. `None`: it is nothing that a mail needs, and not simple.
    fn markup<'a>(&mut self, from: &'a str) -> Option<&'a str> {
        let behind = from.get(1..).unwrap_or_default();
        if let Some(comment) = behind.strip_prefix("!--") {
            return Some(after_comment(comment));
        }
        if behind.starts_with("![CDATA[") {
            return None;
        }
        let (closes, named) = behind.strip_prefix('/').map_or((false, behind), |named| (true, named));
        if !named.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
            // A comment of another kind, or text.
            let comment = closes || behind.starts_with(['!', '?']);
            return Some(if comment { behind.split_once('>').map_or("", |(_, after)| after) } else { behind });
        }
        let end = named.find(|letter: char| letter.is_ascii_whitespace() || matches!(letter, '/' | '>'));
        let (name, attributes) = named.split_at(end.unwrap_or(named.len()));
        let name = name.to_ascii_lowercase();
        let (separators, after) = after_attributes(attributes);
        if separators > MAX_SEPARATORS || matches!(name.as_str(), "plaintext" | "noscript") {
            return None;
        }
        self.tags += 1;
        if closes {
            self.end(&name);
            return Some(after);
        }
        self.start(&name);
        if !RAW.contains(&name.as_str()) {
            return Some(after);
        }
        if self.open.iter().any(|open| matches!(open.as_str(), "svg" | "math")) {
            return None;
        }
        self.open.pop();
        let (content, after) = raw(after, &name);
        // A script may hold scripts in comments.
        if name == "script" && content.contains("<!--") { None } else { Some(after) }
    }

    fn text(&mut self) {
        self.misplaced += usize::from(self.is_between_cells());
    }

    fn is_between_cells(&self) -> bool {
        matches!(self.open.last().map(String::as_str), Some("table" | "thead" | "tbody" | "tfoot" | "tr"))
    }

    fn start(&mut self, name: &str) {
        if !TABLE.contains(&name) {
            self.misplaced += usize::from(self.is_between_cells());
        }
        if VOID.contains(&name) {
            return;
        }
        if STYLES.contains(&name) {
            self.styles.push(name.to_owned());
            return;
        }
        self.copies += self.styles.len();
        if CELLS.contains(&name) {
            // Ends the cell, row or group of rows before it, with all that is in there.
            let ranks: &[&str] = match name {
                "td" | "th" => &["td", "th"],
                "tr" => &["tr"],
                _ => &["thead", "tbody", "tfoot"],
            };
            for at in (0..self.open.len()).rev() {
                let open = self.open.get(at).map_or("", String::as_str);
                if ranks.contains(&open) {
                    self.open.truncate(at);
                    break;
                }
                if WALLS.contains(&open) && !CELLS.contains(&open) {
                    break;
                }
            }
        } else if let Some(group) = GROUPS.iter().find(|group| group.contains(&name)) {
            let same = |open: &String| group.contains(&open.as_str());
            // A paragraph within an entry of a list ends with it.
            if self.open.last().is_some_and(|open| open == "p") && !same(&"p".to_owned()) {
                let before = self.open.len().checked_sub(2).and_then(|at| self.open.get(at));
                if before.is_some_and(same) {
                    self.open.pop();
                }
            }
            if self.open.last().is_some_and(same) {
                self.open.pop();
            }
        }
        self.open.push(name.to_owned());
    }

    fn end(&mut self, name: &str) {
        if STYLES.contains(&name) {
            if let Some(at) = self.styles.iter().rposition(|open| open == name) {
                self.styles.remove(at);
            }
            return;
        }
        for at in (0..self.open.len()).rev() {
            let Some(open) = self.open.get(at).map(String::as_str) else { return };
            if open == name {
                self.open.truncate(at);
                return;
            }
            // The end of a table or row reaches beyond its cells, but not beyond another table.
            let within = TABLE.contains(&name) && TABLE.contains(&open) && open != "table";
            if WALLS.contains(&open) && !within {
                return;
            }
        }
    }
}

/// What follows a comment, whose beginning is read already.
fn after_comment(comment: &str) -> &str {
    for short in [">", "->"] {
        if let Some(after) = comment.strip_prefix(short) {
            return after;
        }
    }
    let ends = |(at, _): &(usize, &str)| {
        let before = comment.get(..*at).unwrap_or_default();
        before.ends_with("--") || before.ends_with("--!")
    };
    let end = comment.match_indices('>').find(ends);
    end.map_or("", |(at, _)| comment.get(at + 1..).unwrap_or_default())
}

/// How many separators a tag has, and what follows it. A `>` within a quoted value belongs to it.
fn after_attributes(attributes: &str) -> (usize, &str) {
    let (mut separators, mut named, mut valued, mut at) = (0, false, false, 0);
    let bytes = attributes.as_bytes();
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'>' => return (separators, attributes.get(at..).unwrap_or_default()),
            b'=' if named && !valued => valued = true,
            b'"' | b'\'' if valued => {
                separators += 1;
                let end = bytes.get(at..).and_then(|rest| memchr::memchr(*byte, rest));
                let Some(end) = end else { return (separators, "") };
                at += end + 1;
                (named, valued) = (false, false);
            }
            byte if byte.is_ascii_whitespace() => separators += 1,
            b'/' if !valued => {
                separators += 1;
                named = false;
            }
            _ if valued => {
                // A value without quotes.
                let end = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'>';
                at += bytes.get(at..).and_then(|rest| rest.iter().position(end)).unwrap_or(bytes.len() - at);
                (named, valued) = (false, false);
                separators += 1;
            }
            _ => named = true,
        }
    }
    (separators, "")
}

/// The content of an element of text, and what follows it, its end tag first.
fn raw<'a>(after: &'a str, name: &str) -> (&'a str, &'a str) {
    for (at, _) in after.match_indices("</") {
        let tag = after.get(at + 2..).unwrap_or_default();
        let named = tag.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name));
        let ended =
            tag.as_bytes().get(name.len()).is_some_and(|byte| byte.is_ascii_whitespace() || b"/>".contains(byte));
        if named && ended {
            return after.split_at(at);
        }
    }
    (after, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_modest() {
        for html in [
            "<p>One<p>Two<br>three".repeat(5000),
            "<ul>".to_owned() + &"<li><p>a</p>".repeat(5000) + "</ul>",
            "<table>".to_owned() + &"<tr><td>a<td><b>b</b>\n".repeat(5000) + "</table>",
            "<div><p><b><a href=\"https://example.com/?a>b\">x</a></b></p></div>".repeat(5000),
            "<blockquote><ul><li>".repeat(20) + "x",
            "<dl><dt>a<dd>b<dt>c<dd>d</dl>".repeat(5000),
            "a < b, 1 <2 and </> <!-- <div> --> <!DOCTYPE html>".repeat(5000),
            "<style><div></style><svg onload=x()>key</svg>".to_owned(),
        ] {
            assert!(is_modest(&html), "{}", html.get(..60).unwrap_or(&html));
        }
    }

    #[test]
    fn what_costs_a_parser_too_much_is_not() {
        let hidden = |open: &str, hides: &str| format!("{open}{hides}").repeat(200);
        for html in [
            "<div>".repeat(100),
            "<li><dd>".repeat(100),
            "<p><div>".repeat(100),
            "<b title=x>".repeat(100),
            "<b><b><b>".to_owned() + &"<p>x".repeat(5000),
            "<table>".to_owned() + &"x<br>".repeat(5000),
            "<p ".to_owned() + &"a ".repeat(5000) + ">",
            "<p ".to_owned() + &"a/".repeat(5000) + ">",
            "<p ".to_owned() + &"a=''".repeat(5000) + ">",
            "<p ".to_owned() + &"a=b ".repeat(5000) + ">",
            hidden("<div>", "<!-- </div> -->"),
            hidden("<div>", "<!----!></div><div>"),
            hidden("<div title=\"</div>\">", ""),
            hidden("<div title='</div>'>", ""),
            hidden("<div>", "<style></div></style>"),
            hidden("<div>", "<textarea></div></textarea >"),
            hidden("<div>", "<script><!--<script></script></div>--></script>"),
            hidden("<div>", "<table><td></div></table>"),
            hidden("<div>", "<select></div></select>"),
            hidden("<b><div>", "</b>"),
            "<svg><style><g>".repeat(100),
            "<svg><![CDATA[<x>]]></svg>".to_owned(),
        ] {
            assert!(!is_modest(&html), "{}", html.get(..60).unwrap_or(&html));
        }
    }
}
